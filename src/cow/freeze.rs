//! The freeze: an epoch ends. And what comes before it, so that it is short, and after it.
#![allow(unsafe_code, reason = "changes the protection of the arena's memory")]

use crate::base::sync::Ordering::{AcqRel, Relaxed, SeqCst};
use crate::base::sync::fence;
use crate::base::{CHUNK_SIZE, CHUNKS_PER_CELL, CellIndex, ChunkIndex};
use crate::cow::cells::CellKind;
use crate::cow::engine::Engine;
use crate::os::SignalsBlocked;
use crate::os::map::{self, Protection};
use std::io;
use std::ops::Range;

/// Open chunks from which on most are protected ahead of the freeze, a slice at a time. A huge
/// page costs about 0.1 us to protect.
const EARLY_FROM: u32 = 128;
/// Chunks protected with one call then: writers may wait that long for the latch.
const EARLY_SLICE: u32 = 256;

/// Why a freeze could not be.
#[derive(Debug, thiserror::Error)]
pub enum FreezeError {
    /// A thread was opening a chunk and did not come to its end in time. To be tried again.
    #[error("a thread that was making memory writable was kept from it too long")]
    Busy,
    /// The system refused to protect memory.
    #[error("the system refuses to write-protect memory: {0}")]
    Protect(#[source] io::Error),
}

/// What a window is to save. Only that is copied for it when writers come first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Saves {
    /// Everything that is frozen.
    All,
    /// What the epoch that has just ended changed, or one before it that no snapshot has.
    Changed,
}

/// What the epoch that has just ended changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Changed {
    /// Pages of tables and of tracked memory.
    pub pages: u64,
    /// Guarded chunks.
    pub chunks: u64,
}

impl Engine {
    /// Begins to heed announcements: the first epoch in which they count. What there is by then
    /// is new to any snapshot, and so counts as written in it. The gate is closed.
    pub fn engage(&self) {
        if self.clock.epoch() > 0 {
            return;
        }
        self.clock.advance(false);
        let epoch = self.clock.epoch();
        self.for_known_cells(|cell, kind| {
            self.tables.set_all_dirty(cell, epoch);
            match kind {
                CellKind::Guarded => self.cells.note(cell).dirty_in(epoch).store(u32::MAX, Relaxed),
                CellKind::Tracked => self.tracked.set_all_dirty(cell, epoch),
            }
        });
    }

    /// Protects most of what is open while writers still run: what they write again opens again,
    /// and is all that is left to protect while they stand still.
    pub fn protect_early(&self) {
        if self.open_chunks() < EARLY_FROM {
            return;
        }
        let mut from = 0;
        // What cannot be protected now is left for the freeze.
        while let Some(_exclusive) = self.latch.try_exclude() {
            let Some(run) = self.early_run(from) else { return };
            from = run.end;
            let _ = self.close(run);
        }
    }

    /// The next open chunks that may be protected ahead of the freeze, up to a slice of them.
    fn early_run(&self, from: u32) -> Option<Range<u32>> {
        let open = self.open_run(from)?;
        let is_pinned = |number: &u32| {
            let chunk = ChunkIndex(*number);
            super::cells::is_set(&self.cells.note(chunk.cell()).pinned, chunk)
        };
        let start = open.clone().find(|number| !is_pinned(number)).unwrap_or(open.end);
        let most = start..open.end.min(start + EARLY_SLICE);
        let end = most.clone().find(is_pinned).unwrap_or(most.end);
        Some(start..end)
    }

    /// Calls `visit` for all known cells. Nobody makes cells known or unknown meanwhile; so
    /// `visit` must not allocate from the arena.
    fn for_known_cells(&self, mut visit: impl FnMut(CellIndex, CellKind)) {
        // A handler that writes to a closed chunk would wait for the thread that it interrupts.
        let _blocked = SignalsBlocked::new();
        let mut waited = 0;
        let _exclusive = loop {
            match self.latch.try_exclude() {
                Some(exclusive) => break exclusive,
                None => self.stand_by(&mut waited),
            }
        };
        for kind in [CellKind::Guarded, CellKind::Tracked] {
            self.cells.iter(kind).for_each(|cell| visit(cell, kind));
        }
    }

