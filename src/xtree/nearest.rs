//! Nearest neighbours, by branch and bound over a queue of what is nearest.
//!
//! Hjaltason, Samet: "Distance Browsing in Spatial Databases", ACM TODS 24(2), 1999: nodes are
//! visited in the order of their distance, so that no node is read that is farther than the answer.

use std::ptr;

use smallvec::SmallVec;

use super::metric::Metric;
use super::node::{self, Inner, Leaf, Node, rect_of};
use super::queue::{Queue, Ranked};
use super::rect::Rect;
use super::scalar::Scalar;
use super::scan::{self, Ranks, SPAN, each_bit};
use crate::Branch;

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
    each: impl FnMut(Neighbour<'a, D, T, S>),
) {
    if count == 0 {
        return;
    }
    let mut best = Best { rows: SmallVec::new(), count, limit: S::INFINITY };
    let mut ranks = [S::INFINITY; SPAN];
    // The likeliest leaves first: with their bound, hardly anything else has to be queued.
    let first = match likeliest_parent(root, metric, from, &mut ranks) {
        Ok(parent) => parent,
        Err(leaf) => {
            best.look_at(leaf, metric, from, &mut ranks);
            return best.hand_over(metric, each);
        }
    };
    best.look_below(first, metric, from, &mut ranks);
    let mut queue = Queue::new();
    let mut next = Some(Ranked { rank: S::ZERO, what: root });
    while let Some(Ranked { rank, what }) = next
        && best.accepts(rank)
    {
        match what {
            Branch::Inner(inner) if ptr::eq(inner, first) => {}
            Branch::Leaf(leaf) => best.look_at(leaf, metric, from, &mut ranks),
            Branch::Inner(inner) => {
                inner.note_use();
                for base in (0..inner.len()).step_by(SPAN) {
                    scan::bounds(inner, base, metric, from, &mut ranks);
                    let near = scan::all(inner, base) & scan::up_to(&ranks, best.limit);
                    each_bit(near, |lane| {
                        let child = &inner.values()[base + lane];
                        // Without a limit these are all children, and most are never looked at.
                        if best.limit < S::INFINITY {
                            node::prefetch(child);
                        }
                        queue.push(ranks[lane], child);
                    });
                }
            }
        }
        next = queue.pop();
    }
    best.hand_over(metric, each);
}

/// Goes down to the nearest child each time: the node above leaves where the nearest entries
/// probably are; the leaf, if there is but one.
fn likeliest_parent<'a, const D: usize, T, S: Scalar, M: Metric<D, S>>(
    root: &'a Node<T, S>,
    metric: &M,
    from: &M::Origin,
    ranks: &mut Ranks<S>,
) -> Result<&'a Inner<T, S>, &'a Leaf<T, S>> {
    let mut inner = match root {
        Branch::Leaf(leaf) => return Err(leaf),
        Branch::Inner(inner) => inner,
    };
    while let Some(Branch::Inner(_)) = inner.values().first() {
        let mut best = (S::INFINITY, 0);
        for base in (0..inner.len()).step_by(SPAN) {
            scan::ranks(inner, base, metric, from, ranks);
            let least = scan::least(ranks);
            if least < best.0 {
                best = (least, base + scan::up_to(ranks, least).trailing_zeros() as usize);
            }
        }
        match &inner.values()[best.1] {
            Branch::Inner(below) => inner = below,
            Branch::Leaf(_) => break,
        }
    }
    Ok(inner)
}

/// Some children of a node, of which the nearest are taken in turn.
struct Span<S> {
    base: usize,
    /// The least rank of those left.
    least: S,
    /// A bit for each child that is left.
    left: u64,
    ranks: Ranks<S>,
}

impl<S: Scalar> Span<S> {
    /// The nearest child.
    fn take(&mut self) -> usize {
        let nearest = match self.left & scan::up_to(&self.ranks, self.least) {
            // Ranks that are not numbers: a metric against its contract.
            0 => self.left,
            nearest => nearest,
        };
        let lane = nearest.trailing_zeros() as usize;
        self.left &= !(1 << lane);
        self.ranks[lane] = S::NAN;
        self.least = scan::least(&self.ranks);
        self.base + lane
    }
}

