//! Freeing a block.
#![allow(unsafe_code, reason = "works on the calling thread's half of its lane")]

use crate::base::PageIndex;
use crate::base::sync::Ordering::Relaxed;
use crate::heap::Heap;
use crate::heap::allocate::Located;
use crate::heap::facade::Shared;
use crate::heap::lane::{Lane, Local};
use crate::heap::lists::ListName;
use crate::heap::slab::Maps;
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

    fn free_in_slab(
        &self,
        lane: &Lane,
        local: &mut Local,
        first: PageIndex,
        block: u32,
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
        if !Maps::of(&self.arena, first, tag.kind()).free_remotely(block) {
            return Err(BadFree::Free);
        }
        let owner = Tag::of(&self.arena, first).lane();
        self.ripe_list(owner).raise(first, &self.ripe_link(first));
        Ok(())
    }

    /// A block of one of the lane's slabs that has no block free, or no other in use; or one that
    /// cannot be freed.
    fn free_own(&self, local: &mut Local, first: PageIndex, block: u32) -> Result<(), BadFree> {
        let tag = Tag::of(&self.arena, first);
        let maps = Maps::of(&self.arena, first, tag.kind());
        let (word, bit) = (&maps.taken[(block / 64) as usize], 1 << (block % 64));
        if !maps.is_taken(block) {
            return Err(BadFree::Free);
        }
        word.store(word.load(Relaxed) & !bit, Relaxed);
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
        block: u32,
    ) -> Result<(), BadFree> {
        let tag = Tag::of(&self.arena, first);
        let maps = Maps::of(&self.arena, first, tag.kind());
        maps.merge();
        if !maps.is_taken(block) {
            return Err(BadFree::Free);
        }
        let word = &maps.taken[(block / 64) as usize];
        word.store(word.load(Relaxed) & !(1 << (block % 64)), Relaxed);
        shared.lists.remove(&self.arena, first);
        if maps.is_unused() || !shared.space.serves(&self.arena, first) {
            self.enter_list(shared, first);
        } else {
            tag.with_lane(lane.id).write(&self.arena, first);
            local.lists.push(&self.arena, ListName::Partial, first);
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
