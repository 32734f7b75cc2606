//! `big`: each thread has 16 blocks of 64 KiB to 4 MiB, and replaces a random one at each step;
//! every page of a new one is written.

use crate::block::{Block, block};
use crate::crew::{self, Done};
use crate::plan::Plan;
use crate::random::Random;
use crate::sizes::Sizes;
use std::hint::black_box;

const LIVE: usize = 16;
const STEPS: usize = 30_000;
const WORDS_PER_PAGE: usize = 512;

struct State {
    random: Random,
    sizes: Sizes,
    blocks: Vec<Block>,
}

pub(super) fn run(plan: &Plan) -> Done {
    let prepare = |thread| {
        let mut random = plan.random(thread);
        let sizes = Sizes::log_uniform(65_536..4_194_304, &mut random);
        let blocks = (0..LIVE).map(|_| touched(sizes.draw(&mut random))).collect();
        State { random, sizes, blocks }
    };
    let steps = plan.amount(STEPS);
    crew::run(plan.threads, prepare, |State { random, sizes, blocks }| {
        for _ in 0..steps {
            let new = touched(sizes.draw(random));
            blocks[random.below(LIVE)] = new;
        }
        steps as u64
    })
}

fn touched(words: usize) -> Block {
    let mut block = block(words);
    for word in block.iter_mut().step_by(WORDS_PER_PAGE) {
        word.write(1);
    }
    black_box(block.as_mut_ptr());
    block
}
