//! Nearest neighbours one after the other: incremental nearest neighbour search.
//!
//! Hjaltason, Samet: "Distance Browsing in Spatial Databases", ACM TODS 24(2), 1999. Nodes and
//! entries lie in one queue; an entry that comes to its front is nearer than all that is still
//! hidden in nodes.

use std::collections::BinaryHeap;
use std::fmt;

use super::nearest::{Neighbour, Ranked, Row, each_bit};
use super::node::{Inner, Leaf, Node};
use super::scalar::Scalar;
use super::scan::{self, SPAN};
use crate::{Branch, Rows};

/// All entries, nearest first, found as they are asked for. From
/// [`XTree::nearest_first`](super::XTree::nearest_first).
pub struct NearestFirst<'a, const D: usize, T, S: Scalar = f64> {
    point: [S; D],
    queue: BinaryHeap<Ranked<S, Place<'a, T, S>>>,
}

/// A node still to be opened, or an entry.
enum Place<'a, T, S: Scalar> {
    Inner(&'a Inner<T, S>),
    Leaf(&'a Leaf<T, S>),
    Entry(&'a Leaf<T, S>, usize),
}

impl<'a, T, S: Scalar> Place<'a, T, S> {
    fn of(node: &'a Node<T, S>) -> Self {
        match node {
            Branch::Leaf(leaf) => Self::Leaf(leaf),
            Branch::Inner(inner) => Self::Inner(inner),
        }
    }
}

impl<'a, const D: usize, T, S: Scalar> NearestFirst<'a, D, T, S> {
    pub(super) fn new(root: Option<&'a Node<T, S>>, point: [S; D]) -> Self {
        let mut queue = BinaryHeap::new();
        if let Some(root) = root
            && !point.iter().any(|at| at.is_nan())
        {
            queue.push(Ranked { distance: S::ZERO, what: Place::of(root) });
        }
        Self { point, queue }
    }
}

impl<'a, const D: usize, T, S: Scalar> Iterator for NearestFirst<'a, D, T, S> {
    type Item = Neighbour<'a, D, T, S>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Self { point, queue } = self;
            let Ranked { distance, what } = queue.pop()?;
            match what {
                Place::Entry(leaf, row) => return Some(Row { distance, leaf, row }.neighbour()),
                Place::Leaf(leaf) => each_distance(leaf, point, |row, distance| {
                    queue.push(Ranked { distance, what: Place::Entry(leaf, row) });
                }),
                Place::Inner(inner) => each_distance(inner, point, |row, distance| {
                    queue.push(Ranked { distance, what: Place::of(&inner.values()[row]) });
                }),
            }
        }
    }
}

impl<const D: usize, T, S: Scalar> std::iter::FusedIterator for NearestFirst<'_, D, T, S> {}

impl<const D: usize, T, S: Scalar> fmt::Debug for NearestFirst<'_, D, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NearestFirst")
            .field("point", &self.point)
            .field("queued", &self.queue.len())
            .finish()
    }
}

#[inline]
fn each_distance<const D: usize, S: Scalar, V>(
    rows: &Rows<S, V>,
    point: &[S; D],
    mut each: impl FnMut(usize, S),
) {
    let mut distances = [S::INFINITY; SPAN];
    for base in (0..rows.len()).step_by(SPAN) {
        scan::distances(rows, base, point, &mut distances);
        each_bit(scan::all(rows, base), |lane| each(base + lane, distances[lane]));
    }
}
