//! What the engine keeps for each cell and its chunks.
//!
//! **Invariant:** a chunk's bit in `open` is set exactly if its memory can be written. Bits
//! change by whoever has the chunk's word busy, or holds the latch exclusively, or makes the
//! cell known.
#![allow(unsafe_code, reason = "the table lies in mapped memory, reached by pointers")]

use crate::base::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use crate::base::{CHUNKS_PER_CELL, CellIndex, ChunkIndex, LayeredBitmap, PAGE_SIZE};
use crate::os::map::{self, Reservation};
use std::io;
use std::mem::size_of;
use std::ptr;
use std::slice;

/// A cell's part of the ledger.
#[repr(C, align(512))]
pub(super) struct CellNote {
    /// The chunks' words. Those of chunks in which pages count, and not chunks, tell only
    /// whether a chunk was given out in this epoch.
    pub(super) words: [AtomicU64; CHUNKS_PER_CELL as usize],
    /// For how many of the last eight epochs a chunk was written: a bit an epoch.
    pub(super) heat: [AtomicU8; CHUNKS_PER_CELL as usize],
    /// Chunks whose memory can be written.
    pub(super) open: AtomicU32,
    /// Chunks that are still a private mapping of an image.
    pub(super) file: AtomicU32,
    /// Of these, those that have been made writable as they are, and may be so still.
    pub(super) in_place: AtomicU32,
    /// Chunks written in even epochs, and in odd ones.
    pub(super) dirty: [AtomicU32; 2],
    /// The epoch in which the cell was made known with new tables; a later one, if no snapshot has
    /// been durable since.
    pub(super) added: AtomicU64,
    /// Open chunks that only a freeze may protect: a thread in a scope may have the kernel write
    /// to them. Bits are set inside the latch.
    pub(super) pinned: AtomicU32,
}

/// The cells' notes, and which cells there are.
#[derive(Debug)]
pub(super) struct Cells {
    memory: Reservation,
    cells: u32,
    known: usize,
}

/// Whether the kernel's write protection guards a cell's chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CellKind {
    /// It does.
    Guarded,
    /// Writers announce themselves, page by page.
    Tracked,
}

impl Cells {
    pub(super) fn new(cells: u32) -> io::Result<Self> {
        let known = cells as usize * size_of::<CellNote>();
        let bitmap = LayeredBitmap::words_needed(cells) * size_of::<AtomicU64>();
        let len = (known + 2 * bitmap).next_multiple_of(PAGE_SIZE);
        let memory = Reservation::anywhere(len, PAGE_SIZE)?;
        // SAFETY: the reservation just made.
        unsafe { map::commit(memory.start(), len)? };
        Ok(Self { memory, cells, known })
    }

    pub(super) fn note(&self, cell: CellIndex) -> &CellNote {
        let notes: *const CellNote = ptr::with_exposed_provenance(self.memory.start());
        // SAFETY: the table is committed, of this length, and atomics allow any bytes.
        let notes = unsafe { slice::from_raw_parts(notes, self.cells as usize) };
        &notes[cell.0 as usize]
    }

    #[inline]
    pub(super) fn word(&self, chunk: ChunkIndex) -> &AtomicU64 {
        &self.note(chunk.cell()).words[chunk.within_cell() as usize]
    }

    /// The cells of a kind that are known. One thread at a time changes this.
    pub(super) fn known(&self, kind: CellKind) -> LayeredBitmap<'_> {
        let words = LayeredBitmap::words_needed(self.cells);
        let at = match kind {
            CellKind::Guarded => self.known,
            CellKind::Tracked => self.known + words * size_of::<AtomicU64>(),
        };
        let storage = ptr::with_exposed_provenance(self.memory.start() + at);
        // SAFETY: as in `note`.
        LayeredBitmap::new(unsafe { slice::from_raw_parts(storage, words) }, self.cells)
    }

    /// The known cells of a kind, in order.
    pub(super) fn iter(&self, kind: CellKind) -> impl Iterator<Item = CellIndex> {
        let known = self.known(kind);
        let mut from = 0;
        std::iter::from_fn(move || {
            let cell = known.next_set(from)?;
            from = cell + 1;
            Some(CellIndex(cell))
        })
    }
}

/// A chunk's bit in a word of its cell.
pub(super) fn bit(chunk: ChunkIndex) -> u32 {
    1 << chunk.within_cell()
}

/// Sets a chunk's bit; whether it was set before.
pub(super) fn set(word: &AtomicU32, chunk: ChunkIndex) -> bool {
    word.fetch_or(bit(chunk), Ordering::AcqRel) & bit(chunk) != 0
}

/// Whether a chunk's bit is set.
pub(super) fn is_set(word: &AtomicU32, chunk: ChunkIndex) -> bool {
    word.load(Ordering::Acquire) & bit(chunk) != 0
}

impl CellNote {
    pub(super) fn dirty_in(&self, epoch: u64) -> &AtomicU32 {
        &self.dirty[usize::from(!epoch.is_multiple_of(2))]
    }
}
