//! `larson`: a server's threads. Each replaces random ones of 1,000 blocks of 16 B to 1 KiB for a
//! while, and then leaves them to a thread that takes its place, which frees what it did not
//! allocate.

use crate::block::{Block, block};
use crate::crew::{self, Done};
use crate::plan::Plan;
use crate::random::Random;
use crate::sizes::Sizes;
use std::mem;
use std::thread;

const LIVE: usize = 1_000;
const STEPS: usize = 40_000_000;
/// Threads one after the other, for each that works at the same time.
const GENERATIONS: usize = 20;

struct State {
    random: Random,
    sizes: Sizes,
    blocks: Vec<Block>,
}

pub(super) fn run(plan: &Plan) -> Done {
    let prepare = |thread| {
        let mut random = plan.random(thread);
        let sizes = Sizes::log_uniform(16..1024, &mut random);
        let blocks = (0..LIVE).map(|_| block(sizes.draw(&mut random))).collect();
        State { random, sizes, blocks }
    };
    let steps = plan.amount(STEPS / GENERATIONS);
    crew::run(plan.threads, prepare, |state| {
        for _ in 0..GENERATIONS {
            thread::scope(|scope| scope.spawn(|| replace(state, steps)).join())
                .expect("a generation panicked");
        }
        (GENERATIONS * steps) as u64
    })
}

fn replace(State { random, sizes, blocks }: &mut State, steps: usize) {
    // As the thread before has left them.
    let mut own = mem::take(blocks);
    for _ in 0..steps {
        let new = block(sizes.draw(random));
        own[random.below(LIVE)] = new;
    }
    *blocks = own;
}
