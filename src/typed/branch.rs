//! [`Branch`]: the recursion that trees of [`Rows`] need.

use std::fmt;

use super::Durable;
use super::rows::{Key, Rows};
use super::rows_mut::Reach;

/// A node of a tree: a leaf, whose rows hold values, or an inner node, whose rows hold nodes.
///
/// The keys of an inner node say what its children hold (for a spatial index, their boxes).
/// A child can be reached for writing without announcing its parents, see [`Reach`].
#[derive(Durable)]
#[durable(crate = "crate", name = "stillheap::Branch")]
pub enum Branch<K: Key, V> {
    /// A node at the bottom.
    Leaf(Rows<K, V>),
    /// A node above others.
    Inner(Rows<K, Branch<K, V>>),
}

/// A [`Branch`] on the way down: which of the two it is, as [`Reach`].
#[derive(Debug)]
pub enum BranchReach<'a, K: Key, V> {
    /// A node at the bottom.
    Leaf(Reach<'a, Rows<K, V>>),
    /// A node above others.
    Inner(Reach<'a, Rows<K, Branch<K, V>>>),
}

impl<'a, K: Key, V> Reach<'a, Branch<K, V>> {
    /// Which kind of node it is.
    #[inline]
    #[must_use]
    pub fn kind(self) -> BranchReach<'a, K, V> {
        match self.0 {
            Branch::Leaf(rows) => BranchReach::Leaf(Reach(rows)),
            Branch::Inner(rows) => BranchReach::Inner(Reach(rows)),
        }
    }
}

impl<K: Key, V> Branch<K, V> {
    /// Rows in the node.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Leaf(rows) => rows.len(),
            Self::Inner(rows) => rows.len(),
        }
    }

    /// Whether the node has no rows.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Key, V: Clone> Clone for Branch<K, V> {
    fn clone(&self) -> Self {
        match self {
            Self::Leaf(rows) => Self::Leaf(rows.clone()),
            Self::Inner(rows) => Self::Inner(rows.clone()),
        }
    }
}

impl<K: Key, V: fmt::Debug> fmt::Debug for Branch<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaf(rows) => f.debug_tuple("Leaf").field(rows).finish(),
            Self::Inner(rows) => f.debug_tuple("Inner").field(rows).finish(),
        }
    }
}
