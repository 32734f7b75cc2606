//! How a full node is cut in two: R*'s topological split and the X-tree's overlap-minimal one.
//!
//! Topological: Beckmann et al., SIGMOD 1990, section 4.2. Overlap-minimal: Berchtold et al., VLDB
//! 1996, section 3.3; where neither gives a good cut, the node becomes a supernode (section 3.2).

use std::cmp::Reverse;

use super::node::{self, push, rect_of, take};
use super::rect::Rect;
use super::scalar::Scalar;
use super::tuning::{Limits, Rules};
use crate::{Rows, RowsMut};

/// The share of its rows that each half of a cut gets at least, in percent: R*'s value.
const LEAST_SHARE: usize = 40;

/// A cut: the rows in an order, of which those from `cut` on go to a new node.
pub(super) struct Plan {
    order: Vec<usize>,
    cut: usize,
    axis: usize,
}

/// What `rows` and one row more are cut into; `rows` keeps the lower half, the upper one is
/// returned.
pub(super) fn leaf<const D: usize, S: Scalar, V>(
    rows: &mut Rows<S, V>,
    rect: Rect<D, S>,
    value: V,
    limits: Limits,
) -> Rows<S, V> {
    let boxes = with_rows(rows, rect);
    let least = boxes.len() * LEAST_SHARE / 100;
    let plan = topological(&boxes, least.max(boxes.len().saturating_sub(limits.most)));
    apply(rows, &plan, rect, value, limits)
}

/// As [`leaf`], for an inner node; `Err` gives the row back if the node has to become a supernode.
pub(super) fn inner<const D: usize, S: Scalar, V>(
    rows: &mut Rows<S, V>,
    rect: Rect<D, S>,
    value: V,
    rules: &Rules,
    common_history: u64,
) -> Result<Rows<S, V>, V> {
    let boxes = with_rows(rows, rect);
    let mut plan = topological(&boxes, boxes.len() * LEAST_SHARE / 100);
    if overlap_share(&boxes, &plan) > rules.tuning.overlap_limit() {
        let least = boxes.len() * rules.tuning.min_fanout_percent() / 100;
        match overlap_minimal(&boxes, common_history, least.max(rules.sizes.inner.least)) {
            Some(better) => plan = better,
            None => return Err(value),
        }
    }
    Ok(apply(rows, &plan, rect, value, rules.sizes.inner))
}

fn with_rows<const D: usize, S: Scalar, V>(rows: &Rows<S, V>, rect: Rect<D, S>) -> Vec<Rect<D, S>> {
    let mut boxes = Vec::with_capacity(rows.len() + 1);
    boxes.extend((0..rows.len()).map(|row| rect_of(rows, row)));
    boxes.push(rect);
    boxes
}

/// Moves the rows that the plan puts into the upper half; the last box of the plan is the new
/// row's.
fn apply<const D: usize, S: Scalar, V>(
    rows: &mut Rows<S, V>,
    plan: &Plan,
    rect: Rect<D, S>,
    value: V,
    limits: Limits,
) -> Rows<S, V> {
    let extra = rows.len();
    let mut moved = plan.order[plan.cut..].to_vec();
    // From the last row down, so that the row that fills a gap is never one that is still to move.
    moved.sort_unstable_by_key(|&row| Reverse(row));
    let pages = limits.pages_for(moved.len());
    let mut upper = Rows::new(rows.columns(), pages);
    let mut low = rows.write();
    let mut high = upper.write();
    let extra_is_high = moved.first() == Some(&extra);
    for &row in &moved[usize::from(extra_is_high)..] {
        let (rect, value) = take::<D, S, V>(&mut low, row);
        push(&mut high, &rect, value);
    }
    let half: &mut RowsMut<'_, S, V> = if extra_is_high { &mut high } else { &mut low };
    push(half, &rect, value);
    node::note_split(&mut low, &mut high, plan.axis);
    drop((low, high));
    node::shrink::<D, S, V>(rows, limits);
    upper
}

