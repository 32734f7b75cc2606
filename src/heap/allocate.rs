//! Finding memory for a block.
#![allow(unsafe_code, reason = "works on the calling thread's half of its lane")]

use crate::arena::{PageEntry, PageTag, Purpose};
use crate::base::PageIndex;
use crate::base::RipeList;
use crate::base::sync::Ordering::Relaxed;
use crate::heap::classes::{self, Class};
use crate::heap::lane::{Lane, Local};
use crate::heap::lists::{ListName, Lists, list_of};
use crate::heap::maps::Maps;
use crate::heap::slab::Slab;
use crate::heap::tag::Tag;
use crate::heap::{BadFree, Heap};
use std::ptr::NonNull;

/// Pages of empty slabs that a lane keeps for what comes next: 1 MiB. Of each kind it keeps one
/// beyond that, if it has no other with free blocks.
const SPARE_PAGES: u32 = 256;

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
    /// The calling thread holds the lane, and is behind the gate.
    pub unsafe fn allocate(
        &self,
        lane: &Lane,
        size: usize,
        align: usize,
        purpose: Purpose,
    ) -> Option<Allocation> {
        let class = classes::class_for(size, align).filter(|_| purpose != Purpose::Tracked);
        let Some(class) = class else { return self.allocate_run(size, align, purpose) };
        let kind = classes::kind_number(class, purpose == Purpose::Scoped);
        let mut block = lane.take(kind);
        if block.is_none() {
            // SAFETY: says the caller; the reference ends with this statement.
            self.refill(lane, unsafe { lane.local() }, kind)?;
            block = lane.take(kind);
        }
        Some(Allocation { block: block?, zeroed: false })
    }

    /// The lane has no block of that kind at hand: gets it some.
    fn refill(&self, lane: &Lane, local: &mut Local, kind: usize) -> Option<()> {
        if let Some(page) = local.slab(kind) {
            if self.claim(lane, kind, page) {
                return Some(());
            }
            let maps = Maps::of(&self.arena, page, kind);
            let used = maps.merge();
            // All words have been claimed once; what was freed meanwhile may be worth going on.
            if maps.class.missing(used) == 0 && self.claim(lane, kind, page) {
                return Some(());
            }
            local.slabs[kind] = 0;
            self.file(local, page, kind, used);
        }
        self.drain_lane(lane, local);
        loop {
            let page = match local.lists.pop(&self.arena, ListName::Partial, kind) {
                Some(page) => page,
                None => {
                    let found = self.slab_from_heap(lane.id, kind);
                    found.or_else(|| self.scrape(&mut local.lists, kind))?
                }
            };
            self.unspare(local, page);
            local.slabs[kind] = page.0 + 1;
            self.arena.tag(page).frees_left.store(u32::MAX, Relaxed);
            if self.claim(lane, kind, page) {
                return Some(());
            }
            // It was full, though it did not look so.
            local.slabs[kind] = 0;
            self.file(local, page, kind, Maps::of(&self.arena, page, kind).merge());
        }
    }

    /// Has a lane take blocks from the next words of its slab that have free ones. `false`: none
    /// has, and the next time the first ones are looked at again.
    fn claim(&self, lane: &Lane, kind: usize, page: PageIndex) -> bool {
        lane.active[kind].clear();
        let Some(slab) = Slab::at(&self.arena, page, kind) else { return false };
        let Some(words) = slab.claim() else { return false };
        // The blocks are about to be written, by who gets them.
        self.arena.cow().open(page.chunk());
        let size = slab.maps.class.size as usize;
        let first = self.arena.address(page) + words.start * 64 * size;
        lane.active[kind].set(&slab.maps, words, first);
        true
    }

    /// A slab of that kind from a list of those that have too few free blocks: there is no other.
    #[cold]
    pub(super) fn scrape(&self, lists: &mut Lists, kind: usize) -> Option<PageIndex> {
        let has_free = |&page: &PageIndex| {
            let maps = Maps::of(&self.arena, page, kind);
            maps.merge() < maps.class.blocks
        };
        let found = lists.walk(&self.arena, ListName::Full, kind).find(has_free)?;
        lists.remove(&self.arena, found);
        Some(found)
    }

    /// Merges the lane's slabs in which other threads have freed blocks.
    fn drain_lane(&self, lane: &Lane, local: &mut Local) {
        let mut next = lane.ripe().take_all();
        while let Some(page) = next {
            let link = self.ripe_link(page);
            next = RipeList::after(&link);
            let owner = Tag::of(&self.arena, page).lane();
            if owner != lane.id {
                self.ripe_list(owner).push(page, &link);
                continue;
            }
            RipeList::lower(&link);
            self.place_again(local, page);
        }
    }

    /// After blocks of a lane's own slab have been freed: into the right list, or given up.
    pub(super) fn place_again(&self, local: &mut Local, page: PageIndex) {
        let note = self.arena.note(page);
        match list_of(note) {
            ListName::None => {}
            ListName::Active => self.arena.tag(page).frees_left.store(u32::MAX, Relaxed),
            ListName::Partial if note.spare.load(Relaxed) != 0 => {}
            list => {
                let kind = Tag::of(&self.arena, page).kind();
                let used = Maps::of(&self.arena, page, kind).merge();
                if list == self.note_frees(page, kind, used) && used > 0 {
                    return;
                }
                local.lists.remove(&self.arena, page);
                self.file(local, page, kind, used);
            }
        }
    }

    /// Puts a slab of the lane's that stands in no list where it belongs.
    pub(super) fn file(&self, local: &mut Local, page: PageIndex, kind: usize, used: u32) {
        if used == 0 {
            return self.spare(local, page, kind);
        }
        let list = self.note_frees(page, kind, used);
        local.lists.push(&self.arena, list, page);
    }

    /// Notes beside a slab's tag how many frees bring the lane back to it: all of the blocks in
    /// use, or those after which it is worth to be allocated from. Gives the list for it until
    /// then.
    fn note_frees(&self, page: PageIndex, kind: usize, used: u32) -> ListName {
        let missing = classes::class_of_kind(kind).missing(used);
        let (list, frees) =
            if missing == 0 { (ListName::Partial, used) } else { (ListName::Full, missing) };
        self.arena.tag(page).frees_left.store(frees, Relaxed);
        list
    }

    /// Keeps a slab without a block in use for what comes next, or gives it up.
    fn spare(&self, local: &mut Local, page: PageIndex, kind: usize) {
        let pages = classes::class_of_kind(kind).pages;
        let is_only = local.lists.is_empty(ListName::Partial, kind);
        if is_only || local.spare_pages + pages <= SPARE_PAGES {
            local.spare_pages += pages;
            self.arena.note(page).spare.store(1, Relaxed);
            local.lists.push(&self.arena, ListName::Partial, page);
        } else {
            Slab::release(&self.arena, &mut self.lock().space, page);
        }
    }

    /// A slab of the lane's is to be used again, or is not the lane's any more.
    pub(super) fn unspare(&self, local: &mut Local, page: PageIndex) {
        let note = self.arena.note(page);
        if note.spare.load(Relaxed) != 0 {
            note.spare.store(0, Relaxed);
            local.spare_pages -= classes::class_of_kind(Tag::of(&self.arena, page).kind()).pages;
        }
    }

    /// A slab with free blocks from the heap: one without a lane, or a new one.
    fn slab_from_heap(&self, owner: u32, kind: usize) -> Option<PageIndex> {
        let mut shared = self.lock();
        self.drain_shared(&mut shared);
        let (purpose, pages) = (classes::purpose_of_kind(kind), classes::class_of_kind(kind).pages);
        if shared.lists.is_empty(ListName::Partial, kind) {
            self.make_room(&mut shared, purpose, pages, 1);
        }
        let page = match shared.lists.pop(&self.arena, ListName::Partial, kind) {
            Some(page) => page,
            None => match Slab::make(&self.arena, &mut shared.space, kind, owner) {
                Some(made) => return Some(made),
                None => self.scrape(&mut shared.lists, kind)?,
            },
        };
        Tag::of(&self.arena, page).with_lane(owner).write(&self.arena, page);
        Some(page)
    }

    /// The block that an address is the start of, for freeing and resizing.
    pub(super) fn locate(&self, address: usize) -> Result<Located, BadFree> {
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
        let offset = address - self.arena.address(first);
        let block = class.block_at(offset).ok_or(BadFree::NoBlock)?;
        Ok(Located::Slab { first, block, class })
    }
}

impl Local {
    /// The slab that the lane allocates blocks of a kind from.
    pub(super) fn slab(&self, kind: usize) -> Option<PageIndex> {
        self.slabs[kind].checked_sub(1).map(PageIndex)
    }
}

/// Where a block lies.
pub(super) enum Located {
    /// In a slab.
    Slab { first: PageIndex, block: usize, class: &'static Class },
    /// It is a run of pages.
    Run { first: PageIndex, pages: u32 },
    /// It is a large block.
    Large { first: PageIndex, pages: u32 },
}
