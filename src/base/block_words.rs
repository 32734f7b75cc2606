//! The words of the maps that tell which of 64 neighbouring blocks are in use, and how their owner
//! and other threads change them without a lock.
//!
//! * The *taken* word is its owner's: who else reads it may find it old.
//! * The *remote* word has what others freed. They set bits, the owner takes them all out.
//! * The *live* word is what the next run believes. Whoever is [`Busy`] may change it, and say
//!   which words are claimed.

use crate::base::sync::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::base::sync::{AtomicU32, AtomicU64, hint};

/// Two threads have freed the same block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FreedTwice;

/// Takes the blocks of these bits, which are free. The caller owns the word.
#[inline]
pub fn take(taken: &AtomicU64, bits: u64) {
    taken.store(taken.load(Relaxed) | bits, Relaxed);
}

/// Takes what other threads freed into the taken word, and gives that. The caller owns it.
///
/// # Errors
/// If something is freed that is free; nothing is to be relied on any more.
#[inline]
pub fn merge(taken: &AtomicU64, remote: &AtomicU64) -> Result<u64, FreedTwice> {
    let before = taken.load(Relaxed);
    if remote.load(Relaxed) == 0 {
        return Ok(before);
    }
    let freed = remote.swap(0, Acquire);
    if freed & !before != 0 {
        return Err(FreedTwice);
    }
    taken.store(before & !freed, Relaxed);
    Ok(before & !freed)
}

/// Frees the block of that bit, which the caller does not own. `false`: it is free already.
#[inline]
pub fn free_remotely(taken: &AtomicU64, remote: &AtomicU64, bit: u64) -> bool {
    // What the owner takes of this word meanwhile are other blocks.
    taken.load(Relaxed) & bit != 0 && remote.fetch_or(bit, AcqRel) & bit == 0
}

/// What the live word is to be if its blocks are claimed, or brought up to what is in use. The
/// caller is busy. `None`: it is so already.
pub fn settled(
    taken: &AtomicU64,
    remote: &AtomicU64,
    live: &AtomicU64,
    is_claimed: bool,
) -> Option<u64> {
    // Who frees meanwhile leaves more live than in use. And before the owner takes what others have
    // freed, it claims the word, which makes it live again.
    let freed = remote.load(Relaxed);
    let wanted = if is_claimed { u64::MAX } else { taken.load(Relaxed) & !freed };
    (live.load(Relaxed) != wanted).then_some(wanted)
}

/// The right to change live words, and which are claimed.
#[derive(Debug)]
pub struct Busy<'a>(&'a AtomicU32);

impl<'a> Busy<'a> {
    /// Waits for whoever has it: for some hundred instructions at most.
    pub fn get(flag: &'a AtomicU32) -> Self {
        while flag.swap(1, Acquire) != 0 {
            hint::spin_loop();
        }
        Self(flag)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.store(0, Release);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::base::{PageIndex, RipeLink, RipeList};
    use loom::sync::{Arc, Mutex};
    use loom::thread;

    /// A slab with one word, and the lists of a lane and of the heap.
    struct Slab {
        taken: AtomicU64,
        remote: AtomicU64,
        live: AtomicU64,
        /// As `Busy`, for which loom would have to spin.
        busy: Mutex<()>,
        claimed: AtomicU32,
        ripe: AtomicU32,
        next: AtomicU32,
        owner: AtomicU32,
        lists: [RipeList; 2],
    }

    impl Slab {
        fn new(taken: u64, owner: u32) -> Arc<Self> {
            let word = AtomicU64::new;
            Arc::new(Self {
                taken: word(taken),
                remote: word(0),
                live: word(taken),
                busy: Mutex::new(()),
                claimed: AtomicU32::new(0),
                ripe: AtomicU32::new(0),
                next: AtomicU32::new(0),
                owner: AtomicU32::new(owner),
                lists: [RipeList::new(), RipeList::new()],
            })
        }

        fn free_remotely(&self, bit: u64) -> bool {
            let freed = free_remotely(&self.taken, &self.remote, bit);
            if freed {
                let owner = self.owner.load(Relaxed) as usize;
                self.lists[owner].raise(PageIndex(0), &self.link());
            }
            freed
        }

        fn link(&self) -> RipeLink<'_> {
            RipeLink { ripe: &self.ripe, next: &self.next }
        }

        /// If the slab stands on that list, it is merged, or passed on to its owner's.
        fn drain(&self, list: usize) -> Result<(), FreedTwice> {
            if self.lists[list].take_all().is_none() {
                return Ok(());
            }
            let owner = self.owner.load(Relaxed) as usize;
            if owner == list {
                RipeList::lower(&self.link());
                merge(&self.taken, &self.remote)?;
            } else {
                self.lists[owner].push(PageIndex(0), &self.link());
            }
            Ok(())
        }
    }

