//! Taking a snapshot: the freeze, and the window in which its pages are saved.

use crate::base::{CHUNK_SIZE, PAGE_SIZE};
use crate::cow::{Changed, CowCounts, Engine, FreezeError, Saves};
use crate::heap::Heap;
use crate::os::{self, DiskFile, SignalsBlocked};
use crate::runtime::SnapshotError;
use crate::runtime::events::SnapshotFailure;
use crate::runtime::process::{Process, Seen};
use crate::runtime::still::StillInfo;
use crate::snapshot::{Draft, SaveCounts, SaveError};
use std::sync::atomic::Ordering::Acquire;
use std::time::{Duration, Instant, SystemTime};

/// The smallest stage unless the user says otherwise.
const STAGE_MIN: u64 = 64 << 20;
/// Memory that the stage gets ahead of the first window; ahead of later ones, what the last one
/// took.
const WARM_FIRST: u64 = 16 << 20;
/// How long that may take while somebody waits for the freeze, and while nobody does.
const WARM_TIME: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];
/// How long the thread sleeps before it closes the gate.
const REST: Duration = Duration::from_micros(50);
/// How often a freeze is tried again at once when a thread is kept from leaving the barrier.
const FREEZE_TRIES: u32 = 100;

/// A freeze that has been: the epoch has ended, and its window is open.
#[derive(Debug)]
pub(super) struct Frozen {
    pub(super) number: u64,
    pub(super) saves: Saves,
    pub(super) changes: Option<u64>,
    pub(super) operations: u64,
    pub(super) frozen_at: SystemTime,
    pub(super) opened_at: Instant,
    pause: Duration,
    drain: Duration,
    /// What had been counted by then, so that the window's part can be told.
    before: CowCounts,
    /// Signals stay away from the thread that saves: a handler would write to the heap.
    _signals: SignalsBlocked,
}

/// A snapshot whose pages have all been saved.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) draft: Draft<DiskFile>,
    /// But for what is known only when it is durable.
    pub(super) info: StillInfo,
    pub(super) changes: Option<u64>,
    pub(super) opened_at: Instant,
}

/// What a snapshot thread remembers from one window to the next.
#[derive(Debug)]
pub(super) struct Preparation {
    stage_bytes: Option<u64>,
    /// Bytes of pages in the last snapshot.
    heap_bytes: u64,
    /// What the stage held of pages and of chunks.
    warm: (u64, u64),
    /// Faults at the end of the window before.
    faults: u64,
}

impl Preparation {
    pub(super) fn new(stage_bytes: Option<u64>, heap_bytes: u64) -> Self {
        Self { stage_bytes, heap_bytes, warm: (WARM_FIRST, WARM_FIRST), faults: 0 }
    }

    /// Gets the stage ready, before any writer has to wait.
    fn prepare(&self, engine: &Engine, is_asked: bool) {
        let limit = self.stage_bytes.unwrap_or_else(|| {
            // A heap that is new, or has grown, has not been saved as it is: it is writable.
            let writable = u64::from(engine.open_chunks()) * CHUNK_SIZE as u64;
            (self.heap_bytes.max(writable) / 4).max(STAGE_MIN)
        });
        engine.stage().prepare(limit);
        let (begun, time) = (Instant::now(), WARM_TIME[usize::from(!is_asked)]);
        engine.stage().warm(self.warm.0, self.warm.1, || begun.elapsed() < time);
    }
}

/// Closes the gate, ends the epoch, opens the gate. `is_asked`: somebody waits for that.
pub(super) fn freeze(
    process: &Process,
    preparation: &Preparation,
    number: u64,
    is_asked: bool,
    saves: Saves,
) -> Result<Frozen, SnapshotError> {
    process.opened.check_state()?;
    // What is to be saved is read from all tables. That is not a part of the pause.
    process.heap.enter_all().map_err(|damage| {
        let reason = format!("the heap's tables in the restored snapshot are damaged: {damage}");
        SnapshotFailure::Freeze { reason }
    })?;
    let engine = process.heap.arena().cow();
    preparation.prepare(engine, is_asked);
    process.heap.settle();
    let frozen = freeze_prepared(process, engine, number, saves);
    if frozen.is_err() {
        engine.stage().release();
    }
    frozen
}

