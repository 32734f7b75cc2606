//! Joins: the pairs of entries of two trees that meet, or are near each other.
//!
//! Brinkhoff, Kriegel, Seeger: "Efficient Processing of Spatial Joins Using R-Trees", SIGMOD 1993:
//! both trees are walked at once, and only below pairs of nodes that meet. Which rows of the one
//! node meet a row of the other is one scan; the walk does not recurse, and allocates nothing.

use std::fmt;

use smallvec::SmallVec;

use super::metric::greatest_square;
use super::node::{Inner, Node, bounds, bounds_of_rows, rect_of};
use super::rect::Rect;
use super::scalar::Scalar;
use super::scan::{self, Found, SPAN};
use crate::{Branch, Rows};

/// Pairs of entries, one of either tree, that meet or are near each other, in no particular order.
/// From [`XTree::join`](super::XTree::join) and [`XTree::join_within`](super::XTree::join_within).
pub struct Join<'a, const D: usize, T, U, S: Scalar = f64> {
    /// How far apart the boxes of a pair may be; `None`: they have to meet.
    within: Option<Within<S>>,
    steps: SmallVec<[Step<'a, D, T, U, S>; 8]>,
}

/// A distance.
#[derive(Clone, Copy)]
struct Within<S> {
    /// By how much a box is made larger to meet all that is within the distance of it, or more.
    reach: S,
    /// The greatest square of a distance that is not above it.
    square: S,
}

impl<S: Scalar> Within<S> {
    fn of(distance: S) -> Self {
        // Four units in the last place: as much as rounding takes from one that is just near
        // enough.
        let more = S::EPSILON + S::EPSILON + S::EPSILON + S::EPSILON;
        Self { reach: distance + distance * more, square: greatest_square(distance) }
    }
}

/// A pair of nodes, and how far it has been walked through.
enum Step<'a, const D: usize, T, U, S: Scalar> {
    /// Rows of the left one in turn, with those that they meet of the right one.
    Inner(Pair<'a, D, S, Node<T, S>, Node<U, S>>),
    /// The left one is a leaf: it goes with each child on the right.
    LeftLeaf(&'a Node<T, S>, &'a Inner<U, S>, Found, Rect<D, S>),
    RightLeaf(&'a Inner<T, S>, &'a Node<U, S>, Found, Rect<D, S>),
    Leaves(Pair<'a, D, S, T, U>),
}

/// Two blocks: row `row` of the left one, and what it meets of the right one.
struct Pair<'a, const D: usize, S: Scalar, V, W> {
    left: &'a Rows<S, V>,
    right: &'a Rows<S, W>,
    row: usize,
    rect: Rect<D, S>,
    found: Found,
    /// Around all rows of the right one.
    around: Rect<D, S>,
}

impl<'a, const D: usize, T, U, S: Scalar> Join<'a, D, T, U, S> {
    pub(super) fn new(
        left: Option<&'a Node<T, S>>,
        right: Option<&'a Node<U, S>>,
        within: Option<S>,
    ) -> Self {
        let mut join = Self { within: within.map(Within::of), steps: SmallVec::new() };
        if let (Some(left), Some(right)) = (left, right) {
            join.enter(left, right);
        }
        join
    }

    fn enter(&mut self, left: &'a Node<T, S>, right: &'a Node<U, S>) {
        let within = self.within;
        let step = match (left, right) {
            (Branch::Inner(a), Branch::Inner(b)) => Step::Inner(Pair::new(a, b, within)),
            (Branch::Leaf(a), Branch::Leaf(b)) => Step::Leaves(Pair::new(a, b, within)),
            (Branch::Leaf(_), Branch::Inner(b)) => {
                let rect = grown(&bounds(left), within);
                let mask = scan::meeting(b, 0, &rect);
                Step::LeftLeaf(left, b, Found { base: 0, mask }, rect)
            }
            (Branch::Inner(a), Branch::Leaf(_)) => {
                let rect = grown(&bounds(right), within);
                let mask = scan::meeting(a, 0, &rect);
                Step::RightLeaf(a, right, Found { base: 0, mask }, rect)
            }
        };
        self.steps.push(step);
    }
}

impl<'a, const D: usize, S: Scalar, V, W> Pair<'a, D, S, V, W> {
    fn new(left: &'a Rows<S, V>, right: &'a Rows<S, W>, within: Option<Within<S>>) -> Self {
        let around = grown(&bounds_of_rows(right), within);
        let found = Found { base: 0, mask: 0 };
        let mut pair = Self { left, right, row: 0, rect: Rect::EMPTY, found, around };
        pair.seek(0, within);
        pair
    }

