//! The heap: an arena, its lanes, and what is shared between them behind one lock.
#![allow(unsafe_code, reason = "retiring a lane reaches into the half that was its thread's")]

use crate::arena::{Arena, ChunkKind, Space};
use crate::base::PageIndex;
use crate::base::sync::AtomicU32;
use crate::base::sync::Ordering::{Acquire, Relaxed, Release};
use crate::base::{RipeLink, RipeList, linked};
use crate::cow::Pass;
use crate::heap::lane::{LANES_MAX, Lane, LaneTable};
use crate::heap::lists::{KINDS, ListName, Lists, list_of};
use crate::heap::maps::Maps;
use crate::heap::pending::Pending;
use crate::heap::slab::Slab;
use crate::heap::tag::Tag;
use std::cell::UnsafeCell;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An allocator over an arena.
pub struct Heap {
    pub(super) arena: Arena,
    pub(super) lanes: LaneTable,
    pub(super) ripe: RipeList,
    lanes_made: AtomicU32,
    shared: Mutex<Shared>,
    /// The lock's guard during a fork; the lock itself guards this cell.
    held: UnsafeCell<Option<MutexGuard<'static, Shared>>>,
}

/// What the heap's lock guards.
pub(super) struct Shared {
    pub(super) space: Space,
    /// Slabs without a lane.
    pub(super) lists: Lists,
    /// The first idle lane.
    idle: u32,
    pub(super) pending: Pending,
}

// SAFETY: the arena's tables are atomic; what is not lies behind the lock, or in lanes, each
// of which one thread holds at a time (see `attach`).
unsafe impl Sync for Heap {}
// SAFETY: nothing in a heap belongs to the thread that made it.
unsafe impl Send for Heap {}

impl Heap {
    /// A heap without blocks that allocates in the boot space, at places picked by `seed`.
    ///
    /// # Errors
    /// What the system says when it refuses address space for the lanes.
    pub fn booting(arena: Arena, seed: u64) -> io::Result<Self> {
        let space = Space::booting(seed);
        Ok(Self {
            lanes: LaneTable::new()?,
            ripe: RipeList::default(),
            lanes_made: AtomicU32::new(0),
            shared: Mutex::new(Shared {
                space,
                lists: Lists::EMPTY,
                idle: 0,
                pending: Pending::default(),
            }),
            held: UnsafeCell::new(None),
            arena,
        })
    }

    /// The arena that the heap lies in.
    #[must_use]
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// A lane for the calling thread; give it back with [`Heap::detach`]. `None`: there are
    /// 65,535 in use, or no memory for one more.
    #[must_use]
    pub fn attach(&self) -> Option<&Lane> {
        let mut shared = self.lock();
        if shared.idle != 0 {
            let lane = self.lanes.get(shared.idle);
            // SAFETY: the lane is idle and the lock is held.
            let next = unsafe { lane.next_idle.get().read() };
            shared.idle = next;
            return Some(lane);
        }
        let id = self.lanes_made.load(Relaxed) + 1;
        if id >= LANES_MAX {
            return None;
        }
        let lane = self.lanes.make(id, &self.arena).ok()?;
        self.lanes_made.store(id, Release);
        Some(lane)
    }

    /// The passes of all lanes that there have ever been.
    pub fn passes(&self) -> impl Iterator<Item = &Pass> {
        self.lanes_ever().map(Lane::pass)
    }

    /// Changes and operations that all threads have begun. Exact while the gate is closed.
    #[must_use]
    pub fn begun(&self) -> (u64, u64) {
        self.lanes_ever().fold((0, 0), |(changes, operations), lane| {
            let more = lane.begun().counts();
            (changes + more.0, operations + more.1)
        })
    }

    fn lanes_ever(&self) -> impl Iterator<Item = &Lane> {
        (1..=self.lanes_made.load(Acquire)).map(|id| self.lanes.get(id))
    }

    /// Gives a lane back; its slabs become the heap's.
    ///
    /// # Safety
    /// The calling thread holds the lane, and does not use it any more.
    pub unsafe fn detach(&self, lane: &Lane) {
        // SAFETY: passed on from the caller.
        unsafe { self.retire(lane) };
        // SAFETY: as above; the lane has been retired.
        unsafe { self.make_idle(lane) };
    }

    /// Makes all slabs of a lane the heap's: an allocator call, behind the gate. The lane can be
    /// gone on with, or be given back.
    ///
    /// # Safety
    /// The calling thread holds the lane, and allocates and frees nothing with it meanwhile.
    pub unsafe fn retire(&self, lane: &Lane) {
        let shared = &mut *self.lock();
        // SAFETY: says the caller.
        let local = unsafe { lane.local() };
        for kind in 0..KINDS {
            lane.active[kind].clear();
            if let Some(page) = local.slab(kind) {
                local.slabs[kind] = 0;
                if let Some(slab) = Slab::at(&self.arena, page, kind) {
                    slab.unclaim();
                }
                self.hand_over(shared, page);
            }
            for list in [ListName::Partial, ListName::Full] {
                while let Some(page) = local.lists.pop(&self.arena, list, kind) {
                    self.unspare(local, page);
                    self.hand_over(shared, page);
                }
            }
        }
        self.drain_strays(lane);
    }

