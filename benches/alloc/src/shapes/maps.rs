//! `btree` and `hash`: each thread has a map in which half of 50,000 keys are present; each step
//! removes a random key, or enters it if it is missing, with a value of a random size.

use crate::crew::{self, Done};
use crate::plan::Plan;
use crate::random::Random;
use crate::sizes::Sizes;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;

const KEYS: usize = 50_000;
const STEPS: usize = 2_400_000;

/// Without a random seed: every run is to do the same.
type Names = HashMap<String, Vec<u64>, BuildHasherDefault<DefaultHasher>>;

struct State<M> {
    random: Random,
    sizes: Sizes,
    map: M,
}

pub(super) fn run_tree(plan: &Plan) -> Done {
    run::<BTreeMap<u64, String>>(plan, |map, key, words| {
        if map.remove(&(key as u64)).is_none() {
            map.insert(key as u64, "x".repeat(words * 8));
        }
    })
}

pub(super) fn run_hash(plan: &Plan) -> Done {
    run::<Names>(plan, |map, key, words| {
        let name = format!("the key with the number {key}");
        if map.remove(&name).is_none() {
            map.insert(name, vec![key as u64; words]);
        }
    })
}

fn run<M: Default>(plan: &Plan, toggle: impl Fn(&mut M, usize, usize) + Sync) -> Done {
    let prepare = |thread| {
        let mut random = plan.random(thread);
        let sizes = Sizes::log_uniform(16..512, &mut random);
        let mut map = M::default();
        for key in 0..KEYS / 2 {
            toggle(&mut map, 2 * key, sizes.draw(&mut random));
        }
        State { random, sizes, map }
    };
    let steps = plan.amount(STEPS);
    crew::run(plan.threads, prepare, |State { random, sizes, map }| {
        for _ in 0..steps {
            toggle(map, random.below(KEYS), sizes.draw(random));
        }
        steps as u64
    })
}
