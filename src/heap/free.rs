//! Freeing a block.
#![allow(unsafe_code, reason = "works on the calling thread's half of its lane")]

use crate::arena::Slot;
use crate::base::PageIndex;
use crate::base::sync::Ordering::Relaxed;
use crate::heap::Heap;
use crate::heap::allocate::Located;
use crate::heap::lane::Lane;
use crate::heap::lists::{ListName, kind_of};
use crate::heap::slab;

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
    /// The calling thread holds the lane; nothing refers to the block any more.
    #[inline]
    pub unsafe fn free(&self, lane: &Lane, address: usize) -> Result<(), BadFree> {
        match self.locate(address)? {
            Located::Slab { slot, first, block, .. } => {
                let owner = self.arena.note_of_past_slab(first).owner.load(Relaxed);
                if owner == lane.id {
                    // SAFETY: passed on from the caller.
                    return unsafe { self.free_own(lane, slot, first, block) };
                }
                self.arena.announce_remote(first.chunk(), slab::word_of(first, block), 1);
                if !slab::free_remotely(slot, first, block) {
                    return Err(BadFree::Free);
                }
                self.ripe_list(owner).raise(first, &self.ripe_link(first));
                Ok(())
            }
            Located::Run { first, pages } => self.free_run(first, pages),
            Located::Large { first, .. } => self.free_large(first),
        }
    }

    /// # Safety
    /// The calling thread holds the lane, which owns the slab.
    #[inline]
    unsafe fn free_own(
        &self,
        lane: &Lane,
        slot: &Slot,
        first: PageIndex,
        block: u32,
    ) -> Result<(), BadFree> {
        let live = &slot.live[slab::word_of(first, block)];
        let bit = 1 << (block % 64);
        let before = live.load(Relaxed);
        let note = self.arena.note_of_past_slab(first);
        // Freed by another thread and not yet merged? Only then is there anything to look for.
        let freed_remotely = note.ripe.load(Relaxed) != 0 && !slab::is_live(slot, first, block);
        if before & bit == 0 || freed_remotely {
            return Err(BadFree::Free);
        }
        self.arena.announce_live(first.chunk(), slab::word_of(first, block), 1);
        live.store(before & !bit, Relaxed);
        let used = note.used.load(Relaxed) - 1;
        note.used.store(used, Relaxed);
        let list = note.list.load(Relaxed);
        if list == ListName::Active as u32 {
            // SAFETY: says the caller; the reference ends with this call.
            let active = unsafe { &mut lane.local().active[kind_of(note)] };
            active.cursor = active.cursor.min(block / 64);
        } else if used == 0 || list == ListName::Full as u32 {
            // SAFETY: as above.
            let local = unsafe { lane.local() };
            self.place_again(local, first);
        }
        Ok(())
    }

    /// Whether a block in use starts at `address`.
    #[must_use]
    pub fn is_live_block(&self, address: usize) -> bool {
        match self.locate(address) {
            Ok(Located::Slab { slot, first, block, .. }) => slab::is_live(slot, first, block),
            Ok(Located::Run { .. } | Located::Large { .. }) => true,
            Err(_) => false,
        }
    }
}
