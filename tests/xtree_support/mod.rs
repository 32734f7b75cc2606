//! The X-tree beside a list that does the same naively. For tests and for the fuzzer.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]
#![allow(clippy::cast_possible_truncation, reason = "the numbers of a test are small")]

pub(crate) mod operations;

use std::fmt::Debug;
use stillheap::{BulkLoad, EuclideanSquared, Rect, Scalar, Tuning, XTree};

pub(crate) type Entry<const D: usize, S> = (Rect<D, S>, u32);

/// A value that is a number, and perhaps more.
pub(crate) trait Payload: Copy + PartialEq + Debug + Send {
    fn of(number: u32) -> Self;
    fn number(&self) -> u32;
}

impl Payload for u32 {
    fn of(number: u32) -> Self {
        number
    }

    fn number(&self) -> u32 {
        *self
    }
}

/// So wide that leaves of boxes take more pages than leaves of points.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Wide([u32; 8]);

impl Payload for Wide {
    fn of(number: u32) -> Self {
        Self(std::array::from_fn(|word| number.wrapping_mul(1 + word as u32)))
    }

    fn number(&self) -> u32 {
        assert_eq!(*self, Self::of(self.0[0]));
        self.0[0]
    }
}

/// A tree and the list that it has to agree with.
pub(crate) struct Pair<const D: usize, S: Scalar, V = u32> {
    pub(crate) tree: XTree<D, V, S>,
    pub(crate) list: Vec<Entry<D, S>>,
}

impl<const D: usize, S: Scalar, V: Payload> Pair<D, S, V> {
    pub(crate) fn new(tuning: Tuning) -> Self {
        Self { tree: XTree::with_tuning(tuning), list: Vec::new() }
    }

    pub(crate) fn insert(&mut self, rect: Rect<D, S>, value: u32) {
        self.tree.insert(rect, V::of(value)).unwrap();
        self.list.push((rect, value));
    }

    pub(crate) fn remove(&mut self, place: usize) {
        let (rect, value) = self.list.swap_remove(place);
        let removed = self.tree.remove(&rect, |other| other.number() == value);
        assert_eq!(removed, Some(V::of(value)));
    }

