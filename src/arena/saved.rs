//! Which pages a snapshot has to save, read from the tables as they were frozen: the tables of
//! chunks in use, and the pages in use. The tables may have changed since; so what is read
//! here are bytes, wherever they come from. FORMAT.md, "What lies in the pages", specifies them.

use crate::arena::Arena;
use crate::arena::layout::{ChunkKind, PageEntry, Purpose, Slot};
use crate::arena::reserve::{AT_HAND_PAGE, LIVE_PAGE};
use crate::base::{
    CHUNKS_PER_CELL, CellIndex, ChunkIndex, PAGE_SIZE, PAGES_PER_CHUNK, PageIndex, PageRun,
    SLOT_PAGES,
};
use std::mem::offset_of;
use std::ops::Range;

/// The first page of a slot: the cell's header, or a chunk's entry and those of its pages.
pub type TablePage = [u8; PAGE_SIZE];

/// Pages of each of a slot's maps.
pub const MAP_PAGES: u32 = AT_HAND_PAGE - LIVE_PAGE;

/// A cell's header, as it was frozen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrozenHeader {
    /// [`CELL_MAGIC`](crate::arena::CELL_MAGIC), if it is one.
    pub magic: u64,
    /// The cell's own number.
    pub cell: u32,
    /// Cells in the span that begins with it.
    pub span: u32,
}

/// A chunk's entry, as it was frozen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrozenEntry {
    /// What the chunk is used for.
    pub kind: ChunkKind,
    /// Which memory lies in it.
    pub purpose: Purpose,
    /// Of a large block's head: its length in pages.
    pub run_pages: u32,
    /// Of a large block's head: pages from the chunk's start to the block. Of a body: chunks back
    /// to the head.
    pub offset: u32,
    used: [u64; 8],
}

/// A number that no entry of a chunk has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrongEntry {
    /// What it should be: `"kind"` or `"purpose"`.
    pub field: &'static str,
    /// The number.
    pub found: u32,
}

/// Where a cell's tables have their first page of a chunk (0: of the cell itself), by its
/// number in images.
#[must_use]
pub fn first_table_page(cell: CellIndex, place: u32) -> PageIndex {
    PageIndex(cell.first_page().0 + place * SLOT_PAGES)
}

/// The other pages of such a slot that can hold anything but zeros. The cell's own slot has the
/// superblock and the root table there.
pub fn later_table_pages(cell: CellIndex, place: u32) -> impl Iterator<Item = PageIndex> {
    let first = first_table_page(cell, place).0;
    let superblock = if place == 0 { 1..2 } else { 1..1 };
    superblock.chain(LIVE_PAGE..AT_HAND_PAGE + MAP_PAGES).map(move |page| PageIndex(first + page))
}

/// The pages of such a slot with the map of live blocks, and those with the map of what lanes had
/// at hand.
#[must_use]
pub fn map_pages(cell: CellIndex, place: u32) -> [Range<u32>; 2] {
    let first = first_table_page(cell, place).0;
    [first + LIVE_PAGE, first + AT_HAND_PAGE].map(|start| start..start + MAP_PAGES)
}

/// What the first page of a chunk's slot says of that page of the chunk's.
///
/// # Errors
/// The number there, if no entry has it.
pub fn frozen_page_entry(table: &TablePage, within_chunk: usize) -> Result<PageEntry, u32> {
    let bits = word(table, offset_of!(Slot, pages) + within_chunk * 4);
    PageEntry::decode(bits).ok_or(bits)
}

impl FrozenHeader {
    /// What the first page of a cell's tables says, whatever it says.
    #[must_use]
    pub fn of(page: &TablePage) -> Self {
        Self { magic: long(page, 0), cell: word(page, 8), span: word(page, 12) }
    }
}

impl FrozenEntry {
    /// The entry in the first page of a chunk's slot. A kind that there is not is that of a free
    /// chunk, and a purpose ambient.
    #[must_use]
    pub fn of(page: &TablePage) -> Self {
        let kind = ChunkKind::decode(word(page, 0)).unwrap_or(ChunkKind::Free);
        Self::with(page, kind, Purpose::decode(word(page, 4)).unwrap_or(Purpose::Ambient))
    }

    /// The same, of bytes that may be anything. A free chunk's purpose has no meaning.
    ///
    /// # Errors
    /// If there is a number that no entry has.
    pub fn decode(page: &TablePage) -> Result<Self, WrongEntry> {
        let wrong = |field, at| WrongEntry { field, found: word(page, at) };
        let kind = ChunkKind::decode(word(page, 0)).ok_or(wrong("kind", 0))?;
        let purpose = match Purpose::decode(word(page, 4)) {
            Some(purpose) => purpose,
            None if kind == ChunkKind::Free => Purpose::Ambient,
            None => return Err(wrong("purpose", 4)),
        };
        Ok(Self::with(page, kind, purpose))
    }

    fn with(page: &TablePage, kind: ChunkKind, purpose: Purpose) -> Self {
        let used = std::array::from_fn(|index| long(page, 16 + index * 8));
        Self { kind, purpose, run_pages: word(page, 8), offset: word(page, 12), used }
    }

    /// The pages in use that this entry tells of: of a paged chunk, or of the large block that
    /// begins in it (without its tail, of which its own chunk's entry tells). `span` is the
    /// number of cells in the chunk's span.
    #[must_use]
    pub fn runs(&self, chunk: ChunkIndex, span: u32) -> Vec<PageRun> {
        match self.kind {
            ChunkKind::Paged => self.paged_runs(chunk),
            ChunkKind::LargeHead => {
                let first = PageIndex(chunk.first_page().0 + self.offset);
                let tail = if span == 1 { self.run_pages % PAGES_PER_CHUNK } else { 0 };
                vec![PageRun { first, count: self.run_pages - tail }]
            }
            ChunkKind::Free | ChunkKind::LargeBody => Vec::new(),
        }
    }

    fn paged_runs(&self, chunk: ChunkIndex) -> Vec<PageRun> {
        let first = chunk.first_page().0;
        let is_used = |page: u32| self.used[(page / 64) as usize] >> (page % 64) & 1 == 1;
        let mut runs = Vec::new();
        let mut page = 0;
        while page < PAGES_PER_CHUNK {
            let end = (page..PAGES_PER_CHUNK).find(|&p| !is_used(p)).unwrap_or(PAGES_PER_CHUNK);
            if end > page {
                runs.push(PageRun { first: PageIndex(first + page), count: end - page });
            }
            page = end + 1;
        }
        runs
    }
}

impl Arena {
    /// The run of cells that starts at `cell`: one, or a span of `span`.
    #[must_use]
    pub fn cell_pages(cell: CellIndex, span: u32) -> PageRun {
        let count = span * CHUNKS_PER_CELL * PAGES_PER_CHUNK;
        PageRun { first: cell.first_page(), count }
    }
}

fn word(page: &TablePage, at: usize) -> u32 {
    let found = page.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn long(page: &TablePage, at: usize) -> u64 {
    u64::from(word(page, at)) | u64::from(word(page, at + 4)) << 32
}
