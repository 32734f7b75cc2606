//! The guard: opening write-protected chunks, for the fault handler, the allocator, and whoever
//! is about to have the kernel write to memory.
//!
//! ```text
//! closed --(dirty, and within a window copied to the stage first)--> open --(a freeze)--> closed
//! ```
//! Code here runs inside the fault handler: it allocates nothing and takes no lock that the
//! interrupted thread may hold. A thread that has a chunk's word busy keeps signals away, since
//! a handler that writes to the same chunk would wait for the thread that it interrupted.
#![allow(unsafe_code, reason = "changes the protection of the arena's memory")]

use crate::base::sync::Ordering::{Acquire, Relaxed};
use crate::base::{
    CELL_SIZE, CHUNK_SIZE, CHUNKS_PER_CELL, CellIndex, ChunkIndex, PAGE_SIZE, PageIndex,
};
use crate::cow::cells::{self, CellKind, CellNote};
use crate::cow::engine::Engine;
use crate::cow::epoch::{self, Turn};
use crate::cow::stage::Unit;
use crate::os::map::{self, Protection};
use crate::os::{self, ErrnoKept, SignalsBlocked};
use std::io;
use std::ops::Range;

/// What a write fault was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The memory can be written now: the instruction is to be tried again.
    Handled,
    /// It has nothing to do with the engine.
    Foreign,
    /// A write to tables or tracked memory that nobody had announced.
    Undeclared,
}

/// How an attempt to open a chunk ended.
enum Opening {
    Open,
    /// Another thread is at it.
    Busy,
    /// The stage is full; what [`Stage::given`](crate::cow::Stage) said before.
    Full(u32),
    /// The system refuses another mapping.
    Squeezed,
}

impl Engine {
    /// A write to `address` was refused. Called with signals blocked, by a signal handler.
    pub fn on_write_fault(&self, address: usize) -> Fault {
        let Some(chunk) = self.chunk_of(address) else {
            return self.on_table_fault(address);
        };
        let cell = chunk.cell().0;
        if self.cells.known(CellKind::Guarded).get(cell) {
            self.counters.faults.fetch_add(1, Relaxed);
            self.open_blocked(chunk);
            return Fault::Handled;
        }
        if self.cells.known(CellKind::Tracked).get(cell) {
            self.counters.tracked_faults.fetch_add(1, Relaxed);
            if !self.checked.load(Relaxed) {
                return Fault::Foreign;
            }
            let page = (address - self.base) / PAGE_SIZE;
            return self.on_tracked_fault(PageIndex(u32::try_from(page).unwrap_or(0)));
        }
        Fault::Foreign
    }

    /// Has a guarded chunk writable in this epoch: the allocator's barrier for blocks.
    #[inline]
    pub fn open(&self, chunk: ChunkIndex) {
        let note = self.cells.note(chunk.cell());
        let now = self.clock.now();
        let word = &note.words[chunk.within_cell() as usize];
        if word.load(Acquire) != now || !cells::is_set(&note.open, chunk) {
            self.open_slow(chunk);
        }
    }

    /// Has all of `start..start + len` writable that lies in guarded chunks, until the next
    /// freeze: so as long as the scope lasts, if the calling thread is in one. The range may be a
    /// wrong one.
    pub fn touch(&self, start: usize, len: usize) {
        let all = self.cell_count as usize * CELL_SIZE;
        let end = start.saturating_add(len).saturating_sub(self.base).min(all);
        let mut offset = start.saturating_sub(self.base);
        while offset < end {
            let chunk = ChunkIndex(u32::try_from(offset / CHUNK_SIZE).unwrap_or(0));
            if !self.cells.known(CellKind::Guarded).get(chunk.cell().0) {
                offset = (offset / CELL_SIZE + 1) * CELL_SIZE;
                continue;
            }
            self.pin(chunk);
            self.open(chunk);
            offset = (offset / CHUNK_SIZE + 1) * CHUNK_SIZE;
        }
    }

    /// Keeps a chunk from being protected before the freeze, once it is open.
    fn pin(&self, chunk: ChunkIndex) {
        let pinned = &self.cells.note(chunk.cell()).pinned;
        if !cells::is_set(pinned, chunk) {
            let _errno = ErrnoKept::new();
            let _blocked = SignalsBlocked::new();
            let _inside = self.enter_latch();
            cells::set(pinned, chunk);
        }
    }

    /// Opens a chunk that has just been saved, unless something stands in the way: this is the
    /// saver's, whom nobody would free from a wait. Whether it is open now.
    pub(super) fn reopen(&self, chunk: ChunkIndex) -> bool {
        let _blocked = SignalsBlocked::new();
        matches!(self.try_open(chunk), Opening::Open)
    }

