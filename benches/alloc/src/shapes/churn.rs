//! `churn`: each thread has 10,000 blocks of 16 B to 8 KiB, one in a hundred up to 64 KiB, and
//! replaces a random one at each step.

use crate::block::{Block, block};
use crate::crew::{self, Done};
use crate::plan::Plan;
use crate::random::Random;
use crate::sizes::Sizes;

const LIVE: usize = 10_000;
const STEPS: usize = 10_000_000;
const RARE: usize = 10;

struct State {
    random: Random,
    sizes: Sizes,
    blocks: Vec<Block>,
}

pub(super) fn run(plan: &Plan) -> Done {
    let prepare = |thread| {
        let mut random = plan.random(thread);
        let sizes = Sizes::mixed(16..8192, 8192..65_536, RARE, &mut random);
        let blocks = (0..LIVE).map(|_| block(sizes.draw(&mut random))).collect();
        State { random, sizes, blocks }
    };
    let steps = plan.amount(STEPS);
    crew::run(plan.threads, prepare, |State { random, sizes, blocks }| {
        for _ in 0..steps {
            let new = block(sizes.draw(random));
            blocks[random.below(LIVE)] = new;
        }
        steps as u64
    })
}
