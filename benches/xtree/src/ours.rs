//! The X-tree.

use crate::index::{Ask, Change, Load};
use crate::place::Place;
use crate::task::Found;
use stillheap::{BulkLoad, EuclideanSquared, Rect, XTree};

fn cube<const D: usize>(centre: &[f64; D], reach: f64) -> Rect<D> {
    Rect::new(centre.map(|at| at - reach), centre.map(|at| at + reach))
        .expect("a reach is not negative")
}

impl<const D: usize> Ask<D> for XTree<D, u64> {
    fn window(&self, centre: &[f64; D], reach: f64) -> Found {
        let found = XTree::window(self, &cube(centre, reach));
        found.fold(Found::default(), |found, (_, &value)| found.with(value))
    }

    fn count(&self, centre: &[f64; D], reach: f64) -> u64 {
        XTree::window(self, &cube(centre, reach)).count() as u64
    }

    fn nearest(&self, from: &[f64; D], count: usize) -> f64 {
        let mut sum = 0.0;
        self.nearest_each(EuclideanSquared, *from, count, |near| sum += near.distance);
        sum
    }

    fn len(&self) -> usize {
        XTree::len(self)
    }

    fn node_bytes(&self) -> Option<usize> {
        Some(self.stats().bytes())
    }
}

impl<P: Place<D>, const D: usize> Change<P, D> for XTree<D, u64> {
    fn insert(&mut self, at: P, value: u64) -> bool {
        XTree::insert(self, at, value).is_ok()
    }

    fn remove(&mut self, at: P, value: u64) -> bool {
        XTree::remove(self, &at.into(), |&other| other == value).is_some()
    }

    fn relocate(&mut self, from: P, value: u64, to: P) -> bool {
        XTree::relocate(self, &from.into(), |&other| other == value, to) == Ok(true)
    }
}

impl<P: Place<D>, const D: usize> Load<P, D> for XTree<D, u64> {
    fn load(places: &[P]) -> Self {
        let entries = places.iter().zip(0..).map(|(&place, value)| (place, value));
        XTree::bulk_load(entries).expect("no coordinate is NaN")
    }

    fn load_parallel(places: &[P]) -> Option<Self> {
        let entries = places.iter().zip(0..).map(|(&place, value)| (place, value));
        Some(BulkLoad::new().load_parallel(entries).expect("no coordinate is NaN"))
    }
}
