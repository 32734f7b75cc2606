//! `lifo` and `fifo`: 5,000 blocks of 16 to 1,000 B, mostly small, are allocated and then freed,
//! the last one first, or the first one first.

use crate::block::{Block, block};
use crate::crew::{self, Done};
use crate::plan::Plan;
use crate::random::Random;
use crate::sizes::Sizes;

const BLOCKS: usize = 32_000_000;
const BATCH: usize = 5_000;

struct State {
    random: Random,
    sizes: Sizes,
    batch: Vec<Block>,
}

pub(super) fn run_lifo(plan: &Plan) -> Done {
    run(plan, |batch| while batch.pop().is_some() {})
}

pub(super) fn run_fifo(plan: &Plan) -> Done {
    run(plan, Vec::clear)
}

fn run(plan: &Plan, free: impl Fn(&mut Vec<Block>) + Sync) -> Done {
    let prepare = |thread| {
        let mut random = plan.random(thread);
        let sizes = Sizes::log_uniform(16..1000, &mut random);
        State { random, sizes, batch: Vec::with_capacity(BATCH) }
    };
    let rounds = plan.amount(BLOCKS / BATCH);
    crew::run(plan.threads, prepare, |State { random, sizes, batch }| {
        for _ in 0..rounds {
            batch.extend((0..BATCH).map(|_| block(sizes.draw(random))));
            free(batch);
        }
        (rounds * BATCH) as u64
    })
}