    #[cold]
    #[inline(never)]
    fn open_slow(&self, chunk: ChunkIndex) {
        let _errno = ErrnoKept::new();
        if self.cells.known(CellKind::Guarded).get(chunk.cell().0) {
            let _blocked = SignalsBlocked::new();
            self.open_blocked(chunk);
        }
    }

    fn open_blocked(&self, chunk: ChunkIndex) {
        let is_hasty = self.in_haste.load(Relaxed) && !self.is_window_open();
        if self.is_file_backed(chunk) && !is_hasty {
            // Not inside the latch, where a freeze would wait for the disk. What cannot be read
            // ends who looks at it, which this does not.
            let _ = map::fetch(self.chunk_address(chunk), CHUNK_SIZE);
        }
        let mut waited = 0;
        loop {
            match self.try_open(chunk) {
                Opening::Open => return,
                Opening::Busy => self.stand_by(&mut waited),
                Opening::Full(given) => self.stall(given),
                Opening::Squeezed => self.widen(chunk),
            }
        }
    }

    fn try_open(&self, chunk: ChunkIndex) -> Opening {
        let given = self.stage.given();
        let _inside = self.enter_latch();
        let note = self.cells.note(chunk.cell());
        let (word, now) = (self.cells.word(chunk), self.clock.now());
        let (found, copy) = match self.clock.turn(now, word.load(Acquire)) {
            Turn::Written if cells::is_set(&note.open, chunk) => return Opening::Open,
            // Written, and protected again ahead of a freeze.
            Turn::Written => (now, false),
            Turn::Busy => return Opening::Busy,
            Turn::Mark(found) => (found, false),
            Turn::Copy(found) => (found, self.is_chunk_saved(chunk, now)),
        };
        let slot = if copy { self.stage.take(true, self.is_saver()) } else { None };
        if copy && slot.is_none() {
            return Opening::Full(given);
        }
        if !epoch::claim(word, found, now) {
            slot.into_iter().for_each(|slot| self.stage.put_back(slot));
            return Opening::Busy;
        }
        if let Some(slot) = slot {
            // SAFETY: a chunk of a known cell is mapped and readable; it is write-protected.
            unsafe { self.stage.fill(&slot, self.chunk_address(chunk)) };
            self.stage.queue(slot, Unit::Chunk(chunk), now);
            self.counters.staged_chunks.fetch_add(1, Relaxed);
        }
        if self.make_writable(chunk, note).is_err() {
            epoch::unclaim(word, now, found, copy);
            return Opening::Squeezed;
        }
        cells::set(&note.open, chunk);
        self.note_dirty_chunk(chunk, epoch::number(now));
        epoch::finish(word, now);
        Opening::Open
    }

    /// The chunk's word is busy for the caller, or nobody else is inside the latch.
    fn make_writable(&self, chunk: ChunkIndex, note: &CellNote) -> io::Result<()> {
        let address = self.chunk_address(chunk);
        if cells::is_set(&note.open, chunk) {
            return Ok(());
        }
        let is_file = cells::is_set(&note.file, chunk);
        // In a fork a chunk that is closed may be writable all the same, if it was in the parent.
        if is_file && (self.in_haste.load(Relaxed) || cells::is_set(&note.in_place, chunk)) {
            cells::set(&note.in_place, chunk);
        } else if is_file {
            // SAFETY: mapped, write-protected, and nobody else changes that.
            let promoted = unsafe { self.promotion.promote(chunk, address) };
            if promoted.is_ok() {
                note.file.fetch_and(!cells::bit(chunk), Relaxed);
                self.counters.promoted.fetch_add(1, Relaxed);
                return Ok(());
            }
        }
        // SAFETY: a known cell's memory is the arena's, committed; granting access surprises none.
        let opened = unsafe { map::protect(address, CHUNK_SIZE, Protection::Writable) };
        if opened.is_err() {
            // A part of it may have been opened.
            // SAFETY: as above; writers are prepared for faults.
            let _ = unsafe { map::protect(address, CHUNK_SIZE, Protection::ReadOnly) };
        }
        opened
    }

    /// The system has no mapping left for one chunk more: opens the whole closed run around it,
    /// which takes none. That run may be large, so within a window it has to be saved first.
    #[cold]
    fn widen(&self, chunk: ChunkIndex) {
        self.counters.squeezed.fetch_add(1, Relaxed);
        let given = self.stage.given();
        let now = self.clock.now();
        if self.is_saver() {
            os::fatal(&["stillheap: no mapping is left for a write of the thread that saves\n"]);
        }
        if self.clock.is_window_open(now) {
            return self.stall(given);
        }
        let Some(_exclusive) = self.latch.try_exclude() else { return };
        if self.clock.now() != now || self.clock.is_window_open(now) {
            return;
        }
        self.make_run_writable(self.closed_run(chunk));
    }

