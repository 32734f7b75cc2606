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
/// Steps that are not timed: until an allocator knows what sizes it is asked for.
const WARM_UP: usize = 1_000;
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
        let mut state = State { random, sizes, blocks };
        state.replace(WARM_UP);
        state
    };
    let steps = plan.amount(STEPS);
    crew::run(plan.threads, prepare, |state| {
        state.replace(steps);
        steps as u64
    })
}

impl State {
    fn replace(&mut self, steps: usize) {
        for _ in 0..steps {
            let new = touched(self.sizes.draw(&mut self.random));
            self.blocks[self.random.below(LIVE)] = new;
        }
    }
}

fn touched(words: usize) -> Block {
    let mut block = block(words);
    for word in block.iter_mut().step_by(WORDS_PER_PAGE) {
        word.write(1);
    }
    black_box(block.as_mut_ptr());
    block
}
