//! A directory in memory, for tests and fuzzing: it counts calls, fails the one it is told
//! to fail, and keeps a log of what was done, so that a crash can be replayed at any point.
//!
//! Invariant: `state = start + log`. Every change of state is one [`Op`] of the log, appended
//! as it is made, so what a crash may leave is computed from the log alone. Failed calls are
//! in the log with what they did before they failed (half a write, no sync).
//!
//! - `dir`, `file`: the traits of a directory and its files
//! - `disk`: state, log and faults, which they share; `state`: names and bytes, and what an
//!   operation does to them
//! - `crash`: the directories that a crash may leave, one after the other
//! - `pending`: what of the log is durable at a crash, and what is not; `choices`: which
//!   combinations of the rest are tried; `tear`: how a write arrives in part; `contents`: the
//!   bytes that come of it
//! - `distinct`: which of them are the same; `random`: numbers from a seed
//!
//! What a power cut may leave: what a sync made durable, and of the later operations any
//! subset, in the order of the log. A file's bytes and its name are durable each on its own. A
//! write may arrive in part, and with or without the length that it gave the file; what was
//! never written reads as zero. A rename is atomic.

mod choices;
mod contents;
mod crash;
mod dir;
mod disk;
mod distinct;
mod file;
mod pending;
mod random;
mod state;
mod tear;

pub use choices::Bounds;
pub use crash::{CrashKind, CrashState, CrashStates, Survives};
pub use dir::SimDir;
pub use disk::Fault;
pub use distinct::Distinct;
pub use file::SimFile;
pub use state::{FileId, Op};
