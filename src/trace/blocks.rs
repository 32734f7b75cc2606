//! The blocks in use that a snapshot has, by address, and which of them have been reached.

use crate::arena::{BLOCK_MIN, Purpose};
use crate::base::{
    CELL_SIZE, CHUNK_SIZE, CellIndex, ChunkIndex, PAGE_SIZE, PAGES_PER_CHUNK, PageIndex,
};

/// Words of a chunk's map: one bit for each possible start of a block.
pub(super) const MAP_WORDS: usize = CHUNK_SIZE / BLOCK_MIN / 64;
const UNITS_PER_PAGE: u32 = 256;

static_assertions::const_assert_eq!(UNITS_PER_PAGE as usize * BLOCK_MIN, PAGE_SIZE);

/// A block of a snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Block {
    /// Its first byte, from the arena's base on.
    pub start: u64,
    /// Its bytes, those included that were not asked for.
    pub len: u64,
    /// Which memory it lies in.
    pub purpose: Purpose,
    /// Its size class, if it lies in a slab.
    pub class: Option<u8>,
}

/// The blocks of a snapshot.
#[derive(Debug, Default)]
pub struct Blocks {
    /// Cells, or spans, rising.
    pub(super) cells: Vec<CellBlocks>,
    /// For each cell of the arena up to the last one in use, its (or its span's) place, plus one.
    pub(super) places: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct CellBlocks {
    pub(super) first: CellIndex,
    pub(super) span: u32,
    /// From the cell's second chunk on.
    pub(super) chunks: Vec<ChunkBlocks>,
}

/// What a chunk holds.
#[derive(Debug)]
pub(super) enum ChunkBlocks {
    None,
    Paged(Box<Paged>),
    /// A large block starts here. Its first page is counted from the arena's base.
    Large {
        first: PageIndex,
        pages: u32,
        purpose: Purpose,
        reached: bool,
    },
    /// The large block that fills this chunk starts so many chunks before.
    Body(u32),
}

#[derive(Debug)]
pub(super) struct Paged {
    pub(super) purpose: Purpose,
    pub(super) pages: [PageUse; PAGES_PER_CHUNK as usize],
    /// Bit `n`: the block that starts `n` units after its slab's or run's first page is in use,
    /// and has not been reached. The bits of a slab begin at its first page's.
    pub(super) unreached: [u64; MAP_WORDS],
}

/// What a page of a paged chunk belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PageUse {
    None,
    Slab {
        class: u8,
        back: u16,
    },
    /// A run of `pages`, that starts `back` pages before.
    Run {
        pages: u16,
        back: u16,
    },
    /// The end of a large block.
    Tail,
}

/// A block, and the place of its bit: in a map, or (`None`) in the chunk of a large one.
struct Found {
    block: Block,
    cell: usize,
    chunk: usize,
    bit: Option<u32>,
}

impl Blocks {
    /// The block in use, reached or not, that has a byte so far from the arena's base; `None` also
    /// if it is too late to tell, for a slab's block has been reached.
    #[must_use]
    pub fn unreached_at(&self, offset: u64) -> Option<Block> {
        let found = self.find(offset)?;
        self.is_unreached(&found).then_some(found.block)
    }

    /// Reaches the block that has that byte. `None`: there is none, or it has been reached.
    pub fn reach(&mut self, offset: u64) -> Option<Block> {
        let found = self.find(offset)?;
        if !self.is_unreached(&found) {
            return None;
        }
        match (&mut self.cells[found.cell].chunks[found.chunk], found.bit) {
            (ChunkBlocks::Paged(paged), Some(bit)) => {
                paged.unreached[(bit / 64) as usize] &= !(1 << (bit % 64));
            }
            (ChunkBlocks::Large { reached, .. }, _) => *reached = true,
            _ => return None,
        }
        Some(found.block)
    }

    fn is_unreached(&self, found: &Found) -> bool {
        match (&self.cells[found.cell].chunks[found.chunk], found.bit) {
            (ChunkBlocks::Paged(paged), Some(bit)) => {
                paged.unreached[(bit / 64) as usize] >> (bit % 64) & 1 == 1
            }
            (ChunkBlocks::Large { reached, .. }, _) => !reached,
            _ => false,
        }
    }

