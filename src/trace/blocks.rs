//! The blocks in use that a snapshot has, by address, and how far the trace has come with each.
//!
//! A block's state is two bits, which lie beside those of the blocks around it: a walk through
//! memory in any order touches few cache lines for it.

use crate::arena::{BLOCK_MIN, Purpose};
use crate::base::{
    CELL_SIZE, CHUNK_SIZE, CHUNKS_PER_CELL, CellIndex, ChunkIndex, PAGE_SIZE, PAGES_PER_CHUNK,
    PageIndex,
};
use crate::heap::{CLASSES, class_pages, class_size};
use crate::trace::Tally;
use std::collections::BTreeMap;

pub(super) const PAGES: usize = PAGES_PER_CHUNK as usize;
const CHUNKS: usize = CHUNKS_PER_CELL as usize;
/// Groups of a chunk, if all of its blocks are as small as can be.
pub(super) const GROUPS_MAX: usize = CHUNK_SIZE / BLOCK_MIN / 64;

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

/// What an address leads to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Reach {
    /// To a block that had not been reached.
    First(Block),
    /// To one that has been.
    Again(Block),
    /// To no block in use.
    Nowhere,
}

/// The blocks of a snapshot.
#[derive(Debug)]
pub struct Blocks {
    /// Cells, or the first of spans, rising; and how many cells each has.
    pub(super) cells: Vec<(CellIndex, u32)>,
    /// For each cell of the arena up to the last one in use, its (or its span's) place, plus one.
    pub(super) places: Vec<u32>,
    /// What the chunks of the cells hold, 32 for each cell or span.
    pub(super) chunks: Vec<ChunkBlocks>,
    /// What their pages belong to, 512 for each chunk that has slabs or runs.
    pub(super) pages: Vec<PageUse>,
    pub(super) groups: Vec<Group>,
    /// Of some groups the blocks that lanes had at hand: nobody knows whether they were in use.
    pub(super) at_hand: Vec<(usize, u64)>,
    /// How many blocks wait that start in each of `chunks`.
    waiting: Vec<u32>,
    /// Those where any do, and the first page of a slab or run with one.
    busy: BTreeMap<usize, usize>,
    /// For each possible block the root from which it was reached; empty, if nobody wants to know.
    owners: Vec<u8>,
    classes: [Class; CLASSES],
}

/// What a chunk holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum ChunkBlocks {
    None,
    /// Slabs and runs: where its pages and its groups begin.
    Paged {
        purpose: Purpose,
        pages: u32,
        groups: u32,
    },
    /// A large block starts here. Its first page is counted from the arena's base.
    Large {
        purpose: Purpose,
        first: PageIndex,
        pages: u32,
        group: u32,
    },
    /// The large block that fills this chunk starts so many chunks before.
    Body(u32),
}

/// What a page of a paged chunk belongs to. Groups are counted from the chunk's first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PageUse {
    None,
    Slab {
        class: u8,
        back: u16,
        group: u16,
    },
    /// A run of `pages`, that starts `back` pages before.
    Run {
        pages: u16,
        back: u16,
        group: u16,
    },
    /// The end of a large block.
    Tail,
}

/// The states of 64 neighbours of a slab, or of one run or large block. A block that is not in use
/// has neither bit.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Group {
    /// Not looked at yet.
    pub(super) left: u64,
    /// Reached: it waits, or has been looked at.
    pub(super) reached: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Class {
    size: u32,
    pub(super) pages: u32,
    pub(super) blocks: u32,
}

/// A block, the chunk in which it starts, and where its state is.
#[derive(Debug)]
pub(super) struct Found {
    block: Block,
    chunk: usize,
    /// The first page of its slab or run, in its chunk.
    page: usize,
    group: usize,
    bit: u64,
}

impl Found {
    /// The block's number among all that there could be.
    fn number(&self) -> usize {
        self.group * 64 + self.bit.trailing_zeros() as usize
    }
}