    pub(crate) fn relocate(&mut self, place: usize, to: Rect<D, S>) {
        let (rect, value) = &mut self.list[place];
        assert!(self.tree.relocate(rect, |other| other.number() == *value, to).unwrap());
        *rect = to;
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&Rect<D, S>, u32) -> bool) {
        self.tree.retain(|rect, value| keep(rect, value.number()));
        self.list.retain(|(rect, value)| keep(rect, *value));
    }

    pub(crate) fn drain_window(&mut self, window: &Rect<D, S>) {
        let drained = self.tree.drain_window(window).into_iter();
        let mut drained: Vec<_> = drained.map(|(rect, value)| (rect, value.number())).collect();
        let mut expected: Vec<_> =
            self.list.extract_if(.., |(rect, _)| rect.intersects(window)).collect();
        drained.sort_unstable_by_key(|entry| entry.1);
        expected.sort_unstable_by_key(|entry| entry.1);
        assert_eq!(drained, expected);
    }

    /// Takes all out and builds the tree anew.
    pub(crate) fn rebuild(&mut self, fill: u8, threads: Option<usize>) {
        let load = BulkLoad::new().tuning(self.tree.tuning()).fill(fill);
        let entries = self.tree.drain();
        assert_eq!(entries.len(), self.list.len());
        self.tree = match threads {
            None => load.load(entries).unwrap(),
            Some(threads) => {
                load.threads(threads.try_into().unwrap()).load_parallel(entries).unwrap()
            }
        };
    }

    fn expect<'a>(
        &self,
        found: impl Iterator<Item = (Rect<D, S>, &'a V)> + Clone,
        wanted: impl Fn(&Rect<D, S>) -> bool,
    ) where
        V: 'a,
    {
        let mut expected: Vec<Entry<D, S>> =
            self.list.iter().filter(|(rect, _)| wanted(rect)).copied().collect();
        assert_eq!(found.clone().count(), expected.len());
        let mut partly = found.clone();
        let seen = partly.by_ref().take(expected.len() / 2).fold(0, |seen, _| seen + 1);
        assert_eq!(seen + partly.count(), expected.len());
        let mut folded = Vec::new();
        found.clone().for_each(|(rect, value)| folded.push((rect, value.number())));
        let mut found: Vec<_> = found.map(|(rect, value)| (rect, value.number())).collect();
        assert_eq!(folded, found);
        found.sort_unstable_by_key(|entry| entry.1);
        expected.sort_unstable_by_key(|entry| entry.1);
        assert_eq!(found, expected);
    }

    pub(crate) fn check_window(&self, window: &Rect<D, S>) {
        self.expect(self.tree.window(window), |rect| rect.intersects(window));
        self.expect(self.tree.inside(window), |rect| window.contains(rect));
        self.expect(self.tree.around(window), |rect| rect.contains(window));
        self.expect(self.tree.at(window.min()), |rect| rect.contains(&window.min().into()));
    }

    pub(crate) fn check_exactly(&self, at: &Rect<D, S>) {
        self.expect(self.tree.exactly(at), |rect| rect == at);
        let found = self.tree.get(at);
        assert_eq!(found.is_some(), self.list.iter().any(|(rect, _)| rect == at));
        assert!(found.is_none_or(|value| self.list.contains(&(*at, value.number()))));
        assert!(found.is_none_or(|value| self.tree.contains(at, value)));
        assert!(!self.tree.contains(at, &V::of(u32::MAX)));
    }

    pub(crate) fn check_nearest(&self, point: [S; D], count: usize) {
        let rank = |rect: &Rect<D, S>| rect.distance_squared(&point);
        let mut expected: Vec<S> = self.list.iter().map(|(rect, _)| rank(rect)).collect();
        expected.sort_unstable_by(Scalar::total_cmp);
        let lazy = self.tree.nearest_first_by(EuclideanSquared, point);
        let lazy: Vec<S> = lazy.map(|near| near.distance).take(count).collect();
        let limit = expected.get(count / 2).copied();
        expected.truncate(count);
        assert_eq!(lazy, expected);
        let near = self.tree.nearest_by(EuclideanSquared, point, count);
        assert_eq!(near.iter().map(|near| near.distance).collect::<Vec<_>>(), expected);
        for near in near {
            assert!(self.list.contains(&(near.rect, near.value.number())));
            assert_eq!(rank(&near.rect), near.distance);
        }
        for (near, squared) in self.tree.nearest(point, count).iter().zip(expected) {
            assert_eq!(near.distance, squared.sqrt());
        }
        if let Some(limit) = limit {
            let found = self.tree.within_distance_by(EuclideanSquared, point, limit);
            self.expect(found, |rect| rank(rect) <= limit);
            // What is at a distance is within it.
            let found = self.tree.within_distance(point, limit.sqrt());
            self.expect(found, |rect| rank(rect).sqrt() <= limit.sqrt());
        }
    }

    /// The list against a sample of itself.
    pub(crate) fn check_join(&self, every: usize, distance: S) {
        let other: Vec<_> = self.list.iter().step_by(every).copied().collect();
        let tree: XTree<D, u32, S> = other.iter().copied().collect();
        let pairs = |near: &dyn Fn(&Rect<D, S>, &Rect<D, S>) -> bool| {
            let pairs = self.list.iter().flat_map(|a| other.iter().map(move |b| (a, b)));
            let mut pairs: Vec<_> =
                pairs.filter(|(a, b)| near(&a.0, &b.0)).map(|(a, b)| (a.1, b.1)).collect();
            pairs.sort_unstable();
            pairs
        };
        let found = self.tree.join(&tree).map(|(a, b)| (a.1.number(), *b.1));
        let mut found: Vec<_> = found.collect();
        found.sort_unstable();
        assert_eq!(found, pairs(&|a, b| a.intersects(b)));
        let found = tree.join_within(&self.tree, distance).map(|(a, b)| (b.1.number(), *a.1));
        let mut found: Vec<_> = found.collect();
        found.sort_unstable();
        assert_eq!(found, pairs(&|a, b| apart_squared(a, b).sqrt() <= distance));
    }

    pub(crate) fn check(&self) {
        self.tree.validate().unwrap();
        assert_eq!(self.tree.len(), self.list.len());
        assert_eq!(self.tree.is_empty(), self.list.is_empty());
        let bounds = self.list.iter().map(|entry| entry.0).reduce(|a, b| a.union(&b));
        assert_eq!(self.tree.bounds(), bounds);
    }

    pub(crate) fn check_entries(&self) {
        self.expect(self.tree.iter(), |_| true);
        assert_eq!(self.tree.iter().len(), self.list.len());
        let stats = self.tree.stats();
        let leaves = stats.levels.first().copied().unwrap_or_default();
        assert_eq!(leaves.rows, self.list.len());
        for levels in stats.levels.windows(2) {
            assert_eq!(levels[0].nodes, levels[1].rows);
            assert!(levels[1].fill() <= 1.0 && levels[1].overlap >= 0.0);
        }
    }
}

fn apart_squared<const D: usize, S: Scalar>(a: &Rect<D, S>, b: &Rect<D, S>) -> S {
    (0..D).fold(S::ZERO, |sum, axis| {
        let apart = if a.max()[axis] < b.min()[axis] {
            b.min()[axis] - a.max()[axis]
        } else if b.max()[axis] < a.min()[axis] {
            a.min()[axis] - b.max()[axis]
        } else {
            S::ZERO
        };
        sum + apart * apart
    })
}

/// A generator of numbers in 0.0..1.0 (xorshift), so that large runs are the same each time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.unit() * limit as f64) as usize
    }
}
