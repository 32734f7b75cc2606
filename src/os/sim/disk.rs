//! What the handles of a simulated directory share: its state, its log, and when it fails.

use super::state::{FileId, Op, State};
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A failure to be injected.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// How many calls succeed before the one that fails.
    pub after: u64,
    /// The error, as in `errno.h`.
    pub errno: i32,
    /// Whether every later call fails as well.
    pub lasting: bool,
}

/// See the header of `sim` for what binds `state`, `start` and `log`.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) state: State,
    pub(super) start: State,
    /// Shared with whoever replays it.
    pub(super) log: Arc<Vec<Op>>,
    pub(super) calls: u64,
    pub(super) fault: Option<Fault>,
    pub(super) files_made: u64,
}

impl Disk {
    /// Counts a call, and fails it if it is the one.
    pub(super) fn call(&mut self) -> io::Result<()> {
        let number = self.calls;
        self.calls += 1;
        match self.fault {
            Some(fault) if number == fault.after || (fault.lasting && number > fault.after) => {
                Err(io::Error::from_raw_os_error(fault.errno))
            }
            _ => Ok(()),
        }
    }

    /// A part of a file is fetched: a call like another, but if it is the one that fails, what is
    /// read instead fails, as it would on a disk.
    pub(super) fn fetch(&mut self) -> io::Result<()> {
        let number = self.calls;
        self.call().inspect_err(|_| self.calls = number)
    }

    pub(super) fn make(&mut self, op: Op) {
        self.state.apply(&op);
        Arc::make_mut(&mut self.log).push(op);
    }

    pub(super) fn new_id(&mut self) -> FileId {
        self.files_made += 1;
        FileId(self.files_made)
    }
}

pub(super) fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}
