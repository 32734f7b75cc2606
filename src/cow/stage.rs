//! The stage: bounded memory into which writers copy frozen pages and chunks within a window.
//!
//! It lies outside the arena. It gets its memory before the freeze, as much as the last window
//! took, and gives it back after the window. A writer that needs a slot takes one without a
//! system call; when the bound is reached, it waits for the saver to empty some.
//!
//! **Invariant:** a slot in a writer's or the saver's hands is nobody else's. Bytes in slots
//! never exceed the limit, but for what the saver itself may need.
#![allow(unsafe_code, reason = "slots lie in mapped memory, reached by pointers")]

use crate::base::sync::{AtomicU32, AtomicU64, Ordering};
use crate::base::{CHUNK_SIZE, ChunkIndex, PAGE_SIZE, PageIndex};
use crate::cow::pool::Pool;
use crate::os::map::{self, Reservation};
use std::io;
use std::mem::size_of;
use std::ptr;
use std::time::Duration;

/// The most that a stage can be told to hold, in bytes.
pub const STAGE_MAX: u64 = 256 << 30;
/// How long a writer sleeps at most before it looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Memory that is made ready before the clock is looked at again.
const WARM_SLICE: usize = 256 << 10;
/// Memory that is given back with one call.
const FORGET_SLICE: usize = 512 << 10;
/// Slots beyond the limit, for the saver's own writes.
const SPARE: u32 = 4;

/// What a slot says of itself while it is queued.
#[repr(C)]
struct SlotNote {
    link: AtomicU32,
    /// The page's or chunk's number.
    unit: AtomicU32,
    /// The epoch's word: what came too late for its window is dropped. Its lowest bit, always
    /// clear in a word, is set for a page of tables.
    now: AtomicU64,
}

/// Slots of one size.
#[derive(Debug)]
struct Area {
    pool: Pool,
    memory: Reservation,
    notes: Reservation,
    slot_size: usize,
    /// Slots that may be used.
    ready: AtomicU32,
    /// Bytes that have been made ready ahead of the window.
    warmed: AtomicU64,
}

/// The stage.
#[derive(Debug)]
pub struct Stage {
    pages: Area,
    chunks: Area,
    limit: AtomicU64,
    in_use: AtomicU64,
    high_water: AtomicU64,
    stalls: AtomicU64,
    /// Goes up when slots come back; writers without one sleep on it.
    given: AtomicU32,
}

/// What a slot holds a copy of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Unit {
    /// A page of tables, by its number in images.
    Table(PageIndex),
    /// A page of tracked memory.
    Tracked(PageIndex),
    /// A whole chunk.
    Chunk(ChunkIndex),
}

/// A writer's slot; [`Stage::queue`] or [`Stage::put_back`] end that.
#[derive(Debug)]
pub(super) struct Slot {
    number: u32,
    is_chunk: bool,
}

/// A slot in the saver's hands; [`Stage::give`] ends that.
#[derive(Debug)]
pub struct Staged {
    /// What it is a copy of.
    pub unit: Unit,
    slot: Slot,
}

impl Area {
    fn new(slot_size: usize) -> io::Result<Self> {
        let slots = usize::try_from(STAGE_MAX).unwrap_or(usize::MAX) / slot_size;
        Ok(Self {
            pool: Pool::new(),
            memory: Reservation::anywhere(slots * slot_size, CHUNK_SIZE)?,
            notes: Reservation::anywhere(slots * size_of::<SlotNote>(), PAGE_SIZE)?,
            slot_size,
            ready: AtomicU32::new(0),
            warmed: AtomicU64::new(0),
        })
    }

    /// Sees to it that `slots` slots may be used, as far as the system lets them.
    fn prepare(&self, slots: u32) {
        if slots <= self.ready.load(Ordering::Relaxed) {
            return;
        }
        let bytes = (slots as usize * self.slot_size).next_multiple_of(CHUNK_SIZE);
        let len = bytes.min(self.memory.len());
        let notes = slots as usize * size_of::<SlotNote>();
        // SAFETY: parts of the area's own reservations.
        let committed = unsafe { map::commit(self.memory.start(), len) }
            // SAFETY: as above.
            .and_then(|()| unsafe {
                map::commit(self.notes.start(), notes.next_multiple_of(PAGE_SIZE))
            });
        if committed.is_ok() {
            // Fresh huge pages may take milliseconds; one in a writer's way would be felt.
            map::advise_huge(self.memory.start(), len, false);
            self.ready.fetch_max(slots, Ordering::Release);
        }
    }

