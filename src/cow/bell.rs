//! A bell that wakes the snapshot thread: rung by whoever crosses a threshold, also from within
//! an allocator call or a signal handler, so it takes no lock and no memory.

use crate::base::sync::{AtomicU32, Ordering};
use std::time::Duration;

/// The bell.
#[derive(Debug, Default)]
pub struct Bell(AtomicU32);

impl Bell {
    /// Rings: who waits wakes up, who waits next finds that it has rung.
    pub fn ring(&self) {
        self.0.fetch_add(1, Ordering::Release);
        crate::os::futex_wake_all(&self.0);
    }

    /// How often it has rung; to be asked before looking for work.
    #[must_use]
    pub fn rung(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// Waits, at most for `limit` if there is one, until it has rung more often than `seen`.
    pub fn wait(&self, seen: u32, limit: Option<Duration>) {
        match limit {
            Some(limit) => crate::os::futex_wait_for(&self.0, seen, limit),
            None => crate::os::futex_wait(&self.0, seen),
        }
    }
}
