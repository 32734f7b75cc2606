//! `handoff`: half of the threads allocate blocks of 16 to 512 B, the other half frees them; they
//! go from one to the other in batches, through a channel with room for a few. A thread that has
//! no partner allocates and frees each batch itself.

use crate::block::{Block, block};
use crate::crew::{self, Done};
use crate::plan::Plan;
use crate::random::Random;
use crate::sizes::Sizes;
use std::mem;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, SyncSender};

const BLOCKS: usize = 5_000_000;
/// Who is alone waits for nobody, and does so many times as much.
const ALONE: usize = 6;
const BATCH: usize = 256;
const BATCHES_UNDER_WAY: usize = 16;

type Batch = Vec<Block>;

enum Role {
    Alone,
    /// Sends full batches, and gets empty ones back.
    Allocates(SyncSender<Batch>, Receiver<Batch>),
    Frees(Receiver<Batch>, SyncSender<Batch>),
}

struct State {
    random: Random,
    sizes: Sizes,
    role: Role,
}

pub(super) fn run(plan: &Plan) -> Done {
    let roles = Mutex::new(roles(plan.threads));
    let prepare = |thread| {
        let mut random = plan.random(thread);
        let sizes = Sizes::log_uniform(16..512, &mut random);
        let role = roles.lock().expect("no thread panics here").pop().expect("one for each");
        State { random, sizes, role }
    };
    let batches = plan.amount(BLOCKS / BATCH);
    crew::run(plan.threads, prepare, |state| work(state, batches))
}

fn roles(threads: usize) -> Vec<Role> {
    let mut roles = Vec::new();
    for _ in 0..threads / 2 {
        let (full, fulls) = mpsc::sync_channel(BATCHES_UNDER_WAY);
        let (empty, empties) = mpsc::sync_channel(BATCHES_UNDER_WAY);
        for _ in 0..BATCHES_UNDER_WAY {
            empty.send(Vec::with_capacity(BATCH)).expect("its receiver is there");
        }
        roles.push(Role::Allocates(full, empties));
        roles.push(Role::Frees(fulls, empty));
    }
    if threads % 2 == 1 {
        roles.push(Role::Alone);
    }
    roles
}

/// Gives the number of blocks freed.
fn work(State { random, sizes, role }: &mut State, batches: usize) -> u64 {
    let mut fill = |batch: &mut Batch| batch.extend((0..BATCH).map(|_| block(sizes.draw(random))));
    match mem::replace(role, Role::Alone) {
        Role::Alone => {
            let mut batch = Vec::with_capacity(BATCH);
            for _ in 0..ALONE * batches {
                fill(&mut batch);
                batch.clear();
            }
            (ALONE * batches * BATCH) as u64
        }
        Role::Allocates(full, empties) => {
            for _ in 0..batches {
                let mut batch = empties.recv().expect("who frees is there until all is sent");
                fill(&mut batch);
                full.send(batch).expect("who frees is there until all is sent");
            }
            0
        }
        Role::Frees(fulls, empty) => {
            let mut freed = 0;
            for mut batch in fulls {
                freed += batch.len() as u64;
                batch.clear();
                // In the end nobody wants it any more.
                let _ = empty.send(batch);
            }
            freed
        }
    }
}
