//! X-trees: `xtree_mixed`, 90 % queries and 10 % inserts, and `xtree_insert`, inserts alone.

use crate::dice::Dice;
use crate::run::{Home, Workload};
use stillheap::{Durable, Rect, XTree};

/// Points of the mixed workload's tree when it is filled; a run adds a few percent.
const MIXED: u64 = 6_000_000;
/// The trees of the other one take turns, so that its size is steady while it only inserts.
const TREES: usize = 14;
const POINTS: usize = 500_000;

/// One tree, mostly asked. Half of the questions are windows with some 20 hits, the others for
/// the ten nearest points.
#[derive(Durable, Default)]
pub struct Mixed {
    points: XTree<2, u64>,
}

impl Workload for Mixed {
    fn fill(home: &mut impl Home<Self>, dice: &mut Dice) {
        for number in 0..MIXED {
            let at = [dice.unit(), dice.unit()];
            home.write(|data| data.points.insert(at, number)).expect("no coordinate is NaN");
        }
    }

    fn step(home: &mut impl Home<Self>, dice: &mut Dice) -> u64 {
        let [x, y] = [dice.unit(), dice.unit()];
        let reach = (20.0 / MIXED as f64).sqrt() / 2.0;
        match dice.below(20) {
            0 | 1 => {
                home.write(|data| data.points.insert([x, y], 1)).expect("no coordinate is NaN");
                0
            }
            2..11 => home.read(|data| {
                let window = Rect::new([x - reach, y - reach], [x + reach, y + reach])
                    .expect("the corners are in order");
                data.points.window(&window).fold(0, |sum, (_, value)| sum ^ value)
            }),
            _ => home.read(|data| {
                let near = data.points.nearest([x, y], 10);
                near.iter().fold(0, |sum, found| sum ^ found.value)
            }),
        }
    }
}

/// Trees that are filled one after the other; the oldest is cleared for the next.
#[derive(Durable)]
pub struct Inserts {
    trees: [XTree<2, u64>; TREES],
    current: usize,
}

impl Default for Inserts {
    fn default() -> Self {
        Self { trees: std::array::from_fn(|_| XTree::default()), current: 0 }
    }
}

impl Inserts {
    fn insert(&mut self, at: [f64; 2], value: u64) {
        if self.trees[self.current].len() == POINTS {
            self.current = (self.current + 1) % TREES;
            self.trees[self.current].clear();
        }
        self.trees[self.current].insert(at, value).expect("no coordinate is NaN");
    }
}

impl Workload for Inserts {
    fn fill(home: &mut impl Home<Self>, dice: &mut Dice) {
        for _ in 0..TREES * POINTS {
            Self::step(home, dice);
        }
    }

    fn step(home: &mut impl Home<Self>, dice: &mut Dice) -> u64 {
        let at = [dice.unit(), dice.unit()];
        let value = dice.word();
        home.write(|data| data.insert(at, value));
        value
    }
}
