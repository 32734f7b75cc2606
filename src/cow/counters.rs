//! What the engine counts over the life of the process.

use crate::base::sync::AtomicU64;
use crate::base::sync::Ordering::Relaxed;
use crate::cow::Engine;

/// Counters that only go up.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) faults: AtomicU64,
    pub(super) tracked_faults: AtomicU64,
    pub(super) promoted: AtomicU64,
    pub(super) squeezed: AtomicU64,
    pub(super) staged_pages: AtomicU64,
    pub(super) staged_chunks: AtomicU64,
}

/// What the engine has counted since the process began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CowCounts {
    /// Writes to protected chunks that the hardware caught.
    pub faults: u64,
    /// Writes to tables and tracked pages that the hardware caught: none, unless such writes
    /// are checked ([`Options::check_tracked`](crate::Options::check_tracked)) and one had been
    /// announced before a freeze only.
    pub tracked_faults: u64,
    /// Chunks of an image that became anonymous memory at their first write.
    pub promoted: u64,
    /// Protections that the system refused for want of mappings, so that wider ones were taken.
    pub squeezed: u64,
    /// Pages that writers copied to the stage.
    pub staged_pages: u64,
    /// Chunks that writers copied to the stage.
    pub staged_chunks: u64,
    /// How often a writer found the stage full.
    pub stalls: u64,
}

impl Engine {
    /// What has been counted.
    #[must_use]
    pub fn counts(&self) -> CowCounts {
        let counters = &self.counters;
        CowCounts {
            faults: counters.faults.load(Relaxed),
            tracked_faults: counters.tracked_faults.load(Relaxed),
            promoted: counters.promoted.load(Relaxed),
            squeezed: counters.squeezed.load(Relaxed),
            staged_pages: counters.staged_pages.load(Relaxed),
            staged_chunks: counters.staged_chunks.load(Relaxed),
            stalls: self.stage.stalls(),
        }
    }
}