/// The axis whose cuts have the least margins in all, and on it the cut of least overlap, then
/// area.
fn topological<const D: usize, S: Scalar>(boxes: &[Rect<D, S>], least: usize) -> Plan {
    let by_upper = boxes.iter().any(|rect| !rect.is_point());
    let corners: &[bool] = if by_upper { &[false, true] } else { &[false] };
    let mut keyed = Vec::with_capacity(boxes.len());
    let mut high = Vec::new();
    let mut best_axis = (S::INFINITY, 0);
    for axis in 0..D {
        let mut margins = S::ZERO;
        for &upper in corners {
            arrange(boxes, axis, upper, least, &mut keyed);
            cuts(boxes, &keyed, least, &mut high, |_, low, high| {
                margins += low.margin() + high.margin();
            });
        }
        if margins < best_axis.0 {
            best_axis = (margins, axis);
        }
    }
    let axis = best_axis.1;
    let mut best = ([S::INFINITY; 3], least, false);
    for &upper in corners {
        arrange(boxes, axis, upper, least, &mut keyed);
        cuts(boxes, &keyed, least, &mut high, |cut, low, high| {
            let area = low.area() + high.area();
            let cost = [low.intersection(high).area(), area, low.margin() + high.margin()];
            if cost < best.0 {
                best = (cost, cut, upper);
            }
        });
    }
    // `keyed` holds the last arrangement; the other one has to be made again.
    if by_upper && !best.2 {
        arrange(boxes, axis, false, least, &mut keyed);
    }
    Plan { order: keyed.iter().map(|&(_, row)| row).collect(), cut: best.1, axis }
}

/// Orders rows along `axis` as far as cuts that leave `least` on either side can tell: what lies
/// before and behind all of them stays unsorted.
fn arrange<const D: usize, S: Scalar>(
    boxes: &[Rect<D, S>],
    axis: usize,
    by_upper: bool,
    least: usize,
    keyed: &mut Vec<(S, usize)>,
) {
    keyed.clear();
    keyed.extend(boxes.iter().enumerate().map(|(row, rect)| {
        let corner = if by_upper { rect.max() } else { rect.min() };
        (corner[axis], row)
    }));
    let by_key = |a: &(S, usize), b: &(S, usize)| a.0.total_cmp(&b.0);
    let last = boxes.len() - least;
    keyed.select_nth_unstable_by(least, by_key);
    keyed[least..].select_nth_unstable_by(last - least, by_key);
    keyed[least..last].sort_unstable_by(by_key);
}

/// Calls `each` for every cut with the boxes around its two halves.
fn cuts<const D: usize, S: Scalar>(
    boxes: &[Rect<D, S>],
    keyed: &[(S, usize)],
    least: usize,
    high: &mut Vec<Rect<D, S>>,
    mut each: impl FnMut(usize, &Rect<D, S>, &Rect<D, S>),
) {
    let last = keyed.len() - least;
    let around = |from: Rect<D, S>, part: &[(S, usize)]| {
        part.iter().fold(from, |bounds, &(_, row)| bounds.union(&boxes[row]))
    };
    high.clear();
    high.push(around(Rect::EMPTY, &keyed[last..]));
    for cut in (least..last).rev() {
        high.push(around(high[last - cut - 1], &keyed[cut..=cut]));
    }
    let mut low = around(Rect::EMPTY, &keyed[..least]);
    each(least, &low, &high[last - least]);
    for cut in least + 1..=last {
        low = around(low, &keyed[cut - 1..cut]);
        each(cut, &low, &high[last - cut]);
    }
}

/// The share of the union of the halves' volumes that lies in both.
fn overlap_share<const D: usize, S: Scalar>(boxes: &[Rect<D, S>], plan: &Plan) -> f64 {
    let around = |rows: &[usize]| {
        rows.iter().fold(Rect::EMPTY, |bounds: Rect<D, S>, &row| bounds.union(&boxes[row]))
    };
    let (low, high) = (around(&plan.order[..plan.cut]), around(&plan.order[plan.cut..]));
    let common = low.intersection(&high).area().to_f64();
    let union = low.area().to_f64() + high.area().to_f64() - common;
    if union > 0.0 { common / union } else { 0.0 }
}

/// The most balanced cut without overlap along an axis that all children were split by; there is
/// one by construction of the history unless later insertions made children meet. `None` if it is
/// unbalanced.
fn overlap_minimal<const D: usize, S: Scalar>(
    boxes: &[Rect<D, S>],
    common_history: u64,
    least: usize,
) -> Option<Plan> {
    let mut keyed = Vec::with_capacity(boxes.len());
    let mut high = Vec::new();
    let mut best: Option<(usize, Plan)> = None;
    for axis in (0..D).filter(|axis| common_history >> axis & 1 == 1) {
        arrange(boxes, axis, false, least, &mut keyed);
        let mut found = None;
        cuts(boxes, &keyed, least, &mut high, |cut, low, high| {
            let imbalance = cut.abs_diff(boxes.len() - cut);
            let apart = low.max()[axis] <= high.min()[axis];
            if apart && found.is_none_or(|(least, _)| imbalance < least) {
                found = Some((imbalance, cut));
            }
        });
        if let Some((imbalance, cut)) = found
            && best.as_ref().is_none_or(|(least, _)| imbalance < *least)
        {
            let order = keyed.iter().map(|&(_, row)| row).collect();
            best = Some((imbalance, Plan { order, cut, axis }));
        }
    }
    best.map(|(_, plan)| plan)
}
