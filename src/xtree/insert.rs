//! Insertion: down to the node that takes the entry, and back up through full nodes.
//!
//! Beckmann et al., SIGMOD 1990, section 4.3 with forced reinsertion; supernodes as in Berchtold
//! et al., VLDB 1996. The recursion goes down one level a call and returns what happened below; a
//! node is written, and announced, only if it changes.

use std::cmp::Reverse;

use super::choose;
use super::node::{self, Inner, Leaf, Node, bounds, push, rect_of, set_rect, take};
use super::rect::Rect;
use super::scalar::Scalar;
use super::split;
use super::tuning::{Rules, Sizes};
use crate::{Branch, BranchReach, Reach, Rows};

/// What is inserted: an entry, or a node that lost its parent.
pub(super) enum Load<T, S: Scalar> {
    Entry(T),
    Node(Node<T, S>),
}

/// Something on its way into the tree.
pub(super) struct Item<const D: usize, T, S: Scalar> {
    pub(super) rect: Rect<D, S>,
    pub(super) load: Load<T, S>,
    /// The level of the node that takes it; leaves are level 0.
    pub(super) level: u32,
}

/// What happened below.
pub(super) enum Outcome {
    /// The item is in; boxes above it have to include its box.
    Placed,
    /// The node gave entries away; boxes above it have to be computed again.
    Shrunk,
    /// The node that should take the item is full.
    Full,
}

/// One insertion, with what it made homeless.
///
/// The item lies here, and not in the calls, of which each level is one: values can be large.
pub(super) struct Insertion<const D: usize, T, S: Scalar> {
    rect: Rect<D, S>,
    level: u32,
    load: Option<Load<T, S>>,
    pub(super) homeless: Vec<Item<D, T, S>>,
    /// The levels in which entries were already reinserted, a bit each: once a level and insertion.
    relieved: u64,
    pub(super) rules: Rules,
}

impl<const D: usize, T, S: Scalar> Insertion<D, T, S> {
    pub(super) fn new(rules: &Rules) -> Self {
        let (rect, level, load) = (Rect::EMPTY, 0, None);
        Self { rect, level, load, homeless: Vec::new(), relieved: 0, rules: *rules }
    }

    /// Makes `item` the one that is on its way.
    pub(super) fn set_out(&mut self, item: Item<D, T, S>) {
        (self.rect, self.level, self.load) = (item.rect, item.level, Some(item.load));
    }

    /// Takes the item that is on its way.
    pub(super) fn take(&mut self) -> Item<D, T, S> {
        match self.load.take() {
            Some(load) => Item { rect: self.rect, load, level: self.level },
            None => unreachable!("an item is on its way until it is placed"),
        }
    }

    /// Puts the item into the tree below `node`, which is at `level`.
    pub(super) fn descend(&mut self, node: Reach<'_, Node<T, S>>, level: u32) -> Outcome {
        match node.kind() {
            BranchReach::Leaf(mut leaf) => {
                if !leaf_takes(&leaf, &self.rect, &self.rules.sizes) {
                    return Outcome::Full;
                }
                match self.load.take() {
                    Some(Load::Entry(value)) => push(&mut leaf.write(), &self.rect, value),
                    _ => unreachable!("nodes go above leaves"),
                }
                Outcome::Placed
            }
            BranchReach::Inner(mut inner) if level == self.level => {
                if !has_room(&inner, &self.rules.sizes) {
                    return Outcome::Full;
                }
                match self.load.take() {
                    Some(Load::Node(child)) => push(&mut inner.write(), &self.rect, child),
                    _ => unreachable!("entries go to leaves"),
                }
                Outcome::Placed
            }
            BranchReach::Inner(inner) => self.pass_down(inner, level),
        }
    }

    /// Puts the item below the child that suits it best.
    pub(super) fn pass_down(&mut self, mut inner: Reach<'_, Inner<T, S>>, level: u32) -> Outcome {
        let rect = self.rect;
        let (row, covered) = choose::subtree(&inner, &rect, level == 1);
        match self.descend(inner.reach(row), level - 1) {
            Outcome::Placed => {
                if !covered {
                    let grown = rect_of(&inner, row).union(&rect);
                    set_rect(&mut inner.write(), row, &grown);
                }
                Outcome::Placed
            }
            Outcome::Shrunk => {
                node::set_exact::<D, T, S>(&mut inner, row);
                Outcome::Shrunk
            }
            Outcome::Full => self.relieve(inner, row, level),
        }
    }

    /// Makes room for the item in the full child `row`: reinserts some of its rows, or splits it.
    pub(super) fn relieve(
        &mut self,
        mut inner: Reach<'_, Inner<T, S>>,
        row: usize,
        level: u32,
    ) -> Outcome {
        let mut page = inner.write();
        let child = &mut page.values_mut()[row];
        let bit = 1 << (level - 1);
        // A leaf of points takes no box, full or not.
        let is_full = child.len() >= self.rules.sizes.of_node::<D, T, S>(child).most;
        if is_full && self.rules.tuning.reinserted_percent() > 0 && self.relieved & bit == 0 {
            self.relieved |= bit;
            self.evict(child, level - 1);
            let exact = bounds::<D, T, S>(child);
            set_rect(&mut page, row, &exact);
            return Outcome::Shrunk;
        }
        let sibling = make_room(child, self.take(), &self.rules);
        let exact = bounds::<D, T, S>(child);
        set_rect(&mut page, row, &exact);
        match sibling {
            Some((rect, node)) if !has_room(&page, &self.rules.sizes) => {
                self.set_out(Item { rect, load: Load::Node(node), level });
                Outcome::Full
            }
            Some((rect, node)) => {
                push(&mut page, &rect, node);
                Outcome::Placed
            }
            None => Outcome::Placed,
        }
    }

