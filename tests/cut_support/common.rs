//! State that all threads change at the same time, through atomics and a lock.
//!
//! Invariants, between operations: the cells are what the threads' counts say; the list of what
//! was done last has each thread's operations in their order, up to its count.

use super::lane::PERIOD;
use super::mix;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use stillheap::Durable;

/// Cells, on 256 pages.
const CELLS: usize = 1 << 17;
/// Cells that an operation changes.
const TOUCHED: u64 = 8;
/// Operations that the list remembers.
const REMEMBERED: usize = 1000;

#[derive(Durable)]
pub(crate) struct Common {
    cells: Vec<AtomicU64>,
    /// Operations of each thread.
    counts: Vec<AtomicU64>,
    /// How many of them changed the thread's own state as well, in the same scope.
    crossings: Vec<AtomicU64>,
    /// The last operations, as thread and number.
    last: Mutex<VecDeque<(u64, u64)>>,
}

impl Common {
    pub(crate) fn new(threads: u64) -> Self {
        let zeros = |count: u64| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            cells: zeros(CELLS as u64),
            counts: zeros(threads),
            crossings: zeros(threads),
            last: Mutex::default(),
        }
    }

    /// One operation of `thread`. In every other period it takes back what it did in the last.
    pub(crate) fn advance(&self, thread: u64, is_crossing: bool) {
        let own = thread as usize;
        let number = self.counts[own].fetch_add(1, Relaxed);
        self.crossings[own].fetch_add(u64::from(is_crossing), Relaxed);
        for (cell, amount) in touched(thread, number % PERIOD) {
            match number / PERIOD % 2 {
                0 => self.cells[cell].fetch_add(amount, Relaxed),
                _ => self.cells[cell].fetch_sub(amount, Relaxed),
            };
        }
        let mut last = self.last.lock().expect("no panic under the lock");
        if last.len() == REMEMBERED {
            last.pop_front();
        }
        last.push_back((thread, number));
    }

    /// Operations of all threads.
    pub(crate) fn operations(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Relaxed)).sum()
    }

    pub(crate) fn crossings(&self, thread: u64) -> u64 {
        self.crossings[thread as usize].load(Relaxed)
    }

    /// Compares everything with a replay.
    pub(crate) fn check(&self) {
        let mut expected = vec![0_u64; CELLS];
        for (thread, count) in (0..).zip(&self.counts) {
            let count = count.load(Relaxed);
            let done = count % PERIOD;
            let left = if (count / PERIOD).is_multiple_of(2) { 0..done } else { done..PERIOD };
            for (cell, amount) in left.flat_map(|number| touched(thread, number)) {
                expected[cell] = expected[cell].wrapping_add(amount);
            }
        }
        let found = self.cells.iter().map(|cell| cell.load(Relaxed));
        assert!(expected.into_iter().eq(found), "the common cells are not what the counts say");
        let last = self.last.lock().expect("no panic under the lock");
        assert_eq!(last.len() as u64, self.operations().min(REMEMBERED as u64));
        let mut next: Vec<u64> = self.counts.iter().map(|count| count.load(Relaxed)).collect();
        for (thread, number) in last.iter().rev() {
            next[*thread as usize] -= 1;
            assert_eq!(next[*thread as usize], *number, "the list's order of thread {thread}");
        }
    }
}

/// The cells that an operation changes, and by how much.
fn touched(thread: u64, number: u64) -> impl Iterator<Item = (usize, u64)> {
    (0..TOUCHED).map(move |index| {
        let random = mix(number | thread << 32 | index << 48);
        (random as usize % CELLS, random)
    })
}
