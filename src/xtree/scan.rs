//! Scans over the rows of a block, 64 at a time, that the compiler turns into vector instructions.
//!
//! They read whole cache lines: what lies behind the last row is compared too, and masked out.

use super::metric::{LANES, Metric};
use super::rect::Rect;
use super::scalar::Scalar;
use crate::{Kernel, Rows, vectorised};

/// Rows that one scan covers: one for each bit of its answer.
pub(super) const SPAN: usize = 64;

/// Which of the rows from `base` on meet `window`, a bit each.
#[inline]
pub(super) fn meeting<const D: usize, S: Scalar, V>(
    rows: &Rows<S, V>,
    base: usize,
    window: &Rect<D, S>,
) -> u64 {
    let (below, above) = (window.max(), window.min());
    scan::<D, S, V>(rows, base, |axis, low, high| (low <= below[axis]) & (high >= above[axis]))
}

/// Which of the rows from `base` on have boxes that contain `rect`, a bit each.
#[inline]
pub(super) fn containing<const D: usize, S: Scalar, V>(
    rows: &Rows<S, V>,
    base: usize,
    rect: &Rect<D, S>,
) -> u64 {
    let (below, above) = (rect.min(), rect.max());
    scan::<D, S, V>(rows, base, |axis, low, high| (low <= below[axis]) & (high >= above[axis]))
}

/// Which of the rows from `base` on have boxes that lie within `window`, a bit each.
#[inline]
pub(super) fn inside<const D: usize, S: Scalar, V>(
    rows: &Rows<S, V>,
    base: usize,
    window: &Rect<D, S>,
) -> u64 {
    let (min, max) = (window.min(), window.max());
    scan::<D, S, V>(rows, base, |axis, low, high| (low >= min[axis]) & (high <= max[axis]))
}

/// Which of the rows from `base` on have exactly the box `rect`, a bit each.
#[inline]
pub(super) fn equal<const D: usize, S: Scalar, V>(
    rows: &Rows<S, V>,
    base: usize,
    rect: &Rect<D, S>,
) -> u64 {
    let (min, max) = (rect.min(), rect.max());
    scan::<D, S, V>(rows, base, |axis, low, high| (low == min[axis]) & (high == max[axis]))
}

/// Ranks of as many rows as a scan covers; infinite beyond the last row.
pub(super) type Distances<S> = [S; SPAN];

/// Fills in the ranks of the boxes of the rows from `base` on.
#[inline]
pub(super) fn ranks<const D: usize, S: Scalar, V, M: Metric<D, S>>(
    rows: &Rows<S, V>,
    base: usize,
    metric: &M,
    from: &M::Origin,
    into: &mut Distances<S>,
) {
    let (low, high) = corners::<D, S, V>(rows, base);
    vectorised(Measure { low, high, metric, from, bound: false, into });
    into[(rows.len() - base).min(SPAN)..].fill(S::INFINITY);
}

/// As [`ranks`], of children: nothing in one has a rank below what this says.
#[inline]
pub(super) fn bounds<const D: usize, S: Scalar, V, M: Metric<D, S>>(
    rows: &Rows<S, V>,
    base: usize,
    metric: &M,
    from: &M::Origin,
    into: &mut Distances<S>,
) {
    let (low, high) = corners::<D, S, V>(rows, base);
    vectorised(Measure { low, high, metric, from, bound: true, into });
    into[(rows.len() - base).min(SPAN)..].fill(S::INFINITY);
}

struct Measure<'a, const D: usize, S: Scalar, M: Metric<D, S>> {
    low: Corner<'a, D, S>,
    high: Corner<'a, D, S>,
    metric: &'a M,
    from: &'a M::Origin,
    bound: bool,
    into: &'a mut Distances<S>,
}