    /// Takes the rows farthest from the node's centre, and the item, to insert them anew.
    fn evict(&mut self, child: &mut Node<T, S>, level: u32) {
        let count = child.len() * self.rules.tuning.reinserted_percent() / 100;
        let item = self.take();
        let homeless = &mut self.homeless;
        homeless.push(item);
        match child {
            Branch::Leaf(rows) => evict_rows::<D, S, T>(rows, count, |rect, value| {
                homeless.push(Item { rect, load: Load::Entry(value), level });
            }),
            Branch::Inner(rows) => evict_rows::<D, S, Node<T, S>>(rows, count, |rect, node| {
                homeless.push(Item { rect, load: Load::Node(node), level });
            }),
        }
    }
}

fn leaf_takes<const D: usize, T, S: Scalar>(
    leaf: &Leaf<T, S>,
    rect: &Rect<D, S>,
    sizes: &Sizes,
) -> bool {
    (leaf.columns() > D || rect.is_point()) && leaf.len() < sizes.of_leaf::<D, T, S>(leaf).most
}

fn has_room<T, S: Scalar>(inner: &Inner<T, S>, sizes: &Sizes) -> bool {
    inner.len() < sizes.inner.room(inner.pages())
}

fn evict_rows<const D: usize, S: Scalar, V>(
    rows: &mut Rows<S, V>,
    count: usize,
    mut each: impl FnMut(Rect<D, S>, V),
) {
    let all: Rect<D, S> = node::bounds_of_rows(rows);
    let centre = |rect: &Rect<D, S>| -> [S; D] {
        std::array::from_fn(|axis| rect.min()[axis] + rect.max()[axis])
    };
    let middle = Rect::from(centre(&all));
    let mut far: Vec<(S, usize)> = (0..rows.len())
        .map(|row| (middle.distance_squared(&centre(&rect_of(rows, row))), row))
        .collect();
    far.select_nth_unstable_by(count, |a, b| b.0.total_cmp(&a.0));
    far.truncate(count);
    // From the last row down, so that the row that fills a gap is never one that is still to go.
    far.sort_unstable_by_key(|&(_, row)| Reverse(row));
    let mut page = rows.write();
    for (_, row) in far {
        let (rect, value) = take(&mut page, row);
        each(rect, value);
    }
}

/// Puts `item` into the full node `node`, by splitting it (which gives a sibling for it) or by
/// making it larger.
pub(super) fn make_room<const D: usize, T, S: Scalar>(
    node: &mut Node<T, S>,
    item: Item<D, T, S>,
    rules: &Rules,
) -> Option<(Rect<D, S>, Node<T, S>)> {
    let sibling = match (&mut *node, item.load) {
        (Branch::Leaf(leaf), Load::Entry(value)) => {
            Branch::Leaf(make_room_in_leaf(leaf, item.rect, value, rules)?)
        }
        (Branch::Inner(inner), Load::Node(child)) => {
            Branch::Inner(make_room_in_inner(inner, item.rect, child, rules)?)
        }
        _ => unreachable!("entries go to leaves, and nodes to inner nodes"),
    };
    Some((bounds(&sibling), sibling))
}

fn make_room_in_leaf<const D: usize, T, S: Scalar>(
    leaf: &mut Leaf<T, S>,
    rect: Rect<D, S>,
    value: T,
    rules: &Rules,
) -> Option<Leaf<T, S>> {
    if leaf.columns() == D && !rect.is_point() {
        let pages = rules.sizes.boxes.pages_for(leaf.len() + 1);
        node::repack::<D, S, T>(leaf, 2 * D, pages);
    }
    let limits = rules.sizes.of_leaf::<D, T, S>(leaf);
    if leaf.len() < limits.most {
        push(&mut leaf.write(), &rect, value);
        node::shrink::<D, S, T>(leaf, limits);
        return None;
    }
    Some(split::leaf(leaf, rect, value, limits))
}

fn make_room_in_inner<const D: usize, T, S: Scalar>(
    inner: &mut Inner<T, S>,
    rect: Rect<D, S>,
    child: Node<T, S>,
    rules: &Rules,
) -> Option<Inner<T, S>> {
    let common =
        inner.values().iter().fold(node::history(&child), |all, child| all & node::history(child));
    match split::inner(inner, rect, child, rules, common) {
        Ok(sibling) => Some(sibling),
        Err(child) => {
            let pages = inner.pages() + rules.sizes.inner.pages;
            node::repack::<D, S, Node<T, S>>(inner, 2 * D, pages);
            push(&mut inner.write(), &rect, child);
            None
        }
    }
}