impl Default for Blocks {
    fn default() -> Self {
        let classes = std::array::from_fn(|class| {
            let (size, pages) = (class_size(class), class_pages(class));
            let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
            Class {
                size: small(size),
                pages: small(pages),
                blocks: small(pages * PAGE_SIZE / size),
            }
        });
        Self {
            cells: Vec::new(),
            places: Vec::new(),
            chunks: Vec::new(),
            pages: Vec::new(),
            groups: Vec::new(),
            at_hand: Vec::new(),
            waiting: Vec::new(),
            busy: BTreeMap::new(),
            owners: Vec::new(),
            classes,
        }
    }
}

impl Blocks {
    pub(super) fn class(&self, class: u8) -> Class {
        self.classes[usize::from(class)]
    }

    /// The block in use that has the byte so far from the arena's base.
    #[must_use]
    pub fn at(&self, offset: u64) -> Option<Block> {
        let found = self.find(offset)?;
        let group = &self.groups[found.group];
        ((group.left | group.reached) & found.bit != 0).then_some(found.block)
    }

    /// Reaches a block that was found, from that root on; if it had not been reached, it waits from
    /// now on.
    pub(super) fn reach(&mut self, found: &Found, root: usize) -> Reach {
        let group = &mut self.groups[found.group];
        if group.reached & found.bit != 0 {
            return Reach::Again(found.block);
        }
        if group.left & found.bit == 0 {
            return Reach::Nowhere;
        }
        group.reached |= found.bit;
        if let Some(owner) = self.owners.get_mut(found.number()) {
            *owner = u8::try_from(root).unwrap_or(u8::MAX);
        }
        if self.waiting.len() < self.chunks.len() {
            self.waiting.resize(self.chunks.len(), 0);
        }
        self.waiting[found.chunk] += 1;
        if self.waiting[found.chunk] == 1 {
            self.busy.insert(found.chunk, found.page);
        }
        Reach::First(found.block)
    }

    /// The next of `chunks` where blocks wait, from `at` on; after the last one the first. And a
    /// page to begin with.
    pub(super) fn next_busy(&self, at: usize) -> Option<(usize, usize)> {
        let next = self.busy.range(at..).next().or_else(|| self.busy.first_key_value());
        next.map(|(&chunk, &page)| (chunk, page))
    }

    /// A block that waits in one of `chunks`, from its page `at` on, and then from the first: it
    /// waits no more.
    pub(super) fn take(&mut self, chunk: usize, at: &mut usize) -> Option<Block> {
        let waiting = self.waiting.get(chunk).copied().unwrap_or(0);
        if waiting == 0 {
            self.busy.remove(&chunk);
            return None;
        }
        self.waiting[chunk] = waiting - 1;
        if let ChunkBlocks::Large { group, .. } = self.chunks[chunk] {
            self.groups[group as usize].left = 0;
            return self.large(chunk);
        }
        loop {
            let (head, count) = self.head(chunk, *at);
            if let Some((first, groups)) = head {
                for (number, group) in self.groups[first..first + groups].iter_mut().enumerate() {
                    let waiting = group.left & group.reached;
                    if waiting != 0 {
                        group.left &= !(1 << waiting.trailing_zeros());
                        let number = number * 64 + waiting.trailing_zeros() as usize;
                        return self.starting_at(chunk, *at, number);
                    }
                }
            }
            *at = if *at + count < PAGES { *at + count } else { 0 };
        }
    }

    /// The groups of the slab or run that starts at that page of a chunk, the first and how many;
    /// and after how many pages to go on.
    fn head(&self, chunk: usize, page: usize) -> (Option<(usize, usize)>, usize) {
        let ChunkBlocks::Paged { pages, groups, .. } = self.chunks[chunk] else {
            return (None, PAGES);
        };
        match self.pages[pages as usize + page] {
            PageUse::Slab { class, back: 0, group } => {
                let class = self.class(class);
                let found = (groups as usize + usize::from(group), class.blocks.div_ceil(64));
                (Some((found.0, found.1 as usize)), class.pages as usize)
            }
            PageUse::Run { pages, back: 0, group } => {
                (Some((groups as usize + usize::from(group), 1)), usize::from(pages))
            }
            _ => (None, 1),
        }
    }

