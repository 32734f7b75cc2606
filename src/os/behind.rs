//! Has the disk begin with a large file while it is still being written: the sync at the end, which
//! somebody waits for, then has less to do.
//!
//! A thread of its own does that, since the system makes who asks for it wait when the disk's queue
//! is full. It is a hint: nothing is durable by it.
#![allow(unsafe_code, reason = "calls sync_file_range")]

use crate::os::silent::{Serve, SilentThread};
use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// Writes a file's pages to the disk when told to. Dropping it ends that.
#[derive(Debug)]
pub(super) struct WriteBehind {
    asked: Arc<Asked>,
    _thread: SilentThread,
}

#[derive(Debug)]
struct Asked {
    file: Arc<File>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_due: bool,
    is_over: bool,
}

impl WriteBehind {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives none.
    pub(super) fn start(file: Arc<File>) -> io::Result<Self> {
        let asked = Arc::new(Asked { file, state: Mutex::default(), changed: Condvar::new() });
        Ok(Self { _thread: SilentThread::start(&asked)?, asked })
    }

    /// Has all be written that has not been yet. Does not wait for it.
    pub(super) fn ask(&self) {
        self.asked.lock().is_due = true;
        self.asked.changed.notify_one();
    }
}

impl Drop for WriteBehind {
    fn drop(&mut self) {
        self.asked.lock().is_over = true;
        self.asked.changed.notify_one();
    }
}

impl Serve for Asked {
    fn serve(&self) {
        while self.wait() {
            // To the file's end, whatever that is by now.
            let (all, flags) = (0, libc::SYNC_FILE_RANGE_WRITE);
            // SAFETY: on an open descriptor; touches no memory. What goes wrong the sync will tell.
            let _ = unsafe { libc::sync_file_range(self.file.as_raw_fd(), all, all, flags) };
        }
    }
}

impl Asked {
    /// `false`: it is over.
    fn wait(&self) -> bool {
        let idle = |state: &mut State| !state.is_due && !state.is_over;
        let waited = self.changed.wait_while(self.lock(), idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_due = false;
        !state.is_over
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
