//! The tree's check of itself.

use super::node::{Node, bounds, rect_of};
use super::scalar::Scalar;
use super::tree::XTree;
use super::tuning::{Limits, Sizes};
use crate::Branch;

/// What is wrong with a tree. Such an error is a defect of this crate, or of the memory.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Invalid {
    /// A node holds too few or too many rows.
    #[error("a node at level {level} holds {rows} rows, expected {least} to {most}")]
    Fill {
        /// The node's level; leaves are level 0.
        level: u32,
        /// Rows found.
        rows: usize,
        /// The fewest allowed.
        least: usize,
        /// The most allowed.
        most: usize,
    },
    /// A node's block has a shape that no node has.
    #[error("a node at level {level} has {columns} columns in {pages} pages")]
    Shape {
        /// The node's level.
        level: u32,
        /// Columns found.
        columns: usize,
        /// Pages found.
        pages: usize,
    },
    /// A box is not the union of what lies below it, or not a box.
    #[error("row {row} of a node at level {level} has the wrong box {found}, expected {expected}")]
    Box {
        /// The node's level.
        level: u32,
        /// The row.
        row: usize,
        /// The box found.
        found: String,
        /// The box expected.
        expected: String,
    },
    /// A leaf above level 0, or an inner node at it.
    #[error("level {level} holds a node of the wrong kind")]
    Depth {
        /// The level.
        level: u32,
    },
    /// The number of entries is not the tree's length.
    #[error("the tree holds {found} entries, its length says {expected}")]
    Len {
        /// Entries found.
        found: usize,
        /// The tree's length.
        expected: usize,
    },
}

impl<const D: usize, T, S: Scalar> XTree<D, T, S> {
    /// Checks every invariant of the tree; reads all of it.
    ///
    /// # Errors
    /// [`Invalid`]: the first thing found to be wrong.
    pub fn validate(&self) -> Result<(), Invalid> {
        let found = match (&self.root, self.height.checked_sub(1)) {
            (None, None) => 0,
            (Some(root), Some(level)) => {
                let least = if level == 0 { 1 } else { 2 };
                check::<D, T, S>(&self.rules.sizes, root, level, least)?
            }
            _ => return Err(Invalid::Depth { level: self.height }),
        };
        if found == self.len { Ok(()) } else { Err(Invalid::Len { found, expected: self.len }) }
    }
}

/// Checks `node`, which holds at least `least` rows, and everything below; counts its entries.
fn check<const D: usize, T, S: Scalar>(
    sizes: &Sizes,
    node: &Node<T, S>,
    level: u32,
    least: usize,
) -> Result<usize, Invalid> {
    check_shape::<D, T, S>(node, level, least, sizes.of_node::<D, T, S>(node))?;
    match (node, level.checked_sub(1)) {
        (Branch::Leaf(leaf), None) => {
            for row in 0..leaf.len() {
                let rect = rect_of::<D, S, T>(leaf, row);
                if let Err(error) = rect.check() {
                    return Err(wrong_box(level, row, &rect, &error));
                }
            }
            Ok(leaf.len())
        }
        (Branch::Inner(inner), Some(below)) => {
            let mut entries = 0;
            for (row, child) in inner.values().iter().enumerate() {
                let least = sizes.of_node::<D, T, S>(child).least;
                entries += check::<D, T, S>(sizes, child, below, least)?;
                // Only now: what has not the columns of a node has no bounds.
                let (found, expected) = (rect_of(inner, row), bounds::<D, T, S>(child));
                if found != expected {
                    return Err(wrong_box(level, row, &found, &expected));
                }
            }
            Ok(entries)
        }
        _ => Err(Invalid::Depth { level }),
    }
}

