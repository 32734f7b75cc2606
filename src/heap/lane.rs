//! Lanes: what a thread needs to allocate and free small blocks alone.
//!
//! Lanes lie in a table of their own, outside the arena, and are never given back while the
//! heap lives: another thread may raise a slab on the list of a lane that has just retired.
//! A lane that is all zero is a lane without slabs.
#![allow(unsafe_code, reason = "lanes lie in mapped memory, and their inner half is one thread's")]

use crate::arena::SlabNote;
use crate::base::PageIndex;
use crate::base::RipeList;
use crate::base::sync::{AtomicU64, Ordering};
use crate::cow::Pass;
use crate::heap::lists::{KINDS, Lists};
use crate::os::map::{self, Reservation};
use std::cell::UnsafeCell;
use std::io;
use std::mem::size_of;
use std::ptr;

/// How many threads can allocate at once; an entry is 8 KiB of address space.
pub(super) const LANES_MAX: u32 = 65_536;
const STRIDE: usize = 8 << 10;

static_assertions::const_assert!(size_of::<Lane>() <= STRIDE);

/// A thread's front end of the heap.
#[repr(C)]
pub struct Lane {
    /// The lane's number; from 1 on, 0 means the heap.
    pub(super) id: u32,
    /// The next idle lane; the heap's lock guards it.
    pub(super) next_idle: UnsafeCell<u32>,
    /// The thread's way through the gate.
    pub pass: Pass,
    /// What the lane's threads have begun. On the pass's cache line: a freeze reads both.
    pub begun: Begun,
    /// Slabs of this lane in which other threads have freed blocks.
    pub(super) ripe: RipeList,
    local: UnsafeCell<Local>,
}

/// Counts that one thread at a time raises, without a locked instruction, and all may read.
#[derive(Debug, Default)]
pub struct Begun {
    changes: AtomicU64,
    operations: AtomicU64,
}

/// The half of a lane that only its own thread touches.
#[repr(C)]
pub(super) struct Local {
    pub(super) lists: Lists,
    pub(super) active: [Active; KINDS],
}

/// The slab that a lane allocates from, its place in the tables looked up once.
#[repr(C)]
pub(super) struct Active {
    /// The slab's first page, plus one; 0: there is none.
    pub(super) link: u32,
    /// Words of the live map.
    pub(super) words: u32,
    /// Where the next search begins: no word before it has a free block.
    pub(super) cursor: u32,
    /// Bytes of a block.
    pub(super) size: u32,
    /// Address of the first block.
    pub(super) base: usize,
    pub(super) live: *const AtomicU64,
    pub(super) note: *const SlabNote,
    /// The epoch in which the live map's pages were announced and the slab's chunk was opened.
    pub(super) epoch: u64,
}

impl Active {
    /// Takes the free block with the lowest address. The slab has been announced in this epoch.
    #[inline]
    pub(super) fn take(&mut self) -> Option<usize> {
        while self.cursor < self.words {
            let word = self.live.wrapping_add(self.cursor as usize);
            // SAFETY: the live map of a slab that this lane owns has `words` words, and is
            // mapped while the slab exists.
            let word = unsafe { &*word };
            let live = word.load(Ordering::Relaxed);
            if live != u64::MAX {
                let bit = (!live).trailing_zeros();
                // Only the owner writes live maps, so no read-modify-write is needed.
                word.store(live | 1 << bit, Ordering::Relaxed);
                self.count_one_more();
                let block = self.cursor as usize * 64 + bit as usize;
                return Some(self.base + block * self.size as usize);
            }
            self.cursor += 1;
        }
        None
    }

    #[inline]
    fn count_one_more(&self) {
        // SAFETY: notes of live cells are mapped, and the slab lies in one.
        let used = unsafe { &(*self.note).used };
        used.store(used.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// No slab any more.
    pub(super) fn clear(&mut self) {
        self.link = 0;
        self.words = 0;
        self.cursor = 0;
    }

    pub(super) fn page(&self) -> Option<PageIndex> {
        self.link.checked_sub(1).map(PageIndex)
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
        (self.changes.load(Ordering::Relaxed), self.operations.load(Ordering::Relaxed))
    }

    #[inline]
    fn raise(count: &AtomicU64) {
        count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

impl Lane {
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
    pub(super) fn make(&self, id: u32) -> io::Result<&Lane> {
        let start = self.memory.start() + id as usize * STRIDE;
        // SAFETY: the lane's own part of the table.
        unsafe { map::commit(start, STRIDE)? };
        let field: *mut u32 = ptr::with_exposed_provenance_mut(start);
        // SAFETY: `id` is the first field of a lane, and nobody knows of this lane yet.
        unsafe { field.write(id) };
        Ok(self.get(id))
    }

    /// Lane `id`, which has been made.
    #[inline]
    pub(super) fn get(&self, id: u32) -> &Lane {
        let start = self.memory.start() + id as usize * STRIDE;
        let lane: *const Lane = ptr::with_exposed_provenance(start);
        // SAFETY: lanes that were made stay mapped; zero bytes are a valid lane, and all that
        // several threads touch is atomic, or under the heap's lock, or in `local`.
        unsafe { &*lane }
    }
}
