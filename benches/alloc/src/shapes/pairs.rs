//! `pairs`: a block is allocated and freed at once, again and again; 1,000 times of one size, then
//! of the next. The shortest way through an allocator.

use crate::block::block;
use crate::crew::{self, Done};
use crate::plan::Plan;

const PAIRS: usize = 40_000_000;
const SIZES: [usize; 6] = [16, 32, 48, 64, 256, 1024];
const IN_A_ROW: usize = 1_000;

pub(super) fn run(plan: &Plan) -> Done {
    let rounds = plan.amount(PAIRS / IN_A_ROW);
    crew::run(
        plan.threads,
        |_| (),
        |()| {
            for round in 0..rounds {
                let words = SIZES[round % SIZES.len()] / 8;
                for _ in 0..IN_A_ROW {
                    drop(block(words));
                }
            }
            (rounds * IN_A_ROW) as u64
        },
    )
}