    fn find(&self, offset: u64) -> Option<Found> {
        let cell = usize::try_from(offset / CELL_SIZE as u64).ok()?;
        let place = self.places.get(cell)?.checked_sub(1)? as usize;
        let blocks = self.cells.get(place)?;
        let chunk = match blocks.span {
            1 => usize::try_from(offset / CHUNK_SIZE as u64 % 32).ok()?.checked_sub(1)?,
            // A span holds one block, that starts in its second chunk or later.
            _ => 0,
        };
        match blocks.chunks.get(chunk)? {
            ChunkBlocks::None => None,
            ChunkBlocks::Paged(paged) => {
                let page = usize::try_from(offset / PAGE_SIZE as u64 % 512).ok()?;
                match paged.pages[page] {
                    PageUse::None => None,
                    PageUse::Tail => self.find_large(place, chunk.checked_sub(1)?, offset),
                    PageUse::Slab { class, back } => {
                        let first = page.checked_sub(usize::from(back))?;
                        paged.slab_block(offset, class, first).map(|(block, bit)| Found {
                            block,
                            cell: place,
                            chunk,
                            bit: Some(bit),
                        })
                    }
                    PageUse::Run { pages, back } => {
                        let first = page.checked_sub(usize::from(back))?;
                        let start = offset / PAGE_SIZE as u64 - u64::from(back);
                        let block = Block {
                            start: start * PAGE_SIZE as u64,
                            len: u64::from(pages) * PAGE_SIZE as u64,
                            purpose: paged.purpose,
                            class: None,
                        };
                        let bit = u32::try_from(first).ok()? * UNITS_PER_PAGE;
                        Some(Found { block, cell: place, chunk, bit: Some(bit) })
                    }
                }
            }
            ChunkBlocks::Large { .. } | ChunkBlocks::Body(_) => {
                self.find_large(place, chunk, offset)
            }
        }
    }

    /// The large block in that chunk, if it has that byte.
    fn find_large(&self, cell: usize, chunk: usize, offset: u64) -> Option<Found> {
        let chunks = &self.cells.get(cell)?.chunks;
        let head = match chunks.get(chunk)? {
            ChunkBlocks::Body(back) => chunk.checked_sub(*back as usize)?,
            _ => chunk,
        };
        let ChunkBlocks::Large { first, pages, purpose, .. } = chunks.get(head)? else {
            return None;
        };
        let block = Block {
            start: first.offset() as u64,
            len: u64::from(*pages) * PAGE_SIZE as u64,
            purpose: *purpose,
            class: None,
        };
        let within = offset.checked_sub(block.start)? < block.len;
        within.then_some(Found { block, cell, chunk: head, bit: None })
    }

    /// All blocks in use that have not been reached, rising within a cell's slabs and runs.
    pub fn unreached(&self) -> impl Iterator<Item = Block> {
        self.cells.iter().flat_map(|cell| {
            let first = cell.first.first_chunk().0 + 1;
            (first..).zip(&cell.chunks).flat_map(|(chunk, blocks)| {
                let large = match blocks {
                    &ChunkBlocks::Large { first, pages, purpose, reached: false } => Some(Block {
                        start: first.offset() as u64,
                        len: u64::from(pages) * PAGE_SIZE as u64,
                        purpose,
                        class: None,
                    }),
                    _ => None,
                };
                let paged = match blocks {
                    ChunkBlocks::Paged(paged) => Some(paged),
                    _ => None,
                };
                let paged = paged.into_iter().flat_map(move |paged| paged.all(ChunkIndex(chunk)));
                large.into_iter().chain(paged)
            })
        })
    }
}

impl Paged {
    /// The slab's block at that offset, and its bit. The slab starts at the chunk's page `first`.
    fn slab_block(&self, offset: u64, class: u8, first: usize) -> Option<(Block, u32)> {
        let size = crate::heap::class_size(usize::from(class)) as u64;
        let slab = offset / CHUNK_SIZE as u64 * CHUNK_SIZE as u64 + (first * PAGE_SIZE) as u64;
        let number = (offset - slab) / size;
        let bit = u32::try_from(first).ok()? * UNITS_PER_PAGE + u32::try_from(number).ok()?;
        let start = slab + number * size;
        let block = Block { start, len: size, purpose: self.purpose, class: Some(class) };
        // What lies behind the last block has no bit.
        ((bit as usize) < MAP_WORDS * 64).then_some((block, bit))
    }

    /// All unreached blocks of the chunk.
    fn all(&self, chunk: ChunkIndex) -> impl Iterator<Item = Block> {
        let set = self.unreached.iter().enumerate().flat_map(|(word, &bits)| {
            (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| (word, bit))
        });
        set.filter_map(move |(word, bit)| {
            // A slab's bits lie at its first page's and those after it.
            let (page, mut unit) = (word / 4, word as u64 % 4 * 64 + bit);
            let (first, class) = match self.pages[page] {
                PageUse::Slab { class, back } => (page.checked_sub(usize::from(back))?, class),
                PageUse::Run { pages, back: 0 } => {
                    let start = (chunk.offset() + page * PAGE_SIZE) as u64;
                    let len = u64::from(pages) * PAGE_SIZE as u64;
                    return Some(Block { start, len, purpose: self.purpose, class: None });
                }
                _ => return None,
            };
            unit += ((page - first) as u64) * u64::from(UNITS_PER_PAGE);
            let len = crate::heap::class_size(usize::from(class)) as u64;
            let start = (chunk.offset() + first * PAGE_SIZE) as u64 + unit * len;
            Some(Block { start, len, purpose: self.purpose, class: Some(class) })
        })
    }
}