    /// All known cells, for a thread whose memory is not the arena's.
    fn known_cells(&self) -> Vec<(CellIndex, CellKind)> {
        let mut list = Vec::new();
        self.for_known_cells(|cell, kind| list.push((cell, kind)));
        list
    }

    /// The cells that were known at the last freeze, within its window, in order.
    pub(super) fn frozen_cells(&self) -> Vec<(CellIndex, CellKind)> {
        let now = self.clock.now();
        let mut cells = self.known_cells();
        // A cell that has come since then has the epoch's word.
        cells.retain(|(cell, _)| self.cells.word(cell.first_chunk()).load(Relaxed) != now);
        cells.sort_unstable_by_key(|(cell, _)| *cell);
        cells
    }

    /// Ends the epoch, and opens a window for what `window` names. The gate is closed: nobody is
    /// in a scope or an allocator call; threads outside may write to memory that no root reaches.
    ///
    /// # Errors
    /// See [`FreezeError`]; the epoch goes on then.
    pub fn freeze(&self, window: Option<Saves>) -> Result<(), FreezeError> {
        let _exclusive = self.latch.try_exclude().ok_or(FreezeError::Busy)?;
        let mut from = 0;
        while let Some(run) = self.open_run(from) {
            from = run.end;
            self.close(run).map_err(FreezeError::Protect)?;
        }
        if self.checked.load(Relaxed) {
            self.protect_checked(Protection::ReadOnly).map_err(FreezeError::Protect)?;
        }
        self.dirtied.store(0, Relaxed);
        self.changed_only.store(window == Some(Saves::Changed), Relaxed);
        self.clock.advance(window.is_some());
        // See `announce_tracked_after`.
        fence(SeqCst);
        Ok(())
    }

    /// Counts what the epoch before this one changed, and notes it as heat. To be called once
    /// an epoch, by the thread that freezes.
    pub fn note_heat(&self) -> Changed {
        let mut changed = Changed::default();
        let ended = self.clock.epoch().wrapping_sub(1);
        for (cell, kind) in self.known_cells() {
            let dirty = self.changed_chunks(cell, kind, ended, &mut changed);
            let note = self.cells.note(cell);
            for (place, heat) in note.heat.iter().enumerate() {
                let written = u8::from(dirty >> place & 1 == 1);
                heat.store(heat.load(Relaxed) << 1 | written, Relaxed);
            }
        }
        changed
    }

    /// Ends the care for what the epoch before this one changed: it is in a snapshot, or else
    /// counts as changed in this epoch too. To be called once an epoch, after the heat is noted.
    pub fn settle(&self, is_durable: bool) {
        let (ended, now) = (self.clock.epoch().wrapping_sub(1), self.clock.epoch());
        for (cell, kind) in self.known_cells() {
            let tracked = (kind == CellKind::Tracked).then_some(&self.tracked);
            for ledger in [&self.tables].into_iter().chain(tracked) {
                if !is_durable {
                    ledger.carry_dirty(cell, ended, now);
                }
                ledger.clear_dirty(cell, ended);
            }
            let note = self.cells.note(cell);
            let chunks = note.dirty_in(ended).swap(0, Relaxed);
            if !is_durable {
                note.dirty_in(now).fetch_or(chunks, Relaxed);
                // Unless the cell has come anew meanwhile.
                let _ = note.added.compare_exchange(ended, now, Relaxed, Relaxed);
            }
        }
    }

    /// Which chunks of a cell an epoch changed.
    fn changed_chunks(
        &self,
        cell: CellIndex,
        kind: CellKind,
        epoch: u64,
        changed: &mut Changed,
    ) -> u32 {
        self.tables.for_dirty(cell, epoch, |_| changed.pages += 1);
        if kind == CellKind::Guarded {
            let dirty = self.cells.note(cell).dirty_in(epoch).load(Relaxed);
            changed.chunks += u64::from(dirty.count_ones());
            return dirty;
        }
        let mut dirty = 0;
        self.tracked.for_dirty(cell, epoch, |page| {
            changed.pages += 1;
            dirty |= 1 << (page / crate::base::PAGES_PER_CHUNK % CHUNKS_PER_CELL);
        });
        self.tracked.carry_held(cell, epoch.wrapping_add(1));
        dirty
    }

