//! Window queries: a lazy walk over what meets a box, without recursion and without allocation.

use std::fmt;

use super::frames::Frames;
use super::node::{self, Inner, Leaf, Node, rect_of};
use super::rect::Rect;
use super::scalar::Scalar;
use super::scan::{self, SPAN};
use crate::Branch;

/// The entries whose boxes meet a window, in no particular order. From
/// [`XTree::window`](super::XTree::window).
pub struct Window<'a, const D: usize, T, S: Scalar = f64> {
    window: Rect<D, S>,
    leaf: Option<(&'a Leaf<T, S>, Found)>,
    above: Frames<(&'a Inner<T, S>, Found)>,
}

/// The rows found in a block and not yet visited: bits for those from `base` on.
#[derive(Clone, Copy, Debug)]
struct Found {
    base: usize,
    mask: u64,
}

impl<'a, const D: usize, T, S: Scalar> Window<'a, D, T, S> {
    pub(super) fn new(root: Option<&'a Node<T, S>>, window: Rect<D, S>) -> Self {
        let mut query = Self { window, leaf: None, above: Frames::new() };
        if let Some(root) = root {
            query.enter(root);
        }
        query
    }

    #[inline]
    fn enter(&mut self, node: &'a Node<T, S>) {
        match node {
            Branch::Leaf(leaf) => {
                self.leaf = Some((leaf, Found { base: 0, mask: self.found(leaf, 0) }));
            }
            Branch::Inner(inner) => {
                self.above.push((inner, Found { base: 0, mask: self.found(inner, 0) }));
            }
        }
    }

    #[inline]
    fn found<V>(&self, rows: &crate::Rows<S, V>, base: usize) -> u64 {
        scan::meeting(rows, base, &self.window)
    }

    /// Enters the next leaf that may hold something.
    fn next_leaf(&mut self) -> Option<()> {
        self.leaf = None;
        while self.leaf.is_none() {
            let (inner, mut found) = self.above.pop()?;
            if found.mask == 0 {
                found.base += SPAN;
                if found.base < inner.len() {
                    found.mask = self.found(inner, found.base);
                    self.above.push((inner, found));
                }
                continue;
            }
            let row = found.take();
            if let Some(next) = found.peek() {
                node::prefetch(&inner.values()[next]);
            }
            if found.mask != 0 || found.base + SPAN < inner.len() {
                self.above.push((inner, found));
            }
            self.enter(&inner.values()[row]);
        }
        Some(())
    }
}

impl Found {
    /// The row that `take` would give.
    #[inline]
    fn peek(self) -> Option<usize> {
        (self.mask != 0).then(|| self.base + self.mask.trailing_zeros() as usize)
    }

    /// The next row; there is one.
    #[inline]
    fn take(&mut self) -> usize {
        let row = self.base + self.mask.trailing_zeros() as usize;
        self.mask &= self.mask - 1;
        row
    }
}

impl<'a, const D: usize, T, S: Scalar> Iterator for Window<'a, D, T, S> {
    type Item = (Rect<D, S>, &'a T);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((leaf, mut found)) = self.leaf else {
                self.next_leaf()?;
                continue;
            };
            if found.mask != 0 {
                let row = found.take();
                self.leaf = Some((leaf, found));
                return Some((rect_of(leaf, row), &leaf.values()[row]));
            }
            found.base += SPAN;
            if found.base < leaf.len() {
                found.mask = self.found(leaf, found.base);
                self.leaf = Some((leaf, found));
            } else {
                self.next_leaf()?;
            }
        }
    }
}

impl<const D: usize, T, S: Scalar> std::iter::FusedIterator for Window<'_, D, T, S> {}

impl<const D: usize, T, S: Scalar> Clone for Window<'_, D, T, S> {
    fn clone(&self) -> Self {
        Self { window: self.window, leaf: self.leaf, above: self.above.clone() }
    }
}

impl<const D: usize, T: fmt::Debug, S: Scalar> fmt::Debug for Window<'_, D, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// All entries, in no particular order. From [`XTree::iter`](super::XTree::iter).
pub struct Iter<'a, const D: usize, T, S: Scalar = f64> {
    all: Window<'a, D, T, S>,
    left: usize,
}

impl<'a, const D: usize, T, S: Scalar> Iter<'a, D, T, S> {
    pub(super) fn new(root: Option<&'a Node<T, S>>, len: usize) -> Self {
        let everywhere = Rect::from_corners([S::NEG_INFINITY; D], [S::INFINITY; D]);
        Self { all: Window::new(root, everywhere), left: len }
    }
}

impl<'a, const D: usize, T, S: Scalar> Iterator for Iter<'a, D, T, S> {
    type Item = (Rect<D, S>, &'a T);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.all.next()?;
        self.left -= 1;
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<const D: usize, T, S: Scalar> ExactSizeIterator for Iter<'_, D, T, S> {}

impl<const D: usize, T, S: Scalar> std::iter::FusedIterator for Iter<'_, D, T, S> {}

impl<const D: usize, T, S: Scalar> Clone for Iter<'_, D, T, S> {
    fn clone(&self) -> Self {
        Self { all: self.all.clone(), left: self.left }
    }
}

impl<const D: usize, T: fmt::Debug, S: Scalar> fmt::Debug for Iter<'_, D, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all.fmt(f)
    }
}
