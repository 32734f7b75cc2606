//! Removal: find the entry, take it out, dissolve nodes that are no longer filled to their least.
//!
//! Guttman, "R-Trees", SIGMOD 1984 (FindLeaf, CondenseTree), as the R*-tree uses it: what a
//! dissolved node held is inserted anew at its level. A box is computed again only if the entry
//! touched it.

use super::node::{self, Inner, Node, bounds, rect_of, set_rect};
use super::rect::Rect;
use super::scalar::Scalar;
use super::scan::{self, Found, SPAN};
use super::tuning::Sizes;
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
    pub(super) taken: Option<T>,
    pub(super) orphans: Vec<Orphan<T, S>>,
    pub(super) sizes: Sizes,
}

impl<const D: usize, T, S: Scalar, F: FnMut(&T) -> bool> Removal<'_, D, T, S, F> {
    /// Takes the entry, if it is in the tree below `node`, which is at `level`.
    pub(super) fn take(&mut self, node: Reach<'_, Node<T, S>>, level: u32) -> bool {
        match node.kind() {
            BranchReach::Leaf(mut leaf) => {
                for base in (0..leaf.len()).step_by(SPAN) {
                    let mask = scan::equal(&leaf, base, self.rect);
                    for row in (Found { base, mask }) {
                        if (self.matches)(&leaf.values()[row]) {
                            self.taken = Some(leaf.write().swap_remove(row));
                            return true;
                        }
                    }
                }
                false
            }
            BranchReach::Inner(inner) => self.take_below(inner, level),
        }
    }

    fn take_below(&mut self, mut inner: Reach<'_, Inner<T, S>>, level: u32) -> bool {
        for base in (0..inner.len()).step_by(SPAN) {
            let mask = scan::containing(&inner, base, self.rect);
            for row in (Found { base, mask }) {
                if self.take(inner.reach(row), level - 1) {
                    let Self { rect, sizes, orphans, .. } = self;
                    condense(&mut inner, row, level, rect, sizes, orphans);
                    return true;
                }
            }
        }
        false
    }
}

/// Puts child `row` in order, below which an entry with the box `gone` was taken: dissolves it if
/// it is no longer filled to its least, or makes its box exact again.
pub(super) fn condense<const D: usize, T, S: Scalar>(
    inner: &mut Reach<'_, Inner<T, S>>,
    row: usize,
    level: u32,
    gone: &Rect<D, S>,
    sizes: &Sizes,
    orphans: &mut Vec<Orphan<T, S>>,
) {
    if dissolve::<D, T, S>(inner, row, level, sizes, orphans) {
        return;
    }
    if !orphans.is_empty() || touches(&rect_of(inner, row), gone) {
        tighten::<D, T, S>(inner, row, sizes);
    }
}

/// Takes child `row` out if it is no longer filled to its least.
pub(super) fn dissolve<const D: usize, T, S: Scalar>(
    inner: &mut Reach<'_, Inner<T, S>>,
    row: usize,
    level: u32,
    sizes: &Sizes,
    orphans: &mut Vec<Orphan<T, S>>,
) -> bool {
    let child = &inner.values()[row];
    if child.len() >= sizes.of_node::<D, T, S>(child).least {
        return false;
    }
    let node = inner.write().swap_remove(row);
    orphans.push(Orphan { node, level: level - 1 });
    true
}

/// Makes the box of child `row` exact, and the child no larger than it has to be.
pub(super) fn tighten<const D: usize, T, S: Scalar>(
    inner: &mut Reach<'_, Inner<T, S>>,
    row: usize,
    sizes: &Sizes,
) {
    let child = &inner.values()[row];
    let exact = bounds::<D, T, S>(child);
    let shrinks = matches!(child, Branch::Inner(rows) if rows.pages() > sizes.inner.pages);
    if exact == rect_of(inner, row) && !shrinks {
        return;
    }
    let mut page = inner.write();
    set_rect(&mut page, row, &exact);
    if let Branch::Inner(rows) = &mut page.values_mut()[row] {
        node::shrink::<D, S, Node<T, S>>(rows, sizes.inner);
    }
}

/// Whether a box that lies in `outer` shares a face with it.
fn touches<const D: usize, S: Scalar>(outer: &Rect<D, S>, inner: &Rect<D, S>) -> bool {
    (0..D).any(|axis| {
        (outer.min()[axis] >= inner.min()[axis]) | (outer.max()[axis] <= inner.max()[axis])
    })
}
