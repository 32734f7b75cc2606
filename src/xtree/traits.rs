//! The standard traits of [`XTree`].

use std::fmt;

use super::bulk::BulkLoad;
use super::entries::IntoIter;
use super::rect::Rect;
use super::scalar::Scalar;
use super::search::Iter;
use super::tree::XTree;

impl<const D: usize, T, S: Scalar> Default for XTree<D, T, S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const D: usize, T: Clone, S: Scalar> Clone for XTree<D, T, S> {
    fn clone(&self) -> Self {
        let Self { height, len, rules, .. } = *self;
        Self { root: self.root.clone(), height, len, rules }
    }
}

impl<const D: usize, T: fmt::Debug, S: Scalar> fmt::Debug for XTree<D, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

/// Inserts one entry after the other.
///
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

/// Builds the tree at once, with [`BulkLoad`].
///
/// # Panics
/// If a coordinate is NaN. [`XTree::bulk_load`] gives an error instead.
impl<const D: usize, T, S: Scalar, R: Into<Rect<D, S>>> FromIterator<(R, T)> for XTree<D, T, S> {
    fn from_iter<I: IntoIterator<Item = (R, T)>>(entries: I) -> Self {
        match BulkLoad::new().load(entries) {
            Ok(tree) => tree,
            Err(error) => panic!("{error}"),
        }
    }
}

impl<const D: usize, T, S: Scalar> IntoIterator for XTree<D, T, S> {
    type Item = (Rect<D, S>, T);
    type IntoIter = IntoIter<D, T, S>;

    fn into_iter(self) -> Self::IntoIter {
        IntoIter::new(self.root, self.len)
    }
}

impl<'a, const D: usize, T, S: Scalar> IntoIterator for &'a XTree<D, T, S> {
    type Item = (Rect<D, S>, &'a T);
    type IntoIter = Iter<'a, D, T, S>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
