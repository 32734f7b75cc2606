//! `realloc`: each thread has 64 vectors. A step makes a random one longer, by an eighth and a few
//! words, and fills what is new; at its limit, from 64 B to 64 KiB and for one in 64 from 64 KiB to
//! 4 MiB, it is freed, and begins anew. The capacity is asked for exactly, so each step but the
//! first of a vector is a reallocation.

use crate::crew::{self, Done};
use crate::plan::Plan;
use crate::random::Random;
use crate::sizes::Sizes;

const VECTORS: usize = 64;
const STEPS: usize = 1_000_000;
const RARE: usize = 16;

struct State {
    random: Random,
    limits: Sizes,
    vectors: Vec<Growing>,
}

#[derive(Default)]
struct Growing {
    words: Vec<u64>,
    limit: usize,
}

pub(super) fn run(plan: &Plan) -> Done {
    let prepare = |thread| {
        let mut random = plan.random(thread);
        let limits = Sizes::mixed(64..65_536, 65_536..4_194_304, RARE, &mut random);
        let vectors = (0..VECTORS).map(|_| Growing::default()).collect();
        State { random, limits, vectors }
    };
    let steps = plan.amount(STEPS);
    crew::run(plan.threads, prepare, |State { random, limits, vectors }| {
        for _ in 0..steps {
            let Growing { words, limit } = &mut vectors[random.below(VECTORS)];
            if words.len() >= *limit {
                *words = Vec::new();
                *limit = limits.draw(random);
            }
            let more = words.len() / 8 + 1 + random.below(8);
            words.reserve_exact(more);
            words.resize(words.len() + more, more as u64);
        }
        steps as u64
    })
}
