//! X-trees with a plain list beside each, in one root: what is done to one is done to the other.

mod check;
pub(crate) mod db;

use stillheap::{BulkLoad, Durable, Rect, Scalar, Tuning, XTree};

/// The entries that a tree has at most, roughly: more make the checks slow.
const ENTRIES: usize = 900;

/// A tree, and what it has to hold. No two values are equal.
#[derive(Durable)]
pub(crate) struct Beside<const D: usize, S: Scalar> {
    tree: XTree<D, String, S>,
    list: Vec<(Rect<D, S>, String)>,
}

impl<const D: usize, S: Scalar> Beside<D, S> {
    pub(crate) fn new(tuning: Tuning) -> Self {
        Self { tree: XTree::with_tuning(tuning), list: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// One operation; the number makes values that are not there yet.
    pub(crate) fn step(&mut self, number: u64, random: &mut Random) {
        let len = self.list.len();
        match random.below(1000) {
            0..550 if len < ENTRIES => self.insert(number, random),
            _ if len == 0 => self.insert(number, random),
            0..700 => self.remove(random.below(len)),
            700..850 => self.relocate(random.below(len), random),
            850..985 => self.rename(random.below(len), number),
            985..990 => self.drain_window(&rect(random)),
            990..995 => self.retain(number),
            995..999 => self.rebuild(random),
            _ => self.clear(),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.tree.clear();
        self.list.clear();
    }

    pub(crate) fn insert(&mut self, number: u64, random: &mut Random) {
        let (rect, value) = (rect(random), "x".repeat(random.below(90)) + &number.to_string());
        self.tree.insert(rect, value.clone()).expect("a number");
        self.list.push((rect, value));
    }

    pub(crate) fn remove(&mut self, place: usize) {
        let (rect, value) = self.list.swap_remove(place);
        assert_eq!(self.tree.remove(&rect, |other| *other == value), Some(value));
    }

    fn relocate(&mut self, place: usize, random: &mut Random) {
        let (at, value) = &mut self.list[place];
        let to = if random.below(2) == 0 { rect(random) } else { near(at, random) };
        assert!(self.tree.relocate(at, |other| other == value, to).expect("a number"));
        *at = to;
    }

    fn rename(&mut self, place: usize, number: u64) {
        let (rect, value) = &mut self.list[place];
        let mut found = self.tree.get_mut(rect, |other| other == value).expect("it is there");
        *value = format!("renamed {number}");
        found.clone_from(value);
    }

    fn drain_window(&mut self, window: &Rect<D, S>) {
        let drained = self.tree.drain_window(window);
        let meeting = self.list.extract_if(.., |(rect, _)| rect.intersects(window));
        assert_eq!(values(drained.iter()), values(meeting.collect::<Vec<_>>().iter()));
    }

    fn retain(&mut self, number: u64) {
        let keep = |value: &str| !value.as_bytes().ends_with(&number.to_string().as_bytes()[..1]);
        self.tree.retain(|_, value| keep(value));
        self.list.retain(|(_, value)| keep(value));
    }

    fn rebuild(&mut self, random: &mut Random) {
        let fill = u8::try_from(50 + random.below(51)).expect("small");
        let load = BulkLoad::new().tuning(self.tree.tuning()).fill(fill);
        self.tree = load.load(self.tree.drain()).expect("numbers");
    }

    /// Builds the tree anew with so many more, on several threads.
    pub(crate) fn load(&mut self, number: u64, count: usize, random: &mut Random) {
        let name = |more: usize| format!("loaded {number} {more}");
        self.list.extend((0..count).map(|more| (rect(random), name(more))));
        let load = BulkLoad::new().tuning(self.tree.tuning()).threads(4.try_into().expect("4"));
        self.tree = load.load_parallel(self.list.iter().cloned()).expect("numbers");
    }
}

/// Entries, by their values.
fn values<'a, const D: usize, S: Scalar + 'a>(
    entries: impl Iterator<Item = &'a (Rect<D, S>, String)>,
) -> Vec<(Rect<D, S>, &'a str)> {
    let mut values: Vec<_> = entries.map(|(rect, value)| (*rect, value.as_str())).collect();
    values.sort_unstable_by_key(|entry| entry.1);
    values
}

/// A point, more often than not, some of them in the same place; or a box.
fn rect<const D: usize, S: Scalar>(random: &mut Random) -> Rect<D, S> {
    let grid = if random.below(4) == 0 { 8.0 } else { 0.125 };
    let min: [S; D] = [0; D].map(|_| {
        let at = (random.unit() * 100.0 / grid).floor() * grid;
        S::from_f64(at)
    });
    if random.below(3) > 0 {
        return min.into();
    }
    let side = random.unit().powi(3) * 30.0;
    let max = min.map(|at| at + S::from_f64((side * random.unit() * 8.0).floor() / 8.0));
    Rect::new(min, max).expect("a box")
}

/// The box, moved a little.
fn near<const D: usize, S: Scalar>(rect: &Rect<D, S>, random: &mut Random) -> Rect<D, S> {
    let by = S::from_f64(random.unit().mul_add(16.0, -8.0).floor() / 8.0);
    Rect::new(rect.min().map(|at| at + by), rect.max().map(|at| at + by)).expect("a box")
}

/// A generator of numbers in 0.0..1.0 (xorshift).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    #[allow(clippy::cast_possible_truncation, reason = "below the limit")]
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.unit() * limit as f64) as usize
    }
}
