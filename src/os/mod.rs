//! The operating system's layer: every system call of the crate is made here. Imports `base`
//! alone.
//!
//! - `map`: address space and memory
//! - `dir`: what the crate asks of a directory and its files, as traits
//! - `disk`: the traits on a real directory
//! - `sim`: the traits in memory, with faults and crashes
//! - `lock`: one owner for a heap's directory

mod dir;
mod disk;
mod fatal;
mod lock;
pub mod map;
pub mod sim;

pub use dir::{Dir, File, FileBytes, PublishError, TEMPORARY_PREFIX};
pub use disk::{DiskDir, DiskFile};
pub use fatal::fatal;
pub use lock::{DirLock, LOCK_NAME, LockError};
