//! The range itself: reserving it, and the way between addresses and indexes.
#![allow(unsafe_code, reason = "gives references to metadata that lies at fixed addresses")]

use crate::arena::layout::{CellHeader, SLOT_SIZE, Slot};
use crate::arena::side::{HEAD, LOST, MapWords, PENDING, PLAIN, Side, SlabNote, SlabTag, UNUSED};
use crate::base::sync::{AtomicU64, Ordering};
use crate::base::{
    CELL_SIZE, CHUNK_SIZE, CHUNKS_PER_CELL, CellIndex, ChunkIndex, PAGE_SIZE, PageIndex, SLOT_PAGES,
};
use crate::cow::{CellKind, Engine};
use crate::os::map::{self, Reservation};
use std::io;
use std::mem::offset_of;
use std::ops::Range;
use std::ptr::{self, NonNull};

/// Where in a slot the maps begin, in pages.
pub(super) const LIVE_PAGE: u32 = 4;
pub(super) const AT_HAND_PAGE: u32 = 8;
const WORDS_PER_PAGE: usize = PAGE_SIZE / 8;

static_assertions::const_assert_eq!(SLOT_PAGES as usize * PAGE_SIZE, SLOT_SIZE);
static_assertions::const_assert_eq!(LIVE_PAGE as usize * PAGE_SIZE, offset_of!(Slot, live));
static_assertions::const_assert_eq!(AT_HAND_PAGE as usize * PAGE_SIZE, offset_of!(Slot, at_hand));

/// Where an arena lies and how it is divided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArenaConfig {
    /// The first address, a multiple of the cell size; 0: wherever the system finds room.
    pub base: usize,
    /// Cells of the main space, from the base on.
    pub main_cells: u32,
    /// Cells of the boot space, behind it.
    pub boot_cells: u32,
}

impl ArenaConfig {
    /// The process heap's: 16 TiB, of which the last quarter is boot space.
    #[must_use]
    pub const fn process(base: usize) -> Self {
        Self { base, main_cells: 196_608, boot_cells: 65_536 }
    }

    /// Cells in all.
    #[must_use]
    pub const fn cells(&self) -> u32 {
        self.main_cells + self.boot_cells
    }

    /// The cells of the main space (or of the boot space) that hold memory of a kind: its last
    /// quarter is for tracked memory. So each kind lies together, and what is guarded can be
    /// write-protected with few calls.
    #[must_use]
    pub const fn area(&self, main: bool, kind: CellKind) -> Range<u32> {
        let space = if main { 0..self.main_cells } else { self.main_cells..self.cells() };
        let tracked = space.end - (space.end - space.start) / 4;
        match kind {
            CellKind::Guarded => space.start..tracked,
            CellKind::Tracked => tracked..space.end,
        }
    }

    /// Bytes in all.
    #[must_use]
    pub const fn byte_len(&self) -> usize {
        self.cells() as usize * CELL_SIZE
    }
}

/// Why an arena could not be reserved. Small and without allocations: it happens inside the
/// first `alloc` of a process.
#[derive(Debug, thiserror::Error)]
pub enum ReserveError {
    /// The operating system's pages are not 4 KiB.
    #[error("this system's pages have {found} bytes, stillheap supports pages of 4096 only")]
    PageSize {
        /// What the system says.
        found: usize,
    },
    /// The base or the number of cells makes no sense.
    #[error("an arena cannot start at {base:#x}: it wants a multiple of 64 MiB below 2^47")]
    Base {
        /// The base asked for.
        base: usize,
    },
    /// Part of the range is taken.
    #[error("the addresses {base:#x}..{:#x} are partly taken", .base + .len)]
    Taken {
        /// The first address of the range.
        base: usize,
        /// Its length in bytes.
        len: usize,
    },
    /// The system gives no address space.
    #[error("the system refuses to reserve {len} bytes of address space: {source}")]
    Refused {
        /// Bytes asked for.
        len: usize,
        /// What the system said.
        source: io::Error,
    },
}