fn check_shape<const D: usize, T, S: Scalar>(
    node: &Node<T, S>,
    level: u32,
    least: usize,
    limits: Limits,
) -> Result<(), Invalid> {
    let (columns, pages, capacity, fits) = match node {
        Branch::Leaf(leaf) => {
            let columns = leaf.columns();
            let known = columns == D || columns == 2 * D;
            (columns, leaf.pages(), limits.most, known && leaf.pages() == limits.pages)
        }
        Branch::Inner(inner) => {
            let fits = inner.columns() == 2 * D && inner.pages().is_multiple_of(limits.pages);
            (inner.columns(), inner.pages(), limits.room(inner.pages()), fits)
        }
    };
    if !fits {
        return Err(Invalid::Shape { level, columns, pages });
    }
    if !(least..=capacity).contains(&node.len()) {
        return Err(Invalid::Fill { level, rows: node.len(), least, most: capacity });
    }
    Ok(())
}

fn wrong_box(
    level: u32,
    row: usize,
    found: &dyn std::fmt::Debug,
    expected: &dyn std::fmt::Debug,
) -> Invalid {
    Invalid::Box { level, row, found: format!("{found:?}"), expected: format!("{expected:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rect;
    use crate::xtree::node::{Inner, set_rect};

    /// Large boxes all over the place: no cut of an inner node is free of overlap.
    fn overlapping(count: u32) -> XTree<4, u32> {
        let boxes = (0..count).map(|number| {
            let at = |axis: u32| f64::from((number * (7 + 12 * axis) + axis) % 101);
            let min = [at(0), at(1), at(2), at(3)];
            (Rect::new(min, min.map(|least| least + 60.0 - least / 4.0)).unwrap(), number)
        });
        let mut tree = XTree::new();
        tree.extend(boxes);
        tree
    }

    fn supernodes(tree: &XTree<4, u32>) -> usize {
        tree.stats().levels.iter().map(|level| level.supernodes).sum()
    }

    fn root_of(tree: &mut XTree<4, u32>) -> &mut Inner<u32, f64> {
        match tree.root.as_mut() {
            Some(Branch::Inner(inner)) => inner,
            _ => panic!("the tree has one level only"),
        }
    }

    #[test]
    fn supernodes_grow_and_dissolve() {
        let mut tree = overlapping(4000);
        tree.validate().unwrap();
        assert!(supernodes(&tree) > 0);
        let entries: Vec<_> = tree.iter().map(|(rect, &number)| (rect, number)).collect();
        for (rect, number) in &entries[300..] {
            assert_eq!(tree.remove(rect, |other| other == number), Some(*number));
        }
        tree.validate().unwrap();
        assert_eq!(supernodes(&tree), 0);
        assert_eq!(tree.iter().count(), 300);
    }

    #[test]
    fn finds_a_box_that_is_too_large() {
        let mut tree = overlapping(2000);
        let everywhere = Rect::new([-1.0; 4], [1000.0; 4]).unwrap();
        set_rect(&mut root_of(&mut tree).write(), 0, &everywhere);
        assert!(matches!(tree.validate(), Err(Invalid::Box { row: 0, .. })));
    }

    #[test]
    fn finds_a_node_without_columns() {
        let mut tree = overlapping(2000);
        let mut odd = crate::Rows::<f64, u32>::new(1, 1);
        odd.write().push(&[1.0], 1);
        root_of(&mut tree).write().values_mut()[0] = Branch::Leaf(odd);
        assert!(tree.validate().is_err());
    }

    #[test]
    fn finds_what_is_missing() {
        let mut tree = overlapping(2000);
        tree.len += 1;
        assert_eq!(tree.validate(), Err(Invalid::Len { found: 2000, expected: 2001 }));
        tree.height += 1;
        assert!(matches!(tree.validate(), Err(Invalid::Depth { .. })));
        let mut tree = overlapping(2000);
        let mut root = root_of(&mut tree).write();
        while root.len() > 1 {
            drop(root.swap_remove(0));
        }
        drop(root);
        assert!(matches!(tree.validate(), Err(Invalid::Fill { rows: 1, .. })));
    }
}
