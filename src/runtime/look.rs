//! Looking at what the heap holds, from the files of a snapshot that is taken for it.
#![allow(unsafe_code, reason = "what is needed meanwhile is transient")]

use crate::image::SegmentError;
use crate::os::DiskFile;
use crate::runtime::scope::transient;
use crate::runtime::{Heap, SnapshotError, StoreFailure};
use crate::trace::{ChainSource, Targets, Trace};
use std::sync::atomic::Ordering::AcqRel;

/// A trace of an open heap's newest snapshot.
pub(crate) type OwnTrace<'a> = Trace<ChainSource<'a, DiskFile>>;

/// Why a heap could not be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookError {
    /// No snapshot could be taken for it.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The snapshot cannot be read, or the system does not tell what is mapped.
    #[error("the heap cannot be looked at: {0}")]
    Unread(#[from] StoreFailure),
}

/// What stands behind [`LookError::Unread`].
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    #[error(transparent)]
    Segment(#[from] SegmentError),
    #[error("what the process has mapped cannot be read: {0}")]
    Mappings(#[from] std::io::Error),
    #[error("the files of snapshot {0} could not be opened again")]
    Gone(u64),
}

impl Heap {
    /// Takes a snapshot, waits until it is durable, and has `look` look at it: it is given the
    /// snapshot's number, and what the process had mapped at about the time of the freeze.
    ///
    /// # Errors
    /// If the snapshot cannot be taken or read.
    pub(crate) fn look<R: Clone>(
        &self,
        look: impl FnOnce(&mut OwnTrace<'_>, u64, &Targets) -> Result<R, SegmentError>,
    ) -> Result<R, LookError> {
        self.process.looks.fetch_add(1, AcqRel);
        let still = self.snapshot();
        self.process.looks.fetch_sub(1, AcqRel);
        let (still, arena) = (still?, self.arena_addresses());
        let map = || {
            Targets::of_process(&arena).map_err(|error| StoreFailure::new(Unread::Mappings(error)))
        };
        // SAFETY: dropped at the end of this function; a failure cannot be taken apart.
        let targets = unsafe { transient(map) };
        still.wait_durable()?;
        let targets = targets?;
        let read = || -> Result<R, Unread> {
            // A newer one than that has the same in it, or newer.
            let newest = self.newest_files();
            let (number, chain) = newest.ok_or(Unread::Gone(still.number()))?;
            let runs = chain.runs().iter().copied();
            let mut trace = Trace::read(ChainSource::new(&chain)?, arena, runs)?;
            Ok(look(&mut trace, number, &targets)?)
        };
        // SAFETY: what is found is copied and dropped; a failure cannot be taken apart.
        let found = unsafe { transient(|| read().map_err(StoreFailure::new)) }?;
        Ok(found.clone())
    }
}
