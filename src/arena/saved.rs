//! Which pages a snapshot has to save, read from the tables as they were frozen: the tables of
//! chunks in use, and the pages in use. The tables may have changed since; so what is read
//! here are bytes, wherever they come from.

use crate::arena::Arena;
use crate::arena::layout::{ChunkKind, Purpose};
use crate::arena::reserve::LIVE_PAGE;
use crate::base::{
    CHUNKS_PER_CELL, CellIndex, ChunkIndex, PAGE_SIZE, PAGES_PER_CHUNK, PageIndex, PageRun,
    SLOT_PAGES,
};

/// The first page of a slot: the cell's header, or a chunk's entry and those of its pages.
pub type TablePage = [u8; PAGE_SIZE];

/// A chunk's entry, as it was frozen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrozenEntry {
    /// What the chunk is used for.
    pub kind: ChunkKind,
    /// Which memory lies in it.
    pub purpose: Purpose,
    run_pages: u32,
    offset: u32,
    used: [u64; 8],
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
    superblock.chain(LIVE_PAGE..LIVE_PAGE + 8).map(move |page| PageIndex(first + page))
}

/// Cells in the span that begins with that header.
#[must_use]
pub fn frozen_span(header: &TablePage) -> u32 {
    word(header, 12)
}

impl FrozenEntry {
    /// The entry in the first page of a chunk's slot. Values that no entry has are those of a
    /// free chunk.
    #[must_use]
    pub fn of(page: &TablePage) -> Self {
        let used = |index: usize| {
            let at = 16 + index * 8;
            u64::from(word(page, at)) | u64::from(word(page, at + 4)) << 32
        };
        Self {
            kind: ChunkKind::decode(word(page, 0)).unwrap_or(ChunkKind::Free),
            purpose: Purpose::decode(word(page, 4)).unwrap_or(Purpose::Ambient),
            run_pages: word(page, 8),
            offset: word(page, 12),
            used: std::array::from_fn(used),
        }
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
    match page.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        Some(bytes) => u32::from_le_bytes(*bytes),
        None => 0,
    }
}
