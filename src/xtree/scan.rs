//! Scans over the rows of a block, 64 at a time, in vector instructions.
//!
//! They read whole blocks of eight rows: what lies behind the last row is compared too, and masked
//! out. A scan goes column by column, and ends early when no row is left.

use super::metric::Metric;
use super::rect::Rect;
use super::scalar::Scalar;
use crate::{Kernel, LANES, Rows, Vectors, vectorised};

/// Rows that one scan covers: one for each bit of its answer.
pub(super) const SPAN: usize = 64;
/// Blocks that one scan covers.
const BLOCKS: usize = SPAN / LANES;

/// Which of the rows from `base` on meet `window`, a bit each.
#[inline]
pub(super) fn meeting<const D: usize, S: Scalar, V>(
    rows: &Rows<S, V>,
    base: usize,
    window: &Rect<D, S>,
) -> u64 {
    vectorised(Low { rows, base, at_most: &window.max(), at_least: &window.min() })
}

/// Which of the rows from `base` on have boxes that contain `rect`, a bit each.
#[inline]
pub(super) fn containing<const D: usize, S: Scalar, V>(
    rows: &Rows<S, V>,
    base: usize,
    rect: &Rect<D, S>,
) -> u64 {
    vectorised(Low { rows, base, at_most: &rect.min(), at_least: &rect.max() })
}

/// Which of the rows from `base` on have boxes that lie within `window`, a bit each.
#[inline]
pub(super) fn inside<const D: usize, S: Scalar, V>(
    rows: &Rows<S, V>,
    base: usize,
    window: &Rect<D, S>,
) -> u64 {
    vectorised(High { rows, base, at_least: &window.min(), at_most: &window.max() })
}

/// Which of the rows from `base` on have exactly the box `rect`, a bit each.
#[inline]
pub(super) fn equal<const D: usize, S: Scalar, V>(
    rows: &Rows<S, V>,
    base: usize,
    rect: &Rect<D, S>,
) -> u64 {
    let contain = containing(rows, base, rect);
    if contain == 0 { 0 } else { contain & inside(rows, base, rect) }
}

/// Rows whose least corners are at most something, and whose greatest ones at least something.
struct Low<'a, const D: usize, S: Scalar, V> {
    rows: &'a Rows<S, V>,
    base: usize,
    at_most: &'a [S; D],
    at_least: &'a [S; D],
}

impl<const D: usize, S: Scalar, V> Kernel for Low<'_, D, S, V> {
    type Output = u64;

    #[inline(always)]
    fn run(self, vectors: impl Vectors) -> u64 {
        let Self { rows, base, at_most, at_least } = self;
        each_axis::<D, S, V>(rows, base, |axis, low, high| {
            vectors.at_most(low, at_most[axis]) & vectors.at_least(high, at_least[axis])
        })
    }
}

/// Rows whose least corners are at least something, and whose greatest ones at most something.
struct High<'a, const D: usize, S: Scalar, V> {
    rows: &'a Rows<S, V>,
    base: usize,
    at_least: &'a [S; D],
    at_most: &'a [S; D],
}

impl<const D: usize, S: Scalar, V> Kernel for High<'_, D, S, V> {
    type Output = u64;

    #[inline(always)]
    fn run(self, vectors: impl Vectors) -> u64 {
        let Self { rows, base, at_least, at_most } = self;
        each_axis::<D, S, V>(rows, base, |axis, low, high| {
            vectors.at_least(low, at_least[axis]) & vectors.at_most(high, at_most[axis])
        })
    }
}

/// The rows that pass along all axes.
#[inline(always)]
fn each_axis<const D: usize, S: Scalar, V>(
    rows: &Rows<S, V>,
    base: usize,
    passes: impl Fn(usize, &[S; LANES], &[S; LANES]) -> u8,
) -> u64 {
    let offset = rows.columns() - D;
    let mut passed = all(rows, base).to_le_bytes();
    for axis in 0..D {
        let low = rows.lanes(axis, base / LANES, BLOCKS);
        let high = rows.lanes(offset + axis, base / LANES, BLOCKS);
        for (passed, (low, high)) in passed.iter_mut().zip(low.iter().zip(high)) {
            *passed &= passes(axis, low, high);
        }
        if u64::from_le_bytes(passed) == 0 {
            break;
        }
    }
    u64::from_le_bytes(passed)
}

/// Ranks of as many rows as a scan covers; infinite beyond the last row.
pub(super) type Ranks<S> = [S; SPAN];

/// Fills in the ranks of the boxes of the rows from `base` on.
#[inline]
pub(super) fn ranks<const D: usize, S: Scalar, V, M: Metric<D, S>>(
    rows: &Rows<S, V>,
    base: usize,
    metric: &M,
    from: &M::Origin,
    into: &mut Ranks<S>,
) {
    vectorised(Measure { rows, base, metric, from, bound: false, into });
    into[(rows.len() - base).min(SPAN)..].fill(S::INFINITY);
}

/// As [`ranks`], of children: nothing in one has a rank below what this says.
#[inline]
pub(super) fn bounds<const D: usize, S: Scalar, V, M: Metric<D, S>>(
    rows: &Rows<S, V>,
    base: usize,
    metric: &M,
    from: &M::Origin,
    into: &mut Ranks<S>,
) {
    vectorised(Measure { rows, base, metric, from, bound: true, into });
    into[(rows.len() - base).min(SPAN)..].fill(S::INFINITY);
}

