//! Which child takes a new box: R*'s choose-subtree (Beckmann et al., SIGMOD 1990, section 4.1).
//!
//! The child whose box needs the least enlargement of overlap with its siblings (just above the
//! leaves) or of area (higher up); ties go to the least enlargement of area, then of margin, then
//! to the least area. A child that contains the new box already needs no enlargement of either, so
//! the smallest of those wins without any further look; that is the common case, and one scan.

use super::node::{Inner, rect_of};
use super::rect::Rect;
use super::scalar::Scalar;
use super::scan::{self, Found, SPAN};

/// How many children are compared by overlap: the paper's 32 of least enlargement.
const CANDIDATES: usize = 32;

/// The row to descend to, and whether its box contains `rect`.
pub(super) fn subtree<const D: usize, T, S: Scalar>(
    rows: &Inner<T, S>,
    rect: &Rect<D, S>,
    above_leaves: bool,
) -> (usize, bool) {
    if let Some(row) = smallest_containing(rows, rect) {
        return (row, true);
    }
    let row = if above_leaves { least_overlap(rows, rect) } else { least_enlarged(rows, rect).row };
    (row, false)
}

fn smallest_containing<const D: usize, T, S: Scalar>(
    rows: &Inner<T, S>,
    rect: &Rect<D, S>,
) -> Option<usize> {
    let mut best = None;
    let mut best_area = S::INFINITY;
    for base in (0..rows.len()).step_by(SPAN) {
        let mask = scan::containing(rows, base, rect);
        for row in (Found { base, mask }) {
            let area = rect_of::<D, S, _>(rows, row).area();
            if best.is_none() || area < best_area {
                (best, best_area) = (Some(row), area);
            }
        }
    }
    best
}

#[derive(Clone, Copy)]
struct Candidate<S> {
    row: usize,
    /// By how much area and margin grow, and the area before.
    growth: [S; 3],
}

impl<S: Scalar> Candidate<S> {
    fn of<const D: usize, T>(rows: &Inner<T, S>, row: usize, rect: &Rect<D, S>) -> Self {
        let own = rect_of(rows, row);
        let grown = own.union(rect);
        let area = own.area();
        // Infinite boxes give NaN, which `greatest` turns into 0.
        let growth = [grown.area() - area, grown.margin() - own.margin()];
        let [by_area, by_margin] = growth.map(|growth| growth.greatest(S::ZERO));
        Self { row, growth: [by_area, by_margin, area] }
    }
}

fn least_enlarged<const D: usize, T, S: Scalar>(
    rows: &Inner<T, S>,
    rect: &Rect<D, S>,
) -> Candidate<S> {
    let mut best = Candidate::of(rows, 0, rect);
    for row in 1..rows.len() {
        let candidate = Candidate::of(rows, row, rect);
        if candidate.growth < best.growth {
            best = candidate;
        }
    }
    best
}

fn least_overlap<const D: usize, T, S: Scalar>(rows: &Inner<T, S>, rect: &Rect<D, S>) -> usize {
    let first = least_enlarged(rows, rect);
    let mut best = (overlap_growth(rows, first.row, rect, S::INFINITY), first.row);
    // No overlap cannot be bettered, and the rest of the order is the one that chose `first`.
    if best.0 <= S::ZERO {
        return best.1;
    }
    let mut candidates: Vec<_> =
        (0..rows.len()).map(|row| Candidate::of(rows, row, rect)).collect();
    if candidates.len() > CANDIDATES {
        candidates.select_nth_unstable_by(CANDIDATES, by_growth);
        candidates.truncate(CANDIDATES);
    }
    candidates.sort_unstable_by(by_growth);
    for candidate in candidates {
        let growth = overlap_growth(rows, candidate.row, rect, best.0);
        if growth < best.0 {
            best = (growth, candidate.row);
        }
    }
    best.1
}

fn by_growth<S: Scalar>(a: &Candidate<S>, b: &Candidate<S>) -> std::cmp::Ordering {
    let pairs = a.growth.iter().zip(&b.growth);
    pairs.fold(std::cmp::Ordering::Equal, |order, (a, b)| order.then_with(|| a.total_cmp(b)))
}

/// By how much row `row` would overlap its siblings more if it took `rect`; stops once beyond
/// `limit`.
fn overlap_growth<const D: usize, T, S: Scalar>(
    rows: &Inner<T, S>,
    row: usize,
    rect: &Rect<D, S>,
    limit: S,
) -> S {
    let own: Rect<D, S> = rect_of(rows, row);
    let grown = own.union(rect);
    let mut sum = S::ZERO;
    for base in (0..rows.len()).step_by(SPAN) {
        // Only siblings that meet the grown box can overlap it.
        let mask = scan::meeting(rows, base, &grown);
        for sibling in (Found { base, mask }) {
            if sibling == row {
                continue;
            }
            let other = rect_of(rows, sibling);
            let growth = grown.intersection(&other).area() - own.intersection(&other).area();
            sum += growth.greatest(S::ZERO);
        }
        if sum >= limit {
            break;
        }
    }
    sum
}
