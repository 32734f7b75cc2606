//! Metrics: what "near" means.

use super::scalar::Scalar;
use crate::LANES;

/// What near means: a distance between a point and the nearest place of a box.
///
/// Searches compare *ranks*: numbers that order as the distances do, and are cheaper. A metric of
/// one's own needs [`prepare`](Self::prepare), [`rank`](Self::rank) and the two conversions.
///
/// The contract, on which results rest (not memory safety): ranks are not NaN; the rank of a box is
/// at most that of anything within it, after [`bound`](Self::bound) if rounding makes that untrue;
/// `distance` and `rank_of` are increasing. Boxes are ranked in vectors of eight, so `rank` is
/// called with some that are in no tree, too: it must take any numbers, and what it says of those
/// is thrown away.
///
/// ```
/// use stillheap::{Metric, XTree};
///
/// /// The way along streets that cross at right angles.
/// #[derive(Clone, Copy)]
/// struct Manhattan;
///
/// impl<const D: usize> Metric<D, f64> for Manhattan {
///     type Origin = [f64; D];
///
///     fn prepare(&self, point: [f64; D]) -> [f64; D] {
///         point
///     }
///
///     fn rank(&self, from: &[f64; D], min: &[f64; D], max: &[f64; D]) -> f64 {
///         (0..D).map(|axis| (min[axis] - from[axis]).max(from[axis] - max[axis]).max(0.0)).sum()
///     }
///
///     fn distance(&self, rank: f64) -> f64 {
///         rank
///     }
///
///     fn rank_of(&self, distance: f64) -> f64 {
///         distance
///     }
/// }
///
/// let tree: XTree<2, &str> = [([3.0, 3.0], "a"), ([0.0, 5.0], "b")].into_iter().collect();
/// assert_eq!(*tree.nearest([0.0, 0.0], 1)[0].value, "a");
/// assert_eq!(*tree.nearest_by(Manhattan, [0.0, 0.0], 1)[0].value, "b");
/// ```
pub trait Metric<const D: usize, S: Scalar> {
    /// A point, with what the metric computes of it once for many boxes.
    type Origin: Clone;

    /// Computes what is needed of a point once.
    fn prepare(&self, point: [S; D]) -> Self::Origin;

    /// The rank of the nearest place of the box from `min` to `max`; 0 if the point lies in it.
    fn rank(&self, from: &Self::Origin, min: &[S; D], max: &[S; D]) -> S;

    /// The distance of what has that rank.
    fn distance(&self, rank: S) -> S;

    /// The rank of what has that distance.
    fn rank_of(&self, distance: S) -> S;

    /// A number that is not above the computed rank of anything within a box of rank `rank`.
    ///
    /// The default is `rank` itself, which is right if rounding keeps the order, as for sums of
    /// squares.
    #[inline(always)]
    fn bound(&self, rank: S) -> S {
        rank
    }

    /// The rank of the farthest place of a box, if the metric knows: then a search by distance
    /// counts what lies in near boxes without looking at it.
    #[inline(always)]
    fn farthest(&self, from: &Self::Origin, min: &[S; D], max: &[S; D]) -> Option<S> {
        let _ = (from, min, max);
        None
    }

    /// The ranks of many boxes, given as columns in blocks of eight: `low[axis][block][lane]` is
    /// the least coordinate of a box along `axis`. There are as many blocks in all columns, and as
    /// many or more in `into`. In a form that the compiler vectorises, this is what makes searches
    /// fast.
    #[inline(always)]
    fn ranks(
        &self,
        from: &Self::Origin,
        low: [&[[S; LANES]]; D],
        high: [&[[S; LANES]]; D],
        into: &mut [[S; LANES]],
    ) {
        for (block, into) in into.iter_mut().enumerate().take(low[0].len()) {
            for (lane, into) in into.iter_mut().enumerate() {
                let min = low.map(|column| column[block][lane]);
                let max = high.map(|column| column[block][lane]);
                *into = self.rank(from, &min, &max);
            }
        }
    }
}

/// The straight line: √Σ(aᵢ − bᵢ)², in the coordinates' unit.
///
/// Good for coordinates whose differences can be squared: some 1e-154 to 1e154, with `f32` 1e-19 to
/// 1e19. What is farther counts as infinitely far, what is nearer as at no distance.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Euclidean;

/// The square of the straight line: Σ(aᵢ − bᵢ)², for those who compare only. Good for the same
/// coordinates as [`Euclidean`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct EuclideanSquared;

macro_rules! euclidean {
    ($metric:ident, $distance:expr, $rank:expr) => {
        impl<const D: usize, S: Scalar> Metric<D, S> for $metric {
            type Origin = [S; D];

            #[inline(always)]
            fn prepare(&self, point: [S; D]) -> [S; D] {
                point
            }

            #[inline(always)]
            fn rank(&self, from: &[S; D], min: &[S; D], max: &[S; D]) -> S {
                let outside = |axis| axis_distance(min[axis], max[axis], from[axis]);
                (0..D).map(outside).fold(S::ZERO, |sum, outside| sum + outside * outside)
            }

            #[inline(always)]
            fn distance(&self, rank: S) -> S {
                $distance(rank)
            }

            #[inline(always)]
            fn rank_of(&self, distance: S) -> S {
                $rank(distance)
            }

            #[inline(always)]
            fn farthest(&self, from: &[S; D], min: &[S; D], max: &[S; D]) -> Option<S> {
                let far = |axis: usize| (from[axis] - min[axis]).greatest(max[axis] - from[axis]);
                Some((0..D).map(far).fold(S::ZERO, |sum, far| sum + far * far))
            }

            #[inline(always)]
            fn ranks(
                &self,
                from: &[S; D],
                low: [&[[S; LANES]]; D],
                high: [&[[S; LANES]]; D],
                into: &mut [[S; LANES]],
            ) {
                // All of one length, so that no bounds have to be checked within the loop.
                let blocks = into.len().min(low[0].len());
                let (low, high) = (low.map(|at| &at[..blocks]), high.map(|at| &at[..blocks]));
                for (block, into) in into[..blocks].iter_mut().enumerate() {
                    let mut sums = [S::ZERO; LANES];
                    for axis in 0..D {
                        let (low, high) = (&low[axis][block], &high[axis][block]);
                        for lane in 0..LANES {
                            let outside = axis_distance(low[lane], high[lane], from[axis]);
                            sums[lane] += outside * outside;
                        }
                    }
                    *into = sums;
                }
            }
        }
    };
}
euclidean!(Euclidean, S::sqrt, greatest_square);
euclidean!(EuclideanSquared, |rank| rank, |distance| distance);

/// The greatest number whose root is at most `root`, so that what is at a distance is found within
/// it; negative infinity if there is none.
#[inline]
pub(super) fn greatest_square<S: Scalar>(root: S) -> S {
    if root < S::ZERO {
        return S::NEG_INFINITY;
    }
    let mut square = root * root;
    // Roots are twice as fine as squares, so either ends after a step or two.
    while square.sqrt() > root {
        square = square.next_down();
    }
    while square < S::INFINITY && square.next_up().sqrt() <= root {
        square = square.next_up();
    }
    square
}

/// How far `at` is outside of `min..=max`; 0 for infinities that cancel out.
#[inline(always)]
pub(super) fn axis_distance<S: Scalar>(min: S, max: S, at: S) -> S {
    (min - at).greatest((at - max).greatest(S::ZERO))
}
