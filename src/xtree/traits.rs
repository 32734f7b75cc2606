//! The standard traits of [`XTree`].

use std::fmt;

use super::rect::Rect;
use super::scalar::Scalar;
use super::tree::XTree;
use super::window::Iter;

impl<const D: usize, T, S: Scalar> Default for XTree<D, T, S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const D: usize, T: Clone, S: Scalar> Clone for XTree<D, T, S> {
    fn clone(&self) -> Self {
        let Self { height, len, reinserted_percent, .. } = *self;
        Self { root: self.root.clone(), height, len, reinserted_percent }
    }
}

impl<const D: usize, T: fmt::Debug, S: Scalar> fmt::Debug for XTree<D, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

/// # Panics
/// If a coordinate is NaN; the entries before it are in the tree. [`XTree::insert`] gives an error
/// instead.
impl<const D: usize, T, S: Scalar, R: Into<Rect<D, S>>> Extend<(R, T)> for XTree<D, T, S> {
    fn extend<I: IntoIterator<Item = (R, T)>>(&mut self, entries: I) {
        for (at, value) in entries {
            if let Err(error) = self.insert(at, value) {
                panic!("{error}");
            }
        }
    }
}

/// # Panics
/// If a coordinate is NaN. [`XTree::insert`] gives an error instead.
impl<const D: usize, T, S: Scalar, R: Into<Rect<D, S>>> FromIterator<(R, T)> for XTree<D, T, S> {
    fn from_iter<I: IntoIterator<Item = (R, T)>>(entries: I) -> Self {
        let mut tree = Self::new();
        tree.extend(entries);
        tree
    }
}

impl<'a, const D: usize, T, S: Scalar> IntoIterator for &'a XTree<D, T, S> {
    type Item = (Rect<D, S>, &'a T);
    type IntoIter = Iter<'a, D, T, S>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
