//! What is done between two snapshots: mixes of operations in which the placement of blocks and the
//! allocator's own writes matter, while the program's writes are the same under every allocator.

use super::{RootChange, aside};
use crate::Error;
use crate::block::{Block, block};
use crate::random::Random;
use crate::sizes::Sizes;
use std::collections::BTreeMap;
use std::hint::black_box;

/// Blocks of `replace`, some 70 MB.
const REPLACED: usize = 500_000;
/// Blocks of `free_only`.
const FREED: usize = 1_000_000;
/// Keys of `tree`, of which half are present.
const KEYS: usize = 400_000;
/// Blocks of `lifetimes` that last, some 30 MB, and those that pass.
const LASTING: usize = 200_000;
const PASSING: usize = 4_000;
/// Operations of `lifetimes` for each that replaces a lasting block.
const PER_LASTING: usize = 4;
/// Room for the passing blocks of `lifetimes_apart`, in words; they have some 18 each.
const RING: usize = PASSING * 24;

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
    /// A block is allocated and filled, and the oldest such block freed; now and then a random one
    /// of those that last is replaced.
    Lifetimes { lasting: Lasting, passing: Passing, count: usize },
}

/// The lasting blocks, and how they are changed: as a part of a heap's root, or as any memory.
struct Lasting {
    blocks: &'static mut [Option<Block>],
    change: RootChange,
}

/// Where the passing blocks lie.
enum Passing {
    /// Among the others, wherever the allocator puts them.
    Among { queue: &'static mut [Option<Block>] },
    /// Apart from them, one behind the other: no allocator can keep them in fewer pages.
    Apart { ring: Box<[u64]>, next: usize },
}

impl Mix {
    /// A mix by its name: what lasts has been allocated, and been worked on for a while.
    pub(super) fn prepare(name: &str, change_root: RootChange) -> Result<Self, Error> {
        let mut random = Random::new(1);
        let sizes = Sizes::log_uniform(16..512, &mut random);
        let kind = match name {
            "replace" => Kind::Replace { blocks: aside::slice(REPLACED, |_| None)? },
            "free_only" => Kind::FreeOnly { blocks: aside::slice(FREED, |_| None)?, left: FREED },
            "tree" => Kind::Tree { map: BTreeMap::new() },
            "lifetimes" | "lifetimes_in_root" | "lifetimes_apart" => {
                let passing = match name {
                    "lifetimes_apart" => Passing::Apart { ring: vec![0; RING].into(), next: 0 },
                    _ => Passing::Among { queue: aside::slice(PASSING, |_| None)? },
                };
                let change: RootChange =
                    if name == "lifetimes_in_root" { change_root } else { |change| change() };
                let lasting = Lasting { blocks: aside::slice(LASTING, |_| None)?, change };
                Kind::Lifetimes { lasting, passing, count: 0 }
            }
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
            Kind::Lifetimes { lasting, .. } => {
                (0..LASTING).for_each(|place| lasting.renew(place, sizes.draw(random)));
                (0..LASTING * PER_LASTING).for_each(|_| self.step());
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
            Kind::Lifetimes { lasting, passing, count } => {
                passing.renew(*count % PASSING, sizes.draw(random));
                *count += 1;
                if count.is_multiple_of(PER_LASTING) {
                    lasting.renew(random.below(LASTING), sizes.draw(random));
                }
            }
        }
    }
}

impl Lasting {
    /// The block at `place`, if there is one, goes, and one of `words` comes.
    fn renew(&mut self, place: usize, words: usize) {
        let place = &mut self.blocks[place];
        (self.change)(&mut || {
            *place = None;
            *place = Some(filled(words));
        });
    }
}

impl Passing {
    /// The oldest block, the one at `place`, goes, and one of `words` comes.
    fn renew(&mut self, place: usize, words: usize) {
        match self {
            Self::Among { queue } => {
                queue[place] = None;
                queue[place] = Some(filled(words));
            }
            Self::Apart { ring, next } => {
                if *next + words > RING {
                    *next = 0;
                }
                ring[*next..*next + words].fill(words as u64);
                black_box(ring.as_mut_ptr());
                *next += words;
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
