//! What users see of a snapshot on its way to the disk, and how they wait for it.

use crate::runtime::SnapshotError;
use crate::runtime::events::SnapshotFailure;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// What a durable snapshot was like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StillInfo {
    /// Its number in the heap.
    pub number: u64,
    /// Whether it was written as what had changed since the snapshot before, and not as the whole
    /// heap.
    pub is_delta: bool,
    /// How long allocator calls and new scopes had to wait.
    pub pause: Duration,
    /// How long the freeze waited, before the pause, for scopes to end. It gives up every
    /// millisecond, lets waiting scopes begin, and tries again: all of that is counted.
    pub drain: Duration,
    /// From the end of the pause until every frozen page had been saved: meanwhile the first
    /// write to a page copies it.
    pub window: Duration,
    /// From the end of the pause until everything was durable.
    pub saving: Duration,
    /// Pages of tables and tracked memory, and chunks of other memory, that were written between
    /// the freeze before and this one.
    pub dirty_pages: u64,
    /// See `dirty_pages`.
    pub dirty_chunks: u64,
    /// Writes that the hardware caught, from the freeze before to the end of this window.
    pub faults: u64,
    /// Pages that writers copied aside within the window.
    pub pages_by_barrier: u64,
    /// The most bytes that were copied aside at a time.
    pub stage_high_water: u64,
    /// How often a writer had to wait within the window, because no more could be copied aside.
    pub stalls: u64,
    /// Pages saved.
    pub pages: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Operations that the heap had seen, over all its runs.
    pub operations: u64,
    /// When the freeze was.
    pub frozen_at: SystemTime,
}

/// A snapshot that has been taken: the heap's state at a moment, on its way to the disk.
#[derive(Clone, Debug)]
pub struct Still {
    pub(super) number: u64,
    pub(super) outcome: Arc<Outcome>,
}

impl Still {
    /// The snapshot's number in the heap.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Waits until the snapshot is durable: from then on it survives a power cut.
    ///
    /// # Errors
    /// If it could not be made so. What was durable before still is.
    pub fn wait_durable(&self) -> Result<StillInfo, SnapshotError> {
        let result = self.outcome.lock();
        let result = self
            .outcome
            .known
            .wait_while(result, |result| result.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        match &*result {
            Some(result) => result.clone(),
            None => Err(SnapshotFailure::ThreadGone.into()),
        }
    }
}

/// What becomes of one snapshot; each has its own, so that nobody is told of another's end.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    result: Mutex<Option<Result<StillInfo, SnapshotError>>>,
    known: Condvar,
}

impl Outcome {
    /// Tells all who wait, unless they have been told.
    pub(super) fn tell(&self, result: Result<StillInfo, SnapshotError>) {
        self.lock().get_or_insert(result);
        self.known.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Option<Result<StillInfo, SnapshotError>>> {
        self.result.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