    /// Goes to the first row from `row` on that can meet anything on the right.
    fn seek(&mut self, row: usize, within: Option<Within<S>>) {
        self.row = row;
        while self.row < self.left.len() {
            let rect: Rect<D, S> = rect_of(self.left, self.row);
            if rect.intersects(&self.around) {
                self.rect = grown(&rect, within);
                let mask = scan::meeting(self.right, 0, &self.rect);
                self.found = Found { base: 0, mask };
                return;
            }
            self.row += 1;
        }
    }

    /// The next two rows that meet.
    fn next(&mut self, within: Option<Within<S>>) -> Option<(usize, usize)> {
        while self.row < self.left.len() {
            if let Some(other) = self.found.next() {
                return Some((self.row, other));
            }
            self.found.base += SPAN;
            if self.found.base < self.right.len() {
                self.found.mask = scan::meeting(self.right, self.found.base, &self.rect);
            } else {
                self.seek(self.row + 1, within);
            }
        }
        None
    }
}

/// The next row of a block that meets `rect`.
fn next_row<const D: usize, S: Scalar, V>(
    rows: &Rows<S, V>,
    found: &mut Found,
    rect: &Rect<D, S>,
) -> Option<usize> {
    while found.mask == 0 {
        found.base += SPAN;
        if found.base >= rows.len() {
            return None;
        }
        found.mask = scan::meeting(rows, found.base, rect);
    }
    found.next()
}

/// The box that meets what is within the distance of `rect`, and some more at its corners.
fn grown<const D: usize, S: Scalar>(rect: &Rect<D, S>, within: Option<Within<S>>) -> Rect<D, S> {
    let Some(Within { reach, .. }) = within else { return *rect };
    if reach == S::INFINITY {
        // Infinity less infinity would be no number.
        return Rect::from_corners([S::NEG_INFINITY; D], [S::INFINITY; D]);
    }
    let min = rect.min().map(|at| (at - reach).next_down());
    Rect::from_corners(min, rect.max().map(|at| (at + reach).next_up()))
}

/// The square of the distance between the nearest places of two boxes.
fn apart_squared<const D: usize, S: Scalar>(a: &Rect<D, S>, b: &Rect<D, S>) -> S {
    (0..D).fold(S::ZERO, |sum, axis| {
        let after = a.min()[axis] - b.max()[axis];
        let before = b.min()[axis] - a.max()[axis];
        let apart = after.greatest(before.greatest(S::ZERO));
        sum + apart * apart
    })
}

/// An entry of either tree.
type Pairing<'a, const D: usize, T, U, S> = ((Rect<D, S>, &'a T), (Rect<D, S>, &'a U));

impl<'a, const D: usize, T, U, S: Scalar> Iterator for Join<'a, D, T, U, S> {
    type Item = Pairing<'a, D, T, U, S>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let within = self.within;
            let below = match self.steps.last_mut()? {
                Step::Leaves(pair) => match pair.next(within) {
                    Some((a, b)) => {
                        let (left, right) = (pair.left, pair.right);
                        let (at, to) = (rect_of(left, a), rect_of(right, b));
                        let near = |within: Within<S>| apart_squared(&at, &to) <= within.square;
                        if within.is_none_or(near) {
                            return Some(((at, &left.values()[a]), (to, &right.values()[b])));
                        }
                        continue;
                    }
                    None => None,
                },
                Step::Inner(pair) => {
                    let (left, right) = (pair.left, pair.right);
                    pair.next(within).map(|(a, b)| (&left.values()[a], &right.values()[b]))
                }
                Step::LeftLeaf(leaf, inner, found, rect) => {
                    let (leaf, inner) = (*leaf, *inner);
                    next_row(inner, found, rect).map(|row| (leaf, &inner.values()[row]))
                }
                Step::RightLeaf(inner, leaf, found, rect) => {
                    let (leaf, inner) = (*leaf, *inner);
                    next_row(inner, found, rect).map(|row| (&inner.values()[row], leaf))
                }
            };
            match below {
                Some((left, right)) => self.enter(left, right),
                None => {
                    self.steps.pop();
                }
            }
        }
    }
}

impl<const D: usize, T, U, S: Scalar> std::iter::FusedIterator for Join<'_, D, T, U, S> {}

impl<const D: usize, T, U, S: Scalar> fmt::Debug for Join<'_, D, T, U, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join").field("depth", &self.steps.len()).finish_non_exhaustive()
    }
}
