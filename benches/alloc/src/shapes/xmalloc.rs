//! `xmalloc`: each thread allocates batches of 64 blocks of 16 B to 2 KiB and gives each to
//! another thread, chosen at random, which frees it. One thread alone gives them to itself.

use crate::block::{Block, block};
use crate::crew::{self, Done};
use crate::plan::Plan;
use crate::random::Random;
use crate::sizes::Sizes;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;

const BLOCKS: usize = 4_000_000;
/// Who is alone waits for nobody, and does so many times as much.
const ALONE: usize = 4;
const BATCH: usize = 64;
/// Batches that wait for a thread at most.
const WAITING: usize = 32;

type Inbox = Mutex<Vec<Vec<Block>>>;

struct State {
    thread: usize,
    random: Random,
    sizes: Sizes,
}

pub(super) fn run(plan: &Plan) -> Done {
    let prepare = |thread| {
        let mut random = plan.random(thread);
        let sizes = Sizes::log_uniform(16..2048, &mut random);
        State { thread, random, sizes }
    };
    let inboxes: Vec<Inbox> = (0..plan.threads).map(|_| Inbox::default()).collect();
    let alone = if plan.threads == 1 { ALONE } else { 1 };
    let (batches, done) = (alone * plan.amount(BLOCKS / BATCH), AtomicUsize::new(0));
    crew::run(plan.threads, prepare, |state| {
        let mut freed = 0;
        for _ in 0..batches {
            let batch = (0..BATCH).map(|_| block(state.sizes.draw(&mut state.random))).collect();
            freed += give(&inboxes, state, batch);
            freed += empty(&inboxes[state.thread]);
        }
        done.fetch_add(1, Ordering::Release);
        // Others may wait for room here.
        while done.load(Ordering::Acquire) < plan.threads {
            freed += empty(&inboxes[state.thread]);
            thread::yield_now();
        }
        freed + empty(&inboxes[state.thread])
    })
}

/// Gives a batch to another thread. Where there is no room the next one is tried, and meanwhile the
/// own inbox is emptied; gives the blocks freed there.
fn give(
    inboxes: &[Inbox],
    State { thread: own, random, .. }: &mut State,
    batch: Vec<Block>,
) -> u64 {
    let mut freed = 0;
    loop {
        let others = (inboxes.len() - 1).max(1);
        let other = (*own + 1 + random.below(others)) % inboxes.len();
        let mut inbox = lock(&inboxes[other]);
        if inbox.len() < WAITING {
            inbox.push(batch);
            return freed;
        }
        drop(inbox);
        freed += empty(&inboxes[*own]);
        thread::yield_now();
    }
}

/// Frees all that waits; gives the number of blocks.
fn empty(inbox: &Inbox) -> u64 {
    let batches = mem::take(&mut *lock(inbox));
    batches.iter().map(|batch| batch.len() as u64).sum()
}

fn lock(inbox: &Inbox) -> MutexGuard<'_, Vec<Vec<Block>>> {
    inbox.lock().expect("no thread panics with it")
}
