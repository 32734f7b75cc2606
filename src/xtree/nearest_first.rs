//! Nearest neighbours one after the other: incremental nearest neighbour search.
//!
//! Hjaltason, Samet: "Distance Browsing in Spatial Databases", ACM TODS 24(2), 1999. Nodes and
//! entries lie in one queue; an entry that comes to its front is nearer than all that is still
//! hidden in nodes.

use std::fmt;

use super::metric::{Euclidean, Metric};
use super::nearest::{Neighbour, Row};
use super::node::{Inner, Leaf, Node};
use super::queue::{Queue, Ranked};
use super::scalar::Scalar;
use super::scan::{self, Ranks, SPAN, each_bit};
use crate::Branch;

/// All entries, nearest first, found as they are asked for. From
/// [`XTree::nearest_first`](super::XTree::nearest_first).
pub struct NearestFirst<'a, const D: usize, T, S: Scalar = f64, M: Metric<D, S> = Euclidean> {
    metric: M,
    from: M::Origin,
    queue: Queue<S, Place<'a, T, S>>,
}

/// A node still to be opened, or an entry.
enum Place<'a, T, S: Scalar> {
    Inner(&'a Inner<T, S>),
    Leaf(&'a Leaf<T, S>),
    Entry(Row<'a, T, S>),
}

impl<T, S: Scalar> Copy for Place<'_, T, S> {}

impl<T, S: Scalar> Clone for Place<'_, T, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<'a, T, S: Scalar> Place<'a, T, S> {
    fn of(node: &'a Node<T, S>) -> Self {
        match node {
            Branch::Leaf(leaf) => Self::Leaf(leaf),
            Branch::Inner(inner) => Self::Inner(inner),
        }
    }
}

impl<'a, const D: usize, T, S: Scalar, M: Metric<D, S>> NearestFirst<'a, D, T, S, M> {
    pub(super) fn new(root: Option<&'a Node<T, S>>, metric: M, point: [S; D]) -> Self {
        let mut queue = Queue::new();
        if let Some(root) = root
            && !point.iter().any(|at| at.is_nan())
        {
            queue.push(S::ZERO, Place::of(root));
        }
        let from = metric.prepare(point);
        Self { metric, from, queue }
    }
}

impl<'a, const D: usize, T, S, M> Iterator for NearestFirst<'a, D, T, S, M>
where
    S: Scalar,
    M: Metric<D, S>,
{
    type Item = Neighbour<'a, D, T, S>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { metric, from, queue } = self;
        let mut ranks: Ranks<S> = [S::INFINITY; _];
        loop {
            let Ranked { rank, what } = queue.pop()?;
            match what {
                Place::Entry(entry) => return Some(entry.at(metric.distance(rank))),
                Place::Leaf(leaf) => {
                    leaf.note_use();
                    for base in (0..leaf.len()).step_by(SPAN) {
                        scan::ranks(leaf, base, metric, from, &mut ranks);
                        each_bit(scan::all(leaf, base), |lane| {
                            let entry = Row { leaf, row: base + lane };
                            queue.push(ranks[lane], Place::Entry(entry));
                        });
                    }
                }
                Place::Inner(inner) => {
                    inner.note_use();
                    for base in (0..inner.len()).step_by(SPAN) {
                        scan::bounds(inner, base, metric, from, &mut ranks);
                        each_bit(scan::all(inner, base), |lane| {
                            queue.push(ranks[lane], Place::of(&inner.values()[base + lane]));
                        });
                    }
                }
            }
        }
    }
}

impl<const D: usize, T, S, M> std::iter::FusedIterator for NearestFirst<'_, D, T, S, M>
where
    S: Scalar,
    M: Metric<D, S>,
{
}

impl<const D: usize, T, S, M> Clone for NearestFirst<'_, D, T, S, M>
where
    S: Scalar,
    M: Metric<D, S> + Clone,
{
    fn clone(&self) -> Self {
        Self { metric: self.metric.clone(), from: self.from.clone(), queue: self.queue.clone() }
    }
}

impl<const D: usize, T, S, M> fmt::Debug for NearestFirst<'_, D, T, S, M>
where
    S: Scalar,
    M: Metric<D, S>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NearestFirst").field("queued", &self.queue.len()).finish_non_exhaustive()
    }
}