    /// For how many of the last eight epochs a chunk was written.
    #[must_use]
    pub fn heat(&self, chunk: ChunkIndex) -> u32 {
        let note = self.cells.note(chunk.cell());
        note.heat[chunk.within_cell() as usize].load(Relaxed).count_ones()
    }

    /// The epoch that has just been noted did not change the chunk after all.
    pub fn cool(&self, chunk: ChunkIndex) {
        let note = self.cells.note(chunk.cell());
        note.heat[chunk.within_cell() as usize].fetch_and(!1, Relaxed);
    }

    /// How many chunks of known cells there are by heat, from 0 to 8.
    #[must_use]
    pub fn heat_counts(&self) -> [u64; 9] {
        let mut counts = [0; 9];
        self.for_known_cells(|cell, _| {
            for heat in &self.cells.note(cell).heat {
                counts[heat.load(Relaxed).count_ones() as usize] += 1;
            }
        });
        counts
    }

    /// Sets what is known of a chunk from earlier runs, if there is one.
    pub fn set_heat(&self, chunk: ChunkIndex, epochs: u32) {
        if chunk.0 >= self.cell_count * CHUNKS_PER_CELL {
            return;
        }
        let note = self.cells.note(chunk.cell());
        let bits = u8::try_from((1_u32 << epochs.min(8)) - 1).unwrap_or(u8::MAX);
        note.heat[chunk.within_cell() as usize].store(bits, Relaxed);
    }

    /// Guarded chunks that can be written.
    #[must_use]
    pub fn open_chunks(&self) -> u32 {
        let mut count = 0;
        self.for_known_cells(|cell, kind| {
            if kind == CellKind::Guarded {
                count += self.cells.note(cell).open.load(Relaxed).count_ones();
            }
        });
        count
    }

    /// From the first open chunk at or after `from` to the last one in the neighbouring known
    /// cells. What is closed in between costs next to nothing to protect once more, and one
    /// call costs the program's other processors one interruption.
    fn open_run(&self, from: u32) -> Option<Range<u32>> {
        let known = self.cells.known(CellKind::Guarded);
        let mut run: Option<Range<u32>> = None;
        let mut cell = known.next_set(from / CHUNKS_PER_CELL)?;
        loop {
            let first = cell * CHUNKS_PER_CELL;
            let skip = from.saturating_sub(first);
            let mask = if skip < CHUNKS_PER_CELL { u32::MAX << skip } else { 0 };
            let open = self.cells.note(CellIndex(cell)).open.load(Relaxed) & mask;
            if open != 0 {
                let start = first + open.trailing_zeros();
                let end = first + CHUNKS_PER_CELL - open.leading_zeros();
                run = Some(run.map_or(start, |run| run.start)..end);
            }
            let next = known.next_set(cell + 1);
            if run.is_some() && next != Some(cell + 1) {
                return run;
            }
            cell = next?;
        }
    }

    /// Protects a run of chunks. The latch is held exclusively.
    fn close(&self, run: Range<u32>) -> io::Result<()> {
        self.closings.fetch_add(1, AcqRel);
        let closed = self.close_run(run);
        self.closings.fetch_add(1, AcqRel);
        closed
    }

    fn close_run(&self, run: Range<u32>) -> io::Result<()> {
        let start = self.chunk_address(ChunkIndex(run.start));
        let len = (run.end - run.start) as usize * CHUNK_SIZE;
        // SAFETY: chunks of known cells; writers are prepared for faults.
        let protected = unsafe { map::protect(start, len, Protection::ReadOnly) };
        if let Err(error) = protected {
            // Part of it may be protected: all of it is open again, and known to be.
            self.make_run_writable(run);
            return Err(error);
        }
        let mut start = run.start;
        while start < run.end {
            let cell = ChunkIndex(start).cell();
            let end = run.end.min((cell.0 + 1) * CHUNKS_PER_CELL);
            let (low, count) = (start % CHUNKS_PER_CELL, end - start);
            let bits = (u32::MAX >> (CHUNKS_PER_CELL - count)) << low;
            let note = self.cells.note(cell);
            note.open.fetch_and(!bits, Relaxed);
            note.pinned.fetch_and(!bits, Relaxed);
            note.in_place.fetch_and(!bits, Relaxed);
            start = end;
        }
        Ok(())
    }
}
