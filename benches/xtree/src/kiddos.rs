//! kiddo's trees of points: the mutable one, and the immutable one for what is built at once. Both
//! have what kiddo recommends, but for values of 64 bits.

use crate::index::{Ask, Change, Load};
use crate::task::Found;
use kiddo::leaf_strategies::{VecOfArenas, VecOfArrays};
use kiddo::{Chebyshev, Eytzinger, KdTree, SquaredEuclidean};
use std::num::NonZero;

const BUCKET: usize = 32;

#[derive(Default)]
pub(crate) struct Mutable<const D: usize>(
    KdTree<f64, u64, Eytzinger, VecOfArrays<f64, u64, D, BUCKET>, D, BUCKET>,
);

#[derive(Default)]
pub(crate) struct Immutable<const D: usize>(
    Option<KdTree<f64, u64, Eytzinger, VecOfArenas<f64, u64, D, BUCKET>, D, BUCKET>>,
);

/// Queries of both. A cube is what lies within a distance by the Chebyshev metric.
macro_rules! ask {
    ($name:ident, $self:ident => $tree:expr) => {
        impl<const D: usize> Ask<D> for $name<D> {
            fn window(&$self, centre: &[f64; D], reach: f64) -> Found {
                let mut found = Found::default();
                let within = $tree.query(centre).within::<Chebyshev<f64>>(reach).unsorted();
                within.without_distances().visit(|entry| found = found.with(entry.item));
                found
            }

            fn count(&$self, centre: &[f64; D], reach: f64) -> u64 {
                let mut count = 0;
                let within = $tree.query(centre).within::<Chebyshev<f64>>(reach).unsorted();
                within.without_distances().visit(|_| count += 1);
                count
            }

            fn nearest(&$self, from: &[f64; D], count: usize) -> f64 {
                let query = $tree.query(from);
                if count == 1 {
                    return query.nearest_one::<SquaredEuclidean<f64>>().execute().distance;
                }
                let count = NonZero::new(count).expect("somebody is asked for");
                let near = query.nearest_n::<SquaredEuclidean<f64>>(count).execute();
                near.iter().map(|entry| entry.distance).sum()
            }

            fn len(&$self) -> usize {
                $tree.size()
            }
        }
    };
}
ask!(Mutable, self => self.0);
ask!(Immutable, self => self.0.as_ref().expect("it is built before it is asked"));

impl<const D: usize> Change<[f64; D], D> for Mutable<D> {
    fn insert(&mut self, at: [f64; D], value: u64) -> bool {
        self.0.add(&at, value).is_ok()
    }

    fn remove(&mut self, at: [f64; D], value: u64) -> bool {
        let before = self.0.size();
        self.0.remove(&at, value);
        self.0.size() + 1 == before
    }

    fn relocate(&mut self, from: [f64; D], value: u64, to: [f64; D]) -> bool {
        self.remove(from, value) && self.insert(to, value)
    }
}

impl<const D: usize> Load<[f64; D], D> for Immutable<D> {
    fn load(places: &[[f64; D]]) -> Self {
        let built = KdTree::builder().with_serial_construction().build_from_slice(places);
        Self(Some(built.expect("numbers of entries fit 64 bits")))
    }

    fn load_parallel(places: &[[f64; D]]) -> Option<Self> {
        let built = KdTree::new_from_slice_parallel(places);
        Some(Self(Some(built.expect("numbers of entries fit 64 bits"))))
    }
}
