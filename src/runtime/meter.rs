//! What is measured of freezes and windows over the life of the process.
//!
//! It lies in static memory, so the snapshot thread can write to it while a window is open.

use crate::runtime::{StillInfo, Swept};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Pauses remembered for percentiles.
const PAUSES: usize = 1024;

/// What is measured.
#[derive(Debug)]
pub(crate) struct Meter(Mutex<State>);

#[derive(Debug)]
struct State {
    stats: FreezeStats,
    /// The last pauses, in nanoseconds, in a ring.
    pauses: [u64; PAUSES],
    /// When opening began.
    opening: Option<Instant>,
    swept: Option<Swept>,
}

/// What freezes and their windows have cost since the heap was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct FreezeStats {
    /// Freezes of which all pages were saved.
    pub freezes: u64,
    /// How long allocator calls and new scopes had to wait: at the last freeze.
    pub pause_last: Duration,
    /// The median of the last 1,024 pauses.
    pub pause_p50: Duration,
    /// The 99th percentile of the last 1,024 pauses.
    pub pause_p99: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// How long the last freeze waited for scopes to end, before the pause.
    pub drain_last: Duration,
    /// The longest such wait.
    pub drain_max: Duration,
    /// From the end of the last pause until every frozen page had been saved.
    pub window_last: Duration,
    /// The longest window.
    pub window_max: Duration,
    /// Pages copied by the saving thread.
    pub pages_by_thread: u64,
    /// Pages copied by writers, within windows.
    pub pages_by_barrier: u64,
    /// The most bytes that writers' copies took at a time.
    pub stage_high_water: u64,
    /// Pages of tables and tracked memory that were written in the epoch before the last freeze.
    pub dirty_pages: u64,
    /// Chunks of other memory that were.
    pub dirty_chunks: u64,
    /// Bytes written to segments.
    pub bytes: u64,
    /// From the beginning of opening until the first root of the restored snapshot had been handed
    /// out, and could be asked; `None` before that.
    pub ready: Option<Duration>,
    /// From the beginning of opening until the restored snapshot was there and verified as a
    /// whole; `None` before that.
    pub loaded: Option<Duration>,
    /// How often all that is on the disk has been verified in the background.
    pub scrubs: u64,
}

impl Meter {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State {
            stats: FreezeStats::default(),
            pauses: [0; PAUSES],
            opening: None,
            swept: None,
        }))
    }

    /// Adds a snapshot whose window has closed.
    pub(super) fn add(&self, info: &StillInfo, pages_by_thread: u64) {
        let mut state = self.lock();
        let index = usize::try_from(state.stats.freezes).unwrap_or(0) % PAUSES;
        state.pauses[index] = u64::try_from(info.pause.as_nanos()).unwrap_or(u64::MAX);
        let stats = &mut state.stats;
        stats.freezes += 1;
        stats.pause_last = info.pause;
        stats.pause_max = stats.pause_max.max(info.pause);
        stats.drain_last = info.drain;
        stats.drain_max = stats.drain_max.max(info.drain);
        stats.window_last = info.window;
        stats.window_max = stats.window_max.max(info.window);
        stats.pages_by_thread += pages_by_thread;
        stats.pages_by_barrier += info.pages_by_barrier;
        stats.stage_high_water = stats.stage_high_water.max(info.stage_high_water);
        stats.dirty_pages = info.dirty_pages;
        stats.dirty_chunks = info.dirty_chunks;
    }

    /// Adds bytes that became durable.
    pub(super) fn add_bytes(&self, bytes: u64) {
        self.lock().stats.bytes += bytes;
    }

    /// A heap has been restored, whose opening began then.
    pub(super) fn set_opening(&self, began: Instant) {
        self.lock().opening = Some(began);
    }

    /// One of its roots has been handed out.
    pub(super) fn set_ready(&self) {
        let mut state = self.lock();
        let now = state.opening.map(|began| began.elapsed());
        state.stats.ready = state.stats.ready.or(now);
    }

    /// Whether one has been.
    pub(super) fn is_ready(&self) -> bool {
        self.lock().stats.ready.is_some()
    }

    /// The restored snapshot is there as a whole.
    pub(super) fn set_loaded(&self, after: Duration) {
        self.lock().stats.loaded = Some(after);
    }

    /// What earlier runs had left behind has been freed.
    pub(super) fn set_swept(&self, swept: Swept) {
        self.lock().swept = Some(swept);
    }

    /// What that was; `None`: it has not been.
    pub(super) fn swept(&self) -> Option<Swept> {
        self.lock().swept
    }

    /// All that is on the disk has been verified once more.
    pub(super) fn count_scrub(&self) {
        self.lock().stats.scrubs += 1;
    }

    pub(super) fn stats(&self) -> FreezeStats {
        let state = self.lock();
        let (mut stats, mut pauses) = (state.stats, state.pauses);
        drop(state);
        let known = usize::try_from(stats.freezes).unwrap_or(PAUSES).min(PAUSES);
        let pauses = &mut pauses[..known];
        pauses.sort_unstable();
        let at = |percent: usize| {
            let index = (known * percent).div_ceil(100).saturating_sub(1);
            Duration::from_nanos(pauses.get(index).copied().unwrap_or(0))
        };
        (stats.pause_p50, stats.pause_p99) = (at(50), at(99));
        stats
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
