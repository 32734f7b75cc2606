//! Has the disk begin with a large file while it is still being written: the sync at the end, which
//! somebody waits for, then has less to do.
//!
//! A thread of its own does that, since the system makes who asks for it wait. Nothing is durable
//! by it; but a sync tells of a failure once, to whoever comes first, so what this thread was told
//! is kept for [`WriteBehind::outcome`].
#![allow(unsafe_code, reason = "calls sync_file_range")]

use super::silent::{Serve, SilentThread};
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

/// How far what is written behind goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Behind {
    /// Into the disk's queue. Costs whoever writes least.
    Queue,
    /// Through the disk's own cache, which may hold a whole file back until it is told to. Makes
    /// those wait meanwhile who reserve blocks.
    Medium,
}

#[derive(Debug)]
struct Asked {
    file: Arc<File>,
    sync: fn(&File) -> io::Result<()>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    due: Option<Behind>,
    is_busy: bool,
    is_over: bool,
    /// The number of the first error.
    error: Option<i32>,
}

impl WriteBehind {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives none.
    pub(super) fn start(file: Arc<File>) -> io::Result<Self> {
        Self::with(file, File::sync_data)
    }

    fn with(file: Arc<File>, sync: fn(&File) -> io::Result<()>) -> io::Result<Self> {
        let (state, changed) = (Mutex::default(), Condvar::new());
        let asked = Arc::new(Asked { file, sync, state, changed });
        Ok(Self { _thread: SilentThread::start(&asked)?, asked })
    }

    /// Has all be written that has not been yet. Does not wait for it.
    pub(super) fn ask(&self, how: Behind) {
        self.asked.lock().due = Some(how);
        self.asked.changed.notify_all();
    }

    /// Has the thread do no more, waits for what it is at, and says what went wrong up to then,
    /// each time.
    ///
    /// # Errors
    /// The first one that a sync gave: the file is lost.
    pub(super) fn outcome(&self) -> io::Result<()> {
        let mut state = self.asked.lock();
        state.due = None;
        let waited = self.asked.changed.wait_while(state, |state| state.is_busy);
        let state = waited.unwrap_or_else(PoisonError::into_inner);
        state.error.map_or(Ok(()), |error| Err(io::Error::from_raw_os_error(error)))
    }
}

impl Drop for WriteBehind {
    fn drop(&mut self) {
        self.asked.lock().is_over = true;
        self.asked.changed.notify_all();
    }
}

impl Serve for Asked {
    fn serve(&self) {
        while let Some(how) = self.next() {
            let done = self.write(how);
            let mut state = self.lock();
            state.is_busy = false;
            if let Err(error) = done {
                state.error.get_or_insert(error.raw_os_error().unwrap_or(libc::EIO));
            }
            drop(state);
            self.changed.notify_all();
        }
    }
}

impl Asked {
    /// Waits for something to do; `None`: it is over.
    fn next(&self) -> Option<Behind> {
        let is_idle = |state: &mut State| state.due.is_none() && !state.is_over;
        let waited = self.changed.wait_while(self.lock(), is_idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.is_over {
            return None;
        }
        state.is_busy = true;
        state.due.take()
    }

    fn write(&self, how: Behind) -> io::Result<()> {
        if how == Behind::Medium {
            return (self.sync)(&self.file);
        }
        // To the file's end, whatever that is by now.
        let (all, flags) = (0, libc::SYNC_FILE_RANGE_WRITE);
        // SAFETY: on an open descriptor; touches no memory. It only starts the writing, of whose
        // failure the sync tells.
        let _ = unsafe { libc::sync_file_range(self.file.as_raw_fd(), all, all, flags) };
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuse(_: &File) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(libc::ENOSPC))
    }

    fn ask_and_wait(behind: &WriteBehind, how: Behind) {
        behind.ask(how);
        while behind.asked.lock().due.is_some() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_a_sync_told_this_thread_is_kept() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let behind = WriteBehind::with(file, refuse).unwrap();
        ask_and_wait(&behind, Behind::Queue);
        behind.outcome().unwrap();
        ask_and_wait(&behind, Behind::Medium);
        for _ in 0..2 {
            assert_eq!(behind.outcome().unwrap_err().kind(), io::ErrorKind::StorageFull);
            ask_and_wait(&behind, Behind::Queue);
        }
    }
}
