//! Which blocks of a slab are in use: the two maps outside the arena, and the rules of their words.
//!
//! Only the slab's owner writes the *taken* map; of the *remote* map others set bits, and the owner
//! takes them out.

use crate::arena::{Arena, MapWords};
use crate::base::sync::AtomicU64;
use crate::base::sync::Ordering::Relaxed;
use crate::base::{self, PageIndex};
use crate::heap::classes::{Class, class_of_kind};
use crate::os;
use std::ops::Range;

/// Words are claimed until so many blocks of theirs are free.
const CLAIMED_MIN: u32 = 48;

/// A slab's maps outside the arena.
#[derive(Clone, Copy)]
pub(super) struct Maps<'a> {
    words: &'a [MapWords],
    pub(super) class: &'static Class,
}

impl<'a> Maps<'a> {
    /// Of a slab of that kind.
    pub(super) fn of(arena: &'a Arena, page: PageIndex, kind: usize) -> Self {
        let class = class_of_kind(kind);
        Self { words: arena.map_words(page, word_count(class)), class }
    }

    /// The same with these words, which are as many as the class needs.
    #[cfg(test)]
    pub(super) fn over(words: &'a [MapWords], kind: usize) -> Self {
        Self { words, class: class_of_kind(kind) }
    }

    /// A word of the taken map.
    pub(super) fn taken(&self, word: usize) -> &'a AtomicU64 {
        &self.words[word].taken
    }

    /// A pointer to a word of both maps, from which the slab's other words can be reached.
    pub(super) fn pointer(&self, word: usize) -> *const MapWords {
        self.words.as_ptr().wrapping_add(word)
    }

    /// A word of the remote map.
    pub(super) fn remote(&self, word: usize) -> &'a AtomicU64 {
        &self.words[word].remote
    }

    fn words(&self) -> Range<usize> {
        0..word_count(self.class)
    }

    /// Merges all words. Gives how many blocks are in use. The caller owns the slab.
    pub(super) fn merge(&self) -> u32 {
        let taken = self.words().map(|word| ones(merge(self.taken(word), self.remote(word))));
        taken.sum::<u32>() - padding_bits(self.class)
    }

    /// Merges the words from that one on up to those that have blocks to take: a few that have some
    /// dozen together. Gives these. The caller owns the slab.
    pub(super) fn next_free(&self, from: usize) -> Option<Range<usize>> {
        let mut words = (from..self.words().end)
            .map(|word| (word, merge(self.taken(word), self.remote(word)).count_zeros()));
        let (first, mut free) = words.find(|&(_, free)| free > 0)?;
        let mut end = first + 1;
        while free < CLAIMED_MIN {
            let Some((word, more)) = words.next() else { break };
            if more > 0 {
                free += more;
                end = word + 1;
            }
        }
        Some(first..end)
    }

    /// The blocks of a word that are free. Those that others have freed are, before they have been
    /// merged.
    pub(super) fn free(&self, word: usize) -> u64 {
        let freed = self.remote(word).load(Relaxed);
        !self.taken(word).load(Relaxed) | freed
    }

    /// Whether a block is in use.
    pub(super) fn is_taken(&self, block: usize) -> bool {
        let (word, bit) = (block / 64, 1 << (block % 64));
        self.taken(word).load(Relaxed) & !self.remote(word).load(Relaxed) & bit != 0
    }

    /// Frees a block in use. The caller owns the slab.
    pub(super) fn give(&self, block: usize) {
        let (word, bit) = (self.taken(block / 64), 1 << (block % 64));
        word.store(word.load(Relaxed) & !bit, Relaxed);
    }

    /// Marks a block as freed by a thread that does not own the slab. `false`: it is free already.
    pub(super) fn free_remotely(&self, block: usize) -> bool {
        let (word, bit) = (block / 64, 1 << (block % 64));
        base::free_remotely(self.taken(word), self.remote(word), bit)
    }

    /// Blocks in use, without those that were freed by others and not merged yet.
    pub(super) fn count(&self) -> u32 {
        let in_use = |word| self.taken(word).load(Relaxed) & !self.remote(word).load(Relaxed);
        self.words().map(|word| ones(in_use(word))).sum::<u32>() - padding_bits(self.class)
    }
}

/// Takes what other threads freed into a word of the taken map, and gives that. The caller owns the
/// slab.
#[inline]
pub(super) fn merge(taken: &AtomicU64, remote: &AtomicU64) -> u64 {
    base::merge(taken, remote).unwrap_or_else(|base::FreedTwice| {
        os::fatal(&["stillheap: a block was freed twice, by two threads\n"])
    })
}

/// The bits of the last word that stand for no block. In the live and taken maps they are set.
pub(super) fn padding(class: &Class) -> u64 {
    match class.blocks % 64 {
        0 => 0,
        rest => u64::MAX << rest,
    }
}

fn padding_bits(class: &Class) -> u32 {
    class.blocks.next_multiple_of(64) - class.blocks
}

/// Counts the bits that are set. In most words all are, and counting takes a dozen instructions
/// where the target has none for it.
pub(super) fn ones(word: u64) -> u32 {
    if word == u64::MAX { 64 } else { word.count_ones() }
}

#[inline]
pub(super) fn word_count(class: &Class) -> usize {
    class.blocks.div_ceil(64) as usize
}
