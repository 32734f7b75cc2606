//! The trace: from the roots on, block by block, through all words.
//!
//! Blocks that were reached and not looked at yet wait by chunk, and a chunk's are looked at
//! together, by address: so that a file is read more or less in its order, and seldom twice.

use crate::base::{PAGE_SIZE, PageRun};
use crate::heap::RootRecord;
use crate::trace::blocks::{Found, Reach};
use crate::trace::cache::Cache;
use crate::trace::tables::read_roots;
use crate::trace::{Block, Blocks, Source, Tally};
use std::ops::Range;

/// What a trace is told of, and decides.
pub trait Visit {
    /// The block has been reached, from that root on.
    fn reached(&mut self, root: usize, block: &Block) {
        let _ = (root, block);
    }

    /// A reached block has, so many bytes from its start, a word that is no address of the arena;
    /// it may be 0.
    fn outside(&mut self, root: usize, block: &Block, offset: u64, word: u64) {
        let _ = (root, block, offset, word);
    }

    /// Something leads to the block that has been reached before.
    fn again(&mut self, root: usize, block: &Block) {
        let _ = (root, block);
    }

    /// A reached block has there an address of the arena at which no block in use lies.
    fn nowhere(&mut self, root: usize, block: &Block, offset: u64, word: u64) {
        let _ = (root, block, offset, word);
    }

    /// Asked now and then: whether the trace is to go on.
    fn goes_on(&mut self) -> bool {
        true
    }
}

/// A trace was ended by [`Visit::goes_on`] before it was done: nothing can be said of blocks that
/// it has not reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ended;

/// A snapshot's blocks, and the way to what its roots lead to.
#[derive(Debug)]
pub struct Trace<S> {
    source: S,
    arena: Range<u64>,
    pub(super) blocks: Blocks,
    roots: Vec<RootRecord>,
    all: Tally,
    cache: Cache,
    /// The words of a part of a block that may lead to blocks: where each is, and to which.
    words: Vec<(u64, Option<Found>, u64)>,
}

impl<S: Source> Trace<S> {
    /// Reads the tables of a snapshot that consists of these runs, made at these addresses.
    ///
    /// # Errors
    /// If a page cannot be had.
    pub fn read(
        mut source: S,
        arena: Range<u64>,
        runs: impl IntoIterator<Item = PageRun>,
    ) -> Result<Self, S::Error> {
        let blocks = Blocks::read(&mut source, runs)?;
        let roots = read_roots(&mut source)?;
        let mut all = Tally::default();
        blocks.unreached().for_each(|block| all.add(&block));
        let (cache, words) = (Cache::default(), Vec::new());
        Ok(Self { source, arena, blocks, roots, all, cache, words })
    }

    /// The blocks; those that no root leads to are left when [`Trace::run`] is done.
    #[must_use]
    pub fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// The same, when the rest is not needed any more.
    #[must_use]
    pub fn into_blocks(self) -> Blocks {
        self.blocks
    }

    /// All that there are.
    #[must_use]
    pub fn all(&self) -> Tally {
        self.all
    }

    /// Where the arena lay.
    #[must_use]
    pub fn arena(&self) -> &Range<u64> {
        &self.arena
    }

    /// The snapshot's roots.
    #[must_use]
    pub fn roots(&self) -> &[RootRecord] {
        &self.roots
    }

    /// Reaches all that the roots lead to, one root after the other.
    ///
    /// # Errors
    /// If a page cannot be had.
    pub fn run(&mut self, visit: &mut impl Visit) -> Result<Result<(), Ended>, S::Error> {
        for root in 0..self.roots.len() {
            for address in [self.roots[root].value, self.roots[root].schema] {
                self.start(root, address.wrapping_sub(self.arena.start), visit);
            }
            if let Err(ended) = self.follow(root, visit)? {
                return Ok(Err(ended));
            }
        }
        Ok(Ok(()))
    }

    /// Reaches the block at that offset, if there is one and nobody has been there. Gives whether.
    pub(super) fn start(&mut self, root: usize, offset: u64, visit: &mut impl Visit) -> bool {
        let found = self.blocks.find(offset);
        match found.map(|found| self.blocks.reach(&found, root)) {
            Some(Reach::First(block)) => {
                visit.reached(root, &block);
                true
            }
            Some(Reach::Again(_) | Reach::Nowhere) | None => false,
        }
    }

    /// Reaches all that the blocks lead to that wait.
    pub(super) fn follow(
        &mut self,
        root: usize,
        visit: &mut impl Visit,
    ) -> Result<Result<(), Ended>, S::Error> {
        let mut at = 0;
        // So each chunk gets many blocks together: what leads to it is mostly found before it
        // comes to its turn.
        while let Some((chunk, page)) = self.blocks.next_busy(at) {
            if !visit.goes_on() {
                return Ok(Err(Ended));
            }
            self.look_at_chunk(root, (chunk, page), visit)?;
            at = chunk + 1;
        }
        Ok(Ok(()))
    }

    /// Follows the words of all blocks of a chunk that wait, and of those there that these lead to.
    fn look_at_chunk(
        &mut self,
        root: usize,
        (chunk, mut page): (usize, usize),
        visit: &mut impl Visit,
    ) -> Result<(), S::Error> {
        while let Some(block) = self.blocks.take(chunk, &mut page) {
            let (mut at, end) = (block.start, block.start + block.len);
            while at < end {
                let stop = end.min((at / PAGE_SIZE as u64 + 1) * PAGE_SIZE as u64);
                self.look_at_part(root, &block, at..stop, visit)?;
                at = stop;
            }
        }
        Ok(())
    }

    /// Follows the words of a block that lie in one page.
    fn look_at_part(
        &mut self,
        root: usize,
        block: &Block,
        part: Range<u64>,
        visit: &mut impl Visit,
    ) -> Result<(), S::Error> {
        let bytes = self.cache.bytes(part.start, part.end, &mut self.source)?;
        for (offset, word) in (part.start - block.start..).step_by(8).zip(bytes.as_chunks().0) {
            let word = u64::from_le_bytes(*word);
            if self.arena.contains(&word) {
                self.words.push((offset, self.blocks.find(word - self.arena.start), word));
            } else {
                visit.outside(root, block, offset, word);
            }
        }
        for (offset, found, word) in self.words.drain(..) {
            match found.map(|found| self.blocks.reach(&found, root)) {
                Some(Reach::First(to)) => visit.reached(root, &to),
                Some(Reach::Again(to)) => visit.again(root, &to),
                Some(Reach::Nowhere) | None => visit.nowhere(root, block, offset, word),
            }
        }
        Ok(())
    }

    /// The bytes at an address, as far as there are any in the block that has it.
    ///
    /// # Errors
    /// If a page cannot be had.
    pub fn bytes(&mut self, address: u64, len: u64) -> Result<Vec<u8>, S::Error> {
        let mut at = address.wrapping_sub(self.arena.start);
        let end = self.blocks.at(at).map_or(at, |block| block.start + block.len);
        let end = end.min(at.saturating_add(len));
        let mut bytes = Vec::new();
        while at < end {
            let stop = end.min((at / PAGE_SIZE as u64 + 1) * PAGE_SIZE as u64);
            bytes.extend_from_slice(self.cache.bytes(at, stop, &mut self.source)?);
            at = stop;
        }
        Ok(bytes)
    }
}
