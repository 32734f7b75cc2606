//! What is to be done with some data: queries and changes, made before the clock starts.

use crate::amounts::Amounts;
use crate::place::Place;
use crate::random::Random;
use crate::reach::Reaches;

/// What a window has found.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Found {
    pub(crate) entries: u64,
    /// Of all values.
    pub(crate) sum: u64,
}

impl Found {
    #[inline(always)]
    pub(crate) fn with(self, value: u64) -> Self {
        Self { entries: self.entries + 1, sum: self.sum.wrapping_add(value) }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        let entries = self.entries + other.entries;
        Self { entries, sum: self.sum.wrapping_add(other.sum) }
    }
}

pub(crate) struct Task<P, const D: usize> {
    /// Of the entries at first; their values are their numbers.
    pub(crate) places: Vec<P>,
    pub(crate) reaches: Reaches,
    pub(crate) amounts: Amounts,
    /// Changes, one list after the other.
    pub(crate) moves: Vec<Move<P>>,
    pub(crate) steps: Vec<Step<P, D>>,
    pub(crate) removals: Vec<(P, u64)>,
}

/// An entry goes a short way, about as far as to the next one.
pub(crate) struct Move<P> {
    pub(crate) value: u64,
    pub(crate) from: P,
    pub(crate) to: P,
}

/// Of the mixed work.
pub(crate) enum Step<P, const D: usize> {
    Window([f64; D]),
    Nearest([f64; D]),
    Insert(P, u64),
    Remove(P, u64),
}

impl<P: Place<D>, const D: usize> Task<P, D> {
    pub(crate) fn new(places: Vec<P>, reaches: Reaches, amounts: Amounts) -> Self {
        let (moves, steps, removals) = (Vec::new(), Vec::new(), Vec::new());
        let mut task = Self { places, reaches, amounts, moves, steps, removals };
        let mut entries: Vec<(P, u64)> = task.places.iter().copied().zip(0..).collect();
        let mut random = Random::new(101);
        for _ in 0..task.amounts.moves {
            let (place, value) = &mut entries[random.below(task.places.len())];
            let from = std::mem::replace(place, place.moved(task.short_way(&mut random)));
            task.moves.push(Move { value: *value, from, to: *place });
        }
        for value in task.places.len()..task.places.len() + task.amounts.mixed {
            let step = task.step(value as u64, &mut entries, &mut random);
            task.steps.push(step);
        }
        for _ in 0..task.amounts.removals.min(entries.len()) {
            let chosen = random.below(entries.len());
            task.removals.push(entries.swap_remove(chosen));
        }
        task
    }

    /// Of 100 steps, 35 are windows, 35 ask for the nearest, 15 insert, 15 remove.
    fn step(&self, value: u64, entries: &mut Vec<(P, u64)>, random: &mut Random) -> Step<P, D> {
        let chosen = random.below(entries.len());
        let place = entries[chosen].0;
        match random.below(100) {
            0..35 => Step::Window(place.centre()),
            35..70 => Step::Nearest(place.moved(self.short_way(random)).centre()),
            70..85 => {
                let place = place.moved(self.short_way(random));
                entries.push((place, value));
                Step::Insert(place, value)
            }
            _ => {
                let (place, value) = entries.swap_remove(chosen);
                Step::Remove(place, value)
            }
        }
    }

    /// Centres of random entries.
    pub(crate) fn centres(&self, count: usize) -> Vec<[f64; D]> {
        let mut random = Random::new(count as u64);
        (0..count).map(|_| self.places[random.below(self.places.len())].centre()).collect()
    }

    /// Places near random entries.
    pub(crate) fn near(&self, count: usize) -> Vec<[f64; D]> {
        let mut random = Random::new(count as u64);
        let mut one = || {
            let place = self.places[random.below(self.places.len())];
            place.moved(self.short_way(&mut random)).centre()
        };
        (0..count).map(|_| one()).collect()
    }

    fn short_way(&self, random: &mut Random) -> [f64; D] {
        std::array::from_fn(|_| self.reaches[0] * (2.0 * random.unit() - 1.0))
    }
}
