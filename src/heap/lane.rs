//! Lanes: what a thread needs to allocate and free small blocks alone.
//!
//! Lanes lie in a table of their own, outside the arena, and are never given back while the
//! heap lives: another thread may raise a slab on the list of a lane that has just retired.
//! A lane that is all zero is a lane without slabs.
#![allow(unsafe_code, reason = "lanes lie in mapped memory, and their inner half is one thread's")]

use crate::arena::{Arena, MapWords, SlabTag, WORDS_PER_PAGE};
use crate::base::sync::AtomicU64;
use crate::base::sync::Ordering::Relaxed;
use crate::base::{PAGE_SIZE, RipeList};
use crate::cow::Pass;
use crate::heap::active::Active;
use crate::heap::classes::kind_number;
use crate::heap::classes::{block_at, common_class_for};
use crate::heap::lists::{KINDS, Lists};
use crate::heap::tag::Tag;
use crate::os::map::{self, Reservation};
use std::cell::UnsafeCell;
use std::io;
use std::mem::size_of;
use std::ptr::{self, NonNull};

/// How many threads can allocate at once; an entry is 8 KiB of address space.
pub(super) const LANES_MAX: u32 = 65_536;
const STRIDE: usize = 8 << 10;

static_assertions::const_assert!(size_of::<Lane>() <= STRIDE);

/// A thread's front end of the heap.
///
/// Fields that others write lie apart from those that the thread reads at each call.
#[repr(C)]
pub struct Lane {
    /// The lane's number; from 1 on, 0 means the heap.
    pub(super) id: u32,
    /// The next idle lane; the heap's lock guards it.
    pub(super) next_idle: UnsafeCell<u32>,
    flat: Flat,
    open: Open,
    ripe: Ripe,
    pub(super) active: Actives,
    local: UnsafeCell<Local>,
}

/// What a thread looks up an address with: the same in all lanes of a heap.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Flat {
    /// The arena's first address, and its length in bytes.
    base: usize,
    len: usize,
    tags: *const SlabTag,
    maps: *const MapWords,
}

/// What a freeze reads.
#[repr(C, align(64))]
struct Open {
    pass: Pass,
    begun: Begun,
}

#[repr(C, align(64))]
struct Ripe(RipeList);

/// By kind, the blocks that the lane hands out next.
pub(super) type Actives = [Active; KINDS];

/// Counts that one thread at a time raises, without a locked instruction, and all may read.
#[derive(Debug, Default)]
pub struct Begun {
    changes: AtomicU64,
    operations: AtomicU64,
}

/// The half of a lane that only its own thread touches.
#[repr(C)]
pub(super) struct Local {
    /// The slabs that the lane allocates from: their first pages, plus one; 0: there is none.
    pub(super) slabs: [u32; KINDS],
    pub(super) lists: Lists,
    /// Pages of slabs without a block in use that stand in the lists.
    pub(super) spare_pages: u32,
}

impl Flat {
    fn of(arena: &Arena) -> Self {
        let [tags, maps] = arena.flat_tables();
        Self {
            base: arena.base(),
            len: arena.config().byte_len(),
            tags: ptr::with_exposed_provenance(tags),
            maps: ptr::with_exposed_provenance(maps),
        }
    }
}

impl Begun {
    /// Counts a change of durable state that is no operation. The calling thread has the lane.
    #[inline]
    pub fn note_change(&self) {
        Self::raise(&self.changes);
    }

    /// Counts an operation. The calling thread has the lane.
    #[inline]
    pub fn note_operation(&self) {
        Self::raise(&self.operations);
    }

    /// Changes and operations so far.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.changes.load(Relaxed), self.operations.load(Relaxed))
    }

    #[inline]
    fn raise(count: &AtomicU64) {
        count.store(count.load(Relaxed) + 1, Relaxed);
    }
}

impl Lane {
    /// The thread's way through the gate.
    #[inline]
    #[must_use]
    pub fn pass(&self) -> &Pass {
        &self.open.pass
    }

    /// What the lane's threads have begun.
    #[inline]
    #[must_use]
    pub fn begun(&self) -> &Begun {
        &self.open.begun
    }

    /// Slabs of this lane in which other threads have freed blocks.
    pub(super) fn ripe(&self) -> &RipeList {
        &self.ripe.0
    }

    /// A block that the lane has at hand, of at least `size` bytes at a multiple of `align`: found
    /// without a lock, a fence, or a write to a table, so no gate has to be passed. `None`: ask the
    /// heap.
    ///
    /// # Safety
    /// The calling thread holds the lane.
    #[inline]
    pub unsafe fn take_at_hand(
        &self,
        size: usize,
        align: usize,
        scoped: bool,
    ) -> Option<NonNull<u8>> {
        self.take(kind_number(common_class_for(size, align)?, scoped))
    }

    #[inline]
    pub(super) fn take(&self, kind: usize) -> Option<NonNull<u8>> {
        let active = self.active.get(kind)?;
        let address = match active.take() {
            Some(address) => address,
            None => active.take_further()?,
        };
        NonNull::new(ptr::with_exposed_provenance_mut(address))
    }

