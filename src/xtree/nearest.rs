//! Nearest neighbours, by branch and bound over a queue of what is nearest.
//!
//! Hjaltason, Samet: "Distance Browsing in Spatial Databases", ACM TODS 24(2), 1999: nodes are
//! visited in the order of their distance, so that no node is read that is farther than the answer.
//! Distances are squared Euclidean ones, and those to boxes are to their nearest point.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ptr;

use super::node::{self, Leaf, Node, rect_of};
use super::rect::Rect;
use super::scalar::Scalar;
use super::scan::{self, Distances, SPAN};
use crate::{Branch, Rows};

/// An entry, and how far it is from the point in question.
#[derive(Debug)]
pub struct Neighbour<'a, const D: usize, T, S: Scalar = f64> {
    /// The entry's box.
    pub rect: Rect<D, S>,
    /// The entry's value.
    pub value: &'a T,
    /// The square of the Euclidean distance between point and box, in the square of the
    /// coordinates' unit.
    pub distance_squared: S,
}

impl<const D: usize, T, S: Scalar> Neighbour<'_, D, T, S> {
    /// The Euclidean distance between point and box, in the coordinates' unit.
    #[must_use]
    pub fn distance(&self) -> S {
        self.distance_squared.sqrt()
    }
}

impl<const D: usize, T, S: Scalar> Copy for Neighbour<'_, D, T, S> {}

impl<const D: usize, T, S: Scalar> Clone for Neighbour<'_, D, T, S> {
    fn clone(&self) -> Self {
        *self
    }
}

/// The `count` entries nearest to `point`, nearest first; none if the point holds NaN.
pub(super) fn nearest<'a, const D: usize, T, S: Scalar>(
    root: &'a Node<T, S>,
    point: &[S; D],
    count: usize,
) -> Vec<Neighbour<'a, D, T, S>> {
    if count == 0 || point.iter().any(|at| at.is_nan()) {
        return Vec::new();
    }
    let mut best = Best::of(count);
    let mut distances = [S::INFINITY; SPAN];
    // The likeliest leaf first: with its bound, hardly anything else has to be queued.
    let first = likeliest_leaf(root, point, &mut distances);
    best.look_at(first, point, &mut distances);
    let mut queue = BinaryHeap::new();
    let mut next = Some(Ranked { distance: S::ZERO, what: root });
    while let Some(Ranked { distance, what }) = next
        && best.accepts(distance)
    {
        match what {
            Branch::Leaf(leaf) if ptr::eq(leaf, first) => {}
            Branch::Leaf(leaf) => best.look_at(leaf, point, &mut distances),
            Branch::Inner(inner) => {
                for base in (0..inner.len()).step_by(SPAN) {
                    scan::distances(inner, base, point, &mut distances);
                    each_bit(best.accepted(inner, base, &distances), |lane| {
                        let what = &inner.values()[base + lane];
                        node::prefetch(what);
                        queue.push(Ranked { distance: distances[lane], what });
                    });
                }
            }
        }
        next = queue.pop();
    }
    best.into_neighbours()
}

/// Goes down to the nearest child each time; a leaf where the nearest entries probably are.
fn likeliest_leaf<'a, const D: usize, T, S: Scalar>(
    root: &'a Node<T, S>,
    point: &[S; D],
    distances: &mut Distances<S>,
) -> &'a Leaf<T, S> {
    let mut node = root;
    loop {
        let inner = match node {
            Branch::Leaf(leaf) => return leaf,
            Branch::Inner(inner) => inner,
        };
        let mut best = (S::INFINITY, 0);
        for base in (0..inner.len()).step_by(SPAN) {
            scan::distances(inner, base, point, distances);
            let least = scan::least(distances);
            if least < best.0 {
                let lane = distances.iter().position(|&distance| distance == least);
                best = (least, base + lane.unwrap_or(0));
            }
        }
        node = &inner.values()[best.1];
    }
}

/// Calls `each` with the number of every bit that is set.
#[inline]
pub(super) fn each_bit(mut mask: u64, mut each: impl FnMut(usize)) {
    while mask != 0 {
        each(mask.trailing_zeros() as usize);
        mask &= mask - 1;
    }
}

/// The best rows so far, and some worse ones that are sorted out now and then.
struct Best<'a, T, S: Scalar> {
    rows: Vec<Row<'a, T, S>>,
    count: usize,
    /// The worst of the best, once there are `count` of them; infinite before.
    limit: S,
}

impl<'a, T, S: Scalar> Best<'a, T, S> {
    fn of(count: usize) -> Self {
        // Room for what one scan adds to a usual answer.
        Self { rows: Vec::with_capacity(2 * SPAN), count, limit: S::INFINITY }
    }

    #[inline]
    fn accepts(&self, distance: S) -> bool {
        distance < self.limit || self.rows.len() < self.count
    }

    /// As `accepts`, for the distances of the rows from `base` on.
    #[inline]
    fn accepted<V>(&self, rows: &Rows<S, V>, base: usize, distances: &Distances<S>) -> u64 {
        if self.rows.len() < self.count {
            scan::all(rows, base)
        } else {
            scan::below(distances, self.limit)
        }
    }

    fn look_at<const D: usize>(
        &mut self,
        leaf: &'a Leaf<T, S>,
        point: &[S; D],
        distances: &mut Distances<S>,
    ) {
        for base in (0..leaf.len()).step_by(SPAN) {
            scan::distances(leaf, base, point, distances);
            each_bit(self.accepted(leaf, base, distances), |lane| {
                self.rows.push(Row { distance: distances[lane], leaf, row: base + lane });
            });
            self.sort_out();
        }
    }

    /// Keeps the best `count` rows only.
    fn sort_out(&mut self) {
        if self.rows.len() >= self.count {
            let (_, worst, _) = self.rows.select_nth_unstable(self.count - 1);
            self.limit = worst.distance;
            self.rows.truncate(self.count);
        }
    }

    fn into_neighbours<const D: usize>(mut self) -> Vec<Neighbour<'a, D, T, S>> {
        self.rows.sort_unstable();
        self.rows.into_iter().map(|row| row.neighbour()).collect()
    }
}

/// A row of a leaf, ordered by distance.
pub(super) struct Row<'a, T, S: Scalar> {
    pub(super) distance: S,
    pub(super) leaf: &'a Leaf<T, S>,
    pub(super) row: usize,
}

impl<'a, T, S: Scalar> Row<'a, T, S> {
    pub(super) fn neighbour<const D: usize>(self) -> Neighbour<'a, D, T, S> {
        Neighbour {
            rect: rect_of(self.leaf, self.row),
            value: &self.leaf.values()[self.row],
            distance_squared: self.distance,
        }
    }
}

impl<T, S: Scalar> Ord for Row<'_, T, S> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.distance.total_cmp(&other.distance)
    }
}

impl<T, S: Scalar> PartialOrd for Row<'_, T, S> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T, S: Scalar> PartialEq for Row<'_, T, S> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T, S: Scalar> Eq for Row<'_, T, S> {}

/// Something at a distance; the nearer is the greater, as a `BinaryHeap` gives the greatest first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranked<S, W> {
    pub(super) distance: S,
    pub(super) what: W,
}

impl<S: Scalar, W> Ord for Ranked<S, W> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.distance.total_cmp(&self.distance)
    }
}

impl<S: Scalar, W> PartialOrd for Ranked<S, W> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<S: Scalar, W> PartialEq for Ranked<S, W> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<S: Scalar, W> Eq for Ranked<S, W> {}
