//! A small arena with a model beside it: few pages, so that its snapshots are cheap to check.
//!
//! Invariant: a page holds its stamp, if it has one, in its first word and its last, and zeros.
#![allow(unsafe_code, reason = "writes to memory of the arena")]

use super::tables::{bytes_at, tables};
use std::collections::BTreeMap;
use std::ptr;
use stillheap::arena::{Arena, ArenaConfig, PageEntry, PageTag, Purpose, Space};
use stillheap::base::{CHUNK_SIZE, PAGE_SIZE, PageIndex};
use stillheap::cow::{CellKind, Fault, Saves};
use stillheap::image::SnapshotRecord;
use stillheap::os::Dir;
use stillheap::snapshot::{SaveError, Store};

/// What the stage may hold; nobody writes beside a draft here.
const LIMIT: u64 = 2 * CHUNK_SIZE as u64;
/// Pages of the tracked block, and of the other one, of which few are ever written.
const PAGES: u32 = 24;
const OTHERS: u32 = 4;

/// All pages of a snapshot that are not zero.
pub(crate) type Pages = BTreeMap<u32, Vec<u8>>;

/// The arena and its model.
pub(crate) struct World {
    pub(crate) arena: Arena,
    space: Space,
    tracked: PageIndex,
    /// A block of ordinary memory, which comes and goes.
    guarded: PageIndex,
    stamps: BTreeMap<u32, u64>,
    next_stamp: u64,
}

/// A run of pages that is one block.
fn take(space: &mut Space, arena: &Arena, purpose: Purpose, pages: u32) -> PageIndex {
    let entry = |place| match u16::try_from(if place == 0 { pages } else { place }) {
        Ok(back) if place == 0 => PageEntry { tag: PageTag::RunHead, class: 0, back },
        Ok(back) => PageEntry { tag: PageTag::RunBody, class: 0, back },
        Err(_) => PageEntry::NONE,
    };
    space.take_pages(arena, purpose, pages, 1, entry).expect("room")
}

impl World {
    pub(crate) fn new() -> Self {
        let config = ArenaConfig { base: 0, main_cells: 4, boot_cells: 2 };
        let arena = Arena::reserve(config).expect("address space");
        let mut space = Space::booting(1);
        space.enter_main();
        space.claim_first_cell(&arena).expect("memory");
        arena.cow().engage();
        let tracked = take(&mut space, &arena, Purpose::Tracked, PAGES);
        let guarded = take(&mut space, &arena, Purpose::Scoped, OTHERS);
        let (stamps, next_stamp) = (BTreeMap::new(), 0);
        let mut world = Self { arena, space, tracked, guarded, stamps, next_stamp };
        (0..PAGES).for_each(|page| world.write(PageIndex(tracked.0 + page), CellKind::Tracked));
        world.exchange();
        world
    }

    /// Writes to so many pages, others each time.
    pub(crate) fn change(&mut self, pages: u32) {
        for _ in 0..pages {
            let place = u32::try_from(self.next_stamp * 7 % u64::from(PAGES)).expect("small");
            self.write(PageIndex(self.tracked.0 + place), CellKind::Tracked);
        }
    }

    /// A block goes, and another one comes.
    pub(crate) fn exchange(&mut self) {
        let taken = take(&mut self.space, &self.arena, Purpose::Scoped, OTHERS);
        self.stamps.retain(|&page, _| page.wrapping_sub(self.guarded.0) >= OTHERS);
        self.space.give_pages(&self.arena, self.guarded, OTHERS);
        self.guarded = taken;
        // It holds anything.
        for page in 0..OTHERS {
            self.write(PageIndex(self.guarded.0 + page), CellKind::Guarded);
        }
    }

    /// Writes to a page as a program would that has a fault handler.
    fn write(&mut self, page: PageIndex, kind: CellKind) {
        self.next_stamp += 1;
        let address = self.arena.address(page);
        match kind {
            CellKind::Guarded => {
                assert_eq!(self.arena.cow().on_write_fault(address), Fault::Handled);
            }
            CellKind::Tracked => self.arena.cow().announce_tracked(page),
        }
        for place in [address, address + PAGE_SIZE - 8] {
            let word: *mut u64 = ptr::with_exposed_provenance_mut(place);
            // SAFETY: a word of a block, which has just been made writable.
            unsafe { word.write_volatile(self.next_stamp) };
        }
        self.stamps.insert(page.0, self.next_stamp);
    }

    /// All pages, as they are now.
    fn pages(&self) -> Pages {
        let mut pages: Pages = tables(&self.arena);
        pages.retain(|_, bytes| bytes.iter().any(|&byte| byte != 0));
        for &page in self.stamps.keys() {
            let address = self.arena.address(PageIndex(page));
            // SAFETY: a page of a block; nobody writes to it now.
            pages.insert(page, unsafe { bytes_at(address, PAGE_SIZE) }.to_vec());
        }
        pages
    }

    /// A snapshot, from the freeze to the commit, and what it has to hold.
    pub(crate) fn snapshot<D: Dir>(
        &mut self,
        store: &Store<D>,
        saves: Saves,
    ) -> (Pages, Result<SnapshotRecord, SaveError>) {
        let engine = self.arena.cow();
        let number = store.next_snapshot();
        engine.stage().prepare(LIMIT);
        let pages = self.pages();
        engine.freeze(Some(saves)).expect("a freeze");
        let window = engine.window();
        engine.note_heat();
        let drafted = store.draft(&self.arena, &window, number, number, saves);
        drop(window);
        self.space.reclaim(&self.arena);
        let result = drafted.and_then(|draft| store.commit(draft));
        engine.settle(result.is_ok());
        (pages, result)
    }
}
