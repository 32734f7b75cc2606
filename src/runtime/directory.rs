//! An open heap's directory, shared by the threads that work on it: who lives longest keeps it
//! locked.
#![allow(unsafe_code, reason = "a store's memory is transient")]

use crate::image::SnapshotRecord;
use crate::os::{DirLock, DiskDir};
use crate::runtime::scope::transient;
use crate::snapshot::Store;
use std::fmt;
use std::time::{Duration, SystemTime};

/// The store, and the lock that makes it this process's.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) store: Store<DiskDir>,
    /// Dropped last.
    _lock: DirLock,
}

/// A snapshot that a heap's directory has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SnapshotInfo {
    /// Its number.
    pub number: u64,
    /// When it was taken.
    pub frozen_at: SystemTime,
    /// Operations that the heap had seen by then, over all its runs.
    pub operations: u64,
    /// Pages that were written for it.
    pub pages: u64,
    /// Bytes that were written for it.
    pub bytes: u64,
    /// Files that have to be there to restore it: a full segment, and deltas on that.
    pub segments: usize,
    /// Whether it counts no longer, because an older one was made the newest, or because it is
    /// damaged. `Options::open_at` restores it all the same.
    pub set_aside: bool,
}

/// Why a heap's files were not changed as asked: its text says which file, and what was wrong.
pub struct StoreFailure(Box<dyn std::error::Error + Send + Sync>);

/// Why the files are not changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// This process is a fork.
    #[error(
        "this process is a fork of the one that opened the heap, which alone changes its files"
    )]
    Forked,
    /// The heap's threads may be waiting for this one.
    #[error(
        "a heap cannot be reverted inside a scope, while a root is held, or in an event's \
         callback: its threads may be waiting for that to end. It is closed; open it to try again"
    )]
    Inside,
}

impl From<Refused> for StoreFailure {
    fn from(refused: Refused) -> Self {
        Self(Box::new(refused))
    }
}

impl StoreFailure {
    pub(super) fn new(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }

    /// The error that it is.
    #[cfg(feature = "capi")]
    pub(super) fn cause(&self) -> &(dyn std::error::Error + 'static) {
        &*self.0
    }
}

impl Directory {
    pub(super) fn new(store: Store<DiskDir>, lock: DirLock) -> Self {
        Self { store, _lock: lock }
    }

    /// Changes the store, whose memory is the system's.
    pub(super) fn change<T: Copy, E: std::error::Error + Send + Sync + 'static>(
        &self,
        change: impl FnOnce(&Store<DiskDir>) -> Result<T, E>,
    ) -> Result<T, StoreFailure> {
        let change = || change(&self.store).map_err(StoreFailure::new);
        // SAFETY: the store keeps what it makes to itself, and a failure cannot be taken apart.
        unsafe { transient(change) }
    }
}

impl fmt::Debug for StoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for StoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for StoreFailure {}

impl SnapshotInfo {
    pub(super) fn of(record: &SnapshotRecord) -> Self {
        Self {
            number: record.number,
            frozen_at: time(record.frozen_at),
            operations: record.operations,
            pages: record.pages,
            bytes: record.bytes,
            segments: record.chain.len(),
            set_aside: record.set_aside,
        }
    }
}

/// The time so many nanoseconds after 1970.
pub(super) fn time(nanoseconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds)
}