struct Measure<'a, const D: usize, S: Scalar, V, M: Metric<D, S>> {
    rows: &'a Rows<S, V>,
    base: usize,
    metric: &'a M,
    from: &'a M::Origin,
    bound: bool,
    into: &'a mut Ranks<S>,
}

impl<const D: usize, S: Scalar, V, M: Metric<D, S>> Kernel for Measure<'_, D, S, V, M> {
    type Output = ();

    #[inline(always)]
    fn run(self, _: impl Vectors) {
        let Self { rows, base, metric, from, bound, into } = self;
        let offset = rows.columns() - D;
        let low = std::array::from_fn(|axis| rows.lanes(axis, base / LANES, BLOCKS));
        let high = std::array::from_fn(|axis| rows.lanes(offset + axis, base / LANES, BLOCKS));
        metric.ranks(from, low, high, into.as_chunks_mut::<LANES>().0);
        if bound {
            into.iter_mut().for_each(|rank| *rank = metric.bound(*rank));
        }
    }
}

/// Which of the ranks are at most `limit`, a bit each.
#[inline]
pub(super) fn up_to<S: Scalar>(ranks: &Ranks<S>, limit: S) -> u64 {
    vectorised(UpTo { ranks, limit })
}

struct UpTo<'a, S> {
    ranks: &'a Ranks<S>,
    limit: S,
}

impl<S: Scalar> Kernel for UpTo<'_, S> {
    type Output = u64;

    #[inline(always)]
    fn run(self, vectors: impl Vectors) -> u64 {
        let mut passed = [0; BLOCKS];
        for (passed, ranks) in passed.iter_mut().zip(self.ranks.as_chunks::<LANES>().0) {
            *passed = vectors.at_most(ranks, self.limit);
        }
        u64::from_le_bytes(passed)
    }
}

/// The rows that a scan has found, in order: bits for those from `base` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) base: usize,
    pub(super) mask: u64,
}

impl Found {
    /// The row that comes next.
    #[inline]
    pub(super) fn peek(self) -> Option<usize> {
        (self.mask != 0).then(|| self.base + self.mask.trailing_zeros() as usize)
    }
}

impl Iterator for Found {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let row = self.peek()?;
        self.mask &= self.mask - 1;
        Some(row)
    }
}

/// Calls `each` with the number of every bit that is set.
#[inline]
pub(super) fn each_bit(mask: u64, each: impl FnMut(usize)) {
    Found { base: 0, mask }.for_each(each);
}

/// All rows from `base` on that a scan covers, a bit each.
#[inline]
pub(super) fn all<S: Scalar, V>(rows: &Rows<S, V>, base: usize) -> u64 {
    let rest = rows.len() - base;
    if rest < SPAN { (1 << rest) - 1 } else { u64::MAX }
}

/// The least key of a column; infinite if there are none.
#[inline]
pub(super) fn least<S: Scalar>(keys: &[S]) -> S {
    fold(keys, S::INFINITY, S::least)
}

/// The greatest key of a column; negative infinity if there are none.
#[inline]
pub(super) fn greatest<S: Scalar>(keys: &[S]) -> S {
    fold(keys, S::NEG_INFINITY, S::greatest)
}

/// Folds lane by lane first: the compiler may not reorder a fold of floats by itself.
#[inline]
fn fold<S: Scalar>(keys: &[S], neutral: S, pick: impl Fn(S, S) -> S) -> S {
    let (blocks, rest) = keys.as_chunks::<LANES>();
    let mut lanes = [neutral; LANES];
    for block in blocks {
        for lane in 0..LANES {
            lanes[lane] = pick(block[lane], lanes[lane]);
        }
    }
    lanes.iter().chain(rest).fold(neutral, |picked, &key| pick(key, picked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xtree::metric::Euclidean;

    #[test]
    fn scans_as_one_row_after_the_other() {
        for len in [0, 1, 7, 8, 9, 63, 64, 65, 100, 168] {
            let mut rows = Rows::<f64, u64>::new(2, 1);
            for row in 0..len {
                let key = (row * 7 % 50) as f64;
                rows.write().push(&[key, key - 20.0], row as u64);
            }
            assert_eq!(
                least(rows.column(0)),
                rows.column(0).iter().copied().fold(f64::INFINITY, f64::min)
            );
            let most = rows.column(1).iter().copied().fold(f64::NEG_INFINITY, f64::max);
            assert_eq!(greatest(rows.column(1)), most);
            let window = Rect::new([5.0, -10.0], [30.0, 4.0]).unwrap();
            for base in (0..len).step_by(SPAN) {
                let mask = meeting(&rows, base, &window);
                let mut near = [0.0; SPAN];
                ranks(&rows, base, &Euclidean, &[1.0, 2.0], &mut near);
                let nearer = up_to(&near, 400.0);
                for (bit, &distance) in near.iter().enumerate() {
                    let Some(&x) = rows.column(0).get(base + bit) else {
                        assert_eq!((mask >> bit, nearer >> bit), (0, 0));
                        break;
                    };
                    let point = Rect::from([x, x - 20.0]);
                    assert_eq!(mask >> bit & 1 == 1, window.intersects(&point));
                    assert_eq!(equal(&rows, base, &point) >> bit & 1, 1);
                    assert_eq!(inside(&rows, base, &window) >> bit & 1, mask >> bit & 1);
                    assert_eq!(distance, point.distance_squared(&[1.0, 2.0]));
                    assert_eq!(nearer >> bit & 1 == 1, distance <= 400.0);
                }
            }
        }
    }
}
