//! A thread of the soak: it replaces random ones of its blocks, and gives some of them to other
//! threads to be freed.

use crate::checked::Checked;
use crate::control::Control;
use crate::random::Random;
use crate::sizes::Sizes;

const LIVE: usize = 20_000;
const LARGE: usize = 2;
/// Entries of 1,024 in the table of sizes that lie above 8 KiB.
const RARE: usize = 3;
/// Steps between two looks at the mailbox, and at whether to stop.
const ROUND: usize = 64;
/// Rounds between two replacements of a large block.
const LARGE_EVERY: u64 = 64;
/// Rounds after which four fifths of all blocks are freed, and others take their place.
const SHRINK_EVERY: u64 = 4_000;

/// What a thread hands on to the one that takes its place.
pub(crate) struct Worker {
    number: usize,
    random: Random,
    sizes: Sizes,
    large_sizes: Sizes,
    blocks: Vec<Checked>,
    large: Vec<Checked>,
    made: u64,
    rounds: u64,
}

impl Worker {
    pub(crate) fn new(number: usize) -> Self {
        let mut random = Random::new(number as u64);
        let sizes = Sizes::mixed(16..8192, 8192..262_144, RARE, &mut random);
        let large_sizes = Sizes::log_uniform(1 << 20..4 << 20, &mut random);
        let (blocks, large) = (Vec::with_capacity(LIVE), Vec::with_capacity(LARGE));
        Self { number, random, sizes, large_sizes, blocks, large, made: 0, rounds: 0 }
    }

    /// Works through that many checks.
    pub(crate) fn work(&mut self, control: &Control, checks: usize) {
        for _ in 0..checks {
            while !control.is_stopping() {
                self.round(control);
            }
            // So that there is the same amount at each check.
            self.fill();
            let live: u64 = self.blocks.iter().chain(&self.large).map(Checked::bytes).sum();
            control.stopped(live, self.rounds * ROUND as u64);
            self.rounds = 0;
        }
    }

    fn round(&mut self, control: &Control) {
        self.fill();
        for _ in 0..ROUND {
            let new = self.make();
            let place = self.random.below(LIVE);
            let old = std::mem::replace(&mut self.blocks[place], new);
            if self.random.below(4) == 0 {
                control.give(self.random.below(control.threads()), old);
            }
        }
        control.empty(self.number);
        self.rounds += 1;
        if self.rounds.is_multiple_of(LARGE_EVERY) {
            let place = self.random.below(LARGE);
            self.large.swap_remove(place);
        }
        if self.rounds.is_multiple_of(SHRINK_EVERY) {
            while self.blocks.len() > LIVE / 5 {
                let place = self.random.below(self.blocks.len());
                self.blocks.swap_remove(place);
            }
        }
    }

    fn fill(&mut self) {
        while self.blocks.len() < LIVE {
            let new = self.make();
            self.blocks.push(new);
        }
        while self.large.len() < LARGE {
            let words = self.large_sizes.draw(&mut self.random);
            let new = self.marked(words);
            self.large.push(new);
        }
    }

    fn make(&mut self) -> Checked {
        let words = self.sizes.draw(&mut self.random);
        self.marked(words)
    }

    fn marked(&mut self, words: usize) -> Checked {
        self.made += 1;
        let mark = (self.number as u64 + 1) << 48 | self.made;
        Checked::new(words, mark, self.random.below(4))
    }
}
