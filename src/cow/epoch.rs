//! Epochs, and the word that every unit of copy-on-write has: which epoch it was last written in.
//!
//! ```text
//!                    Mark, or Copy and then          the writer goes on
//! older than now  ------------> busy(now) -----------------> written(now)
//!       |                                                        ^
//!       +--- the saver has copied it ---> saved(now) ---- Mark --+
//! ```
//! A unit is a page of tables, a tracked page, or a guarded chunk. A freeze adds one to the
//! epoch, and with that every word is older than now, at no cost for each unit.
//!
//! **Invariant:** in a window nobody writes to a unit whose word is older than now. So what the
//! saver has copied is the frozen state if the word, by a compare-and-exchange after the copy,
//! was still older than now: the writer's first step on the word would have shown.
//!
//! Nobody ever waits for the saver here; a writer waits for another that copies the same unit.

use crate::base::sync::{AtomicU64, Ordering};

/// The low bits of a word; above them is the epoch.
const WRITTEN: u64 = 0;
const BUSY: u64 = 1;
const SAVED: u64 = 2;
const EPOCH: u64 = 4;

/// The epoch, and whether its window is open. Both are whole words: an epoch times four.
#[derive(Debug)]
pub(super) struct Clock {
    now: AtomicU64,
    /// The epoch whose window is open; 0: none is.
    window: AtomicU64,
}

/// What a writer has to do before its first write to a unit in an epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
    /// Nothing: it has been done.
    Written,
    /// Look again, a little later: another writer is doing it, or the writer's epoch has ended.
    Busy,
    /// Claim the word found; there is nothing to copy.
    Mark(u64),
    /// Claim the word found, and copy the unit to the stage.
    Copy(u64),
}

impl Clock {
    /// A clock in epoch 0, in which every word that is 0 counts as written: nothing is announced
    /// before the first epoch has begun.
    pub(super) fn new() -> Self {
        Self { now: AtomicU64::new(0), window: AtomicU64::new(0) }
    }

    /// The word of a unit that has been written in this epoch.
    #[inline]
    pub(super) fn now(&self) -> u64 {
        self.now.load(Ordering::Acquire)
    }

    /// The epoch's number.
    pub(super) fn epoch(&self) -> u64 {
        number(self.now())
    }

    /// Whether frozen pages of the epoch `now` are still to be saved.
    pub(super) fn is_window_open(&self, now: u64) -> bool {
        let window = self.window.load(Ordering::Acquire);
        window == now && window != 0
    }

    /// Begins the next epoch, with its window open if `window` says so. The gate is closed.
    pub(super) fn advance(&self, window: bool) {
        let next = self.now() + EPOCH;
        // Who sees the new epoch sees its window.
        self.window.store(if window { next } else { 0 }, Ordering::Release);
        self.now.store(next, Ordering::Release);
    }

    /// All frozen pages have been saved, or are not wanted any more.
    pub(super) fn close_window(&self) {
        self.window.store(0, Ordering::Release);
    }

    /// What a writer that found `word` has to do.
    pub(super) fn turn(&self, now: u64, word: u64) -> Turn {
        match word {
            _ if word == now | WRITTEN => Turn::Written,
            _ if word == now | BUSY => Turn::Busy,
            // Outside scopes a freeze may come right now. The unit must not count as unwritten in
            // an epoch in which it has been dealt with.
            _ if word >= now + EPOCH => Turn::Busy,
            _ if word == now | SAVED || !self.is_window_open(now) => Turn::Mark(word),
            _ => Turn::Copy(word),
        }
    }
}

/// The number of the epoch that a word is of.
pub(super) fn number(word: u64) -> u64 {
    word / EPOCH
}

/// Takes the word for the writer, which then copies, or changes protections, and ends with
/// [`finish`]. `false`: somebody else was faster.
pub(super) fn claim(word: &AtomicU64, found: u64, now: u64) -> bool {
    exchange(word, found, now | BUSY)
}