    /// Has a whole run of chunks writable, all of it written in this epoch as far as anybody can
    /// tell. Takes no mapping. The latch is held exclusively, and no window is open.
    pub(super) fn make_run_writable(&self, run: Range<u32>) {
        let start = self.chunk_address(ChunkIndex(run.start));
        let len = (run.end - run.start) as usize * CHUNK_SIZE;
        // SAFETY: chunks of known cells.
        if unsafe { map::protect(start, len, Protection::Writable) }.is_err() {
            os::fatal(&["stillheap: the system refuses to make memory writable again\n"]);
        }
        let now = self.clock.now();
        for chunk in run.map(ChunkIndex) {
            let note = self.cells.note(chunk.cell());
            cells::set(&note.in_place, chunk);
            cells::set(&note.open, chunk);
            self.note_dirty_chunk(chunk, epoch::number(now));
            self.cells.word(chunk).store(now, Relaxed);
        }
    }

    /// The closed chunks around one, as far as they lie in neighbouring known cells.
    fn closed_run(&self, chunk: ChunkIndex) -> Range<u32> {
        let known = self.cells.known(CellKind::Guarded);
        let is_closed = |number: u32| {
            let chunk = ChunkIndex(number);
            number < self.cell_count * CHUNKS_PER_CELL
                && known.get(chunk.cell().0)
                && !cells::is_set(&self.cells.note(chunk.cell()).open, chunk)
        };
        let mut run = chunk.0..chunk.0 + 1;
        while run.start > 0 && is_closed(run.start - 1) {
            run.start -= 1;
        }
        while is_closed(run.end) {
            run.end += 1;
        }
        run
    }

    fn on_table_fault(&self, address: usize) -> Fault {
        let first = self.tables.address(0);
        let pages = self.cell_count as usize * self.tables.per_cell() as usize;
        let page = address.wrapping_sub(first) / PAGE_SIZE;
        if page >= pages {
            return Fault::Foreign;
        }
        self.counters.tracked_faults.fetch_add(1, Relaxed);
        if !self.checked.load(Relaxed) {
            return Fault::Foreign;
        }
        let page = u32::try_from(page).unwrap_or(0);
        // Tables are written behind the gate: an announcement is never of another epoch.
        match self.tables.word(page).load(Acquire) == self.clock.now() {
            true => Fault::Handled,
            false => Fault::Undeclared,
        }
    }

    /// A freeze may fall between announcement and write: such a write is as good as announced.
    fn on_tracked_fault(&self, page: PageIndex) -> Fault {
        let is_announced = self.tracked.word(page.0).load(Acquire) == self.clock.now();
        if !is_announced && !self.tracked.is_held(page.0) {
            return Fault::Undeclared;
        }
        self.announce_tracked(page);
        Fault::Handled
    }

    /// Lets a page of tables or tracked memory be written, if such writes are checked.
    pub(super) fn unprotect_checked(&self, address: usize) {
        if !self.checked.load(Relaxed) {
            return;
        }
        // SAFETY: a page of a known cell.
        if unsafe { map::protect(address, PAGE_SIZE, Protection::Writable) }.is_err() {
            self.stop_checking();
        }
    }

    /// The system has no mappings left for single pages.
    fn stop_checking(&self) {
        self.checked.store(false, Relaxed);
        if self.protect_checked(Protection::Writable).is_err() {
            os::fatal(&["stillheap: the system refuses to make memory writable again\n"]);
        }
    }

    /// Protects tables and tracked memory, or lets them be written again.
    pub(super) fn protect_checked(&self, protection: Protection) -> io::Result<()> {
        for kind in [CellKind::Guarded, CellKind::Tracked] {
            self.cells.iter(kind).try_for_each(|cell| {
                let first = cell.0 * self.tables.per_cell();
                // SAFETY: the tables of a known cell; writers are prepared.
                unsafe { map::protect(self.tables.address(first), CHUNK_SIZE, protection) }
            })?;
        }
        self.cells.iter(CellKind::Tracked).try_for_each(|cell| {
            let address = self.base + cell.offset();
            // SAFETY: the memory of a known cell; writers are prepared.
            unsafe { map::protect(address, CELL_SIZE, protection) }
        })
    }

    pub(super) fn chunk_address(&self, chunk: ChunkIndex) -> usize {
        self.base + chunk.offset()
    }

    /// Whether writes to tables and tracked memory are checked from the next freeze on.
    pub fn set_checked(&self, checked: bool) {
        self.checked.store(checked, Relaxed);
    }

    /// Whether a cell is known as one of that kind.
    #[must_use]
    pub fn knows(&self, cell: CellIndex, kind: CellKind) -> bool {
        self.cells.known(kind).get(cell.0)
    }
}