    /// Gets memory for the first `bytes` bytes of slots, as long as `go_on` says so. No copy that
    /// is still wanted lies in them.
    fn warm(&self, bytes: u64, go_on: &impl Fn() -> bool) {
        let ready = self.ready.load(Ordering::Relaxed) as usize * self.slot_size;
        let end = usize::try_from(bytes).unwrap_or(usize::MAX).min(ready);
        let mut at = 0;
        while at < end && go_on() {
            let next = end.min(at + WARM_SLICE);
            for page in (at..next).step_by(PAGE_SIZE) {
                let place = ptr::with_exposed_provenance_mut::<u8>(self.memory.start() + page);
                // SAFETY: committed memory of free slots; whoever may still be filling one for a
                // window that is over finds a byte changed in a copy that nobody wants.
                unsafe { place.write_volatile(0) };
            }
            at = next;
        }
        self.warmed.store(at as u64, Ordering::Relaxed);
    }

    fn note(&self, slot: u32) -> &SlotNote {
        let at = self.notes.start() + slot as usize * size_of::<SlotNote>();
        let note: *const SlotNote = ptr::with_exposed_provenance(at);
        // SAFETY: numbers of slots come from the pool, which stays below `ready`: committed
        // memory, in which any bytes are a valid note.
        unsafe { &*note }
    }

    fn take(&self) -> Option<u32> {
        let ready = self.ready.load(Ordering::Acquire);
        self.pool.take(ready, |slot| &self.note(slot).link)
    }

    /// Gives the memory of all slots back to the system, also of those that nobody needed; all of
    /// them are free.
    fn forget_contents(&self) {
        let warmed = usize::try_from(self.warmed.swap(0, Ordering::Relaxed)).unwrap_or(0);
        let used = self.pool.used() as usize * self.slot_size;
        let len = used.max(warmed).next_multiple_of(CHUNK_SIZE);
        // What is made ready for the next window is what it will use.
        self.pool.sort(|slot| &self.note(slot).link);
        let len = len.min(self.memory.len());
        // By slices: meanwhile no thread of the program can change its mappings, or opens a chunk.
        for at in (0..len).step_by(FORGET_SLICE) {
            let slice = FORGET_SLICE.min(len - at);
            // SAFETY: the area's own anonymous memory; a writer that came too late finds zeros
            // in a copy that nobody wants.
            let _ = unsafe { map::discard(self.memory.start() + at, slice) };
        }
    }
}

