//! Freeing a block.
#![allow(unsafe_code, reason = "works on the calling thread's half of its lane")]

use crate::base::PageIndex;
use crate::heap::Heap;
use crate::heap::allocate::Located;
use crate::heap::classes::class_of_kind;
use crate::heap::facade::Shared;
use crate::heap::lane::{Lane, Local};
use crate::heap::maps::Maps;
use crate::heap::tag::Tag;

/// Why an address cannot be freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadFree {
    /// It does not lie in the arena.
    #[error("the address does not lie in the heap")]
    Foreign,
    /// No block starts there.
    #[error("no block starts at the address")]
    NoBlock,
    /// The block there is free already.
    #[error("the block is free already: a double free")]
    Free,
}

impl Heap {
    /// Frees the block that starts at `address`. Whichever thread allocated it, any may.
    ///
    /// # Errors
    /// See [`BadFree`]; nothing has changed then.
    ///
    /// # Safety
    /// The calling thread holds the lane, and is behind the gate; nothing refers to the block any
    /// more.
    pub unsafe fn free(&self, lane: &Lane, address: usize) -> Result<(), BadFree> {
        // SAFETY: passed on from the caller.
        if unsafe { lane.free_at_hand(address) } {
            return Ok(());
        }
        match self.locate(address)? {
            Located::Slab { first, block, .. } => {
                // SAFETY: says the caller; the reference ends with this call.
                let local = unsafe { lane.local() };
                self.free_in_slab(lane, local, first, block)
            }
            Located::Run { first, pages } => self.free_run(first, pages),
            Located::Large { first, .. } => self.free_large(first),
        }
    }

    /// Frees a block of another lane's slab. As [`Lane::free_at_hand`], this writes to no table,
    /// and needs no gate. `false`: nothing was done; ask [`Heap::free`].
    ///
    /// # Safety
    /// The calling thread holds the lane; nothing refers to the block any more.
    pub unsafe fn free_of_other_lane(&self, lane: &Lane, address: usize) -> bool {
        let Some(page) = self.arena.page_of(address) else { return false };
        let tag = Tag::of(&self.arena, page);
        if tag.lane() == 0 || tag.lane() == lane.id {
            return false;
        }
        let first = PageIndex(page.0 - tag.back());
        let offset = address - self.arena.address(first);
        let Some(block) = class_of_kind(tag.kind()).block_at(offset) else { return false };
        self.free_remotely(first, block, tag.kind())
    }

    /// `false`: the block is free already.
    fn free_remotely(&self, first: PageIndex, block: usize, kind: usize) -> bool {
        let freed = Maps::of(&self.arena, first, kind).free_remotely(block);
        if freed {
            // Whose it is now: it may have been handed over since, and it does not matter when.
            let owner = Tag::of(&self.arena, first).lane();
            self.ripe_list(owner).raise(first, &self.ripe_link(first));
        }
        freed
    }

    fn free_in_slab(
        &self,
        lane: &Lane,
        local: &mut Local,
        first: PageIndex,
        block: usize,
    ) -> Result<(), BadFree> {
        let tag = Tag::of(&self.arena, first);
        if tag.lane() == lane.id {
            return self.free_own(local, first, block);
        }
        if tag.lane() == 0 {
            let mut shared = self.lock();
            // A slab of the heap's stays that as long as its lock is held.
            if Tag::of(&self.arena, first).lane() == 0 {
                return self.free_unowned(&mut shared, lane, local, first, block);
            }
        }
        if self.free_remotely(first, block, tag.kind()) { Ok(()) } else { Err(BadFree::Free) }
    }

    /// A block of one of the lane's slabs that is to be looked at; or one that cannot be freed.
    fn free_own(&self, local: &mut Local, first: PageIndex, block: usize) -> Result<(), BadFree> {
        let tag = Tag::of(&self.arena, first);
        let maps = Maps::of(&self.arena, first, tag.kind());
        if !maps.is_taken(block) {
            return Err(BadFree::Free);
        }
        maps.give(block);
        self.place_again(local, first);
        Ok(())
    }

    /// A block of a slab that belongs to no lane. The lane takes the slab, since it may be the one
    /// that has the others of its blocks, too.
    fn free_unowned(
        &self,
        shared: &mut Shared,
        lane: &Lane,
        local: &mut Local,
        first: PageIndex,
        block: usize,
    ) -> Result<(), BadFree> {
        let tag = Tag::of(&self.arena, first);
        let maps = Maps::of(&self.arena, first, tag.kind());
        let used = maps.merge();
        if !maps.is_taken(block) {
            return Err(BadFree::Free);
        }
        maps.give(block);
        shared.lists.remove(&self.arena, first);
        let used = used - 1;
        if used == 0 || !shared.space.serves(&self.arena, first) {
            self.enter_list(shared, first);
        } else {
            tag.with_lane(lane.id).write(&self.arena, first);
            self.file(local, first, tag.kind(), used);
        }
        Ok(())
    }

    /// Whether a block in use starts at `address`.
    #[must_use]
    pub fn is_live_block(&self, address: usize) -> bool {
        match self.locate(address) {
            Ok(Located::Slab { first, block, .. }) => {
                let tag = Tag::of(&self.arena, first);
                let maps = Maps::of(&self.arena, first, tag.kind());
                maps.is_taken(block)
            }
            Ok(Located::Run { .. } | Located::Large { .. }) => true,
            Err(_) => false,
        }
    }
}
