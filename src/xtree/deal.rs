//! How bulk loading deals entries out to nodes: see [`bulk`](super::bulk).
//!
//! Entries are first arranged in place, so that those of a node lie together, and then moved into
//! nodes in that order. Both follow the same cuts: `n` entries for `k` children are cut where the
//! first `k / 2` children end. The axis of each cut is noted at the entry behind it, for the split
//! history.

use std::panic::resume_unwind;
use std::thread;
use std::vec;

use super::node::{self, Node, bounds, push};
use super::rect::Rect;
use super::scalar::Scalar;
use super::tuning::{Limits, Sizes};
use crate::{Branch, Rows};

/// Where an entry is: a point or a box.
pub(super) trait Place<const D: usize, S: Scalar>: Copy + Send + Sync {
    /// Whether all places of this kind are points.
    const POINTS: bool;

    /// Twice the centre's coordinate along `axis`, or anything that orders as that does.
    fn key(&self, axis: usize) -> S;
    fn rect(&self) -> Rect<D, S>;
}

impl<const D: usize, S: Scalar> Place<D, S> for [S; D] {
    const POINTS: bool = true;

    #[inline]
    fn key(&self, axis: usize) -> S {
        self[axis]
    }

    #[inline]
    fn rect(&self) -> Rect<D, S> {
        Rect::from(*self)
    }
}

impl<const D: usize, S: Scalar> Place<D, S> for Rect<D, S> {
    const POINTS: bool = false;

    #[inline]
    fn key(&self, axis: usize) -> S {
        self.min()[axis] + self.max()[axis]
    }

    #[inline]
    fn rect(&self) -> Rect<D, S> {
        *self
    }
}

/// Entries that are looked at to find the axis of a cut.
const SAMPLE: usize = 64;

/// What a tree of so many entries will be like.
pub(super) struct Dealer {
    /// How many entries fit below a node of each level; the last one, all of them.
    rooms: Vec<usize>,
    leaf: Limits,
    inner: Limits,
}

impl Dealer {
    /// For `len` entries in nodes that are filled to `fill` percent.
    pub(super) fn new<const D: usize, S: Scalar, P: Place<D, S>>(
        sizes: &Sizes,
        fill: u8,
        len: usize,
    ) -> Self {
        let leaf = if P::POINTS { sizes.points } else { sizes.boxes };
        // Halves of what is one too many are still filled to the least.
        let filled = |limits: Limits| (limits.most * usize::from(fill) / 100).max(2 * limits.least);
        let mut rooms = vec![filled(leaf)];
        while let Some(&room) = rooms.last()
            && room < len
        {
            rooms.push(room.saturating_mul(filled(sizes.inner)));
        }
        Self { rooms, leaf, inner: sizes.inner }
    }

    /// The tree's height; also the level of what would be above its root.
    pub(super) fn height(&self) -> usize {
        self.rooms.len()
    }

    /// Children of a node at `level`.
    fn children(&self, level: usize, entries: usize) -> usize {
        entries.div_ceil(self.rooms[level - 1])
    }

    /// Orders entries so that those of each node lie together: of `count` nodes below `level`.
    pub(super) fn arrange<const D: usize, T, S: Scalar, P: Place<D, S>>(
        &self,
        entries: &mut [(P, T)],
        axes: &mut [u8],
        count: usize,
        level: usize,
    ) {
        if count > 1 {
            let cut = cut(entries, axes, count);
            let (low, high) = entries.split_at_mut(cut);
            let (low_axes, high_axes) = axes.split_at_mut(cut);
            self.arrange(low, low_axes, count / 2, level);
            self.arrange(high, high_axes, count - count / 2, level);
        } else if level > 1 {
            let children = self.children(level - 1, entries.len());
            self.arrange(entries, axes, children, level - 1);
        }
    }

    /// As [`arrange`](Self::arrange), on several threads, as far as the system gives them.
    pub(super) fn arrange_on<const D: usize, T: Send, S: Scalar, P: Place<D, S>>(
        &self,
        threads: usize,
        entries: &mut [(P, T)],
        axes: &mut [u8],
        count: usize,
        level: usize,
    ) {
        if threads < 2 {
            self.arrange(entries, axes, count, level);
        } else if count > 1 {
            let cut = cut(entries, axes, count);
            let (low, high) = entries.split_at_mut(cut);
            let (low_axes, high_axes) = axes.split_at_mut(cut);
            let (here, there) = (threads - threads / 2, threads / 2);
            let is_there = thread::scope(|scope| {
                let other = thread::Builder::new().spawn_scoped(scope, || {
                    self.arrange_on(there, high, high_axes, count - count / 2, level);
                });
                self.arrange_on(here, low, low_axes, count / 2, level);
                other.is_ok()
            });
            if !is_there {
                self.arrange(high, high_axes, count - count / 2, level);
            }
        } else if level > 1 {
            let children = self.children(level - 1, entries.len());
            self.arrange_on(threads, entries, axes, children, level - 1);
        }
    }

