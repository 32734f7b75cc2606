//! Entries as values that are owned or lent for writing.

use std::fmt;
use std::ops::{Deref, DerefMut};

use smallvec::SmallVec;

use super::node::{self, Node};
use super::rect::Rect;
use super::scalar::Scalar;
use super::scan::{self, Found, SPAN};
use super::tree::XTree;
use crate::{Branch, BranchReach, Reach, RowsMut};

/// All entries, taken out of a tree, in no particular order. From `into_iter` and
/// [`XTree::drain`].
pub struct IntoIter<const D: usize, T, S: Scalar = f64> {
    nodes: Vec<Node<T, S>>,
    entries: Vec<(Rect<D, S>, T)>,
    left: usize,
}

impl<const D: usize, T, S: Scalar> IntoIter<D, T, S> {
    pub(super) fn new(root: Option<Node<T, S>>, len: usize) -> Self {
        Self { nodes: root.into_iter().collect(), entries: Vec::new(), left: len }
    }
}

impl<const D: usize, T, S: Scalar> Iterator for IntoIter<D, T, S> {
    type Item = (Rect<D, S>, T);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.entries.pop() {
                self.left -= 1;
                return Some(entry);
            }
            match self.nodes.pop()? {
                Branch::Leaf(mut leaf) => {
                    let mut page = leaf.write();
                    let rows = (0..page.len()).rev().map(|row| node::take(&mut page, row));
                    self.entries.extend(rows);
                }
                Branch::Inner(mut inner) => {
                    let mut page = inner.write();
                    self.nodes.extend((0..page.len()).rev().map(|row| page.swap_remove(row)));
                }
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<const D: usize, T, S: Scalar> ExactSizeIterator for IntoIter<D, T, S> {}

impl<const D: usize, T, S: Scalar> std::iter::FusedIterator for IntoIter<D, T, S> {}

impl<const D: usize, T, S: Scalar> fmt::Debug for IntoIter<D, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoIter").field("left", &self.left).finish_non_exhaustive()
    }
}

/// The value of an entry, to be changed; the write is announced at both ends. From
/// [`XTree::get_mut`].
pub struct ValueMut<'a, T, S: Scalar = f64> {
    page: RowsMut<'a, S, T>,
    row: usize,
}

impl<T, S: Scalar> Deref for ValueMut<'_, T, S> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.page.values()[self.row]
    }
}

impl<T, S: Scalar> DerefMut for ValueMut<'_, T, S> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.page.values_mut()[self.row]
    }
}

impl<T: fmt::Debug, S: Scalar> fmt::Debug for ValueMut<'_, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ValueMut").field(&**self).finish()
    }
}

/// The rows from the root down to an entry.
type Way = SmallVec<[usize; 8]>;

impl<const D: usize, T, S: Scalar> XTree<D, T, S> {
    /// The value of an entry with exactly the box `at` for which `matches` holds, to be changed in
    /// place.
    ///
    /// ```
    /// let mut tree: stillheap::XTree<1, u32> = [([1.0], 7), ([1.0], 8)].into_iter().collect();
    /// *tree.get_mut(&[1.0].into(), |&value| value == 8).unwrap() += 1;
    /// assert!(tree.contains(&[1.0].into(), &9));
    /// ```
    pub fn get_mut(
        &mut self,
        at: &Rect<D, S>,
        matches: impl FnMut(&T) -> bool,
    ) -> Option<ValueMut<'_, T, S>> {
        let mut way = Way::new();
        let root = self.root.as_mut()?;
        if !find(root, at, &mut { matches }, &mut way) {
            return None;
        }
        let mut node = Reach::from(root);
        for row in way {
            match node.kind() {
                BranchReach::Leaf(leaf) => {
                    return Some(ValueMut { page: leaf.into_write(), row });
                }
                BranchReach::Inner(inner) => node = inner.into_reach(row),
            }
        }
        None
    }
}

/// Looks for the entry below `node`, and notes the way to it.
fn find<const D: usize, T, S: Scalar>(
    node: &Node<T, S>,
    at: &Rect<D, S>,
    matches: &mut impl FnMut(&T) -> bool,
    way: &mut Way,
) -> bool {
    for base in (0..node.len()).step_by(SPAN) {
        let mask = match node {
            Branch::Leaf(leaf) => scan::equal(leaf, base, at),
            Branch::Inner(inner) => scan::containing(inner, base, at),
        };
        for row in (Found { base, mask }) {
            way.push(row);
            let found = match node {
                Branch::Leaf(leaf) => matches(&leaf.values()[row]),
                Branch::Inner(inner) => find(&inner.values()[row], at, matches, way),
            };
            if found {
                return true;
            }
            way.pop();
        }
    }
    false
}