/// Marks a unit as written that needs neither copy nor anything else.
pub(super) fn mark(word: &AtomicU64, found: u64, now: u64) -> bool {
    exchange(word, found, now | WRITTEN)
}

/// The unit may be written. A claim that a later epoch has taken over stays its own.
pub(super) fn finish(word: &AtomicU64, now: u64) {
    let _ = exchange(word, now | BUSY, now | WRITTEN);
}

/// Gives a claim back: the unit is as it was found, but for a copy that the stage has.
pub(super) fn unclaim(word: &AtomicU64, now: u64, found: u64, copied: bool) {
    let _ = exchange(word, now | BUSY, if copied { now | SAVED } else { found });
}

/// The word of a unit that the saver may copy now: nobody has written to it in this epoch, nor
/// is about to. `None`: its frozen state is in the stage, or soon will be, or has been saved.
pub(super) fn unwritten(word: &AtomicU64, now: u64) -> Option<u64> {
    let found = word.load(Ordering::Acquire);
    (found < now).then_some(found)
}

/// The saver has copied the unit after it had found that word. `false`: the copy is worthless,
/// for a writer came first.
pub(super) fn confirm(word: &AtomicU64, found: u64, now: u64) -> bool {
    exchange(word, found, now | SAVED)
}

fn exchange(word: &AtomicU64, from: u64, to: u64) -> bool {
    word.compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed).is_ok()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn before_the_first_epoch_everything_counts_as_written() {
        let clock = Clock::new();
        assert_eq!(clock.turn(clock.now(), 0), Turn::Written);
        assert!(!clock.is_window_open(clock.now()));
        clock.advance(false);
        assert_eq!(clock.turn(clock.now(), 0), Turn::Mark(0));
    }

    #[test]
    fn a_window_asks_for_copies_until_the_unit_is_saved() {
        let clock = Clock::new();
        clock.advance(true);
        let (now, word) = (clock.now(), AtomicU64::new(0));
        assert_eq!(clock.turn(now, 0), Turn::Copy(0));
        let found = unwritten(&word, now).unwrap();
        assert!(confirm(&word, found, now));
        assert_eq!(unwritten(&word, now), None);
        let saved = word.load(Ordering::Relaxed);
        assert_eq!(clock.turn(now, saved), Turn::Mark(saved));
        assert!(claim(&word, saved, now));
        assert_eq!(clock.turn(now, word.load(Ordering::Relaxed)), Turn::Busy);
        finish(&word, now);
        assert_eq!(clock.turn(now, word.load(Ordering::Relaxed)), Turn::Written);
        clock.close_window();
        clock.advance(true);
        assert!(unwritten(&word, clock.now()).is_some());
    }

    #[test]
    fn a_writer_whose_epoch_has_ended_looks_again() {
        let clock = Clock::new();
        clock.advance(false);
        let late = clock.now();
        clock.advance(true);
        for state in [WRITTEN, BUSY, SAVED] {
            assert_eq!(clock.turn(late, clock.now() | state), Turn::Busy);
        }
    }

    #[test]
    fn a_copy_that_a_writer_overtook_is_not_confirmed() {
        let clock = Clock::new();
        clock.advance(true);
        let (now, word) = (clock.now(), AtomicU64::new(0));
        let found = unwritten(&word, now).unwrap();
        assert!(claim(&word, 0, now));
        assert!(!confirm(&word, found, now));
        unclaim(&word, now, 0, true);
        assert!(unwritten(&word, now).is_none());
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::base::sync::{AtomicU32, thread};
    use loom::sync::Arc;

    /// A unit of two values that are always equal when frozen, the stage, and what was saved.
    struct World {
        clock: Clock,
        word: AtomicU64,
        data: [AtomicU32; 2],
        /// What a writer copied: 1 + the value, twice.
        stage: [AtomicU32; 2],
        staged: AtomicU32,
    }

    impl World {
        fn write(&self, value: u32) {
            self.announce(self.clock.now());
            for place in &self.data {
                place.store(value, Ordering::Relaxed);
            }
        }

        fn read(&self) -> [u32; 2] {
            [0, 1].map(|place: usize| self.data[place].load(Ordering::Relaxed))
        }
    }

    impl World {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                clock: Clock::new(),
                word: AtomicU64::new(0),
                data: [AtomicU32::new(7), AtomicU32::new(7)],
                stage: [AtomicU32::new(0), AtomicU32::new(0)],
                staged: AtomicU32::new(0),
            })
        }

        /// What a page's writer does outside scopes, where the clock may advance at any time.
        /// Gives the word of the epoch in which it was done; copies of the epoch `last` count.
        fn announce(&self, last: u64) -> u64 {
            loop {
                let now = self.clock.now();
                match self.clock.turn(now, self.word.load(Ordering::Acquire)) {
                    Turn::Written => return now,
                    Turn::Mark(found) if mark(&self.word, found, now) => return now,
                    Turn::Copy(found) if claim(&self.word, found, now) => {
                        for (from, to) in self.data.iter().zip(&self.stage) {
                            to.store(1 + from.load(Ordering::Relaxed), Ordering::Relaxed);
                        }
                        self.staged.fetch_add(u32::from(now == last), Ordering::Release);
                        finish(&self.word, now);
                        return now;
                    }
                    Turn::Busy | Turn::Mark(_) | Turn::Copy(_) => thread::yield_now(),
                }
            }
        }
    }

    /// A freeze beside a writer in the barrier, outside scopes, and the saver of the new epoch:
    /// the unit is saved once. If its writer came in the new epoch, it is whole; if not, nothing
    /// reaches it yet, and the writer's last announcement has it count as written.
    #[test]
    fn a_freeze_may_fall_into_the_barrier() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let world = World::new();
            world.clock.advance(true);
            let last = world.clock.now() + EPOCH;
            let writer = {
                let world = Arc::clone(&world);
                thread::spawn(move || {
                    let first = world.announce(last);
                    for place in &world.data {
                        place.store(8, Ordering::Relaxed);
                    }
                    (first, world.announce(last))
                })
            };
            world.clock.close_window();
            world.clock.advance(true);
            let mut saved = None;
            while let Some(found) = unwritten(&world.word, last) {
                let copy = world.read();
                if confirm(&world.word, found, last) {
                    saved = Some(copy);
                }
            }
            let (first, second) = writer.join().unwrap();
            let staged = world.staged.load(Ordering::Acquire);
            assert_eq!(u32::from(saved.is_some()) + staged, 1, "saved once");
            let stage = [0, 1].map(|place: usize| world.stage[place].load(Ordering::Relaxed));
            if first == last {
                assert_eq!(saved.unwrap_or_else(|| stage.map(|value| value - 1)), [7, 7]);
            }
            if second == last {
                assert_eq!(world.word.load(Ordering::Relaxed), last | WRITTEN);
            }
        });
    }

    /// One saver and two writers in a window: the frozen state is saved once, and whole.
    #[test]
    fn what_is_saved_is_what_was_frozen() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let world = World::new();
            world.clock.advance(true);
            let writers: Vec<_> = [8, 9]
                .map(|value| {
                    let world = Arc::clone(&world);
                    thread::spawn(move || world.write(value))
                })
                .into();
            let now = world.clock.now();
            let mut saved = None;
            if let Some(found) = unwritten(&world.word, now) {
                let copy = world.read();
                saved = confirm(&world.word, found, now).then_some(copy);
            }
            for writer in writers {
                writer.join().unwrap();
            }
            match saved {
                Some(copy) => {
                    assert_eq!(copy, [7, 7]);
                    assert_eq!(world.staged.load(Ordering::Acquire), 0);
                }
                None => {
                    assert_eq!(world.staged.load(Ordering::Acquire), 1);
                    let stage =
                        [0, 1].map(|place: usize| world.stage[place].load(Ordering::Relaxed));
                    assert_eq!(stage, [8, 8]);
                }
            }
        });
    }
}
