//! rstar's tree, with its default parameters.

use crate::index::{Ask, Change, Load};
use crate::place::Place;
use crate::task::Found;
use rstar::primitives::GeomWithData;
use rstar::{AABB, RTree};
use std::ops::ControlFlow;

type Entry<P, const D: usize> = GeomWithData<<P as Place<D>>::Geometry, u64>;

pub(crate) struct Theirs<P: Place<D>, const D: usize>(RTree<Entry<P, D>>);

impl<P: Place<D>, const D: usize> Default for Theirs<P, D> {
    fn default() -> Self {
        Self(RTree::new())
    }
}

fn cube<const D: usize>(centre: &[f64; D], reach: f64) -> AABB<[f64; D]> {
    AABB::from_corners(centre.map(|at| at - reach), centre.map(|at| at + reach))
}

impl<P: Place<D>, const D: usize> Theirs<P, D> {
    /// By internal iteration, which is the faster of rstar's two ways.
    fn each(&self, centre: &[f64; D], reach: f64, mut each: impl FnMut(u64)) {
        let visit = |entry: &Entry<P, D>| {
            each(entry.data);
            ControlFlow::<()>::Continue(())
        };
        let _all = self.0.locate_in_envelope_intersecting_int(&cube(centre, reach), visit);
    }
}

impl<P: Place<D>, const D: usize> Ask<D> for Theirs<P, D> {
    fn window(&self, centre: &[f64; D], reach: f64) -> Found {
        let mut found = Found::default();
        self.each(centre, reach, |value| found = found.with(value));
        found
    }

    fn count(&self, centre: &[f64; D], reach: f64) -> u64 {
        let mut count = 0;
        self.each(centre, reach, |_| count += 1);
        count
    }

    fn nearest(&self, from: &[f64; D], count: usize) -> f64 {
        let near = self.0.nearest_neighbor_iter_with_distance_2(from);
        near.take(count).map(|(_, distance)| distance).sum()
    }

    fn len(&self) -> usize {
        self.0.size()
    }
}

impl<P: Place<D>, const D: usize> Change<P, D> for Theirs<P, D> {
    fn insert(&mut self, at: P, value: u64) -> bool {
        self.0.insert(GeomWithData::new(at.geometry(), value));
        true
    }

    fn remove(&mut self, at: P, value: u64) -> bool {
        self.0.remove(&GeomWithData::new(at.geometry(), value)).is_some()
    }

    fn relocate(&mut self, from: P, value: u64, to: P) -> bool {
        self.remove(from, value) && self.insert(to, value)
    }
}

impl<P: Place<D>, const D: usize> Load<P, D> for Theirs<P, D> {
    fn load(places: &[P]) -> Self {
        let entries = places.iter().zip(0..);
        let entries = entries.map(|(place, value)| GeomWithData::new(place.geometry(), value));
        Self(RTree::bulk_load(entries.collect()))
    }
}