impl Stage {
    /// An empty stage.
    ///
    /// # Errors
    /// What the system says when it refuses address space.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            pages: Area::new(PAGE_SIZE)?,
            chunks: Area::new(CHUNK_SIZE)?,
            limit: AtomicU64::new(0),
            in_use: AtomicU64::new(0),
            high_water: AtomicU64::new(0),
            stalls: AtomicU64::new(0),
            given: AtomicU32::new(0),
        })
    }

    /// Gets ready for a window: at most `limit` bytes.
    pub fn prepare(&self, limit: u64) {
        let limit = limit.min(STAGE_MAX / 2);
        let slots = |bytes: u64, size: usize| {
            u32::try_from(bytes.div_ceil(size as u64)).unwrap_or(u32::MAX)
        };
        for area in [&self.pages, &self.chunks] {
            area.prepare(slots(limit, area.slot_size) + SPARE);
        }
        self.limit.store(limit, Ordering::Relaxed);
        self.high_water.store(0, Ordering::Relaxed);
    }

    /// Gets memory for that many bytes of pages and of chunks ahead of the window, as long as
    /// `go_on` says so: writers then need not wait for the system to find and clear it.
    pub fn warm(&self, pages: u64, chunks: u64, go_on: impl Fn() -> bool) {
        let limit = self.limit.load(Ordering::Relaxed);
        self.chunks.warm(chunks.min(limit), &go_on);
        self.pages.warm(pages.min(limit), &go_on);
    }

    /// Gives the memory back after a window. The queue has been emptied.
    pub fn release(&self) {
        self.pages.forget_contents();
        self.chunks.forget_contents();
    }

    /// The most bytes that have been in slots since [`Stage::prepare`].
    #[must_use]
    pub fn high_water(&self) -> u64 {
        self.high_water.load(Ordering::Relaxed)
    }

    /// How often a writer has found the stage full, ever.
    #[must_use]
    pub fn stalls(&self) -> u64 {
        self.stalls.load(Ordering::Relaxed)
    }

    /// Whether so many bytes are in slots that writers will soon have to wait.
    #[must_use]
    pub fn is_filling(&self) -> bool {
        self.in_use.load(Ordering::Relaxed) > self.limit.load(Ordering::Relaxed) / 2
    }

    /// A slot, if one is free within the limit (`spare`: or a little above it).
    pub(super) fn take(&self, is_chunk: bool, spare: bool) -> Option<Slot> {
        let area = self.area(is_chunk);
        let size = area.slot_size as u64;
        let in_use = self.in_use.fetch_add(size, Ordering::Relaxed) + size;
        let slot = match in_use <= self.limit.load(Ordering::Relaxed) || spare {
            true => area.take(),
            false => None,
        };
        match slot {
            Some(number) => {
                self.high_water.fetch_max(in_use, Ordering::Relaxed);
                Some(Slot { number, is_chunk })
            }
            None => {
                self.in_use.fetch_sub(size, Ordering::Relaxed);
                None
            }
        }
    }

    /// Copies a unit's memory, which nobody writes, into a slot.
    ///
    /// # Safety
    /// As many bytes as the slot has are readable at the address `source`.
    pub(super) unsafe fn fill(&self, slot: &Slot, source: usize) {
        let (area, place) = (self.area(slot.is_chunk), self.pointer(slot));
        let source: *const u8 = ptr::with_exposed_provenance(source);
        // SAFETY: the source says the caller; the slot is the caller's alone, has this size, and
        // lies outside the arena.
        unsafe { ptr::copy_nonoverlapping(source, place, area.slot_size) };
    }

    /// Hands a filled slot to the saver.
    pub(super) fn queue(&self, slot: Slot, unit: Unit, now: u64) {
        let area = self.area(slot.is_chunk);
        let note = area.note(slot.number);
        let (number, is_table) = match unit {
            Unit::Table(page) => (page.0, 1),
            Unit::Tracked(page) => (page.0, 0),
            Unit::Chunk(chunk) => (chunk.0, 0),
        };
        note.unit.store(number, Ordering::Relaxed);
        note.now.store(now | is_table, Ordering::Relaxed);
        area.pool.push(slot.number, &note.link);
    }

    /// Takes back a slot that was not needed.
    pub(super) fn put_back(&self, slot: Slot) {
        let area = self.area(slot.is_chunk);
        area.pool.give(slot.number, &area.note(slot.number).link);
        self.in_use.fetch_sub(area.slot_size as u64, Ordering::Relaxed);
    }

    /// What [`Stage::wait`] wants to know, asked before a slot was not to be had.
    pub(super) fn given(&self) -> u32 {
        self.given.load(Ordering::Acquire)
    }

    /// Waits until slots come back, or a little while.
    pub(super) fn wait(&self, given: u32) {
        crate::os::futex_wait_for(&self.given, given, LOOK_AGAIN);
    }

    pub(super) fn count_stall(&self) {
        self.stalls.fetch_add(1, Ordering::Relaxed);
    }

    /// All that has been queued in the epoch with that word, in no order. Older copies are
    /// dropped.
    pub(super) fn take_queued(&self, now: u64) -> Vec<Staged> {
        let mut found = Vec::new();
        for is_chunk in [false, true] {
            let area = self.area(is_chunk);
            let mut next = area.pool.take_queued();
            while let Some(number) = next {
                let note = area.note(number);
                next = Pool::after(&note.link);
                let unit = note.unit.load(Ordering::Relaxed);
                let epoch = note.now.load(Ordering::Relaxed);
                let unit = match (is_chunk, epoch & 1) {
                    (true, _) => Unit::Chunk(ChunkIndex(unit)),
                    (false, 0) => Unit::Tracked(PageIndex(unit)),
                    (false, _) => Unit::Table(PageIndex(unit)),
                };
                let staged = Staged { unit, slot: Slot { number, is_chunk } };
                match epoch & !1 == now {
                    true => found.push(staged),
                    false => self.give(staged),
                }
            }
        }
        found
    }

    /// The bytes of a slot in the saver's hands.
    #[must_use]
    pub fn bytes<'a>(&'a self, staged: &'a Staged) -> &'a [u8] {
        let area = self.area(staged.slot.is_chunk);
        // SAFETY: the slot is the saver's alone while `staged` exists; its writer's bytes have
        // been seen by taking the queue.
        unsafe { std::slice::from_raw_parts(self.pointer(&staged.slot), area.slot_size) }
    }

    /// Gives a slot back; [`Stage::wake`] then wakes the writers that wait for one.
    pub fn give(&self, staged: Staged) {
        self.put_back(staged.slot);
    }

    /// Wakes the writers that wait: something has changed.
    pub fn wake(&self) {
        self.given.fetch_add(1, Ordering::Release);
        crate::os::futex_wake_all(&self.given);
    }

    fn area(&self, is_chunk: bool) -> &Area {
        if is_chunk { &self.chunks } else { &self.pages }
    }

    fn pointer(&self, slot: &Slot) -> *mut u8 {
        let area = self.area(slot.is_chunk);
        let at = area.memory.start() + slot.number as usize * area.slot_size;
        ptr::with_exposed_provenance_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_for_pages_and_chunks_together() {
        let stage = Stage::new().unwrap();
        assert!(stage.take(false, false).is_none());
        let limit = (CHUNK_SIZE + 2 * PAGE_SIZE) as u64;
        stage.prepare(limit);
        stage.warm(limit, limit, || true);
        let chunk = stage.take(true, false).unwrap();
        assert!(stage.take(true, false).is_none());
        let page = stage.take(false, false).unwrap();
        stage.put_back(stage.take(false, false).unwrap());
        let last = stage.take(false, false).unwrap();
        assert!(stage.take(false, false).is_none());
        assert_eq!(stage.high_water(), limit);
        assert!(stage.take(true, true).is_some(), "the saver gets more");
        let bytes = [7; PAGE_SIZE];
        // SAFETY: an array of a page's size.
        unsafe { stage.fill(&page, bytes.as_ptr().expose_provenance()) };
        stage.queue(page, Unit::Table(PageIndex(5)), 8);
        stage.queue(last, Unit::Tracked(PageIndex(6)), 4);
        stage.put_back(chunk);
        let queued = stage.take_queued(8);
        assert_eq!(queued.len(), 1, "what is of an older epoch is dropped");
        for staged in queued {
            assert_eq!(staged.unit, Unit::Table(PageIndex(5)));
            assert_eq!(stage.bytes(&staged), bytes);
            stage.give(staged);
        }
    }

    /// How many pages from `start` on have memory.
    fn resident(start: usize, pages: usize) -> usize {
        use std::os::unix::fs::FileExt;
        let map = std::fs::File::open("/proc/self/pagemap").unwrap();
        let mut entries = vec![0; pages * 8];
        map.read_exact_at(&mut entries, (start / PAGE_SIZE * 8) as u64).unwrap();
        // The highest bit says that there is a page.
        entries.as_chunks::<8>().0.iter().filter(|entry| entry[7] >> 7 == 1).count()
    }

    /// Also what was given to it ahead of a window in which nobody needed it.
    #[test]
    fn a_released_stage_has_no_memory() {
        let stage = Stage::new().unwrap();
        let limit = 8 * CHUNK_SIZE;
        let resident = || {
            [&stage.pages, &stage.chunks]
                .map(|area| resident(area.memory.start(), limit / PAGE_SIZE))
                .iter()
                .sum::<usize>()
        };
        for needed in [6, 0, 1] {
            let warm = 2 * CHUNK_SIZE as u64;
            stage.prepare(limit as u64);
            stage.warm(warm, 2 * warm, || true);
            assert!(resident() >= 6 * CHUNK_SIZE / PAGE_SIZE, "ahead of the window");
            let slots: Vec<_> = (0..needed).map(|_| stage.take(true, false).unwrap()).collect();
            for slot in slots {
                let bytes = vec![7; CHUNK_SIZE];
                // SAFETY: a vector of a chunk's size.
                unsafe { stage.fill(&slot, bytes.as_ptr().expose_provenance()) };
                stage.put_back(slot);
            }
            stage.release();
            assert_eq!(resident(), 0, "{needed} chunks were needed");
        }
    }
}
