//! The three loads: a data structure that fills a heap of a given size, and what a writer does
//! to it.
//!
//! Each step is one scope, so that a snapshot falls between two steps. All values differ from
//! zero, so that no page can be left out of a snapshot.

use crate::dice::{Dice, Zipf};
use std::collections::BTreeMap;
use stillheap::{Durable, XTree};

const MIB: usize = 1 << 20;
/// Words of one vector of [`Uniform`]: 4 MiB.
const PIECE: usize = 4 * MIB / 8;
/// What a map's or tree's entry holds besides its key.
type Record = [u64; 14];
/// Bytes of the heap for each entry, measured: nodes are not full.
const ZIPF_ENTRY: usize = 245;
const TRACKED_ENTRY: usize = 229;
/// How unevenly keys are chosen.
const SKEW: f64 = 0.99;
/// A prime: ranks times this, modulo the number of keys, spreads the frequent keys.
const SPREAD: u64 = 2_654_435_761;

/// A data structure and its writer.
pub(crate) trait Load: Durable + Default + Send + Sync {
    /// Makes it larger by some MiB. `false`: it has its size.
    fn grow(&mut self, target: usize, dice: &mut Dice) -> bool;

    /// What [`step`](Self::step) wants to know about the whole.
    fn zipf(_target: usize) -> Option<Zipf> {
        None
    }

    /// One operation.
    fn step(&mut self, dice: &mut Dice, zipf: Option<&Zipf>);
}

/// Vectors that fill the heap; random words of all of it are written. Every chunk gets dirty.
#[derive(Durable, Default)]
pub(crate) struct Uniform {
    pieces: Vec<Vec<u64>>,
}

impl Load for Uniform {
    fn grow(&mut self, target: usize, dice: &mut Dice) -> bool {
        self.pieces.push((0..PIECE).map(|_| dice.word()).collect());
        self.pieces.len() * PIECE * 8 < target
    }

    fn step(&mut self, dice: &mut Dice, _: Option<&Zipf>) {
        let piece = dice.below(self.pieces.len());
        self.pieces[piece][dice.below(PIECE)] = dice.word();
    }
}

/// An ordered map; values are changed in place, those of frequent keys often.
#[derive(Durable, Default)]
pub(crate) struct Skewed {
    values: BTreeMap<u64, Record>,
}

impl Load for Skewed {
    fn grow(&mut self, target: usize, dice: &mut Dice) -> bool {
        let (from, all) = (self.values.len(), target / ZIPF_ENTRY);
        let to = all.min(from + MIB / 32);
        for key in from..to {
            self.values.insert(key as u64, [dice.word(); 14]);
        }
        to < all
    }

    fn zipf(target: usize) -> Option<Zipf> {
        Some(Zipf::new((target / ZIPF_ENTRY) as u64, SKEW))
    }

    fn step(&mut self, dice: &mut Dice, zipf: Option<&Zipf>) {
        let rank = zipf.map_or(0, |zipf| zipf.rank(dice));
        let key = rank * SPREAD % self.values.len() as u64;
        if let Some(value) = self.values.get_mut(&key) {
            value[dice.below(value.len())] = dice.word();
        }
    }
}

/// An X-tree of points that move: a random one is taken out and put back nearby.
#[derive(Durable, Default)]
pub(crate) struct Moving {
    places: XTree<2, Record>,
}

impl Load for Moving {
    fn grow(&mut self, target: usize, dice: &mut Dice) -> bool {
        let (from, all) = (self.places.len(), target / TRACKED_ENTRY);
        let to = all.min(from + MIB / 32);
        let nudge = (all as f64).sqrt().recip();
        for number in from..to {
            // Along a curve, so that building a large tree does not miss the cache throughout.
            let [x, y] = on_curve(number as f64 / all as f64).map(|at| at + dice.unit() * nudge);
            self.places.insert([x, y], [number as u64 + 1; 14]).expect("a place is a number");
        }
        to < all
    }

    fn step(&mut self, dice: &mut Dice, _: Option<&Zipf>) {
        let bounds = self.places.bounds().expect("the tree is not empty");
        let [width, height] = bounds.max();
        let near = [dice.unit() * width, dice.unit() * height];
        let found = self.places.nearest(near, 1);
        let at = found.first().expect("the tree is not empty").rect;
        let value = self.places.remove(&at, |_| true).expect("the place was found just now");
        let [x, y] = at.min();
        let nudge = (self.places.len() as f64).sqrt().recip();
        let to = [x + (dice.unit() - 0.5) * nudge, y + (dice.unit() - 0.5) * nudge];
        let inside = [to[0].clamp(0.0, width), to[1].clamp(0.0, height)];
        self.places.insert(inside, value).expect("a place is a number");
    }
}

/// The point at that part of the Z-shaped curve through the unit square.
fn on_curve(part: f64) -> [f64; 2] {
    let number = (part * (1_u64 << 48) as f64) as u64;
    let every_second = |bits: u64| (0..24).fold(0, |sum, at| sum | ((bits >> at) & (1 << at)));
    [every_second(number), every_second(number >> 1)].map(|side| side as f64 / (1 << 24) as f64)
}
