//! What is done between two snapshots: mixes of operations in which the placement of blocks and the
//! allocator's own writes matter, while the program's writes are the same under every allocator.

use super::aside;
use crate::Error;
use crate::block::{Block, block};
use crate::random::Random;
use crate::sizes::Sizes;
use std::collections::BTreeMap;

/// Blocks of `replace`, some 70 MB.
const REPLACED: usize = 500_000;
/// Blocks of `free_only`.
const FREED: usize = 1_000_000;
/// Keys of `tree`, of which half are present.
const KEYS: usize = 400_000;

/// A mix, prepared. It is kept on the stack, where it is not watched.
pub(super) struct Mix {
    random: Random,
    sizes: Sizes,
    kind: Kind,
}

enum Kind {
    /// A random block is freed, and another one allocated and filled.
    Replace { blocks: &'static mut [Option<Block>] },
    /// A random block is freed. The program itself writes nothing.
    FreeOnly { blocks: &'static mut [Option<Block>], left: usize },
    /// A random key is removed, or entered if it is missing.
    Tree { map: BTreeMap<u64, String> },
}

impl Mix {
    /// A mix by its name: what lasts has been allocated, and been worked on for a while.
    pub(super) fn prepare(name: &str) -> Result<Self, Error> {
        let mut random = Random::new(1);
        let sizes = Sizes::log_uniform(16..512, &mut random);
        let kind = match name {
            "replace" => Kind::Replace { blocks: aside::slice(REPLACED, |_| None)? },
            "free_only" => Kind::FreeOnly { blocks: aside::slice(FREED, |_| None)?, left: FREED },
            "tree" => Kind::Tree { map: BTreeMap::new() },
            _ => return Err("there is no such mix".into()),
        };
        let mut mix = Self { random, sizes, kind };
        mix.fill();
        Ok(mix)
    }

    fn fill(&mut self) {
        let Self { random, sizes, kind } = self;
        match kind {
            Kind::Replace { blocks } => {
                blocks.iter_mut().for_each(|place| *place = Some(filled(sizes.draw(random))));
                (0..REPLACED).for_each(|_| self.step());
            }
            Kind::FreeOnly { blocks, .. } => {
                blocks.iter_mut().for_each(|place| *place = Some(filled(sizes.draw(random))));
                for end in (1..FREED).rev() {
                    blocks.swap(end, random.below(end + 1));
                }
            }
            Kind::Tree { map } => {
                for key in 0..KEYS / 2 {
                    map.insert(2 * key as u64, text(sizes.draw(random)));
                }
                (0..KEYS).for_each(|_| self.step());
            }
        }
    }

    /// Does one operation.
    pub(super) fn step(&mut self) {
        let Self { random, sizes, kind } = self;
        match kind {
            Kind::Replace { blocks } => {
                let place = &mut blocks[random.below(REPLACED)];
                *place = None;
                *place = Some(filled(sizes.draw(random)));
            }
            Kind::FreeOnly { blocks, left } => {
                *left -= 1;
                blocks[*left] = None;
            }
            Kind::Tree { map } => {
                let key = random.below(KEYS) as u64;
                if map.remove(&key).is_none() {
                    map.insert(key, text(sizes.draw(random)));
                }
            }
        }
    }
}

/// A block of which every word is written.
fn filled(words: usize) -> Block {
    let mut block = block(words);
    for word in &mut block {
        word.write(words as u64);
    }
    block
}

fn text(words: usize) -> String {
    "x".repeat(8 * words)
}