    /// Frees a block of one of the lane's slabs, as far as nothing else has to be done: as
    /// [`take_at_hand`](Self::take_at_hand), without passing a gate. `false`: nothing was done, ask
    /// the heap, also if the address is not in it.
    ///
    /// # Safety
    /// The calling thread holds the lane; nothing refers to the block any more.
    #[inline]
    pub unsafe fn free_at_hand(&self, address: usize) -> bool {
        let Some((offset, entry, tag)) = self.own_page(address) else { return false };
        let first = offset / PAGE_SIZE - tag.back() as usize;
        let (reciprocal, shape) = (entry.reciprocal.load(Relaxed), entry.shape.load(Relaxed));
        let offset = offset - first * PAGE_SIZE;
        let Some(block) = block_at(offset, reciprocal, shape & 0xffff, shape >> 16) else {
            return false;
        };
        let (word, bit) = (first * WORDS_PER_PAGE + block / 64, block % 64);
        // SAFETY: a slab of this lane's has its maps, mapped as long as the heap.
        let MapWords { taken, remote } = unsafe { &*self.flat.maps.wrapping_add(word) };
        let before = taken.load(Relaxed);
        // SAFETY: as for the page's tag.
        let frees_left = &unsafe { &*self.flat.tags.wrapping_add(first) }.frees_left;
        let left = frees_left.load(Relaxed).wrapping_sub(1);
        // Free already, here or by another thread; or the slab is to be looked at.
        if (before & !remote.load(Relaxed)) >> bit & 1 == 0 || left == 0 {
            return false;
        }
        taken.store(before & !(1 << bit), Relaxed);
        frees_left.store(left, Relaxed);
        true
    }

    /// A block of the lane's that holds `new` bytes, in place of the one at `block` if that is of
    /// another class: without passing a gate, see [`take_at_hand`](Self::take_at_hand). The bytes
    /// have been copied, the old block has still to be freed. `None`: ask the heap.
    ///
    /// # Safety
    /// The calling thread holds the lane; the block has `old` bytes at a multiple of `align`.
    #[inline]
    pub unsafe fn resize_at_hand(
        &self,
        block: NonNull<u8>,
        (old, new): (usize, usize),
        align: usize,
        scoped: bool,
    ) -> Option<NonNull<u8>> {
        let wanted = common_class_for(new, align)?;
        let (_, _, tag) = self.own_page(block.addr().get())?;
        if tag.kind() >> 1 == wanted {
            return Some(block);
        }
        let moved = self.take(kind_number(wanted, scoped))?;
        // SAFETY: both blocks hold the shorter length, and a new block overlaps no old one.
        unsafe { moved.copy_from_nonoverlapping(block, old.min(new)) };
        Some(moved)
    }

    /// How far from the arena's start the address lies, and what there is to know of its page.
    /// `None`: it is in no slab of the lane's.
    #[inline]
    fn own_page(&self, address: usize) -> Option<(usize, &SlabTag, Tag)> {
        let offset = address.wrapping_sub(self.flat.base);
        if offset >= self.flat.len {
            return None;
        }
        // SAFETY: the tags of all pages of the arena can be read.
        let entry = unsafe { &*self.flat.tags.wrapping_add(offset / PAGE_SIZE) };
        let tag = Tag(entry.tag.load(Relaxed));
        (tag.lane() == self.id).then_some((offset, entry, tag))
    }

    /// The lane's number, from 1 to 65,535.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.id
    }

    /// The half that belongs to the lane's thread.
    ///
    /// # Safety
    /// The caller's thread holds the lane, or the lane is idle and the caller holds the
    /// heap's lock; and no other such reference is alive.
    #[allow(clippy::mut_from_ref, reason = "the lane's thread is its only user")]
    #[inline]
    pub(super) unsafe fn local(&self) -> &mut Local {
        // SAFETY: the caller is the only one.
        unsafe { &mut *self.local.get() }
    }
}

/// All lanes, by number.
pub(super) struct LaneTable {
    memory: Reservation,
}

impl LaneTable {
    pub(super) fn new() -> io::Result<Self> {
        Reservation::anywhere(LANES_MAX as usize * STRIDE, crate::base::PAGE_SIZE)
            .map(|memory| Self { memory })
    }

    /// Makes lane `id`, which has never been made, and is below `LANES_MAX`.
    pub(super) fn make(&self, id: u32, arena: &Arena) -> io::Result<&Lane> {
        let start = self.memory.start() + id as usize * STRIDE;
        // SAFETY: the lane's own part of the table.
        unsafe { map::commit(start, STRIDE)? };
        let lane: *mut Lane = ptr::with_exposed_provenance_mut(start);
        // SAFETY: nobody knows of this lane yet; zeros are a valid one.
        let lane = unsafe { &mut *lane };
        lane.id = id;
        lane.active.iter().for_each(Active::clear);
        lane.flat = Flat::of(arena);
        Ok(self.get(id))
    }

    /// Lane `id`, which has been made.
    #[inline]
    pub(super) fn get(&self, id: u32) -> &Lane {
        let start = self.memory.start() + id as usize * STRIDE;
        let lane: *const Lane = ptr::with_exposed_provenance(start);
        // SAFETY: lanes that were made stay mapped; and all that
        // several threads touch is atomic, or under the heap's lock, or in `local`.
        unsafe { &*lane }
    }
}