    /// Two threads free blocks, each one of its own, and both the same one, while the owner takes
    /// one that is free: no free is lost, and the one too many is told, to who does it or to the
    /// owner.
    #[test]
    fn remote_frees_are_neither_lost_nor_doubled() {
        loom::model(|| {
            let slab = Slab::new(0b0111, 0);
            let others: Vec<_> = [0b0001, 0b0010]
                .map(|bit| {
                    let slab = Arc::clone(&slab);
                    thread::spawn(move || {
                        assert!(slab.free_remotely(bit));
                        slab.free_remotely(0b0100)
                    })
                })
                .into();
            let free = !merge(&slab.taken, &slab.remote).unwrap();
            assert_ne!(free & 0b1000, 0);
            take(&slab.taken, 0b1000);
            let first = slab.drain(0);
            let freed: Vec<bool> = others.into_iter().map(|other| other.join().unwrap()).collect();
            let merged = first.and_then(|()| slab.drain(0));
            let freed = freed.into_iter().filter(|&freed| freed).count();
            assert!(freed == 1 && merged.is_ok() || freed == 2 && merged.is_err());
            if merged.is_ok() {
                assert_eq!(slab.taken.load(Relaxed), 0b1000);
            }
        });
    }

    /// A lane hands its slab over to the heap while another thread frees, and finds the lane or the
    /// heap as its owner: what was freed comes to whom the slab belongs.
    #[test]
    fn a_slab_that_is_handed_over_loses_no_free() {
        loom::model(|| {
            let slab = Slab::new(0b11, 1);
            let lock = Arc::new(Mutex::new(()));
            let freeing = {
                let slab = Arc::clone(&slab);
                thread::spawn(move || {
                    assert!(slab.free_remotely(0b01));
                    assert!(slab.free_remotely(0b10));
                })
            };
            {
                let _lock = lock.lock().unwrap();
                slab.owner.store(0, Relaxed);
                merge(&slab.taken, &slab.remote).unwrap();
                slab.drain(1).unwrap();
            }
            freeing.join().unwrap();
            // As who takes the heap's slabs next does.
            let _lock = lock.lock().unwrap();
            slab.drain(1).unwrap();
            slab.drain(0).unwrap();
            assert_eq!(slab.taken.load(Relaxed), 0, "both are free");
        });
    }

    /// The thread that takes freezes settles while the owner claims, takes, and frees, and another
    /// thread frees: each block in use is live at any time.
    #[test]
    fn what_is_in_use_stays_live() {
        loom::model(|| {
            let slab = Slab::new(0b011, 0);
            let freeing = {
                let slab = Arc::clone(&slab);
                thread::spawn(move || assert!(slab.free_remotely(0b010)))
            };
            let settling = {
                let slab = Arc::clone(&slab);
                thread::spawn(move || {
                    let _busy = slab.busy.lock().unwrap();
                    let claimed = slab.claimed.load(Relaxed) != 0;
                    if let Some(live) = settled(&slab.taken, &slab.remote, &slab.live, claimed) {
                        slab.live.store(live, Relaxed);
                    }
                })
            };
            {
                let _busy = slab.busy.lock().unwrap();
                merge(&slab.taken, &slab.remote).unwrap();
                if let Some(live) = settled(&slab.taken, &slab.remote, &slab.live, true) {
                    slab.live.store(live, Relaxed);
                }
                slab.claimed.store(1, Relaxed);
            }
            let free = !merge(&slab.taken, &slab.remote).unwrap();
            take(&slab.taken, free & free.wrapping_neg());
            slab.taken.store(slab.taken.load(Relaxed) & !0b001, Relaxed);
            settling.join().unwrap();
            freeing.join().unwrap();
            let (taken, live) = (slab.taken.load(Relaxed), slab.live.load(Relaxed));
            assert_eq!(taken & !live, 0, "in use, and not live");
            assert_eq!(live, u64::MAX, "claimed");
        });
    }
}
