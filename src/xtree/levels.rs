//! The boxes of the nodes, level by level: what a picture of a tree shows.

use super::node::{bounds, rect_of};
use super::rect::Rect;
use super::scalar::Scalar;
use super::tree::XTree;
use crate::Branch;

impl<const D: usize, T, S: Scalar> XTree<D, T, S> {
    /// The boxes of all nodes, each with its level, a node before those below it: for pictures, and
    /// to see what [`Tuning`](super::Tuning) does. Leaves are on level 0, the root alone on the
    /// highest.
    ///
    /// ```
    /// use stillheap::XTree;
    ///
    /// let points = (0..1000_u32).map(|n| ([f64::from(n % 37), f64::from(n % 31)], n));
    /// let tree = XTree::<2, u32>::bulk_load(points)?;
    /// let leaves = tree.node_boxes().filter(|(level, _)| *level == 0);
    /// assert_eq!(leaves.count(), tree.stats().levels[0].nodes);
    /// # Ok::<(), stillheap::RectError>(())
    /// ```
    pub fn node_boxes(&self) -> impl Iterator<Item = (u32, Rect<D, S>)> {
        let root = self.root.iter().map(|root| (self.height - 1, bounds(root), root));
        let mut next: Vec<_> = root.collect();
        std::iter::from_fn(move || {
            let (level, rect, node) = next.pop()?;
            if let Branch::Inner(inner) = node {
                let children = inner.values().iter().enumerate();
                next.extend(children.map(|(row, child)| (level - 1, rect_of(inner, row), child)));
            }
            Some((level, rect))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tuning;

    #[test]
    fn each_node_has_a_box_within_one_above() {
        let tuning = Tuning::new().leaf_rows(8).inner_rows(5);
        let mut tree = XTree::<2, u32>::with_tuning(tuning);
        assert_eq!(tree.node_boxes().count(), 0);
        for number in 0..700_u32 {
            let point = [number * 37 % 101, number * 53 % 89].map(f64::from);
            tree.insert(point, number).expect("a number");
        }
        let boxes: Vec<_> = tree.node_boxes().collect();
        let stats = tree.stats();
        assert!(stats.height() > 3);
        let on = |level: usize| {
            boxes.iter().filter(move |(of, _)| *of as usize == level).map(|(_, rect)| rect)
        };
        for (level, expected) in stats.levels.iter().enumerate() {
            assert_eq!(on(level).count(), expected.nodes);
            let union = on(level).copied().reduce(|a, b| a.union(&b));
            assert_eq!(union, tree.bounds());
            let is_root = level + 1 == stats.height();
            assert!(is_root || on(level).all(|rect| on(level + 1).any(|up| up.contains(rect))));
        }
        let is_in_a_leaf = |rect: &Rect<2>| on(0).any(|leaf| leaf.contains(rect));
        assert!(tree.iter().all(|(rect, _)| is_in_a_leaf(&rect)));
        assert_eq!(boxes.first().map(|first| Some(first.1)), Some(tree.bounds()));
    }
}
