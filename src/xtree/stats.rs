//! What a tree looks like: height, fill, supernodes, overlap.

use super::node::{Node, rect_of};
use super::rect::Rect;
use super::scalar::Scalar;
use super::scan::{self, SPAN, each_bit};
use super::tree::XTree;
use crate::{Branch, Rows};

/// The shape of a tree. From [`XTree::stats`].
#[derive(Clone, PartialEq, Default, Debug)]
#[non_exhaustive]
pub struct TreeStats {
    /// One for each level, the leaves' first.
    pub levels: Vec<LevelStats>,
}

/// What the nodes of one level look like.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
#[non_exhaustive]
pub struct LevelStats {
    /// Nodes.
    pub nodes: usize,
    /// Entries or children in them.
    pub rows: usize,
    /// Rows that they have room for.
    pub room: usize,
    /// Nodes that are larger than an ordinary one.
    pub supernodes: usize,
    /// Pages of 4 KiB that they take.
    pub pages: usize,
    /// How much the boxes of siblings have in common: the volumes that pairs of them share, over
    /// the sum of all volumes, both for the boxes of this level. 0 at the root, and if no box has a
    /// volume. Infinite volumes are left out.
    pub overlap: f64,
}

impl TreeStats {
    /// Levels.
    #[must_use]
    pub fn height(&self) -> usize {
        self.levels.len()
    }

    /// Bytes of all nodes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.levels.iter().map(|level| level.pages * 4096).sum()
    }
}

impl LevelStats {
    /// The share of the rows that there is room for, 0 to 1.
    #[must_use]
    pub fn fill(&self) -> f64 {
        if self.room == 0 { 0.0 } else { self.rows as f64 / self.room as f64 }
    }
}

/// Volumes of the boxes of a level.
#[derive(Clone, Copy, Default)]
struct Volumes {
    all: f64,
    shared: f64,
}

impl<const D: usize, T, S: Scalar> XTree<D, T, S> {
    /// What the tree looks like. Reads all of it, and compares the boxes of siblings that meet.
    #[must_use]
    pub fn stats(&self) -> TreeStats {
        let height = self.height as usize;
        let mut levels = vec![LevelStats::default(); height];
        let mut volumes = vec![Volumes::default(); height];
        let mut nodes: Vec<_> = self.root.iter().map(|root| (root, height)).collect();
        while let Some((node, height)) = nodes.pop() {
            let level = &mut levels[height - 1];
            level.nodes += 1;
            level.rows += node.len();
            level.pages += pages(node);
            let limits = self.rules.sizes.of_node::<D, T, S>(node);
            level.supernodes += usize::from(pages(node) > limits.pages);
            level.room += limits.room(pages(node));
            if let Branch::Inner(inner) = node {
                measure::<D, _, S>(inner, &mut volumes[height - 2]);
                nodes.extend(inner.values().iter().map(|child| (child, height - 1)));
            }
        }
        for (level, volumes) in levels.iter_mut().zip(volumes) {
            level.overlap = if volumes.all > 0.0 { volumes.shared / volumes.all } else { 0.0 };
        }
        TreeStats { levels }
    }
}

fn pages<T, S: Scalar>(node: &Node<T, S>) -> usize {
    match node {
        Branch::Leaf(leaf) => leaf.pages(),
        Branch::Inner(inner) => inner.pages(),
    }
}

fn measure<const D: usize, V, S: Scalar>(rows: &Rows<S, V>, volumes: &mut Volumes) {
    for row in 0..rows.len() {
        let rect: Rect<D, S> = rect_of(rows, row);
        volumes.all += finite(rect.area());
        for base in (0..=row).step_by(SPAN) {
            each_bit(scan::meeting(rows, base, &rect), |lane| {
                if base + lane < row {
                    let other = rect_of(rows, base + lane);
                    volumes.shared += finite(rect.intersection(&other).area());
                }
            });
        }
    }
}

fn finite<S: Scalar>(volume: S) -> f64 {
    let volume = volume.to_f64();
    if volume.is_finite() { volume } else { 0.0 }
}
