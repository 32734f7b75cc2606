//! Tags: for each page of a slab, in one word, which slab it is a part of, and whose that is.
//!
//! ```text
//! bits 0..7   pages back to the slab's first
//! bit  7      0
//! bits 8..16  class << 1 | scoped
//! bits 16..32 the lane that owns the slab; 0: the heap
//! ```
//! All pages of a slab have the same but for the first field. Only the slab's owner changes them,
//! and who makes it one's own or the heap's, under the heap's lock. A page in no slab has 0.

use crate::arena::Arena;
use crate::base::PageIndex;
use crate::base::sync::Ordering::{Acquire, Relaxed, Release};
use crate::heap::classes::class_of_kind;

/// A page's tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Tag(pub(super) u32);

impl Tag {
    /// Of the first page of a slab of that kind.
    pub(super) fn new(kind: usize, lane: u32) -> Self {
        Self(u32::try_from(kind).unwrap_or(0) << 8 | lane << 16)
    }

    /// Of a page, which may be any of the arena's. Who sees it sees the maps as they were when it
    /// was written: another thread may have entered the block's cell.
    #[inline]
    pub(super) fn of(arena: &Arena, page: PageIndex) -> Self {
        Self(arena.tag(page).tag.load(Acquire))
    }

    /// Pages back to the slab's first.
    #[inline]
    pub(super) fn back(self) -> u32 {
        self.0 & 0x7f
    }

    /// Class and whether scoped.
    #[inline]
    pub(super) fn kind(self) -> usize {
        (self.0 >> 8 & 0xff) as usize
    }

    /// The lane that owns the slab; 0: the heap.
    #[inline]
    pub(super) fn lane(self) -> u32 {
        self.0 >> 16
    }

    /// The same slab, another lane's.
    pub(super) fn with_lane(self, lane: u32) -> Self {
        Self(self.0 & 0xffff | lane << 16)
    }

    /// Writes the tags of all pages of the slab whose first page's this is.
    pub(super) fn write(self, arena: &Arena, first: PageIndex) {
        let class = class_of_kind(self.kind());
        for back in 0..class.pages {
            let entry = arena.tag(PageIndex(first.0 + back));
            entry.reciprocal.store(class.reciprocal, Relaxed);
            entry.shape.store(class.size | class.blocks << 16, Relaxed);
            entry.tag.store(self.0 | back, Release);
        }
    }

    /// Clears the tags of all pages of that slab.
    pub(super) fn clear(self, arena: &Arena, first: PageIndex) {
        for back in 0..class_of_kind(self.kind()).pages {
            arena.tag(PageIndex(first.0 + back)).tag.store(0, Relaxed);
        }
    }
}
