//! What a search looks for: which children of a node it has to enter, and which entries it wants.

use super::metric::Metric;
use super::node::rect_of;
use super::rect::Rect;
use super::scalar::Scalar;
use super::scan::{self, Ranks, each_bit};
use crate::Rows;

/// What a [`Search`](super::Search) looks for. Sealed: the methods of [`XTree`](super::XTree) make
/// them.
///
/// All methods answer for the rows from `base` on that one scan covers, a bit each.
pub trait Filter<const D: usize, S: Scalar>: sealed::Filter<D, S> {}

impl<const D: usize, S: Scalar, F: sealed::Filter<D, S>> Filter<D, S> for F {}

pub(super) mod sealed {
    use super::{Rows, Scalar};

    pub trait Filter<const D: usize, S: Scalar>: Clone {
        /// Children below which something wanted can be.
        fn enters<V>(&self, rows: &Rows<S, V>, base: usize) -> u64;

        /// Entries that are wanted.
        fn wants<V>(&self, rows: &Rows<S, V>, base: usize) -> u64;

        /// Of the children `entered`, those of which everything is wanted.
        fn takes_whole<V>(&self, rows: &Rows<S, V>, base: usize, entered: u64) -> u64;
    }
}

/// Entries whose boxes meet a window; touching is enough.
#[derive(Clone, Copy, Debug)]
pub struct Meeting<const D: usize, S>(pub(super) Rect<D, S>);

/// Entries whose boxes lie within a window.
#[derive(Clone, Copy, Debug)]
pub struct Inside<const D: usize, S>(pub(super) Rect<D, S>);

/// Entries whose boxes contain a box.
#[derive(Clone, Copy, Debug)]
pub struct Around<const D: usize, S>(pub(super) Rect<D, S>);

/// Entries with exactly one box.
#[derive(Clone, Copy, Debug)]
pub struct Exactly<const D: usize, S>(pub(super) Rect<D, S>);

/// Entries within a distance of a point.
#[derive(Clone, Copy, Debug)]
pub struct WithinDistance<M, O, S> {
    pub(super) metric: M,
    pub(super) from: O,
    /// The rank of the distance.
    pub(super) limit: S,
}

/// All entries.
#[derive(Clone, Copy, Debug)]
pub struct All;

impl<const D: usize, S: Scalar> sealed::Filter<D, S> for Meeting<D, S> {
    #[inline]
    fn enters<V>(&self, rows: &Rows<S, V>, base: usize) -> u64 {
        scan::meeting(rows, base, &self.0)
    }

    #[inline]
    fn wants<V>(&self, rows: &Rows<S, V>, base: usize) -> u64 {
        scan::meeting(rows, base, &self.0)
    }

    #[inline]
    fn takes_whole<V>(&self, rows: &Rows<S, V>, base: usize, entered: u64) -> u64 {
        entered & scan::inside(rows, base, &self.0)
    }
}

impl<const D: usize, S: Scalar> sealed::Filter<D, S> for Inside<D, S> {
    #[inline]
    fn enters<V>(&self, rows: &Rows<S, V>, base: usize) -> u64 {
        scan::meeting(rows, base, &self.0)
    }

    #[inline]
    fn wants<V>(&self, rows: &Rows<S, V>, base: usize) -> u64 {
        scan::inside(rows, base, &self.0)
    }

    #[inline]
    fn takes_whole<V>(&self, rows: &Rows<S, V>, base: usize, entered: u64) -> u64 {
        entered & scan::inside(rows, base, &self.0)
    }
}

impl<const D: usize, S: Scalar> sealed::Filter<D, S> for Around<D, S> {
    #[inline]
    fn enters<V>(&self, rows: &Rows<S, V>, base: usize) -> u64 {
        scan::containing(rows, base, &self.0)
    }

    #[inline]
    fn wants<V>(&self, rows: &Rows<S, V>, base: usize) -> u64 {
        scan::containing(rows, base, &self.0)
    }

    #[inline]
    fn takes_whole<V>(&self, _: &Rows<S, V>, _: usize, _: u64) -> u64 {
        0
    }
}

impl<const D: usize, S: Scalar> sealed::Filter<D, S> for Exactly<D, S> {
    #[inline]
    fn enters<V>(&self, rows: &Rows<S, V>, base: usize) -> u64 {
        scan::containing(rows, base, &self.0)
    }

    #[inline]
    fn wants<V>(&self, rows: &Rows<S, V>, base: usize) -> u64 {
        scan::equal(rows, base, &self.0)
    }

    /// If the child's box is that very point, so is everything in it.
    #[inline]
    fn takes_whole<V>(&self, rows: &Rows<S, V>, base: usize, entered: u64) -> u64 {
        if self.0.is_point() { entered & scan::equal(rows, base, &self.0) } else { 0 }
    }
}

impl<const D: usize, S, M> sealed::Filter<D, S> for WithinDistance<M, M::Origin, S>
where
    S: Scalar,
    M: Metric<D, S> + Clone,
{
    #[inline]
    fn enters<V>(&self, rows: &Rows<S, V>, base: usize) -> u64 {
        let mut ranks: Ranks<S> = [S::INFINITY; _];
        scan::bounds(rows, base, &self.metric, &self.from, &mut ranks);
        scan::up_to(&ranks, self.limit) & scan::all(rows, base)
    }

    #[inline]
    fn wants<V>(&self, rows: &Rows<S, V>, base: usize) -> u64 {
        let mut ranks: Ranks<S> = [S::INFINITY; _];
        scan::ranks(rows, base, &self.metric, &self.from, &mut ranks);
        scan::up_to(&ranks, self.limit) & scan::all(rows, base)
    }

    #[inline]
    fn takes_whole<V>(&self, rows: &Rows<S, V>, base: usize, entered: u64) -> u64 {
        let mut whole = 0;
        each_bit(entered, |lane| {
            let rect: Rect<D, S> = rect_of(rows, base + lane);
            let farthest = self.metric.farthest(&self.from, &rect.min(), &rect.max());
            whole |= u64::from(farthest.is_some_and(|rank| rank <= self.limit)) << lane;
        });
        whole
    }
}

impl<const D: usize, S: Scalar> sealed::Filter<D, S> for All {
    #[inline]
    fn enters<V>(&self, rows: &Rows<S, V>, base: usize) -> u64 {
        scan::all(rows, base)
    }

    #[inline]
    fn wants<V>(&self, rows: &Rows<S, V>, base: usize) -> u64 {
        scan::all(rows, base)
    }

    #[inline]
    fn takes_whole<V>(&self, _: &Rows<S, V>, _: usize, entered: u64) -> u64 {
        entered
    }
}
