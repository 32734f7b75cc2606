//! What a heap holds and has done, as its user sees it.

use crate::cow::CowCounts;
use crate::heap::HeapStats;
use crate::os;
use crate::runtime::process::Process;
use crate::runtime::uses::Uses;
use crate::runtime::{FreezeStats, SnapshotError, StillInfo, Swept, UseStats};

/// What a heap holds and has done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stats {
    /// What the allocator has handed out.
    pub heap: HeapStats,
    /// Operations that the heap has seen, over all its runs.
    pub operations: u64,
    /// Freezes that were tried again because scopes would not end in time.
    pub freezes_retried: u64,
    /// What freezes and their windows have cost.
    pub freezes: FreezeStats,
    /// What the copy-on-write engine has counted.
    pub cow: CowCounts,
    /// Bytes dirtied since the last freeze, in whole pages and chunks.
    pub dirtied: u64,
    /// By heat, how many chunks of 2 MiB there are: `heat[n]` were written in `n` of the last
    /// eight epochs.
    pub heat: [u64; 9],
    /// How often readers find their block among those that were read last.
    pub uses: UseStats,
    /// What earlier runs had left behind in the restored snapshot; `None` until it has been freed,
    /// in the background, and if no snapshot was restored.
    pub swept: Option<Swept>,
    /// How much of the process's anonymous memory lies in huge pages, from 0 to 1; `None` if the
    /// kernel does not say. With few of them freezes take longer.
    pub huge_page_share: Option<f64>,
    /// Why the last snapshot failed, if it did.
    pub last_error: Option<SnapshotError>,
}

impl Stats {
    pub(super) fn of(process: &Process, last: Option<Result<StillInfo, SnapshotError>>) -> Self {
        let engine = process.heap.arena().cow();
        Self {
            heap: process.heap.stats(),
            operations: process.seen().operations,
            freezes_retried: process.gate.retries(),
            freezes: process.meter.stats(),
            cow: engine.counts(),
            dirtied: engine.dirtied_bytes(),
            heat: engine.heat_counts(),
            uses: process.opened.uses().map(Uses::stats).unwrap_or_default(),
            swept: process.meter.swept(),
            huge_page_share: os::huge_page_share(),
            last_error: last.and_then(Result::err),
        }
    }
}
