//! Nearest neighbours, by branch and bound over a queue of what is nearest.
//!
//! Hjaltason, Samet: "Distance Browsing in Spatial Databases", ACM TODS 24(2), 1999: nodes are
//! visited in the order of their distance, so that no node is read that is farther than the answer.

use std::ptr;

use smallvec::SmallVec;

use super::metric::Metric;
use super::node::{self, Leaf, Node, rect_of};
use super::queue::{Queue, Ranked};
use super::rect::Rect;
use super::scalar::Scalar;
use super::scan::{self, Distances, SPAN, each_bit};
use crate::{Branch, Rows};

/// An entry, and how far it is from the point in question.
#[derive(Debug)]
pub struct Neighbour<'a, const D: usize, T, S: Scalar = f64> {
    /// The entry's box.
    pub rect: Rect<D, S>,
    /// The entry's value.
    pub value: &'a T,
    /// The distance between the point and the nearest place of the box, in the metric's unit: that
    /// of the coordinates, unless another metric was asked for.
    pub distance: S,
}

impl<const D: usize, T, S: Scalar> Copy for Neighbour<'_, D, T, S> {}

impl<const D: usize, T, S: Scalar> Clone for Neighbour<'_, D, T, S> {
    fn clone(&self) -> Self {
        *self
    }
}

/// A row of a leaf.
#[derive(Debug)]
pub(super) struct Row<'a, T, S: Scalar> {
    pub(super) leaf: &'a Leaf<T, S>,
    pub(super) row: usize,
}

impl<T, S: Scalar> Copy for Row<'_, T, S> {}

impl<T, S: Scalar> Clone for Row<'_, T, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<'a, T, S: Scalar> Row<'a, T, S> {
    pub(super) fn at<const D: usize>(self, distance: S) -> Neighbour<'a, D, T, S> {
        let Self { leaf, row } = self;
        Neighbour { rect: rect_of(leaf, row), value: &leaf.values()[row], distance }
    }
}

/// Calls `each` with the `count` entries nearest to `from`, nearest first.
pub(super) fn nearest<'a, const D: usize, T, S: Scalar, M: Metric<D, S>>(
    root: &'a Node<T, S>,
    metric: &M,
    from: &M::Origin,
    count: usize,
    mut each: impl FnMut(Neighbour<'a, D, T, S>),
) {
    if count == 0 {
        return;
    }
    let mut best = Best { rows: SmallVec::new(), count, limit: S::INFINITY };
    let mut ranks = [S::INFINITY; SPAN];
    // The likeliest leaf first: with its bound, hardly anything else has to be queued.
    let first = likeliest_leaf(root, metric, from, &mut ranks);
    best.look_at(first, metric, from, &mut ranks);
    let mut queue = Queue::new();
    let mut next = Some(Ranked { rank: S::ZERO, what: root });
    while let Some(Ranked { rank, what }) = next
        && best.accepts(rank)
    {
        match what {
            Branch::Leaf(leaf) if ptr::eq(leaf, first) => {}
            Branch::Leaf(leaf) => best.look_at(leaf, metric, from, &mut ranks),
            Branch::Inner(inner) => {
                for base in (0..inner.len()).step_by(SPAN) {
                    scan::bounds(inner, base, metric, from, &mut ranks);
                    each_bit(best.accepted(inner, base, &ranks), |lane| {
                        let child = &inner.values()[base + lane];
                        node::prefetch(child);
                        queue.push(ranks[lane], child);
                    });
                }
            }
        }
        next = queue.pop();
    }
    best.rows.sort_unstable();
    for Ranked { rank, what } in best.rows {
        each(what.at(metric.distance(rank)));
    }
}

/// Goes down to the nearest child each time; a leaf where the nearest entries probably are.
fn likeliest_leaf<'a, const D: usize, T, S: Scalar, M: Metric<D, S>>(
    root: &'a Node<T, S>,
    metric: &M,
    from: &M::Origin,
    ranks: &mut Distances<S>,
) -> &'a Leaf<T, S> {
    let mut node = root;
    loop {
        let inner = match node {
            Branch::Leaf(leaf) => return leaf,
            Branch::Inner(inner) => inner,
        };
        let mut best = (S::INFINITY, 0);
        for base in (0..inner.len()).step_by(SPAN) {
            scan::ranks(inner, base, metric, from, ranks);
            let least = scan::least(ranks);
            if least < best.0 {
                let lane = ranks.iter().position(|&rank| rank == least);
                best = (least, base + lane.unwrap_or(0));
            }
        }
        node = &inner.values()[best.1];
    }
}

/// The best rows so far, and some worse ones that are sorted out now and then.
struct Best<'a, T, S: Scalar> {
    /// In place for a usual answer, and what one scan adds to it.
    rows: SmallVec<[Ranked<S, Row<'a, T, S>>; 2 * SPAN]>,
    count: usize,
    /// The worst of the best, once there are `count` of them; infinite before.
    limit: S,
}

impl<'a, T, S: Scalar> Best<'a, T, S> {
    #[inline]
    fn accepts(&self, rank: S) -> bool {
        rank < self.limit || self.rows.len() < self.count
    }

    /// As `accepts`, for the ranks of the rows from `base` on.
    #[inline]
    fn accepted<V>(&self, rows: &Rows<S, V>, base: usize, ranks: &Distances<S>) -> u64 {
        if self.rows.len() < self.count {
            scan::all(rows, base)
        } else {
            scan::below(ranks, self.limit)
        }
    }

    fn look_at<const D: usize, M: Metric<D, S>>(
        &mut self,
        leaf: &'a Leaf<T, S>,
        metric: &M,
        from: &M::Origin,
        ranks: &mut Distances<S>,
    ) {
        for base in (0..leaf.len()).step_by(SPAN) {
            scan::ranks(leaf, base, metric, from, ranks);
            each_bit(self.accepted(leaf, base, ranks), |lane| {
                let what = Row { leaf, row: base + lane };
                self.rows.push(Ranked { rank: ranks[lane], what });
            });
            self.sort_out();
        }
    }

    /// Keeps the best `count` rows only.
    fn sort_out(&mut self) {
        if self.rows.len() >= self.count {
            let (_, worst, _) = self.rows.select_nth_unstable(self.count - 1);
            self.limit = worst.rank;
            self.rows.truncate(self.count);
        }
    }
}
