//! Finding memory for a block.
#![allow(unsafe_code, reason = "works on the calling thread's half of its lane")]

use crate::arena::{PageEntry, PageTag, Purpose, Slot};
use crate::base::PageIndex;
use crate::base::RipeList;
use crate::base::sync::Ordering::Relaxed;
use crate::heap::classes;
use crate::heap::lane::{Active, Lane, Local};
use crate::heap::lists::{ListName, kind_of};
use crate::heap::slab;
use crate::heap::{BadFree, Heap};
use std::ptr::{self, NonNull};

/// A new block.
#[derive(Clone, Copy, Debug)]
pub struct Allocation {
    /// Its first byte.
    pub block: NonNull<u8>,
    /// Whether its bytes are known to be zero.
    pub zeroed: bool,
}

impl Heap {
    /// A block of at least `size` bytes at a multiple of `align`, a power of two. Tracked
    /// blocks start at a page and fill whole pages. `None`: out of capacity.
    ///
    /// # Safety
    /// The calling thread holds the lane.
    #[inline]
    pub unsafe fn allocate(
        &self,
        lane: &Lane,
        size: usize,
        align: usize,
        purpose: Purpose,
    ) -> Option<Allocation> {
        match classes::class_for(size, align) {
            Some(class) if purpose != Purpose::Tracked => {
                let kind = slab::kind_number(class, purpose == Purpose::Scoped);
                // SAFETY: passed on from the caller.
                unsafe { self.allocate_small(lane, kind) }
            }
            _ => self.allocate_run(size, align, purpose),
        }
    }

    /// # Safety
    /// The calling thread holds the lane.
    #[inline]
    unsafe fn allocate_small(&self, lane: &Lane, kind: usize) -> Option<Allocation> {
        // SAFETY: says the caller; the reference ends with this call.
        let local = unsafe { lane.local() };
        let active = &mut local.active[kind];
        if active.epoch != self.arena.cow().epoch_word() {
            self.announce_active(active, kind);
        }
        let address = match active.take() {
            Some(address) => address,
            None => self.allocate_slow(lane, local, kind)?,
        };
        let block = NonNull::new(ptr::with_exposed_provenance_mut(address))?;
        Some(Allocation { block, zeroed: false })
    }

    /// The first block of an epoch from a slab: its live map is about to change, and its blocks
    /// are about to be written by who gets them.
    #[cold]
    fn announce_active(&self, active: &mut Active, kind: usize) {
        let Some(page) = active.page() else { return };
        let words = slab::word_count(slab::class_of_kind(kind));
        self.arena.announce_live(page.chunk(), slab::first_word(page), words);
        self.arena.cow().open(page.chunk());
        active.epoch = self.arena.cow().epoch_word();
    }

    /// The active slab is used up, or there is none: takes another.
    #[cold]
    fn allocate_slow(&self, lane: &Lane, local: &mut Local, kind: usize) -> Option<usize> {
        self.put_away_active(local, kind);
        self.drain_lane(lane, local);
        let page = match local.lists.pop(&self.arena, ListName::Partial, kind) {
            Some(page) => page,
            None => self.slab_from_heap(lane.id, kind)?,
        };
        self.make_active(local, kind, page);
        local.active[kind].take()
    }

    /// The active slab has no free block that is known: back into a list.
    fn put_away_active(&self, local: &mut Local, kind: usize) {
        let Some(page) = local.active[kind].page() else { return };
        local.active[kind].clear();
        slab::merge(&self.arena, page);
        let full = slab::class_of_kind(kind).blocks == self.arena.note(page).used.load(Relaxed);
        let list = if full { ListName::Full } else { ListName::Partial };
        local.lists.push(&self.arena, list, page);
    }