/// A reserved address range with its tables.
pub struct Arena {
    range: Reservation,
    /// The cells' tables: of each as much as its first chunk would hold, in whose place they
    /// are saved. They lie elsewhere because that chunk is guarded, and they are not.
    tables: Reservation,
    config: ArenaConfig,
    pub(super) side: Side,
    cow: Engine,
}

impl Arena {
    /// Reserves the range. No memory is used yet, but for a few tables.
    ///
    /// # Errors
    /// See [`ReserveError`].
    pub fn reserve(config: ArenaConfig) -> Result<Self, ReserveError> {
        let (base, len) = (config.base, config.byte_len());
        let found = map::page_size();
        if found != PAGE_SIZE {
            return Err(ReserveError::PageSize { found });
        }
        let end = base.checked_add(len);
        if base % CELL_SIZE != 0 || end.is_none_or(|end| end > 1 << 47) {
            return Err(ReserveError::Base { base });
        }
        let range = match base {
            0 => Reservation::anywhere(len, CELL_SIZE),
            base => Reservation::at(base, len),
        };
        let range = range.map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => ReserveError::Taken { base, len },
            _ => ReserveError::Refused { len, source },
        })?;
        let refused = |source| ReserveError::Refused { len, source };
        let config = ArenaConfig { base: range.start(), ..config };
        let side = Side::new(config.cells(), config.main_cells).map_err(refused)?;
        let tables = Reservation::anywhere(config.cells() as usize * CHUNK_SIZE, CHUNK_SIZE)
            .map_err(refused)?;
        let cow = Engine::new(range.start(), config.cells(), tables.start()).map_err(refused)?;
        Ok(Self { range, tables, config, side, cow })
    }

    /// The copy-on-write engine.
    #[inline]
    #[must_use]
    pub fn cow(&self) -> &Engine {
        &self.cow
    }

    /// Whether a cell's memory is guarded or tracked: its place says so.
    #[must_use]
    pub fn kind_of_cell(&self, cell: CellIndex) -> CellKind {
        let tracked = |main| self.config.area(main, CellKind::Tracked).contains(&cell.0);
        if tracked(true) || tracked(false) { CellKind::Tracked } else { CellKind::Guarded }
    }

    /// Where it lies and how it is divided.
    #[must_use]
    pub fn config(&self) -> ArenaConfig {
        self.config
    }

    /// The first address.
    #[must_use]
    pub fn base(&self) -> usize {
        self.config.base
    }

    /// All addresses of the arena.
    #[must_use]
    pub fn addresses(&self) -> Range<usize> {
        self.range.start()..self.range.start() + self.range.len()
    }

    /// Whether `address` lies in the arena, or among the tables beside it: a file may be mapped in
    /// both.
    #[must_use]
    pub fn maps(&self, address: usize) -> bool {
        let tables = self.tables.start()..self.tables.start() + self.tables.len();
        self.addresses().contains(&address) || tables.contains(&address)
    }

    /// The page that holds `address`, if it lies in the arena.
    #[inline]
    #[must_use]
    pub fn page_of(&self, address: usize) -> Option<PageIndex> {
        let offset = address.wrapping_sub(self.config.base);
        if offset >= self.config.byte_len() {
            return None;
        }
        // Fits: an arena has at most 2^32 pages.
        u32::try_from(offset / PAGE_SIZE).ok().map(PageIndex)
    }

    /// The address of a page.
    #[inline]
    #[must_use]
    pub fn address(&self, page: PageIndex) -> usize {
        self.config.base + page.offset()
    }

    /// A pointer to a page. To use it, the page must be mapped.
    ///
    /// # Panics
    /// Never: the arena does not start at address 0.
    #[inline]
    #[must_use]
    pub fn pointer(&self, page: PageIndex) -> NonNull<u8> {
        let pointer = ptr::with_exposed_provenance_mut(self.address(page));
        NonNull::new(pointer).unwrap_or(NonNull::dangling())
    }

    /// The metadata of a chunk; `None` if its cell has none (not live, or inside a span), and
    /// for the metadata chunk itself.
    #[inline]
    #[must_use]
    pub fn slot(&self, chunk: ChunkIndex) -> Option<&Slot> {
        let state = self.cell_state(chunk.cell());
        if (state != PLAIN && state != HEAD) || chunk.within_cell() == 0 {
            return None;
        }
        Some(self.slot_at(chunk))
    }

    /// The same, also in a pending cell: for who checks it.
    pub(crate) fn slot_unchecked(&self, chunk: ChunkIndex) -> Option<&Slot> {
        let is_pending = self.is_pending(chunk.cell()) && chunk.within_cell() != 0;
        if is_pending { Some(self.slot_at(chunk)) } else { self.slot(chunk) }
    }

    #[inline]
    fn slot_at(&self, chunk: ChunkIndex) -> &Slot {
        let address = self.tables.start() + chunk.0 as usize * SLOT_SIZE;
        let slot: *const Slot = ptr::with_exposed_provenance(address);
        // SAFETY: a live or pending cell's tables are mapped and readable and writable; a Slot is
        // made of atomics and bytes, valid whatever they hold. The cell stays live as long as
        // a block lies in it, which every caller's block or lock sees to.
        unsafe { &*slot }
    }

    /// The same, for changing the chunk's entry and those of its pages.
    #[must_use]
    pub(super) fn slot_for_write(&self, chunk: ChunkIndex) -> Option<&Slot> {
        let slot = self.slot(chunk)?;
        self.cow.announce_table(chunk.0 * SLOT_PAGES);
        Some(slot)
    }

    /// To be called before words `first..first + count` of a chunk's live map are written.
    #[inline]
    pub fn announce_live(&self, chunk: ChunkIndex, first: usize, count: usize) {
        self.announce_words(chunk, LIVE_PAGE, first, count);
    }

    /// The same for the map of what lanes have at hand.
    #[inline]
    pub fn announce_at_hand(&self, chunk: ChunkIndex, first: usize, count: usize) {
        self.announce_words(chunk, AT_HAND_PAGE, first, count);
    }

    #[inline]
    fn announce_words(&self, chunk: ChunkIndex, map: u32, first: usize, count: usize) {
        let page = |word: usize| {
            let page = u32::try_from(word / WORDS_PER_PAGE).unwrap_or(0);
            chunk.0 * SLOT_PAGES + map + page
        };
        for table in page(first)..=page(first + count.max(1) - 1) {
            self.cow.announce_table(table);
        }
    }

    /// To be called before bytes of a cell's header slot are written.
    pub fn announce_header(&self, cell: CellIndex, offset: usize, len: usize) {
        let first = cell.first_chunk().0 * SLOT_PAGES;
        for page in offset / PAGE_SIZE..(offset + len).div_ceil(PAGE_SIZE) {
            self.cow.announce_table(first + u32::try_from(page).unwrap_or(0));
        }
    }

    /// Where a cell's tables lie.
    pub(super) fn tables_address(&self, cell: CellIndex) -> usize {
        self.tables.start() + cell.0 as usize * CHUNK_SIZE
    }

    /// The header of a live cell that has one.
    #[must_use]
    pub fn cell_header(&self, cell: CellIndex) -> Option<&CellHeader> {
        let state = self.cell_state(cell);
        if state != PLAIN && state != HEAD {
            return None;
        }
        Some(self.header_at(cell))
    }

    pub(super) fn header_at(&self, cell: CellIndex) -> &CellHeader {
        let header: *const CellHeader = ptr::with_exposed_provenance(self.tables_address(cell));
        // SAFETY: as in `slot_at`.
        unsafe { &*header }
    }

    /// `count` words at `offset` bytes of a live cell's header slot, behind the header.
    #[must_use]
    pub fn header_words(
        &self,
        cell: CellIndex,
        offset: usize,
        count: usize,
    ) -> Option<&[AtomicU64]> {
        self.cell_header(cell)?;
        let fits = offset >= size_of::<CellHeader>()
            && offset.is_multiple_of(8)
            && offset.checked_add(count.checked_mul(8)?)? <= SLOT_SIZE;
        let words: *const AtomicU64 =
            ptr::with_exposed_provenance(self.tables_address(cell) + offset);
        // SAFETY: within the header slot, as just checked; otherwise as in `slot`.
        fits.then(|| unsafe { std::slice::from_raw_parts(words, count) })
    }

    /// Whether a chunk (a cell's first one stands for the cell, or for the span that it heads) is
    /// free, and keeps its memory until it has been saved.
    #[must_use]
    pub fn is_deferred(&self, chunk: ChunkIndex) -> bool {
        self.side.deferred().get(chunk.0)
    }

    /// Whether the side table lists a chunk as free.
    #[must_use]
    pub fn listed_free(&self, chunk: ChunkIndex) -> bool {
        self.side.free_chunks().get(chunk.0)
    }

    /// The allocator's note for a page.
    ///
    /// # Panics
    /// If the page's cell is not live.
    #[inline]
    #[must_use]
    pub fn note(&self, page: PageIndex) -> &SlabNote {
        self.side.note(page)
    }

    /// The note of a page that was a slab's once; its cell need not be live any more.
    #[must_use]
    pub fn note_of_past_slab(&self, page: PageIndex) -> &SlabNote {
        self.side.past_note(page)
    }

    /// The tag of a page, which may be any of the arena's.
    #[inline]
    #[must_use]
    pub fn tag(&self, page: PageIndex) -> &SlabTag {
        self.side.tag(page)
    }

    /// `count` words of the maps of a slab that begins at `page`.
    #[inline]
    #[must_use]
    pub fn map_words(&self, page: PageIndex, count: usize) -> &[MapWords] {
        self.side.maps(page, count)
    }

    /// Where the tags of all pages begin, and the words of their maps: a page's place is its
    /// number, in the maps times [`WORDS_PER_PAGE`](crate::arena::WORDS_PER_PAGE).
    #[must_use]
    pub fn flat_tables(&self) -> [usize; 2] {
        self.side.flat()
    }

    /// The cells of the main space.
    #[must_use]
    pub fn main_cells(&self) -> Range<u32> {
        0..self.config.main_cells
    }

    /// The cells of the boot space.
    #[must_use]
    pub fn boot_cells(&self) -> Range<u32> {
        self.config.main_cells..self.config.cells()
    }

    /// The live cells that have metadata, in order: cells that stand alone, and heads of spans.
    pub fn live_cells(&self) -> impl Iterator<Item = CellIndex> {
        (0..self.config.cells())
            .map(CellIndex)
            .filter(|&cell| matches!(self.cell_state(cell), PLAIN | HEAD))
    }

    /// Whether a cell has been adopted, and not been checked yet: then it has no slots for anybody.
    #[must_use]
    pub fn is_pending(&self, cell: CellIndex) -> bool {
        self.cell_state(cell) == PENDING
    }

    /// Whether any use is made of a cell.
    #[must_use]
    pub fn is_live(&self, cell: CellIndex) -> bool {
        self.cell_state(cell) != UNUSED
    }

    /// The cell whose metadata describes a live cell: itself, or the head of its span.
    #[must_use]
    pub fn head_of(&self, cell: CellIndex) -> Option<CellIndex> {
        match self.cell_state(cell) {
            UNUSED | LOST => None,
            PLAIN | HEAD | PENDING => Some(cell),
            body => Some(CellIndex(cell.0 - (body - HEAD))),
        }
    }

    /// Chunks of a cell that may hold data.
    pub(crate) fn data_chunks(cell: CellIndex) -> impl Iterator<Item = ChunkIndex> {
        (1..CHUNKS_PER_CELL).map(move |chunk| ChunkIndex(cell.first_chunk().0 + chunk))
    }

    #[inline]
    pub(super) fn cell_state(&self, cell: CellIndex) -> u32 {
        match self.side.cell_states().get(cell.0 as usize) {
            Some(state) => state.load(Ordering::Acquire),
            None => UNUSED,
        }
    }

    pub(super) fn set_cell_state(&self, cell: CellIndex, state: u32) {
        self.side.cell_states()[cell.0 as usize].store(state, Ordering::Release);
    }

    pub(super) fn chunk_address(&self, chunk: ChunkIndex) -> usize {
        self.config.base + chunk.0 as usize * CHUNK_SIZE
    }
}
