//! What the soak's threads share: when to stop for a check, and the mailboxes.

use crate::checked::Checked;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex, MutexGuard};

/// Blocks that wait for a thread at most.
const WAITING: usize = 1_000;

pub(crate) struct Control {
    stopping: AtomicBool,
    barrier: Barrier,
    live: AtomicU64,
    steps: AtomicU64,
    mailboxes: Vec<Mutex<Vec<Checked>>>,
}

impl Control {
    pub(crate) fn new(threads: usize) -> Self {
        let mailboxes = (0..threads).map(|_| Mutex::new(Vec::with_capacity(WAITING))).collect();
        Self {
            stopping: AtomicBool::new(false),
            barrier: Barrier::new(threads + 1),
            live: AtomicU64::new(0),
            steps: AtomicU64::new(0),
            mailboxes,
        }
    }

    pub(crate) fn threads(&self) -> usize {
        self.mailboxes.len()
    }

    /// Stops all threads, calls `check` with bytes and steps of all of them, and lets them go on.
    pub(crate) fn stop_for<R>(&self, check: impl FnOnce(u64, u64) -> R) -> R {
        self.stopping.store(true, Ordering::Relaxed);
        self.barrier.wait();
        let waiting: u64 = self
            .mailboxes
            .iter()
            .flat_map(|mailbox| lock(mailbox).iter().map(Checked::bytes).collect::<Vec<_>>())
            .sum();
        let live = self.live.swap(0, Ordering::Relaxed) + waiting;
        let result = check(live, self.steps.swap(0, Ordering::Relaxed));
        self.stopping.store(false, Ordering::Relaxed);
        self.barrier.wait();
        result
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// A thread says what it has and did, and waits until the check is over.
    pub(crate) fn stopped(&self, live: u64, steps: u64) {
        self.live.fetch_add(live, Ordering::Relaxed);
        self.steps.fetch_add(steps, Ordering::Relaxed);
        self.barrier.wait();
        self.barrier.wait();
    }

    /// Puts a block into a thread's mailbox; if that is full, frees it.
    pub(crate) fn give(&self, thread: usize, block: Checked) {
        let mut mailbox = lock(&self.mailboxes[thread]);
        if mailbox.len() < WAITING {
            mailbox.push(block);
        }
    }

    /// Frees what is in a thread's mailbox.
    pub(crate) fn empty(&self, thread: usize) {
        let mailbox =
            mem::replace(&mut *lock(&self.mailboxes[thread]), Vec::with_capacity(WAITING));
        drop(mailbox);
    }
}

fn lock(mailbox: &Mutex<Vec<Checked>>) -> MutexGuard<'_, Vec<Checked>> {
    mailbox.lock().expect("no thread panics with it")
}