    /// Merges the lane's slabs in which other threads have freed blocks.
    fn drain_lane(&self, lane: &Lane, local: &mut Local) {
        let mut next = lane.ripe.take_all();
        while let Some(page) = next {
            let link = self.ripe_link(page);
            next = RipeList::after(&link);
            let note = self.arena.note_of_past_slab(page);
            let owner = note.owner.load(Relaxed);
            if owner != lane.id {
                self.ripe_list(owner).push(page, &link);
                continue;
            }
            RipeList::lower(&link);
            slab::merge(&self.arena, page);
            self.place_again(local, page);
        }
    }

    /// After blocks of a lane's own slab have been freed: into the right list, or given up.
    pub(super) fn place_again(&self, local: &mut Local, page: PageIndex) {
        let note = self.arena.note(page);
        let list = note.list.load(Relaxed);
        let kind = kind_of(note);
        if list == ListName::Active as u32 {
            local.active[kind].cursor = 0;
        } else if note.used.load(Relaxed) == 0 {
            local.lists.remove(&self.arena, page);
            slab::release(&self.arena, &mut self.lock().space, page);
        } else if list == ListName::Full as u32
            && note.used.load(Relaxed) < slab::class_of_kind(kind).blocks
        {
            local.lists.remove(&self.arena, page);
            local.lists.push(&self.arena, ListName::Partial, page);
        }
    }

    /// A slab with free blocks from the heap: one without a lane, or a new one.
    fn slab_from_heap(&self, owner: u32, kind: usize) -> Option<PageIndex> {
        let mut shared = self.lock();
        self.drain_shared(&mut shared);
        let (purpose, pages) = (slab::purpose_of_kind(kind), slab::class_of_kind(kind).pages);
        if shared.lists.is_empty(ListName::Partial, kind) {
            self.make_room(&mut shared, purpose, pages, 1);
        }
        if let Some(page) = shared.lists.pop(&self.arena, ListName::Partial, kind) {
            self.arena.note(page).owner.store(owner, Relaxed);
            slab::merge(&self.arena, page);
            return Some(page);
        }
        slab::make(&self.arena, &mut shared.space, kind, owner)
    }

    fn make_active(&self, local: &mut Local, kind: usize, page: PageIndex) {
        let Some(slot) = self.arena.slot(page.chunk()) else { return };
        let class = slab::class_of_kind(kind);
        let words = slab::live_words(slot, page, class);
        let active = &mut local.active[kind];
        active.link = page.0 + 1;
        active.words = u32::try_from(words.len()).unwrap_or(0);
        active.cursor = 0;
        active.size = class.size;
        active.base = self.arena.address(page);
        active.live = words.as_ptr();
        active.note = self.arena.note(page);
        self.announce_active(active, kind);
    }

    /// The block that an address is the start of, for freeing and resizing.
    #[inline]
    pub(super) fn locate(&self, address: usize) -> Result<Located<'_>, BadFree> {
        let page = self.arena.page_of(address).ok_or(BadFree::Foreign)?;
        let Some(slot) = self.arena.slot(page.chunk()) else {
            return match self.enter_for_block(page.chunk().cell()) {
                true => self.locate(address),
                false => self.locate_large(address, page),
            };
        };
        let bits = slot.pages[page.within_chunk() as usize].load(Relaxed);
        let entry = PageEntry::decode(bits).ok_or(BadFree::NoBlock)?;
        if entry.tag != PageTag::Slab {
            return self.locate_large(address, page);
        }
        let first = PageIndex(page.0 - u32::from(entry.back));
        let class = classes::TABLE.get(usize::from(entry.class)).ok_or(BadFree::NoBlock)?;
        let offset = u32::try_from(address - self.arena.address(first)).unwrap_or(u32::MAX);
        let block = class.block_at(offset).ok_or(BadFree::NoBlock)?;
        Ok(Located::Slab { slot, first, block, class })
    }
}

/// Where a block lies.
pub(super) enum Located<'a> {
    /// In a slab.
    Slab { slot: &'a Slot, first: PageIndex, block: u32, class: &'static classes::Class },
    /// It is a run of pages.
    Run { first: PageIndex, pages: u32 },
    /// It is a large block.
    Large { first: PageIndex, pages: u32 },
}
