//! Blocks that are runs of pages, or large. All of it happens under the heap's lock.

use crate::arena::{PageEntry, PageTag, Purpose};
use crate::base::{CHUNK_SIZE, PAGE_SIZE, PAGES_PER_CHUNK, PageIndex, PageRun};
use crate::heap::allocate::{Allocation, Located};
use crate::heap::{BadFree, Heap};

impl Heap {
    /// A block of whole pages. `None`: out of capacity.
    pub(super) fn allocate_run(
        &self,
        size: usize,
        align: usize,
        purpose: Purpose,
    ) -> Option<Allocation> {
        let wanted = pages_for(size)?;
        let large = wanted >= PAGES_PER_CHUNK || align > CHUNK_SIZE;
        let pages = if large { wanted.max(PAGES_PER_CHUNK) } else { wanted };
        let mut shared = self.lock();
        let (first, zeroed) = if large {
            // Whether there is room for so much can only be told when all cells are known.
            while self.enter_for_room(&mut shared, purpose) {}
            shared.space.take_large(&self.arena, purpose, pages, align)?
        } else {
            let align = u32::try_from((align / PAGE_SIZE).max(1)).ok()?;
            self.make_room(&mut shared, purpose, pages, align);
            let space = &mut shared.space;
            let first = space
                .take_pages(&self.arena, purpose, pages, align, |place| run_entry(place, pages))?;
            (first, false)
        };
        drop(shared);
        // Without the lock: it may have to wait for room in the stage.
        self.announce_run(first, pages, purpose);
        Some(Allocation { block: self.arena.pointer(first), zeroed })
    }

    /// The first writes to a run's pages are about to come, from who gets it.
    fn announce_run(&self, first: PageIndex, pages: u32, purpose: Purpose) {
        if purpose != Purpose::Tracked {
            // A large block's chunks have all just been handed out.
            return self.arena.cow().open(first.chunk());
        }
        let run = PageRun { first, count: pages };
        run.indexes().for_each(|page| self.arena.cow().announce_tracked(page));
    }

    /// The run or large block that starts at `address`, on `page`.
    pub(super) fn locate_large(&self, address: usize, page: PageIndex) -> Result<Located, BadFree> {
        if address != self.arena.address(page) {
            return Err(BadFree::NoBlock);
        }
        if let Some(pages) = self.arena.large_pages(page) {
            return Ok(Located::Large { first: page, pages });
        }
        match self.arena.page_entry(page) {
            Some(PageEntry { tag: PageTag::RunHead, back, .. }) => {
                Ok(Located::Run { first: page, pages: back.into() })
            }
            Some(PageEntry { tag: PageTag::None, .. }) => Err(BadFree::Free),
            _ => Err(BadFree::NoBlock),
        }
    }

    pub(super) fn free_run(&self, first: PageIndex, pages: u32) -> Result<(), BadFree> {
        let mut shared = self.lock();
        // Again under the lock: another thread may be freeing it too.
        match self.arena.page_entry(first) {
            Some(PageEntry { tag: PageTag::RunHead, back, .. }) if u32::from(back) == pages => {
                shared.space.give_pages(&self.arena, first, pages);
                Ok(())
            }
            _ => Err(BadFree::Free),
        }
    }

    pub(super) fn free_large(&self, first: PageIndex) -> Result<(), BadFree> {
        let mut shared = self.lock();
        match self.arena.large_pages(first) {
            Some(_) => {
                shared.space.give_large(&self.arena, first);
                Ok(())
            }
            None => Err(BadFree::Free),
        }
    }

    /// Changes the length of a run where it lies, if that can be.
    pub(super) fn resize_run(&self, first: PageIndex, pages: u32, wanted: u32) -> bool {
        if wanted > pages {
            self.arena.cow().open(first.chunk());
        }
        let mut shared = self.lock();
        let space = &mut shared.space;
        if wanted > pages {
            return wanted < PAGES_PER_CHUNK
                && space.grow_pages(&self.arena, first, pages, wanted, |place| {
                    run_entry(place, wanted)
                });
        }
        if wanted < pages {
            space.give_pages(&self.arena, PageIndex(first.0 + wanted), pages - wanted);
            return space
                .grow_pages(&self.arena, first, wanted, wanted, |place| run_entry(place, wanted));
        }
        true
    }
}

/// The pages that hold `size` bytes; `None` beyond what page numbers can count.
pub(super) fn pages_for(size: usize) -> Option<u32> {
    u32::try_from(size.div_ceil(PAGE_SIZE).max(1)).ok()
}

fn run_entry(place: u32, pages: u32) -> PageEntry {
    let (tag, back) =
        if place == 0 { (PageTag::RunHead, pages) } else { (PageTag::RunBody, place) };
    PageEntry { tag, class: 0, back: u16::try_from(back).unwrap_or(u16::MAX) }
}
