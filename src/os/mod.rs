//! The operating system's layer: every system call of the crate is made here. Imports `base`
//! alone.
//!
//! - `map`: address space and memory
//! - `dir`: what the crate asks of a directory and its files, as traits
//! - `disk`: the traits on a real directory; `copy`: how its files are copied; `behind`: how they
//!   get to the disk while they grow, `room`: into what room
//! - `sim`: the traits in memory, with faults and crashes
//! - `lock`: one owner for a heap's directory
//! - `silent`: threads that allocate nothing
//! - `exe`: which program this is, and where it lies
//! - `segv`, `bus`: handlers for faults, `action`: how they are set; `signals`: others
//! - `thread`, `futex`, `errno`, `maps`, `mapped`, `restart`, `fatal`: what their names say

mod action;
mod behind;
pub mod bus;
mod copy;
mod dir;
mod disk;
mod errno;
pub mod exe;
mod fatal;
mod futex;
mod lock;
pub mod map;
mod mapped;
mod maps;
mod real;
mod restart;
mod room;
pub mod segv;
pub mod signals;
mod silent;
pub mod sim;
mod thread;

pub use dir::{Dir, File, FileBytes, PublishError, TEMPORARY_PREFIX};
pub use disk::{DiskDir, DiskFile};
pub use errno::ErrnoKept;
pub use fatal::{fatal, hex};
pub use futex::{futex_wait, futex_wait_for, futex_wake_all, membarrier, membarrier_register, nap};
pub use lock::{DirLock, LOCK_NAME, LockError, utc_text};
pub use mapped::{NAME_MAX as FILE_NAME_MAX, file_mapped_at};
pub use maps::{Mapping, huge_page_share, occupants, why_no_huge_pages};
pub use real::Real;
pub use restart::restart_once;
pub use signals::SignalsBlocked;
pub use silent::Helper;
pub use thread::{ExitHook, at_fork, in_background, in_two, random_u64, thread_id};
