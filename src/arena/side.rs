//! The side table: what is known of cells, chunks and pages without being part of the image.
//!
//! ```text
//! | cell states | free chunks | roomy chunks x3 | deferred chunks | hints | slab notes |
//! ```
//! It lies outside the arena, in a reservation of its own. The tables are committed at once;
//! of the slab notes, a cell's part when the cell is claimed.
#![allow(unsafe_code, reason = "the tables lie in mapped memory, reached by pointers")]

use crate::arena::layout::Purpose;
use crate::base::sync::{AtomicU32, AtomicU64, Ordering};
use crate::base::{CHUNKS_PER_CELL, CellIndex, ChunkIndex, LayeredBitmap, PAGE_SIZE, PageIndex};
use crate::os::map::{self, Reservation};
use std::io;
use std::mem::size_of;
use std::ptr;
use std::slice;

/// What the allocator keeps for a slab while the process lives, at the slab's first page.
#[repr(C, align(32))]
pub struct SlabNote {
    /// The lane that owns the slab; 0: the heap itself.
    pub owner: AtomicU32,
    /// Not 0 while the slab stands on a list of slabs with remote frees.
    pub ripe: AtomicU32,
    /// The next slab on that list, plus one.
    pub next_ripe: AtomicU32,
    /// Blocks in use, remote frees not yet merged included.
    pub used: AtomicU32,
    /// The next slab in its owner's list, plus one.
    pub next: AtomicU32,
    /// The one before it, plus one.
    pub previous: AtomicU32,
    /// Which list it stands in.
    pub list: AtomicU32,
    /// Size class, and whether scoped: `class << 1 | scoped`.
    pub kind: AtomicU32,
}

static_assertions::const_assert_eq!(size_of::<SlabNote>(), 32);

/// A cell's state in the side table; from `BODY` on: cells back to the span's head, plus 2.
pub(super) const UNUSED: u32 = 0;
pub(super) const PLAIN: u32 = 1;
pub(super) const HEAD: u32 = 2;
/// The cell's tables are in place, and nobody has looked at them yet.
pub(super) const PENDING: u32 = u32::MAX - 1;
/// The system refused to take the cell's memory back: it is never used again.
pub(super) const LOST: u32 = u32::MAX;

pub(super) struct Side {
    memory: Reservation,
    cells: u32,
    free_chunks: usize,
    roomy: [usize; 3],
    deferred: usize,
    hints: usize,
    notes: usize,
}

impl Side {
    pub(super) fn new(cells: u32) -> io::Result<Self> {
        let chunks = cells * CHUNKS_PER_CELL;
        let bitmap = LayeredBitmap::words_needed(chunks) * size_of::<AtomicU64>();
        let mut end = 0;
        let mut place = |bytes: usize| {
            let start = end;
            end = (end + bytes).next_multiple_of(PAGE_SIZE);
            start
        };
        place(cells as usize * size_of::<AtomicU32>());
        let free_chunks = place(bitmap);
        let roomy = [place(bitmap), place(bitmap), place(bitmap)];
        let deferred = place(bitmap);
        let hints = place(chunks as usize * size_of::<AtomicU32>());
        let notes = place(0);
        let len = notes + cells as usize * Self::notes_per_cell();
        let memory = Reservation::anywhere(len, PAGE_SIZE)?;
        // SAFETY: the tables' part of the reservation just made.
        unsafe { map::commit(memory.start(), notes)? };
        // All of a cell's notes are in use when its chunks are.
        map::advise_huge(memory.start() + notes, len - notes, true);
        Ok(Self { memory, cells, free_chunks, roomy, deferred, hints, notes })
    }

    pub(super) fn cell_states(&self) -> &[AtomicU32] {
        // SAFETY: the first table is committed, of this length, and atomics allow any bytes.
        unsafe { slice::from_raw_parts(self.at(0), self.cells as usize) }
    }

    /// Free chunks of live cells.
    pub(super) fn free_chunks(&self) -> LayeredBitmap<'_> {
        self.bitmap(self.free_chunks)
    }

    /// Paged chunks of a purpose that may have free pages.
    pub(super) fn roomy(&self, purpose: Purpose) -> LayeredBitmap<'_> {
        self.bitmap(self.roomy[purpose as usize])
    }

    /// Chunks that are free, and whose memory must not be given back before the window's end;
    /// a cell's first chunk stands for the cell.
    pub(super) fn deferred(&self) -> LayeredBitmap<'_> {
        self.bitmap(self.deferred)
    }

    /// The shortest run of pages that a search in the chunk did not find since the last free.
    pub(super) fn hint(&self, chunk: ChunkIndex) -> &AtomicU32 {
        // SAFETY: as for the cell states.
        let hints: &[AtomicU32] =
            unsafe { slice::from_raw_parts(self.at(self.hints), self.chunks() as usize) };
        &hints[chunk.0 as usize]
    }

    /// The note of a page of a live cell.
    pub(super) fn note(&self, page: PageIndex) -> &SlabNote {
        let cell = page.chunk().cell();
        assert!(self.cell_states()[cell.0 as usize].load(Ordering::Relaxed) != UNUSED);
        self.past_note(page)
    }

    /// The note of a page whose cell has been live at some time: notes are never given back.
    pub(super) fn past_note(&self, page: PageIndex) -> &SlabNote {
        let at = self.at::<SlabNote>(self.notes).wrapping_add(page.0 as usize);
        // SAFETY: the notes of a cell are committed from its first claim on; zero and any other
        // bytes are valid.
        unsafe { &*at }
    }

    /// Commits the notes of consecutive cells that are about to go live.
    pub(super) fn commit_notes(&self, first: CellIndex, count: u32) -> io::Result<()> {
        let start = self.memory.start() + self.notes + first.0 as usize * Self::notes_per_cell();
        // SAFETY: the cells' part of the notes, which lies in the reservation.
        unsafe { map::commit(start, count as usize * Self::notes_per_cell()) }
    }

    const fn notes_per_cell() -> usize {
        crate::base::PAGES_PER_CELL as usize * size_of::<SlabNote>()
    }

    fn chunks(&self) -> u32 {
        self.cells * CHUNKS_PER_CELL
    }

    fn bitmap(&self, offset: usize) -> LayeredBitmap<'_> {
        let words = LayeredBitmap::words_needed(self.chunks());
        // SAFETY: as for the cell states.
        let storage: &[AtomicU64] = unsafe { slice::from_raw_parts(self.at(offset), words) };
        LayeredBitmap::new(storage, self.chunks())
    }

    fn at<T>(&self, offset: usize) -> *const T {
        ptr::with_exposed_provenance(self.memory.start() + offset)
    }
}
