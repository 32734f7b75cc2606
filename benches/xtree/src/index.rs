//! What the indexes are asked to do, and where they live.

use crate::task::Found;
use stillheap::{Durable, Root};

/// Queries.
pub(crate) trait Ask<const D: usize> {
    /// What meets the cube around `centre` with sides of twice `reach`.
    fn window(&self, centre: &[f64; D], reach: f64) -> Found;

    /// How many entries meet that cube.
    fn count(&self, centre: &[f64; D], reach: f64) -> u64;

    /// The sum of the squared distances of the `count` entries nearest to `from`.
    fn nearest(&self, from: &[f64; D], count: usize) -> f64;

    fn len(&self) -> usize;

    /// Bytes of all nodes, for those who know.
    fn node_bytes(&self) -> Option<usize> {
        None
    }
}

/// Changes, one by one.
pub(crate) trait Change<P, const D: usize>: Ask<D> + Default {
    /// `false`: it does not take that entry.
    fn insert(&mut self, at: P, value: u64) -> bool;

    /// Whether the entry was there.
    fn remove(&mut self, at: P, value: u64) -> bool;

    /// Whether the entry was there.
    fn relocate(&mut self, from: P, value: u64, to: P) -> bool;
}

/// Building from all entries at once; their values are their numbers.
pub(crate) trait Load<P, const D: usize>: Ask<D> + Default {
    /// On one thread.
    fn load(places: &[P]) -> Self;

    /// On several, if it can.
    fn load_parallel(_places: &[P]) -> Option<Self> {
        None
    }
}

/// Where an index lives. One call is a whole part of the run, so that the index is measured and
/// not the way to it: a root's lock and scope cost something for each call.
pub(crate) trait Home<T> {
    fn write<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R;
    fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R;
}

/// A plain value.
#[derive(Default)]
pub(crate) struct Local<T>(T);

impl<T> Home<T> for Local<T> {
    fn write<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut self.0)
    }

    fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.0)
    }
}

/// The value of a root.
pub(crate) struct Kept<T>(pub(crate) Root<T>);

impl<T: Durable> Home<T> for Kept<T> {
    fn write<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        self.0.write(change)
    }

    fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        self.0.read(look)
    }
}
