//! How nodes are made: the parameters of the algorithms, and the sizes of nodes that follow from
//! them.

use super::node::Node;
use super::scalar::Scalar;
use crate::{Durable, Rows};

/// The parameters of an [`XTree`](super::XTree): fan-out, and when nodes are split, enlarged,
/// reinserted or dissolved.
///
/// The defaults are those that were fastest over the shapes of data in `benches/xtree`;
/// ARCHITECTURE.md has the figures. A tree keeps its parameters for life.
///
/// ```
/// use stillheap::{Tuning, XTree};
/// let tuning = Tuning::new().leaf_rows(64).inner_rows(32).max_overlap(10);
/// let tree = XTree::<3, u64>::with_tuning(tuning);
/// assert_eq!(tree.tuning(), tuning);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Durable)]
#[durable(crate = "crate", name = "stillheap::Tuning")]
pub struct Tuning {
    /// 0: as many as fit.
    leaf_rows: u32,
    /// 0: as many as fit.
    inner_rows: u32,
    max_overlap: u8,
    min_fanout: u8,
    reinsertion: u8,
}

impl Tuning {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { leaf_rows: 0, inner_rows: 0, max_overlap: 20, min_fanout: 35, reinsertion: 0 }
    }

    /// The most entries of a leaf, 4 to 65,536: M of the R*-tree. A leaf takes as many pages of
    /// 4 KiB as that needs. The default is what fits into a page, or up to four of them if that is
    /// less than 96 entries, or more if it is less than 16.
    ///
    /// # Panics
    /// If `rows` is another number.
    #[must_use]
    pub const fn leaf_rows(self, rows: u32) -> Self {
        assert!(rows >= LEAST_ROWS && rows <= MOST_ROWS, "a leaf has 4 to 65,536 rows");
        Self { leaf_rows: rows, ..self }
    }

    /// The most children of an inner node that is not a supernode, 4 to 65,536. The default is what
    /// fits into a page, or more if that is less than 16.
    ///
    /// # Panics
    /// If `rows` is another number.
    #[must_use]
    pub const fn inner_rows(self, rows: u32) -> Self {
        assert!(rows >= LEAST_ROWS && rows <= MOST_ROWS, "an inner node has 4 to 65,536 rows");
        Self { inner_rows: rows, ..self }
    }

    /// How much of their common volume the halves of an inner node may share, in percent (0 to
    /// 100): the X-tree's MAX_OVERLAP (section 3.2 of the paper, which takes 20, as the default
    /// does). With less, more nodes become supernodes; with 100 there are none, and the tree is an
    /// R*-tree.
    ///
    /// # Panics
    /// If `percent` is above 100.
    #[must_use]
    pub const fn max_overlap(self, percent: u8) -> Self {
        assert!(percent <= 100, "halves share at most all of their volume");
        Self { max_overlap: percent, ..self }
    }

    /// The share of a node's rows that each half of an overlap-minimal split gets at least, in
    /// percent (1 to 50): the X-tree's MIN_FANOUT (section 3.3 of the paper, which takes 35, as the
    /// default does). Below that, the node becomes a supernode.
    ///
    /// # Panics
    /// If `percent` is 0 or above 50.
    #[must_use]
    pub const fn min_fanout(self, percent: u8) -> Self {
        assert!(percent >= 1 && percent <= 50, "the lesser half has 1 to 50 % of the rows");
        Self { min_fanout: percent, ..self }
    }

    /// The share of its rows that a node gives away to be inserted anew when it is full for the
    /// first time in an insertion, in percent (0 to 45): forced reinsertion, R*-tree, section 4.3,
    /// which takes 30.
    ///
    /// The default is 0. With page-sized nodes it does not pay: at 100,000 uniform, sorted or
    /// clustered points, 30 % made insertion 2 to 3 times slower, and queries between 8 % slower
    /// and 5 % faster.
    ///
    /// # Panics
    /// If `percent` is above 45.
    #[must_use]
    pub const fn reinsertion(self, percent: u8) -> Self {
        assert!(percent <= 45, "at most 45 % can be reinserted");
        Self { reinsertion: percent, ..self }
    }

    pub(super) fn overlap_limit(self) -> f64 {
        f64::from(self.max_overlap) / 100.0
    }

    pub(super) fn min_fanout_percent(self) -> usize {
        usize::from(self.min_fanout)
    }

    pub(super) fn reinserted_percent(self) -> usize {
        usize::from(self.reinsertion)
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Self::new()
    }
}

const LEAST_ROWS: u32 = 4;
const MOST_ROWS: u32 = 1 << 16;
/// Rows that fit a node by default; it gets as many pages as that takes.
const DEFAULT_ROWS: usize = 16;
/// Entries that fit a leaf by default, if that takes no more than so many pages: with fewer, a tree
/// in many dimensions has so many leaves that the boxes of inner nodes have no good splits.
const DEFAULT_ENTRIES: usize = 96;
const DEFAULT_LEAF_PAGES: usize = 4;

/// How many rows a node of some kind holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Durable)]
#[durable(crate = "crate", name = "stillheap::xtree::Limits")]
pub(super) struct Limits {
    /// Pages of an ordinary node.
    pub(super) pages: usize,
    /// Rows at which an ordinary node is full.
    pub(super) most: usize,
    /// Rows below which a node that is not the root is dissolved: a quarter.
    pub(super) least: usize,
}