/// The best rows so far, and some worse ones that are sorted out with each leaf.
struct Best<'a, T, S: Scalar> {
    /// In place for answers of up to `SPAN` rows, and what is added before they are sorted out.
    rows: SmallVec<[Ranked<S, Row<'a, T, S>>; 3 * SPAN]>,
    count: usize,
    /// Infinite, until there are `count` rows; then nothing above it is among the best.
    limit: S,
}

impl<'a, T, S: Scalar> Best<'a, T, S> {
    #[inline]
    fn accepts(&self, rank: S) -> bool {
        rank < self.limit || self.rows.len() < self.count
    }

    /// Looks at the leaves below `parent`, the nearest first, as long as they are near enough.
    fn look_below<const D: usize, M: Metric<D, S>>(
        &mut self,
        parent: &'a Inner<T, S>,
        metric: &M,
        from: &M::Origin,
        ranks: &mut Ranks<S>,
    ) {
        parent.note_use();
        let mut spans = SmallVec::<[Span<S>; 3]>::new();
        for base in (0..parent.len()).step_by(SPAN) {
            scan::bounds(parent, base, metric, from, ranks);
            let (least, left) = (scan::least(ranks), scan::all(parent, base));
            spans.push(Span { base, least, left, ranks: *ranks });
        }
        let by_least = |a: &&mut Span<S>, b: &&mut Span<S>| a.least.total_cmp(&b.least);
        while let Some(span) = spans.iter_mut().filter(|span| span.left != 0).min_by(by_least)
            && self.accepts(span.least)
        {
            if let Branch::Leaf(leaf) = &parent.values()[span.take()] {
                self.look_at(leaf, metric, from, ranks);
            }
        }
    }

    fn look_at<const D: usize, M: Metric<D, S>>(
        &mut self,
        leaf: &'a Leaf<T, S>,
        metric: &M,
        from: &M::Origin,
        ranks: &mut Ranks<S>,
    ) {
        leaf.note_use();
        for base in (0..leaf.len()).step_by(SPAN) {
            scan::ranks(leaf, base, metric, from, ranks);
            let all = scan::all(leaf, base);
            if self.rows.is_empty() {
                self.limit = limit_for(self.count, ranks, all);
            }
            each_bit(all & scan::up_to(ranks, self.limit), |lane| {
                self.rows.push(Ranked { rank: ranks[lane], what: Row { leaf, row: base + lane } });
            });
            if self.rows.len() > self.count + SPAN {
                self.sort_out();
            }
        }
        // Of many rows not each time: a bound that is a little too high costs less.
        if self.limit == S::INFINITY || self.rows.len() > self.count + self.count / 4 {
            self.sort_out();
        }
    }

    /// Calls `each` with the best rows, the nearest first.
    fn hand_over<const D: usize, M: Metric<D, S>>(
        mut self,
        metric: &M,
        mut each: impl FnMut(Neighbour<'a, D, T, S>),
    ) {
        self.sort_out();
        self.rows.sort_unstable();
        for &Ranked { rank, what } in &self.rows {
            each(what.at(metric.distance(rank)));
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

/// A rank that `count` or more of the ranks are at most, and hardly more than twice as many: the
/// first rows would all be among the best of those before them. Infinite if there are too few.
fn limit_for<S: Scalar>(count: usize, ranks: &Ranks<S>, all: u64) -> S {
    let rows = all.count_ones() as usize;
    let enough = 2 * count + 8;
    if rows <= enough {
        return S::INFINITY;
    }
    let half = S::from_f64(0.5);
    let (mut low, mut high) = (scan::least(&ranks[..rows]), scan::greatest(&ranks[..rows]));
    for _ in 0..HALVINGS {
        let middle = low + (high - low) * half;
        let found = (all & scan::up_to(ranks, middle)).count_ones() as usize;
        if found < count {
            low = middle;
            continue;
        }
        high = middle;
        if found <= enough {
            break;
        }
    }
    high
}

/// In two dimensions ranks are spread evenly, and three halvings of 64 rows leave eight.
const HALVINGS: usize = 12;
