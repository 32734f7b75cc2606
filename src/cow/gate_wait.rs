//! Waiting at the gate: threads for it to open, the freeze for threads to leave.
//!
//! Under loom there is no time and no futex: waiting is yielding, and patience is a count.

use crate::base::sync::{AtomicU32, Ordering};
#[cfg(not(loom))]
use std::time::{Duration, Instant};

/// How long a freeze waits in each of its two steps before it lets everybody go on.
#[cfg(not(loom))]
const BOUND: Duration = Duration::from_millis(1);
/// Looks at the word before a thread goes to sleep: a freeze is a matter of microseconds.
#[cfg(not(loom))]
const SPINS: u32 = 200;
/// Then, how often it gives its processor away before it sleeps.
#[cfg(not(loom))]
const YIELDS: u32 = SPINS + 100;
/// The longest pause between two attempts to freeze.
#[cfg(not(loom))]
const RETREAT_MAX: Duration = Duration::from_millis(64);

/// Waits while `word` has a bit of `closed` set.
#[cfg(not(loom))]
#[cold]
pub(super) fn until_open(word: &AtomicU32, closed: u32) {
    let _errno = crate::os::ErrnoKept::new();
    for _ in 0..SPINS {
        if word.load(Ordering::Relaxed) & closed == 0 {
            return;
        }
        std::hint::spin_loop();
    }
    loop {
        let seen = word.load(Ordering::Relaxed);
        if seen & closed == 0 {
            return;
        }
        crate::os::futex_wait(word, seen);
    }
}

/// Wakes the threads that wait for `word` to change.
#[cfg(not(loom))]
pub(super) fn wake_all(word: &AtomicU32) {
    crate::os::futex_wake_all(word);
}

/// Waits a little for another thread, the longer the more often; fit for a signal handler.
#[cfg(not(loom))]
pub(super) fn be_patient(waited: &mut u32) {
    *waited = waited.saturating_add(1);
    match *waited {
        0..SPINS => std::hint::spin_loop(),
        SPINS..YIELDS => std::thread::yield_now(),
        _ => crate::os::nap(Duration::from_micros(50)),
    }
}

/// Waits, within the bound, until `left` says so.
#[cfg(not(loom))]
pub(super) fn until_left(mut left: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while !left() {
        if begun.elapsed() > BOUND {
            return false;
        }
        // The thread that is waited for may need this processor.
        std::thread::yield_now();
    }
    true
}

/// Keeps away from the gate between two attempts, the longer the more there were.
#[cfg(not(loom))]
pub(super) fn retreat(attempts: u32) {
    let pause = Duration::from_millis(1 << attempts.min(10));
    std::thread::sleep(pause.min(RETREAT_MAX));
}

#[cfg(loom)]
pub(super) fn until_open(word: &AtomicU32, closed: u32) {
    while word.load(Ordering::Relaxed) & closed != 0 {
        loom::thread::yield_now();
    }
}

#[cfg(loom)]
pub(super) fn be_patient(_waited: &mut u32) {
    loom::thread::yield_now();
}

#[cfg(loom)]
pub(super) fn wake_all(_word: &AtomicU32) {}

#[cfg(loom)]
pub(super) fn until_left(mut left: impl FnMut() -> bool) -> bool {
    let first = left();
    loom::thread::yield_now();
    first || left()
}

#[cfg(loom)]
pub(super) fn retreat(_attempts: u32) {
    loom::thread::yield_now();
}