impl Limits {
    /// Limits of nodes with that many columns and values `V`; `wanted` 0 means what fits.
    const fn of<S: Scalar, V>(columns: usize, wanted: usize, at_most: usize) -> Self {
        let rows = if wanted == 0 { DEFAULT_ROWS } else { wanted };
        Self::in_pages::<S, V>(columns, Rows::<S, V>::pages_for(columns, rows), wanted, at_most)
    }

    /// Limits of leaves, as [`of`](Self::of).
    const fn of_leaves<S: Scalar, T>(columns: usize, wanted: usize, at_most: usize) -> Self {
        if wanted != 0 {
            return Self::of::<S, T>(columns, wanted, at_most);
        }
        let good = Rows::<S, T>::pages_for(columns, DEFAULT_ENTRIES);
        let good = if good < DEFAULT_LEAF_PAGES { good } else { DEFAULT_LEAF_PAGES };
        let least = Rows::<S, T>::pages_for(columns, DEFAULT_ROWS);
        let pages = if good > least { good } else { least };
        Self::in_pages::<S, T>(columns, pages, wanted, at_most)
    }

    const fn in_pages<S: Scalar, V>(
        columns: usize,
        pages: usize,
        wanted: usize,
        at_most: usize,
    ) -> Self {
        let capacity = Rows::<S, V>::capacity_of(columns, pages);
        let wanted = if wanted == 0 { capacity } else { wanted };
        let most = if wanted < at_most { wanted } else { at_most };
        let least = if most / 4 < 2 { 2 } else { most / 4 };
        Self { pages, most, least }
    }

    /// Pages of a node of this kind with `rows` rows: an ordinary node's, or a multiple of that.
    pub(super) const fn pages_for(self, rows: usize) -> usize {
        if rows <= self.most { self.pages } else { self.pages * rows.div_ceil(self.most) }
    }

    /// The most rows of a node of this kind in `pages` pages.
    pub(super) const fn room(self, pages: usize) -> usize {
        if pages == self.pages { self.most } else { self.most * (pages / self.pages) }
    }
}

/// The limits of the three kinds of nodes, which follow from the parameters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Durable)]
#[durable(crate = "crate", name = "stillheap::xtree::Sizes")]
pub(super) struct Sizes {
    /// Of inner nodes that are not supernodes.
    pub(super) inner: Limits,
    /// Of leaves that hold boxes.
    pub(super) boxes: Limits,
    /// Of leaves that hold points only: such a leaf and one box more always fit two leaves of
    /// boxes, and fill one to its least.
    pub(super) points: Limits,
}

/// What a tree's algorithms go by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Durable)]
#[durable(crate = "crate", name = "stillheap::xtree::Rules")]
pub(super) struct Rules {
    pub(super) tuning: Tuning,
    pub(super) sizes: Sizes,
}

impl Rules {
    pub(super) const fn of<const D: usize, T, S: Scalar>(tuning: Tuning) -> Self {
        Self { tuning, sizes: Sizes::of::<D, T, S>(tuning) }
    }
}

impl Sizes {
    pub(super) const fn of<const D: usize, T, S: Scalar>(tuning: Tuning) -> Self {
        let leaf_rows = tuning.leaf_rows as usize;
        let inner = Limits::of::<S, Node<T, S>>(2 * D, tuning.inner_rows as usize, usize::MAX);
        let mut boxes = Limits::of_leaves::<S, T>(2 * D, leaf_rows, usize::MAX);
        let points = Limits::of_leaves::<S, T>(D, leaf_rows, 2 * boxes.most - 1);
        if boxes.least > points.least + 1 {
            boxes.least = points.least + 1;
        }
        Self { inner, boxes, points }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<const D: usize, T, S: Scalar>(tuning: Tuning) {
        let sizes = Sizes::of::<D, T, S>(tuning);
        for limits in [sizes.inner, sizes.boxes, sizes.points] {
            assert!(limits.pages > 0 && limits.least >= 2 && limits.least <= limits.most / 2);
        }
        assert!(sizes.points.most < 2 * sizes.boxes.most);
        assert!(
            sizes.points.least < sizes.boxes.most && sizes.boxes.least <= sizes.points.least + 1
        );
        assert!(sizes.boxes.most <= Rows::<S, T>::capacity_of(2 * D, sizes.boxes.pages));
        assert!(sizes.points.most <= Rows::<S, T>::capacity_of(D, sizes.points.pages));
        for nodes in 1..20 {
            let Limits { pages, most, .. } = sizes.inner;
            let capacity = Rows::<S, Node<T, S>>::capacity_of(2 * D, nodes * pages);
            assert!(sizes.inner.room(nodes * pages) <= capacity);
            assert_eq!(sizes.inner.room(sizes.inner.pages_for(nodes * most)), nodes * most);
        }
    }

    #[test]
    fn sizes_fit_their_pages() {
        for tuning in [Tuning::new(), Tuning::new().leaf_rows(4).inner_rows(5)] {
            check::<1, (), f32>(tuning);
            check::<2, u64, f64>(tuning);
            check::<2, String, f64>(tuning);
            check::<1, [u64; 4], f64>(tuning);
            check::<16, u64, f64>(tuning);
            check::<32, [u64; 700], f64>(tuning);
        }
        check::<2, u64, f64>(Tuning::new().leaf_rows(65_536).inner_rows(1000));
        let sizes = Sizes::of::<2, u64, f64>(Tuning::new());
        assert_eq!((sizes.points.pages, sizes.points.most, sizes.inner.pages), (1, 168, 1));
    }
}