    /// Moves arranged entries into `count` nodes below `level`; `history` are the axes along which
    /// they were cut off from others.
    pub(super) fn assemble<const D: usize, T, S: Scalar, P: Place<D, S>>(
        &self,
        entries: &mut vec::IntoIter<(P, T)>,
        axes: &[u8],
        (count, level): (usize, usize),
        history: u64,
        into: &mut Vec<Node<T, S>>,
    ) {
        if count > 1 {
            let cut = share(axes.len(), count);
            let (low, high) = axes.split_at(cut);
            let history = history | 1 << high[0];
            self.assemble(entries, low, (count / 2, level), history, into);
            self.assemble(entries, high, (count - count / 2, level), history, into);
        } else if level > 1 {
            let children = self.children(level - 1, axes.len());
            let mut below = Vec::with_capacity(children);
            self.assemble(entries, axes, (children, level - 1), 0, &mut below);
            into.push(self.inner::<D, T, S>(below, history));
        } else {
            into.push(self.leaf(entries.take(axes.len()), history));
        }
    }

    /// As [`assemble`](Self::assemble), on several threads, as far as the system gives them.
    pub(super) fn assemble_on<const D: usize, T: Send, S: Scalar, P: Place<D, S>>(
        &self,
        threads: usize,
        mut entries: Vec<(P, T)>,
        axes: &[u8],
        (count, level): (usize, usize),
        history: u64,
    ) -> Vec<Node<T, S>> {
        if threads > 1 && count > 1 {
            let cut = share(axes.len(), count);
            let behind = entries.split_off(cut);
            let (low, high) = axes.split_at(cut);
            let history = history | 1 << high[0];
            let (here, there) = (threads - threads / 2, threads / 2);
            let rest = (count - count / 2, level);
            let mut behind = Some(behind);
            let (mut nodes, others) = thread::scope(|scope| {
                let other = thread::Builder::new().spawn_scoped(scope, || {
                    let behind = behind.take().unwrap_or_default();
                    self.assemble_on(there, behind, high, rest, history)
                });
                let nodes = self.assemble_on(here, entries, low, (count / 2, level), history);
                let join = |other: thread::ScopedJoinHandle<'_, _>| {
                    other.join().unwrap_or_else(|panic| resume_unwind(panic))
                };
                (nodes, other.ok().map(join))
            });
            let on_this = || behind.map(|behind| self.assemble_on(1, behind, high, rest, history));
            nodes.extend(others.or_else(on_this).unwrap_or_default());
            return nodes;
        }
        if threads > 1 && level > 1 {
            let children = self.children(level - 1, entries.len());
            let below = self.assemble_on(threads, entries, axes, (children, level - 1), 0);
            return vec![self.inner::<D, T, S>(below, history)];
        }
        let mut nodes = Vec::with_capacity(count);
        self.assemble(&mut entries.into_iter(), axes, (count, level), history, &mut nodes);
        nodes
    }

    fn leaf<const D: usize, T, S: Scalar, P: Place<D, S>>(
        &self,
        entries: impl Iterator<Item = (P, T)>,
        history: u64,
    ) -> Node<T, S> {
        let columns = if P::POINTS { D } else { 2 * D };
        let mut leaf = Rows::new(columns, self.leaf.pages);
        let mut page = leaf.write();
        for (place, value) in entries {
            push(&mut page, &place.rect(), value);
        }
        node::set_history(&mut page, history);
        drop(page);
        Branch::Leaf(leaf)
    }

    fn inner<const D: usize, T, S: Scalar>(
        &self,
        children: Vec<Node<T, S>>,
        history: u64,
    ) -> Node<T, S> {
        let mut inner = Rows::new(2 * D, self.inner.pages);
        let mut page = inner.write();
        for child in children {
            push(&mut page, &bounds::<D, T, S>(&child), child);
        }
        node::set_history(&mut page, history);
        drop(page);
        Branch::Inner(inner)
    }
}

/// How many of `entries` go to the first half of `count` children.
fn share(entries: usize, count: usize) -> usize {
    // Not more than fits, on either side: a share of the whole is at most the same share of what
    // fits.
    let product = entries as u128 * (count / 2) as u128;
    usize::try_from(product / count as u128).unwrap_or(entries)
}

/// Moves the entries of the first half of `count` children to the front, across the axis on which
/// the entries vary most, and notes the axis.
fn cut<const D: usize, T, S: Scalar, P: Place<D, S>>(
    entries: &mut [(P, T)],
    axes: &mut [u8],
    count: usize,
) -> usize {
    let cut = share(entries.len(), count);
    let axis = widest(entries);
    entries.select_nth_unstable_by(cut, |a, b| a.0.key(axis).total_cmp(&b.0.key(axis)));
    axes[cut] = u8::try_from(axis).unwrap_or(u8::MAX);
    cut
}

/// The axis along which a sample of the entries varies most.
fn widest<const D: usize, T, S: Scalar, P: Place<D, S>>(entries: &[(P, T)]) -> usize {
    let step = entries.len().div_ceil(SAMPLE).max(1);
    // Around the first entry, lest large numbers swallow small differences.
    let middle: [S; D] = std::array::from_fn(|axis| entries[0].0.key(axis));
    let mut sums = [S::ZERO; D];
    let mut squares = [S::ZERO; D];
    let mut count = S::ZERO;
    for (place, _) in entries.iter().step_by(step) {
        for axis in 0..D {
            let off = place.key(axis) - middle[axis];
            sums[axis] += off;
            squares[axis] += off * off;
        }
        count += S::ONE;
    }
    let mut best = (S::NEG_INFINITY, 0);
    for axis in 0..D {
        // count² times the variance; NaN where coordinates are infinite, which is never greater.
        let spread = count * squares[axis] - sums[axis] * sums[axis];
        if spread > best.0 {
            best = (spread, axis);
        }
    }
    best.1
}