    /// Block `number` of the slab, or the run, that starts at that page.
    fn starting_at(&self, chunk: usize, page: usize, number: usize) -> Option<Block> {
        let ChunkBlocks::Paged { purpose, pages, .. } = self.chunks[chunk] else { return None };
        let first = self.offset_of(chunk) + (page * PAGE_SIZE) as u64;
        match self.pages[pages as usize + page] {
            PageUse::Slab { class, .. } => {
                let len = u64::from(self.class(class).size);
                Some(Block { start: first + number as u64 * len, len, purpose, class: Some(class) })
            }
            PageUse::Run { pages, .. } => {
                let len = u64::from(pages) * PAGE_SIZE as u64;
                Some(Block { start: first, len, purpose, class: None })
            }
            PageUse::None | PageUse::Tail => None,
        }
    }

    /// Where one of `chunks` lies.
    fn offset_of(&self, chunk: usize) -> u64 {
        let (first, _) = self.cells[chunk / CHUNKS];
        let place = u32::try_from(chunk % CHUNKS).unwrap_or(0);
        ChunkIndex(first.first_chunk().0 + place).offset() as u64
    }

    /// The block that would have the byte so far from the arena's base, in use or not. Its state is
    /// not looked at: the processor can find many at a time, as none waits for another's memory.
    pub(super) fn find(&self, offset: u64) -> Option<Found> {
        let cell = usize::try_from(offset / CELL_SIZE as u64).ok()?;
        let place = self.places.get(cell)?.checked_sub(1)? as usize;
        let chunk = match self.cells[place] {
            (_, 1) => usize::try_from(offset / CHUNK_SIZE as u64 % CHUNKS as u64).ok()?,
            // A span holds one block, that starts in its second chunk or later.
            _ => 1,
        };
        let chunk = place * CHUNKS + chunk;
        let ChunkBlocks::Paged { purpose, pages, groups } = self.chunks[chunk] else {
            return self.find_large(chunk, offset);
        };
        let page = usize::try_from(offset / PAGE_SIZE as u64 % PAGES as u64).ok()?;
        let first = |back: u16| (offset / PAGE_SIZE as u64 - u64::from(back)) * PAGE_SIZE as u64;
        match self.pages[pages as usize + page] {
            PageUse::None => None,
            PageUse::Tail => self.find_large(chunk.checked_sub(1)?, offset),
            PageUse::Slab { class: number, back, group } => {
                let class = self.class(number);
                let block = u32::try_from(offset - first(back)).ok()? / class.size;
                // Behind the last block there may be some bytes.
                (block < class.blocks).then(|| Found {
                    block: Block {
                        start: first(back) + u64::from(block) * u64::from(class.size),
                        len: class.size.into(),
                        purpose,
                        class: Some(number),
                    },
                    chunk,
                    page: page.saturating_sub(usize::from(back)),
                    group: groups as usize + usize::from(group) + (block / 64) as usize,
                    bit: 1 << (block % 64),
                })
            }
            PageUse::Run { pages, back, group } => {
                let len = u64::from(pages) * PAGE_SIZE as u64;
                let block = Block { start: first(back), len, purpose, class: None };
                let page = page.saturating_sub(usize::from(back));
                let group = groups as usize + usize::from(group);
                Some(Found { block, chunk, page, group, bit: 1 })
            }
        }
    }

    /// The large block in that chunk, if it has that byte.
    #[cold]
    fn find_large(&self, chunk: usize, offset: u64) -> Option<Found> {
        let chunk = match self.chunks[chunk] {
            ChunkBlocks::Body(back) => chunk.checked_sub(back as usize)?,
            _ => chunk,
        };
        let ChunkBlocks::Large { group, .. } = self.chunks[chunk] else { return None };
        let block = self.large(chunk)?;
        let within = offset.checked_sub(block.start)? < block.len;
        within.then_some(Found { block, chunk, page: 0, group: group as usize, bit: 1 })
    }

