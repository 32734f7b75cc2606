//! The blocks that a lane hands out next: claimed words of a slab's taken map.
#![allow(unsafe_code, reason = "reaches words of maps by pointers")]

use crate::arena::MapWords;
use crate::base;
use crate::base::sync::AtomicU64;
use crate::base::sync::Ordering::Relaxed;
use crate::heap::maps::{self, Maps};
use std::cell::Cell;
use std::ops::Range;

/// Where a lane takes its next block of a kind from. Its thread alone changes this.
///
/// Which blocks are free is noted beside the map, too, and looked up there only when all of these
/// have been taken: else who allocates would wait for what it has freed just before, which is known
/// only when that address has been looked up.
#[repr(C)]
pub(super) struct Active {
    /// Blocks of the word that are free; others may be, too.
    free: Cell<u64>,
    /// The word of the maps. One without a free block if none is claimed; null in a lane that is
    /// being made.
    word: Cell<*const MapWords>,
    /// The address of the block of its bit 0.
    first: Cell<usize>,
    /// The last word that is claimed.
    last: Cell<*const MapWords>,
    /// So many blocks have to be free for the lane to stay with a word.
    enough: Cell<u32>,
    /// Bytes of a block.
    size: Cell<u32>,
}

/// Has no free block.
static NO_WORD: MapWords = MapWords { taken: AtomicU64::new(u64::MAX), remote: AtomicU64::new(0) };

impl Active {
    /// From now on blocks of these words of a slab's taken map, the first block of which lies at
    /// `first`.
    pub(super) fn set(&self, maps: &Maps<'_>, words: Range<usize>, first: usize) {
        let class = maps.class;
        self.free.set(!maps.taken(words.start).load(Relaxed));
        self.word.set(maps.pointer(words.start));
        self.last.set(maps.pointer(words.end - 1));
        self.first.set(first);
        self.size.set(class.size);
        self.enough.set(class.enough().min(8));
    }

    /// Nothing any more.
    pub(super) fn clear(&self) {
        self.free.set(0);
        self.word.set(&raw const NO_WORD);
        self.last.set(&raw const NO_WORD);
        self.enough.set(1);
    }

    /// Takes the first of the blocks that are known to be free.
    #[inline]
    pub(super) fn take(&self) -> Option<usize> {
        let free = self.free.get();
        if free == 0 {
            return None;
        }
        self.free.set(free & (free - 1));
        // SAFETY: a word of a slab that this lane owns, mapped as long as the heap.
        let word = unsafe { &*self.word.get() };
        base::take(&word.taken, free & free.wrapping_neg());
        Some(self.first.get() + free.trailing_zeros() as usize * self.size.get() as usize)
    }

    /// Takes a block of the word, or of the next ones, after looking what is free there.
    #[cold]
    #[inline(never)]
    pub(super) fn take_further(&self) -> Option<usize> {
        let mut enough = self.enough.get();
        loop {
            let word = self.word.get();
            // SAFETY: a static word, or one of the slab's, up to the last that is claimed.
            let MapWords { taken, remote } = unsafe { &*word };
            let free = !maps::merge(taken, remote);
            if maps::ones(free) >= enough {
                self.free.set(free);
                return self.take();
            }
            if word == self.last.get() {
                return None;
            }
            self.word.set(word.wrapping_add(1));
            self.first.set(self.first.get() + 64 * self.size.get() as usize);
            enough = 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::classes::class_for;
    use crate::heap::classes::kind_number;

    /// All blocks of a slab's claimed words, those that others free meanwhile included, and none of
    /// other words.
    #[test]
    fn claimed_words_are_used_up() {
        let kind = kind_number(class_for(16, 8).unwrap(), false);
        let word = |_| MapWords { taken: Default::default(), remote: Default::default() };
        let words: [MapWords; 16] = std::array::from_fn(word);
        let maps = Maps::over(&words, kind);
        let active: Active = Active {
            free: Cell::new(0),
            word: Cell::new(std::ptr::null()),
            first: Cell::new(0),
            last: Cell::new(std::ptr::null()),
            enough: Cell::new(0),
            size: Cell::new(0),
        };
        active.clear();
        assert_eq!((active.take(), active.take_further()), (None, None));
        // Words 2 to 5 of 16; of one 10 blocks are free.
        maps.taken(3).store(!0x3ff, Relaxed);
        active.set(&maps, 2..6, 0x1000);
        let take = || active.take().or_else(|| active.take_further());
        for number in 0..64 {
            assert_eq!(take(), Some(0x1000 + number * 16));
        }
        // What the owner frees of the word is taken again, if it is worth it.
        maps.taken(2).store(!0xff, Relaxed);
        assert_eq!(take(), Some(0x1000));
        (1..8).for_each(|number| assert_eq!(take(), Some(0x1000 + number * 16)));
        maps.taken(2).store(!0x7f, Relaxed);
        maps.taken(4).store(u64::MAX, Relaxed);
        assert!(maps.free_remotely(4 * 64 + 5));
        for number in (64..74).chain([128 + 5]).chain(192..256) {
            assert_eq!(take(), Some(0x1000 + number * 16));
        }
        assert_eq!((take(), take()), (None, None));
        assert_eq!((maps.taken(1).load(Relaxed), maps.taken(6).load(Relaxed)), (0, 0));
    }
}