impl<const D: usize, S: Scalar, M: Metric<D, S>> Kernel for Measure<'_, D, S, M> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Self { low, high, metric, from, bound, into } = self;
        let blocks = into.as_chunks_mut::<LANES>().0.iter_mut().take(low[0].len());
        for (block, into) in blocks.enumerate() {
            let ranks = metric.ranks(
                from,
                std::array::from_fn(|axis| &low[axis][block]),
                std::array::from_fn(|axis| &high[axis][block]),
            );
            *into = if bound { ranks.map(|rank| metric.bound(rank)) } else { ranks };
        }
    }
}

/// Which of the ranks are below `limit`, a bit each.
#[inline]
pub(super) fn below<S: Scalar>(ranks: &Distances<S>, limit: S) -> u64 {
    mask_of(ranks, |rank| rank < limit)
}

/// Which of the ranks are at most `limit`, a bit each.
#[inline]
pub(super) fn up_to<S: Scalar>(ranks: &Distances<S>, limit: S) -> u64 {
    mask_of(ranks, |rank| rank <= limit)
}

#[inline]
fn mask_of<S: Scalar>(ranks: &Distances<S>, passes: impl Fn(S) -> bool) -> u64 {
    let blocks = ranks.as_chunks::<LANES>().0.iter().enumerate();
    blocks.fold(0, |mask, (block, lanes)| mask | pack(lanes.map(&passes)) << (block * LANES))
}

/// Calls `each` with the number of every bit that is set.
#[inline]
pub(super) fn each_bit(mut mask: u64, mut each: impl FnMut(usize)) {
    while mask != 0 {
        each(mask.trailing_zeros() as usize);
        mask &= mask - 1;
    }
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

#[inline]
fn scan<const D: usize, S: Scalar, V>(
    rows: &Rows<S, V>,
    base: usize,
    passes: impl Fn(usize, S, S) -> bool,
) -> u64 {
    let (low, high) = corners::<D, S, V>(rows, base);
    vectorised(Compare { low, high, passes }) & all(rows, base)
}

/// Compares both corners of some rows with something, a bit of the answer each.
struct Compare<'a, const D: usize, S, P> {
    low: Corner<'a, D, S>,
    high: Corner<'a, D, S>,
    passes: P,
}

impl<const D: usize, S: Scalar, P: Fn(usize, S, S) -> bool> Kernel for Compare<'_, D, S, P> {
    type Output = u64;

    #[inline(always)]
    fn run(self) -> u64 {
        let Self { low, high, passes } = self;
        let mut mask = 0;
        for block in 0..low[0].len() {
            let mut passed = [true; LANES];
            for axis in 0..D {
                let (low, high) = (&low[axis][block], &high[axis][block]);
                for lane in 0..LANES {
                    passed[lane] &= passes(axis, low[lane], high[lane]);
                }
            }
            mask |= pack(passed) << (block * LANES);
        }
        mask
    }
}

/// Eight truths as eight bits: the product moves byte `i`'s lowest bit to bit `56 + i`.
#[inline]
fn pack(passed: [bool; LANES]) -> u64 {
    u64::from_le_bytes(passed.map(u8::from)).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

type Corner<'a, const D: usize, S> = [&'a [[S; LANES]]; D];

/// The columns of either corner, from row `base` on, in whole blocks, at most `SPAN` rows.
#[inline]
fn corners<const D: usize, S: Scalar, V>(
    rows: &Rows<S, V>,
    base: usize,
) -> (Corner<'_, D, S>, Corner<'_, D, S>) {
    let offset = rows.columns() - D;
    let blocks = (rows.len() - base).div_ceil(LANES).min(SPAN / LANES);
    let first = base / LANES;
    let column = |column| &rows.column_padded(column).as_chunks::<LANES>().0[first..first + blocks];
    (std::array::from_fn(column), std::array::from_fn(|axis| column(offset + axis)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xtree::metric::Euclidean;

    #[test]
    fn packs_lane_by_lane() {
        for byte in 0..=255_u64 {
            assert_eq!(pack(std::array::from_fn(|lane| byte >> lane & 1 == 1)), byte);
        }
    }

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
                let nearer = below(&near, 400.0);
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
                    assert_eq!(nearer >> bit & 1 == 1, distance < 400.0);
                }
            }
        }
    }
}