    /// The large block that starts in that chunk.
    fn large(&self, chunk: usize) -> Option<Block> {
        let ChunkBlocks::Large { purpose, first, pages, .. } = self.chunks[chunk] else {
            return None;
        };
        let (start, len) = (first.offset() as u64, u64::from(pages) * PAGE_SIZE as u64);
        Some(Block { start, len, purpose, class: None })
    }

    /// All blocks in use that have not been reached, rising within a cell's slabs and runs.
    pub fn unreached(&self) -> impl Iterator<Item = Block> {
        (0..self.chunks.len()).flat_map(|chunk| self.in_chunk(chunk, |_, group| group.unreached()))
    }

    /// What lanes had at hand and was not reached counts as free from now on: it is taken out of
    /// that sum.
    pub(super) fn forget_at_hand(&mut self, sum: &mut Tally) {
        let at_hand: BTreeMap<usize, u64> = self.at_hand.drain(..).collect();
        let bits = |group, state: &Group| {
            at_hand.get(&group).map_or(0, |at_hand| at_hand & state.unreached())
        };
        if !at_hand.is_empty() {
            let blocks = (0..self.chunks.len()).flat_map(|chunk| self.in_chunk(chunk, bits));
            blocks.for_each(|block| sum.subtract(&block));
        }
        for (&group, &at_hand) in &at_hand {
            let state = &mut self.groups[group];
            state.left &= !at_hand | state.reached;
        }
    }

    /// The block there, which was not reached, counts as free from now on.
    pub(super) fn forget(&mut self, offset: u64) {
        if let Some(found) = self.find(offset) {
            self.groups[found.group].left &= !found.bit;
        }
    }

    /// The blocks that start in one of `chunks`, rising, of which `bits` gives the bits for each
    /// number of a group.
    pub(super) fn in_chunk(
        &self,
        chunk: usize,
        bits: impl Fn(usize, &Group) -> u64 + Copy,
    ) -> impl Iterator<Item = Block> {
        let large = match self.chunks[chunk] {
            ChunkBlocks::Large { group, .. } => Some(group as usize),
            _ => None,
        };
        let large = large.filter(|&group| bits(group, &self.groups[group]) != 0);
        let pages = match self.chunks[chunk] {
            ChunkBlocks::Paged { .. } => 0..PAGES,
            _ => 0..0,
        };
        let paged = pages.flat_map(move |page| {
            let (first, groups) = self.head(chunk, page).0.unwrap_or_default();
            (0..groups).flat_map(move |number| {
                let bits = bits(first + number, &self.groups[first + number]);
                let set = (0..64).filter(move |bit| bits >> bit & 1 == 1);
                set.filter_map(move |bit| self.starting_at(chunk, page, number * 64 + bit))
            })
        });
        large.and_then(|_| self.large(chunk)).into_iter().chain(paged)
    }

    /// From now on it is kept from which root a block was reached.
    pub(super) fn keep_owners(&mut self) {
        self.owners = vec![0; self.groups.len() * 64];
    }

    /// The root from which the block there was reached (the first, if that is not kept), unless its
    /// bit is set in that list, which has a word for each group.
    pub(super) fn owner_but(&self, bits: &[u64], offset: u64) -> Option<usize> {
        let found = self.find(offset)?;
        let is_reached = self.groups[found.group].reached & !bits[found.group] & found.bit != 0;
        is_reached.then(|| self.owners.get(found.number()).copied().unwrap_or(0).into())
    }

    /// Sets the bit of the block there in a list with a word for each group.
    pub(super) fn mark(&self, bits: &mut [u64], offset: u64) {
        if let Some(found) = self.find(offset) {
            bits[found.group] |= found.bit;
        }
    }
}

impl Group {
    pub(super) fn unreached(&self) -> u64 {
        self.left & !self.reached
    }
}