    /// Lets other threads have a retired lane. Its pass is theirs from then on, so the calling
    /// thread has left the gate before.
    ///
    /// # Safety
    /// The calling thread holds the lane, has retired it, and does not use it any more.
    pub unsafe fn make_idle(&self, lane: &Lane) {
        let mut shared = self.lock();
        // SAFETY: the lock is held, and nobody else touches an idle lane's link.
        unsafe { lane.next_idle.get().write(shared.idle) };
        shared.idle = lane.id;
    }

    /// Makes a slab in no list the heap's.
    fn hand_over(&self, shared: &mut Shared, page: PageIndex) {
        Tag::of(&self.arena, page).with_lane(0).write(&self.arena, page);
        self.enter_list(shared, page);
    }

    /// Puts a slab of the heap's in the list where it belongs, or gives it up if it is empty.
    pub(super) fn enter_list(&self, shared: &mut Shared, page: PageIndex) {
        let kind = Tag::of(&self.arena, page).kind();
        let maps = Maps::of(&self.arena, page, kind);
        let used = maps.merge();
        if used == 0 {
            return Slab::release(&self.arena, &mut shared.space, page);
        }
        // What lies in a boot cell is to die out: no new blocks are put there.
        let serves = maps.class.missing(used) == 0 && shared.space.serves(&self.arena, page);
        let list = if serves { ListName::Partial } else { ListName::Full };
        shared.lists.push(&self.arena, list, page);
    }

    /// Takes in what was freed in slabs that belong to no lane, and gives up what that empties: an
    /// allocator call, behind the gate.
    pub fn drain(&self) {
        self.drain_shared(&mut self.lock());
    }

    /// Merges the heap's own slabs in which blocks were freed, also those that were pushed on
    /// the list of a lane that has retired since.
    pub(super) fn drain_shared(&self, shared: &mut Shared) {
        let mut idle = shared.idle;
        while idle != 0 {
            let lane = self.lanes.get(idle);
            self.drain_strays(lane);
            // SAFETY: the lane is idle and the lock is held.
            idle = unsafe { lane.next_idle.get().read() };
        }
        let mut next = self.ripe.take_all();
        while let Some(page) = next {
            let link = self.ripe_link(page);
            next = RipeList::after(&link);
            let owner = Tag::of(&self.arena, page).lane();
            if owner != 0 {
                self.lanes.get(owner).ripe().push(page, &link);
                continue;
            }
            RipeList::lower(&link);
            let note = self.arena.note_of_past_slab(page);
            if matches!(list_of(note), ListName::Partial | ListName::Full) {
                shared.lists.remove(&self.arena, page);
                self.enter_list(shared, page);
            }
        }
    }

    /// Passes on what was pushed on a lane's list after its slabs had gone.
    fn drain_strays(&self, lane: &Lane) {
        let mut next = lane.ripe().take_all();
        while let Some(page) = next {
            let link = self.ripe_link(page);
            next = RipeList::after(&link);
            self.ripe_list(Tag::of(&self.arena, page).lane()).push(page, &link);
        }
    }

    /// The list of the lane with that number, or the heap's.
    pub(super) fn ripe_list(&self, owner: u32) -> &RipeList {
        match linked(owner) {
            Some(_) => self.lanes.get(owner).ripe(),
            None => &self.ripe,
        }
    }

    pub(super) fn ripe_link(&self, page: PageIndex) -> RipeLink<'_> {
        let note = self.arena.note_of_past_slab(page);
        RipeLink { ripe: &note.ripe, next: &note.next_ripe }
    }

    /// Brings the live maps up to what is in use, as far as nobody frees meanwhile. The thread that
    /// takes freezes calls it before one; so no freeze can come.
    pub fn settle(&self) {
        for cell in self.arena.live_cells().filter(|&cell| !self.arena.is_pending(cell)) {
            for chunk in Arena::data_chunks(cell) {
                let _shared = self.lock();
                if self.arena.kind(chunk) != Some(ChunkKind::Paged) {
                    continue;
                }
                self.for_slabs(chunk, |page, _| {
                    if let Some(slab) = Slab::tagged(&self.arena, page) {
                        slab.settle();
                    }
                });
            }
        }
    }

    /// Gives the system back what is kept of free memory, and was not wanted for a second. Gives
    /// whether some is kept still: then it is to be called again, in about a second.
    pub fn decay(&self) -> bool {
        let space = &mut self.lock().space;
        space.decay(&self.arena);
        space.has_stale()
    }

    /// Frees what could not be freed while a window was open. Nothing of the tables changes, so
    /// this needs no gate; the thread that takes freezes calls it.
    pub fn reclaim(&self) {
        self.lock().space.reclaim(&self.arena);
    }

    /// Takes the heap's lock for the length of a fork, so that the child finds the tables whole.
    pub fn hold(&'static self) {
        let guard = self.lock();
        // SAFETY: the lock is held, which is what guards this cell.
        unsafe { *self.held.get() = Some(guard) };
    }

    /// Gives back what [`Heap::hold`] took, in the parent and in the child.
    ///
    /// # Safety
    /// The calling thread, or the thread that it is a fork of, has called `hold`.
    pub unsafe fn let_go(&self) {
        // SAFETY: the lock is held, says the caller, which is what guards this cell.
        let guard = unsafe { (*self.held.get()).take() };
        drop(guard);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
