//! The cells that the engine knows: how they come and go, and what becomes of their free chunks.
#![allow(unsafe_code, reason = "replaces the memory of free chunks")]

use crate::base::sync::Ordering::Relaxed;
use crate::base::{CHUNK_SIZE, CellIndex, ChunkIndex};
use crate::cow::cells::{self, CellKind};
use crate::cow::engine::Engine;
use crate::os::{SignalsBlocked, map};
use std::io;

impl Engine {
    /// Gives memory to what the engine keeps for `count` cells, before they are made known.
    ///
    /// # Errors
    /// What the system says.
    pub fn commit_cells(&self, first: CellIndex, count: u32, kind: CellKind) -> io::Result<()> {
        (first.0..first.0 + count).map(CellIndex).try_for_each(|cell| {
            self.tables.commit_cell(cell)?;
            match kind {
                CellKind::Tracked => self.tracked.commit_cell(cell),
                CellKind::Guarded => Ok(()),
            }
        })
    }

    /// Makes cells known whose memory is new and writable. One thread at a time.
    pub fn add_cells(&self, first: CellIndex, count: u32, kind: CellKind) {
        let _inside = self.enter_latch();
        let now = self.clock.now();
        for cell in (first.0..first.0 + count).map(CellIndex) {
            let note = self.cells.note(cell);
            note.words.iter().for_each(|word| word.store(now, Relaxed));
            note.heat.iter().for_each(|heat| heat.store(0, Relaxed));
            note.dirty.iter().for_each(|dirty| dirty.store(0, Relaxed));
            note.file.store(0, Relaxed);
            note.in_place.store(0, Relaxed);
            note.open.store(u32::MAX, Relaxed);
            note.pinned.store(0, Relaxed);
            note.added.store(self.clock.epoch(), Relaxed);
            self.cells.known(kind).set(cell.0);
        }
    }

    /// Makes cells known that hold what an image has. Guarded ones are write-protected; if they
    /// are mappings of its file, they become anonymous chunk by chunk as they are written to.
    pub fn add_restored_cells(
        &self,
        first: CellIndex,
        count: u32,
        kind: CellKind,
        file_backed: bool,
    ) {
        self.add_cells(first, count, kind);
        for cell in (first.0..first.0 + count).map(CellIndex) {
            let note = self.cells.note(cell);
            note.words.iter().for_each(|word| word.store(0, Relaxed));
            note.file.store(if file_backed { u32::MAX } else { 0 }, Relaxed);
            // Its tables are as the image has them.
            note.added.store(u64::MAX, Relaxed);
            note.open.store(if kind == CellKind::Guarded { 0 } else { u32::MAX }, Relaxed);
        }
    }

    /// Forgets cells, unless the tables of the first of them may still have to be saved: then
    /// nothing changes, and it gives `false`. One thread at a time; it need not be behind the gate.
    #[must_use]
    pub fn remove_cells(&self, first: CellIndex, count: u32) -> bool {
        // No window opens between the question and what follows from it.
        let _inside = self.enter_latch();
        if self.must_keep(first.first_chunk()) {
            return false;
        }
        for cell in first.0..first.0 + count {
            self.cells.known(CellKind::Guarded).clear(cell);
            self.cells.known(CellKind::Tracked).clear(cell);
        }
        true
    }

    /// A free chunk is being given out: its contents are of no interest, and it can be written.
    pub fn hand_out(&self, chunk: ChunkIndex) {
        let note = self.cells.note(chunk.cell());
        note.heat[chunk.within_cell() as usize].store(0, Relaxed);
        self.cells.word(chunk).store(self.clock.now(), Relaxed);
        if self.cells.known(CellKind::Guarded).get(chunk.cell().0) {
            self.open(chunk);
            self.note_dirty_chunk(chunk, self.clock.epoch());
        }
    }

    /// Whether the contents of a chunk (or, for a cell's first chunk, of its tables) may still
    /// have to be saved, so that its memory must not be given back before the window's end.
    #[must_use]
    pub fn must_keep(&self, chunk: ChunkIndex) -> bool {
        let now = self.clock.now();
        self.clock.is_window_open(now) && self.cells.word(chunk).load(Relaxed) != now
    }

    /// Whether a chunk is still a private mapping of an image.
    #[must_use]
    pub fn is_file_backed(&self, chunk: ChunkIndex) -> bool {
        cells::is_set(&self.cells.note(chunk.cell()).file, chunk)
    }

    /// Gives a free chunk fresh anonymous memory, writable, in place of an image's.
    ///
    /// # Errors
    /// What the system says.
    ///
    /// # Safety
    /// The chunk is a known cell's, and nothing refers to its contents.
    pub unsafe fn renew(&self, chunk: ChunkIndex) -> io::Result<()> {
        // Nobody protects the chunk between the two steps.
        let _blocked = SignalsBlocked::new();
        let _inside = self.enter_latch();
        // SAFETY: says the caller.
        unsafe { map::renew(self.chunk_address(chunk), CHUNK_SIZE)? };
        let note = self.cells.note(chunk.cell());
        let bit = cells::bit(chunk);
        note.file.fetch_and(!bit, Relaxed);
        note.open.fetch_or(bit, Relaxed);
        Ok(())
    }
}
