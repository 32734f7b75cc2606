//! `shrink`: each thread allocates 100,000 blocks of 16 to 512 B, frees all but a random twentieth
//! of them, and then does the same with blocks of 512 B to 4 KiB, as much in bytes. What is left of
//! the second kind stays allocated while memory is measured.

use crate::block::{Block, block};
use crate::crew::{self, Done};
use crate::plan::Plan;
use crate::random::Random;
use crate::sizes::Sizes;

const SMALL: usize = 100_000;
const LARGE: usize = 10_000;
const ROUNDS: usize = 100;
/// One in so many stays.
const STAYING: usize = 20;

struct State {
    random: Random,
    small: Sizes,
    large: Sizes,
    kept: Vec<Block>,
    blocks: Vec<Block>,
}

pub(super) fn run(plan: &Plan) -> Done {
    let prepare = |thread| {
        let mut random = plan.random(thread);
        let small = Sizes::log_uniform(16..512, &mut random);
        let large = Sizes::log_uniform(512..4096, &mut random);
        let blocks = Vec::with_capacity(SMALL);
        State { random, small, large, kept: Vec::with_capacity(SMALL / STAYING), blocks }
    };
    let rounds = plan.amount(ROUNDS);
    let work = |state: &mut State| {
        let mut freed = 0;
        for _ in 0..rounds {
            // Those that have been kept of the large ones are freed only after the small ones.
            freed += grow_and_shrink(state, SMALL, |state| state.small.draw(&mut state.random));
            freed += grow_and_shrink(state, LARGE, |state| state.large.draw(&mut state.random));
        }
        freed
    };
    crew::run_keeping(plan.threads, prepare, work, |state| state.kept)
}

/// Allocates that many blocks, frees what is left of the last ones, and then most of the new ones.
/// Gives the number of blocks freed.
fn grow_and_shrink(state: &mut State, count: usize, size: impl Fn(&mut State) -> usize) -> u64 {
    for _ in 0..count {
        let new = block(size(state));
        state.blocks.push(new);
    }
    let mut freed = state.kept.len();
    state.kept.clear();
    let staying = count / STAYING;
    while state.blocks.len() > staying {
        let place = state.random.below(state.blocks.len());
        state.blocks.swap_remove(place);
        freed += 1;
    }
    state.kept.append(&mut state.blocks);
    freed as u64
}
