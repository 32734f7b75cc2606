//! What the process keeps: three trees of different shapes.

use super::{Beside, Random};
use stillheap::{Durable, Tuning};

/// Entries loaded at once: so many that it is done on threads.
const LOADED: usize = 21_000;

#[derive(Durable)]
pub(crate) struct Db {
    pub(crate) steps: u64,
    places: Beside<2, f64>,
    wide: Beside<8, f32>,
    tall: Beside<3, f64>,
}

impl Db {
    pub(crate) fn new() -> Self {
        let tall = Tuning::new().leaf_rows(5).inner_rows(4).reinsertion(30).max_overlap(5);
        let (places, wide) = (Beside::new(Tuning::new()), Beside::new(Tuning::new()));
        Self { steps: 0, places, wide, tall: Beside::new(tall) }
    }

    /// One operation. Which one hangs on the step's number, and on what is there.
    pub(crate) fn advance(&mut self) {
        let mut random = Random::new(self.steps);
        match random.below(3) {
            0 => self.places.step(self.steps, &mut random),
            1 => self.wide.step(self.steps, &mut random),
            _ => self.tall.step(self.steps, &mut random),
        }
        self.steps += 1;
    }

    /// Takes an entry out of each tree. Gives whether all are empty.
    pub(crate) fn shrink(&mut self) -> bool {
        let mut random = Random::new(self.steps);
        let lens = [self.places.len(), self.wide.len(), self.tall.len()];
        let mut place = |len: usize| random.below(len);
        if lens[0] > 0 {
            self.places.remove(place(lens[0]));
        }
        if lens[1] > 0 {
            self.wide.remove(place(lens[1]));
        }
        if lens[2] > 0 {
            self.tall.remove(place(lens[2]));
        }
        self.steps += 1;
        lens == [0; 3]
    }

    /// Loads many at once, on several threads.
    pub(crate) fn load(&mut self, is_wide: bool) {
        let mut random = Random::new(self.steps);
        if is_wide {
            self.wide.load(self.steps, LOADED, &mut random);
        } else {
            self.places.clear();
            self.places.load(self.steps, LOADED, &mut random);
        }
        self.steps += 1;
    }

    pub(crate) fn check(&self) {
        let mut random = Random::new(self.steps);
        self.places.check(&mut random);
        self.wide.check(&mut random);
        self.tall.check(&mut random);
    }

    pub(crate) fn check_empty(&self) {
        self.places.check_empty();
        self.wide.check_empty();
        self.tall.check_empty();
    }
}
