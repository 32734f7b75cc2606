//! Removal: find the entry, take it out, dissolve nodes that are no longer filled to their least.
//!
//! Guttman, "R-Trees", SIGMOD 1984 (FindLeaf, CondenseTree), as the R*-tree uses it: what a
//! dissolved node held is inserted anew at its level. A box is computed again only if the entry
//! touched it.

use super::node::{self, Inner, Limits, Node, bounds, rect_of, set_rect};
use super::rect::Rect;
use super::scalar::Scalar;
use super::scan::{self, SPAN};
use crate::{Branch, BranchReach, Reach};

/// A node that was dissolved, and its level.
pub(super) struct Orphan<T, S: Scalar> {
    pub(super) node: Node<T, S>,
    pub(super) level: u32,
}

/// Looks for an entry with exactly the box `rect` that `matches`, and takes it out.
pub(super) struct Removal<'a, const D: usize, T, S: Scalar, F> {
    pub(super) rect: &'a Rect<D, S>,
    pub(super) matches: F,
    pub(super) orphans: Vec<Orphan<T, S>>,
}

impl<const D: usize, T, S: Scalar, F: FnMut(&T) -> bool> Removal<'_, D, T, S, F> {
    /// The entry, if it is in the tree below `node`, which is at `level`.
    pub(super) fn take(&mut self, node: Reach<'_, Node<T, S>>, level: u32) -> Option<T> {
        match node.kind() {
            BranchReach::Leaf(mut leaf) => {
                for base in (0..leaf.len()).step_by(SPAN) {
                    let mut mask = scan::equal(&leaf, base, self.rect);
                    while mask != 0 {
                        let row = base + mask.trailing_zeros() as usize;
                        mask &= mask - 1;
                        if (self.matches)(&leaf.values()[row]) {
                            return Some(leaf.write().swap_remove(row));
                        }
                    }
                }
                None
            }
            BranchReach::Inner(inner) => self.take_below(inner, level),
        }
    }

    fn take_below(&mut self, mut inner: Reach<'_, Inner<T, S>>, level: u32) -> Option<T> {
        for base in (0..inner.len()).step_by(SPAN) {
            let mut mask = scan::containing(&inner, base, self.rect);
            while mask != 0 {
                let row = base + mask.trailing_zeros() as usize;
                mask &= mask - 1;
                if let Some(value) = self.take(inner.reach(row), level - 1) {
                    self.condense(inner, row, level);
                    return Some(value);
                }
            }
        }
        None
    }

    /// Dissolves child `row`, below which an entry was taken, or makes its box exact again.
    fn condense(&mut self, mut inner: Reach<'_, Inner<T, S>>, row: usize, level: u32) {
        let child = &inner.values()[row];
        let limits = Limits::of_node::<D, T, S>(child);
        if child.len() < limits.least {
            let node = inner.write().swap_remove(row);
            self.orphans.push(Orphan { node, level: level - 1 });
            return;
        }
        if self.orphans.is_empty() && !touches(&rect_of(&inner, row), self.rect) {
            return;
        }
        let exact = bounds::<D, T, S>(child);
        let shrinks = matches!(child, Branch::Inner(rows) if rows.pages() > limits.pages);
        if exact == rect_of(&inner, row) && !shrinks {
            return;
        }
        let mut page = inner.write();
        set_rect(&mut page, row, &exact);
        if let Branch::Inner(rows) = &mut page.values_mut()[row] {
            node::shrink::<D, S, Node<T, S>>(rows, limits);
        }
    }
}

/// Whether a box that lies in `outer` shares a face with it.
fn touches<const D: usize, S: Scalar>(outer: &Rect<D, S>, inner: &Rect<D, S>) -> bool {
    (0..D).any(|axis| {
        (outer.min()[axis] >= inner.min()[axis]) | (outer.max()[axis] <= inner.max()[axis])
    })
}
