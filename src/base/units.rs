//! Sizes and indexes as types, so that a page number is never taken for a chunk number.
//!
//! Invariants: indexes count from the arena's base; an arena is at most 16 TiB, so that
//! every page number fits a `u32`.

use std::ops::Range;

/// Bytes in a page: what is saved, checked and compared as one.
pub const PAGE_SIZE: usize = 4 << 10;
/// Bytes in a chunk: a huge page, protected and unprotected as one.
pub const CHUNK_SIZE: usize = 2 << 20;
/// Bytes in a cell: a chunk of metadata and the 31 chunks that it describes.
pub const CELL_SIZE: usize = 64 << 20;
/// Pages in a chunk.
pub const PAGES_PER_CHUNK: u32 = 512;
/// Chunks in a cell.
pub const CHUNKS_PER_CELL: u32 = 32;
/// Pages of tables for each chunk of a cell: a cell's first chunk has room for all of them.
pub const SLOT_PAGES: u32 = PAGES_PER_CHUNK / CHUNKS_PER_CELL;
/// Pages in a cell.
pub const PAGES_PER_CELL: u32 = PAGES_PER_CHUNK * CHUNKS_PER_CELL;

static_assertions::const_assert_eq!(PAGE_SIZE * PAGES_PER_CHUNK as usize, CHUNK_SIZE);
static_assertions::const_assert_eq!(CHUNK_SIZE * CHUNKS_PER_CELL as usize, CELL_SIZE);

/// A page's number in its arena.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PageIndex(pub u32);

/// A chunk's number in its arena.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChunkIndex(pub u32);

/// A cell's number in its arena.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CellIndex(pub u32);

impl PageIndex {
    /// The chunk that holds this page.
    #[must_use]
    pub fn chunk(self) -> ChunkIndex {
        ChunkIndex(self.0 / PAGES_PER_CHUNK)
    }

    /// The page's place within its chunk.
    #[must_use]
    pub fn within_chunk(self) -> u32 {
        self.0 % PAGES_PER_CHUNK
    }

    /// Bytes from the arena's base to the page.
    #[must_use]
    pub fn offset(self) -> usize {
        self.0 as usize * PAGE_SIZE
    }
}

impl ChunkIndex {
    /// The cell that holds this chunk.
    #[must_use]
    pub fn cell(self) -> CellIndex {
        CellIndex(self.0 / CHUNKS_PER_CELL)
    }

    /// The chunk's place within its cell.
    #[must_use]
    pub fn within_cell(self) -> u32 {
        self.0 % CHUNKS_PER_CELL
    }

    /// The chunk's first page.
    #[must_use]
    pub fn first_page(self) -> PageIndex {
        PageIndex(self.0 * PAGES_PER_CHUNK)
    }

    /// Bytes from the arena's base to the chunk.
    #[must_use]
    pub fn offset(self) -> usize {
        self.0 as usize * CHUNK_SIZE
    }
}

impl CellIndex {
    /// The cell's first chunk: the one that holds its metadata.
    #[must_use]
    pub fn first_chunk(self) -> ChunkIndex {
        ChunkIndex(self.0 * CHUNKS_PER_CELL)
    }

    /// The cell's first page.
    #[must_use]
    pub fn first_page(self) -> PageIndex {
        self.first_chunk().first_page()
    }

    /// Bytes from the arena's base to the cell.
    #[must_use]
    pub fn offset(self) -> usize {
        self.0 as usize * CELL_SIZE
    }
}

/// Consecutive pages: `count` of them from `first` on. Never wraps: `first + count <= 2^32`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PageRun {
    /// The first page.
    pub first: PageIndex,
    /// How many pages.
    pub count: u32,
}

impl PageRun {
    /// The run of `count` pages from `first` on, or `None` if it would pass the last page number.
    #[must_use]
    pub fn new(first: PageIndex, count: u32) -> Option<Self> {
        let end = u64::from(first.0) + u64::from(count);
        (end <= 1 << 32).then_some(Self { first, count })
    }

    /// The page numbers, as `u64` so that the end is representable.
    #[must_use]
    pub fn pages(self) -> Range<u64> {
        let first = u64::from(self.first.0);
        first..first + u64::from(self.count)
    }

    /// The pages, the last one of all included.
    #[inline]
    pub fn indexes(self) -> impl Iterator<Item = PageIndex> {
        (0..self.count).map(move |place| PageIndex(self.first.0 + place))
    }

    /// Length in bytes.
    #[must_use]
    pub fn byte_len(self) -> usize {
        self.count as usize * PAGE_SIZE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_nest() {
        let page = PageIndex(PAGES_PER_CELL * 3 + PAGES_PER_CHUNK * 5 + 7);
        assert_eq!(page.within_chunk(), 7);
        assert_eq!(page.chunk().within_cell(), 5);
        assert_eq!(page.chunk().cell(), CellIndex(3));
        assert_eq!(page.offset(), 3 * CELL_SIZE + 5 * CHUNK_SIZE + 7 * PAGE_SIZE);
    }

    #[test]
    fn runs_stop_at_the_last_page() {
        let last = PageRun { first: PageIndex(u32::MAX - 1), count: 2 };
        assert_eq!(last.indexes().map(|page| page.0).collect::<Vec<_>>(), [u32::MAX - 1, u32::MAX]);
        assert!(PageRun::new(PageIndex(u32::MAX), 1).is_some());
        assert!(PageRun::new(PageIndex(u32::MAX), 2).is_none());
    }
}
