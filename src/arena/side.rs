//! The side table: what is known of cells, chunks and pages without being part of the image.
//!
//! ```text
//! | cell states | free chunks | roomy chunks x3 | deferred and stale chunks | hints |
//! | slab tags | taken and remote maps | slab notes |
//! ```
//! It lies outside the arena, in a reservation of its own. The tables of the first line are
//! committed at once; of the others a cell's part when the cell is claimed. Tags of any page can
//! be read, so that an address can be looked up before anything is known of it.
#![allow(unsafe_code, reason = "the tables lie in mapped memory, reached by pointers")]

use crate::arena::layout::{LIVE_WORDS_PER_PAGE, Purpose};
use crate::base::sync::{AtomicU32, AtomicU64, Ordering};
use crate::base::{CHUNKS_PER_CELL, CellIndex, ChunkIndex, LayeredBitmap, PAGE_SIZE, PageIndex};
use crate::os::map::{self, Protection, Reservation};
use std::io;
use std::mem::size_of;
use std::ptr;
use std::slice;

/// What the allocator keeps for a slab while the process lives, at the slab's first page.
#[repr(C, align(32))]
pub struct SlabNote {
    /// Not 0 while somebody brings the live map up to the taken map, or takes a word of it.
    pub busy: AtomicU32,
    /// Not 0 while the slab stands on a list of slabs with remote frees.
    pub ripe: AtomicU32,
    /// The next slab on that list, plus one.
    pub next_ripe: AtomicU32,
    /// Not 0 while the slab stands in a list of its lane's without a block in use.
    pub spare: AtomicU32,
    /// The next slab in its owner's list, plus one.
    pub next: AtomicU32,
    /// The one before it, plus one.
    pub previous: AtomicU32,
    /// Which list it stands in.
    pub list: AtomicU32,
    /// Which words of its taken map its lane takes blocks from: the first, and in the upper half
    /// the end; 0: none.
    pub claimed: AtomicU32,
}

/// What is looked up for each free: of each page which slab it is a part of, and how long its
/// blocks are; at the slab's first page how often its owner may free before something else is to be
/// done.
#[repr(C, align(16))]
pub struct SlabTag {
    /// The heap says what it means. 0: the page is in no slab, or in one that says nothing else.
    pub tag: AtomicU32,
    /// 2^32 over a block's bytes, rounded up.
    pub reciprocal: AtomicU32,
    /// A block's bytes, and in the upper half how many blocks the slab has.
    pub shape: AtomicU32,
    /// How many blocks the owner frees until it has to look at the slab.
    pub frees_left: AtomicU32,
}

/// A word each of two maps of the blocks of a slab, side by side, so that who frees touches one
/// cache line. As in the live map, the bits of a slab's blocks begin at its first page's words.
#[repr(C, align(16))]
pub struct MapWords {
    /// In use, as the slab's owner knows.
    pub taken: AtomicU64,
    /// Freed by another thread, and not merged into the taken map yet.
    pub remote: AtomicU64,
}

/// Words of each of these maps for a page.
pub const WORDS_PER_PAGE: usize = LIVE_WORDS_PER_PAGE;

static_assertions::const_assert_eq!(size_of::<SlabNote>(), 32);
static_assertions::const_assert_eq!(size_of::<SlabTag>(), 16);
static_assertions::const_assert_eq!(size_of::<MapWords>(), 16);

const PAGES: usize = crate::base::PAGES_PER_CELL as usize;
const TAGS_PER_CELL: usize = PAGES * size_of::<SlabTag>();
const MAPS_PER_CELL: usize = PAGES * WORDS_PER_PAGE * size_of::<MapWords>();
const NOTES_PER_CELL: usize = PAGES * size_of::<SlabNote>();

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
    stale: usize,
    hints: usize,
    tags: usize,
    maps: usize,
    notes: usize,
}

impl Side {
    /// Of the arena's cells the first `main` are those in which heaps come to lie.
    pub(super) fn new(cells: u32, main: u32) -> io::Result<Self> {
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
        let stale = place(bitmap);
        let hints = place(chunks as usize * size_of::<AtomicU32>());
        let all = |per_cell: usize| cells as usize * per_cell;
        let tags = place(all(TAGS_PER_CELL));
        let [maps, notes] = [MAPS_PER_CELL, NOTES_PER_CELL].map(|per_cell| place(all(per_cell)));
        let memory = Reservation::anywhere(end, PAGE_SIZE)?;
        let start = memory.start();
        // SAFETY: a part of the reservation just made.
        unsafe { map::commit(start, tags)? };
        // SAFETY: as above.
        unsafe { map::protect(start + tags, maps - tags, Protection::ReadOnly)? };
        // Heaps have cells side by side, all of whose pages are in use. Who has opened none has
        // few, in the boot space, and starts the faster without.
        for (at, per_cell) in [(maps, MAPS_PER_CELL), (notes, NOTES_PER_CELL)] {
            map::advise_huge(start + at, main as usize * per_cell, true);
        }
        Ok(Self { memory, cells, free_chunks, roomy, deferred, stale, hints, tags, maps, notes })
    }

    /// Where the tags of all pages begin, then the maps.
    pub(super) fn flat(&self) -> [usize; 2] {
        [self.tags, self.maps].map(|at| self.memory.start() + at)
    }

    /// The tag of a page.
    #[inline]
    pub(super) fn tag(&self, page: PageIndex) -> &SlabTag {
        debug_assert!(page.0 / crate::base::PAGES_PER_CELL < self.cells);
        let at = self.at::<SlabTag>(self.tags).wrapping_add(page.0 as usize);
        // SAFETY: all tags can be read; who writes knows that the page's cell is live.
        unsafe { &*at }
    }

    /// So many words of the maps of a slab, from its first page on.
    #[inline]
    pub(super) fn maps(&self, page: PageIndex, count: usize) -> &[MapWords] {
        let place = page.0 as usize * WORDS_PER_PAGE;
        let first = self.at::<MapWords>(self.maps).wrapping_add(place);
        // SAFETY: those of a slab, which lies in a cell that has been live, and does not leave it;
        // they are committed from its first claim on.
        unsafe { slice::from_raw_parts(first, count) }
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

    /// Free chunks that have their memory still, with what was in it last.
    pub(super) fn stale(&self) -> LayeredBitmap<'_> {
        self.bitmap(self.stale)
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

    /// Commits what consecutive cells that are about to go live have of tags, maps and notes.
    pub(super) fn commit_cells(&self, first: CellIndex, count: u32) -> io::Result<()> {
        for (at, per_cell) in
            [(self.tags, TAGS_PER_CELL), (self.maps, MAPS_PER_CELL), (self.notes, NOTES_PER_CELL)]
        {
            let start = self.memory.start() + at + first.0 as usize * per_cell;
            // SAFETY: the cells' part of a table, which lies in the reservation.
            unsafe { map::commit(start, count as usize * per_cell)? };
        }
        Ok(())
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