fn freeze_prepared(
    process: &Process,
    engine: &Engine,
    number: u64,
    saves: Saves,
) -> Result<Frozen, SnapshotError> {
    let signals = SignalsBlocked::new();
    let mut tries = 0;
    loop {
        // Who has slept is less likely to lose its processor while others wait.
        os::nap(REST);
        engine.protect_early();
        let closed = process.gate.close(|| process.heap.passes());
        // Again: a panic may have poisoned a root while the gate was closing.
        process.opened.check_state()?;
        let frozen_at = SystemTime::now();
        let Seen { operations, changes } = process.seen();
        let before = engine.counts();
        let drain = closed.drain();
        if process.looks.load(Acquire) > 0 {
            // Nothing that was freed in a scope since it was settled is to be found lost.
            process.heap.settle();
        }
        let frozen = engine.freeze(Some(saves));
        let pause = closed.open();
        tries += 1;
        match frozen {
            Ok(()) => {
                let opened_at = Instant::now();
                return Ok(Frozen {
                    number,
                    saves,
                    changes,
                    operations,
                    frozen_at,
                    opened_at,
                    pause,
                    drain,
                    before,
                    _signals: signals,
                });
            }
            Err(FreezeError::Busy) if tries < FREEZE_TRIES => std::thread::yield_now(),
            Err(error) => {
                let reason = error.to_string();
                return Err(SnapshotFailure::Freeze { reason }.into());
            }
        }
    }
}

/// Saves what has been frozen with `draft`, and closes the window.
pub(super) fn save(
    heap: &Heap,
    preparation: &mut Preparation,
    frozen: Frozen,
    draft: impl FnOnce(&crate::cow::Window<'_>) -> Result<Draft<DiskFile>, SaveError>,
) -> Result<Saved, SaveError> {
    let engine = heap.arena().cow();
    let window = engine.window();
    let Changed { pages, chunks } = engine.note_heat();
    let drafted = draft(&window);
    drop(window);
    let window = frozen.opened_at.elapsed();
    heap.reclaim();
    let after = engine.counts();
    preparation.learn(engine, &frozen.before, &after);
    let draft = drafted?;
    let SaveCounts { by_barrier, in_use, .. } = draft.counts;
    preparation.heap_bytes = in_use * PAGE_SIZE as u64;
    let info = StillInfo {
        number: frozen.number,
        is_delta: frozen.saves == Saves::Changed,
        pause: frozen.pause,
        drain: frozen.drain,
        window,
        saving: window,
        dirty_pages: pages,
        dirty_chunks: chunks,
        faults: after.faults - preparation.faults,
        pages_by_barrier: by_barrier,
        stage_high_water: engine.stage().high_water(),
        stalls: after.stalls - frozen.before.stalls,
        pages: 0,
        bytes: 0,
        operations: frozen.operations,
        frozen_at: frozen.frozen_at,
    };
    preparation.faults = after.faults;
    Ok(Saved { draft, info, changes: frozen.changes, opened_at: frozen.opened_at })
}

impl Preparation {
    /// The next window will want what this one did, and a little more.
    fn learn(&mut self, engine: &Engine, before: &CowCounts, after: &CowCounts) {
        let most = engine.stage().high_water();
        let with_margin = |units: u64, size: usize| {
            let bytes = (units * size as u64).min(most);
            bytes + bytes / 4
        };
        let pages = after.staged_pages - before.staged_pages;
        let chunks = after.staged_chunks - before.staged_chunks;
        self.warm = (with_margin(pages, PAGE_SIZE).max(1 << 20), with_margin(chunks, CHUNK_SIZE));
    }
}
