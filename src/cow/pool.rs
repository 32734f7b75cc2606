//! A pool of equal slots, handed out and queued without locks: the stage has one for pages and
//! one for chunks.
//!
//! ```text
//!  never used --take--> a writer's --push--> queued --take_queued--> the saver's --give--> free
//!                           ^                                                            |
//!                           +----------------------------- take ------------------------+
//! ```
//! A slot stands in one place at a time, so free slots and queued ones share the links. Many
//! threads take and push; the saver alone empties the queue and gives slots back.

use crate::base::sync::{AtomicU32, AtomicU64, Ordering};

/// The heads of a pool's lists.
#[derive(Debug)]
pub(super) struct Pool {
    /// The first free slot plus one in the low half; the high half counts, so that a head that
    /// went and came back is not taken for the old one.
    free: AtomicU64,
    /// The last queued slot plus one.
    queued: AtomicU32,
    /// Slots that have ever been taken.
    used: AtomicU32,
}

impl Pool {
    pub(super) fn new() -> Self {
        Self { free: AtomicU64::new(0), queued: AtomicU32::new(0), used: AtomicU32::new(0) }
    }

    /// A slot below `limit` that is nobody else's. `links` gives a slot's link.
    pub(super) fn take<'a>(&self, limit: u32, links: impl Fn(u32) -> &'a AtomicU32) -> Option<u32> {
        let mut head = self.free.load(Ordering::Acquire);
        while let Some(slot) = slot_of(low(head)) {
            let next = links(slot).load(Ordering::Relaxed);
            match self.exchange_free(head, next) {
                Ok(()) => return Some(slot),
                Err(found) => head = found,
            }
        }
        let fresh = |used: u32| (used < limit).then(|| used + 1);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fresh).ok()
    }

    /// Queues a slot of the caller's; what it wrote before is seen by who takes the queue.
    pub(super) fn push(&self, slot: u32, link: &AtomicU32) {
        let mut head = self.queued.load(Ordering::Relaxed);
        loop {
            link.store(head, Ordering::Relaxed);
            match self.queued.compare_exchange_weak(
                head,
                slot + 1,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(found) => head = found,
            }
        }
    }

    /// Takes all queued slots; walk on with [`Pool::after`].
    pub(super) fn take_queued(&self) -> Option<u32> {
        slot_of(self.queued.swap(0, Ordering::Acquire))
    }

    /// The slot queued before this one; to be asked before the slot is given back.
    pub(super) fn after(link: &AtomicU32) -> Option<u32> {
        slot_of(link.load(Ordering::Relaxed))
    }

    /// Gives a slot back.
    pub(super) fn give(&self, slot: u32, link: &AtomicU32) {
        let mut head = self.free.load(Ordering::Relaxed);
        loop {
            link.store(low(head), Ordering::Relaxed);
            match self.exchange_free(head, slot + 1) {
                Ok(()) => return,
                Err(found) => head = found,
            }
        }
    }

    /// Has free slots handed out from the lowest on, as far as they are free now.
    #[cfg(not(loom))]
    pub(super) fn sort<'a>(&self, links: impl Fn(u32) -> &'a AtomicU32) {
        let mut head = self.free.load(Ordering::Acquire);
        while let Err(found) = self.exchange_free(head, 0) {
            head = found;
        }
        let mut slots = Vec::new();
        let mut next = slot_of(low(head));
        while let Some(slot) = next {
            slots.push(slot);
            next = slot_of(links(slot).load(Ordering::Relaxed));
        }
        slots.sort_unstable();
        slots.into_iter().rev().for_each(|slot| self.give(slot, links(slot)));
    }

    /// Slots that have ever been taken: their memory may be in use.
    pub(super) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    fn exchange_free(&self, head: u64, to: u32) -> Result<(), u64> {
        let count = (head >> 32).wrapping_add(1) << 32;
        let exchanged = self.free.compare_exchange_weak(
            head,
            count | u64::from(to),
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        exchanged.map(drop)
    }
}

fn low(head: u64) -> u32 {
    u32::try_from(head & u64::from(u32::MAX)).unwrap_or(0)
}

fn slot_of(link: u32) -> Option<u32> {
    link.checked_sub(1)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn slots_come_back_and_stop_at_the_limit() {
        let links: [AtomicU32; 3] = Default::default();
        let (pool, link) = (Pool::new(), |slot: u32| &links[slot as usize]);
        assert_eq!([0, 1, 2, 3].map(|_| pool.take(3, link)), [Some(0), Some(1), Some(2), None]);
        pool.push(1, link(1));
        pool.push(0, link(0));
        assert_eq!(pool.take_queued(), Some(0));
        assert_eq!(Pool::after(link(0)), Some(1));
        assert_eq!((Pool::after(link(1)), pool.take_queued()), (None, None));
        pool.give(1, link(1));
        pool.give(0, link(0));
        assert_eq!((pool.take(3, link), pool.used()), (Some(0), 3), "the last one that came back");
        pool.give(0, link(0));
        pool.give(2, link(2));
        pool.sort(link);
        assert_eq!([0, 1, 2, 3].map(|_| pool.take(3, link)), [Some(0), Some(1), Some(2), None]);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    struct World {
        pool: Pool,
        links: [AtomicU32; 2],
        slots: [UnsafeCell<()>; 2],
        values: [AtomicU32; 2],
    }

    /// Two writers fill slots, the saver empties them and gives them back: no slot is anybody's
    /// twice, and all that was pushed arrives.
    #[test]
    fn a_slot_is_one_threads_at_a_time() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let world = Arc::new(World {
                pool: Pool::new(),
                links: [AtomicU32::new(0), AtomicU32::new(0)],
                slots: [UnsafeCell::new(()), UnsafeCell::new(())],
                values: [AtomicU32::new(0), AtomicU32::new(0)],
            });
            let writers: Vec<_> = [5, 6]
                .map(|value| {
                    let world = Arc::clone(&world);
                    thread::spawn(move || {
                        let links = |slot: u32| &world.links[slot as usize];
                        let Some(slot) = world.pool.take(2, links) else { return 0 };
                        world.slots[slot as usize].with_mut(|_| ());
                        world.values[slot as usize].store(value, Ordering::Relaxed);
                        world.pool.push(slot, links(slot));
                        value
                    })
                })
                .into();
            let mut seen = world.drain();
            let pushed: u32 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
            seen += world.drain();
            assert_eq!(seen, pushed);
        });
    }

    impl World {
        fn drain(&self) -> u32 {
            let (mut sum, mut next) = (0, self.pool.take_queued());
            while let Some(slot) = next {
                next = Pool::after(&self.links[slot as usize]);
                self.slots[slot as usize].with_mut(|_| ());
                sum += self.values[slot as usize].load(Ordering::Relaxed);
                self.pool.give(slot, &self.links[slot as usize]);
            }
            sum
        }
    }
}
