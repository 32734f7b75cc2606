//! [`XTree`]: the tree itself, and what can be asked of it.

use super::insert::{Insertion, Item, Load, Outcome, make_room};
use super::nearest::{self, Neighbour};
use super::nearest_first::NearestFirst;
use super::node::{self, Limits, Node, bounds, push};
use super::rect::{Rect, RectError};
use super::remove::{Orphan, Removal};
use super::scalar::Scalar;
use super::window::{Iter, Window};
use crate::{Branch, Durable, Reach, Rows};

/// An index of points and boxes in `D` dimensions (1 to 32), each with a value of type `T`.
///
/// Insertion is the R*-tree's (choose-subtree by overlap, topological split), with the
/// X-tree's overlap-minimal split and supernodes for inner nodes that have no good split. Several
/// entries may have the same box, and the same value. Coordinates may be infinite, but not NaN.
///
/// Nodes are page-sized blocks (4 KiB; a wide value takes more) whose writes are announced, see
/// [`Rows`].
///
/// ```
/// use stillheap::{Rect, XTree};
///
/// let mut tree = XTree::<2, &str>::new();
/// tree.insert([48.9, 2.4], "Paris")?;
/// tree.insert([52.5, 13.4], "Berlin")?;
/// tree.insert([52.4, 13.1], "Potsdam")?;
/// assert_eq!(*tree.nearest([50.0, 3.0], 1)[0].value, "Paris");
/// assert_eq!(tree.window(&Rect::new([52.0, 13.0], [53.0, 14.0])?).count(), 2);
/// assert_eq!(tree.remove(&[52.5, 13.4].into(), |&name| name == "Berlin"), Some("Berlin"));
/// # Ok::<(), stillheap::RectError>(())
/// ```
#[derive(Durable)]
#[durable(crate = "crate", name = "stillheap::XTree")]
pub struct XTree<const D: usize, T, S: Scalar = f64> {
    pub(super) root: Option<Node<T, S>>,
    /// Levels of nodes; leaves are level 0, and the root is level `height - 1`.
    pub(super) height: u32,
    pub(super) len: usize,
    pub(super) reinserted_percent: u8,
}

impl<const D: usize, T, S: Scalar> XTree<D, T, S> {
    /// An empty tree; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(D >= 1 && D <= 32, "an X-tree has 1 to 32 dimensions") };
        Self { root: None, height: 0, len: 0, reinserted_percent: 0 }
    }

    /// The same tree, with forced reinsertion (R*-tree, section 4.3) of `percent` of a node's rows,
    /// 0 to 45, when it is full for the first time in an insertion; the paper takes 30, the default
    /// is 0.
    ///
    /// With page-sized nodes it does not pay: at 100,000 uniform, sorted or clustered points, 30 %
    /// made insertion 2 to 3 times slower, and queries between 8 % slower and 5 % faster.
    ///
    /// # Panics
    /// If `percent` is above 45.
    #[must_use]
    pub const fn with_reinsertion(mut self, percent: u8) -> Self {
        assert!(percent <= 45, "at most 45 % can be reinserted");
        self.reinserted_percent = percent;
        self
    }

    /// Adds an entry: a point (`[S; D]`) or a box ([`Rect`]), and its value.
    ///
    /// # Errors
    /// [`RectError`] if a coordinate is NaN; the tree is then as before, and the value is dropped.
    pub fn insert(&mut self, at: impl Into<Rect<D, S>>, value: T) -> Result<(), RectError> {
        let rect = at.into();
        rect.check()?;
        self.place(Item { rect, load: Load::Entry(value), level: 0 });
        self.len += 1;
        Ok(())
    }

    /// Takes out one entry with exactly the box `at` whose value `matches`, and returns the value.
    pub fn remove(&mut self, at: &Rect<D, S>, matches: impl FnMut(&T) -> bool) -> Option<T> {
        let mut removal = Removal { rect: at, matches, orphans: Vec::new() };
        let value = removal.take(Reach::from(self.root.as_mut()?), self.height - 1)?;
        self.len -= 1;
        for orphan in removal.orphans {
            self.adopt(orphan);
        }
        self.trim_root();
        Some(value)
    }

    /// The entries whose boxes meet `window`; touching is enough. Lazy, and allocates nothing.
    #[must_use]
    pub fn window(&self, window: &Rect<D, S>) -> Window<'_, D, T, S> {
        Window::new(self.root.as_ref(), *window)
    }

    /// The entries whose boxes contain `point`: those at the point, for entries that are points.
    #[must_use]
    pub fn at(&self, point: [S; D]) -> Window<'_, D, T, S> {
        self.window(&point.into())
    }

    /// Whether there is an entry with exactly the box `at` and the value `value`.
    #[must_use]
    pub fn contains(&self, at: &Rect<D, S>, value: &T) -> bool
    where
        T: PartialEq,
    {
        self.window(at).any(|(rect, other)| rect == *at && other == value)
    }

    /// The `count` entries nearest to `point` by Euclidean distance, nearest first.
    ///
    /// All of them if the tree has fewer; none if the point holds NaN. The order among equals is
    /// arbitrary.
    #[must_use]
    pub fn nearest(&self, point: [S; D], count: usize) -> Vec<Neighbour<'_, D, T, S>> {
        self.root.as_ref().map_or_else(Vec::new, |root| nearest::nearest(root, &point, count))
    }

    /// All entries, nearest to `point` first, found as they are asked for; none if the point holds
    /// NaN.
    #[must_use]
    pub fn nearest_first(&self, point: [S; D]) -> NearestFirst<'_, D, T, S> {
        NearestFirst::new(self.root.as_ref(), point)
    }

    /// All entries, in no particular order.
    #[must_use]
    pub fn iter(&self) -> Iter<'_, D, T, S> {
        Iter::new(self.root.as_ref(), self.len)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The least box around all entries; `None` if there are none.
    #[must_use]
    pub fn bounds(&self) -> Option<Rect<D, S>> {
        self.root.as_ref().map(bounds)
    }

    /// Drops every entry.
    pub fn clear(&mut self) {
        *self = Self::new().with_reinsertion(self.reinserted_percent);
    }

    /// Inserts an item, and what that made homeless.
    fn place(&mut self, item: Item<D, T, S>) {
        let mut insertion = Insertion::new(self.reinserted_percent);
        let mut next = Some(item);
        while let Some(item) = next {
            self.place_one(&mut insertion, item);
            next = insertion.homeless.pop();
        }
    }

    fn place_one(&mut self, insertion: &mut Insertion<D, T, S>, item: Item<D, T, S>) {
        let Some(root) = &mut self.root else {
            return self.plant(item);
        };
        let outcome = insertion.descend(Reach::from(&mut *root), self.height - 1, item);
        let Outcome::Full(item) = outcome else { return };
        let Some((rect, sibling)) = make_room(root, item) else { return };
        let pages = Limits::inner::<D, T, S>().pages;
        let child = std::mem::replace(root, Branch::Inner(Rows::new(2 * D, pages)));
        if let Branch::Inner(inner) = root {
            let mut page = inner.write();
            push(&mut page, &bounds::<D, T, S>(&child), child);
            push(&mut page, &rect, sibling);
        }
        self.height += 1;
    }

    /// The first node: a leaf with one entry, or what a dissolved tree left.
    fn plant(&mut self, item: Item<D, T, S>) {
        match item.load {
            Load::Entry(value) => {
                let points = item.rect.is_point();
                let limits =
                    if points { Limits::points::<D, T, S>() } else { Limits::boxes::<D, T, S>() };
                let mut leaf = Rows::new(if points { D } else { 2 * D }, limits.pages);
                push(&mut leaf.write(), &item.rect, value);
                self.root = Some(Branch::Leaf(leaf));
                self.height = 1;
            }
            Load::Node(node) => {
                self.root = Some(node);
                self.height = item.level;
            }
        }
    }

    /// Inserts anew what a dissolved node held.
    fn adopt(&mut self, orphan: Orphan<T, S>) {
        match orphan.node {
            Branch::Leaf(mut leaf) => {
                while let Some(last) = leaf.len().checked_sub(1) {
                    let (rect, value) = node::take(&mut leaf.write(), last);
                    self.place(Item { rect, load: Load::Entry(value), level: 0 });
                }
            }
            Branch::Inner(mut inner) => {
                while let Some(last) = inner.len().checked_sub(1) {
                    let (rect, child) = node::take(&mut inner.write(), last);
                    self.place(Item { rect, load: Load::Node(child), level: orphan.level });
                }
            }
        }
    }

    /// A root with one child gives way to it, an empty one to none.
    fn trim_root(&mut self) {
        while let Some(root) = &mut self.root {
            match root {
                Branch::Leaf(leaf) if leaf.is_empty() => {
                    return self.clear();
                }
                Branch::Inner(inner) if inner.len() == 1 => {
                    let child = inner.write().swap_remove(0);
                    self.root = Some(child);
                    self.height -= 1;
                }
                Branch::Inner(inner) => {
                    node::shrink::<D, S, Node<T, S>>(inner, Limits::inner::<D, T, S>());
                    return;
                }
                Branch::Leaf(_) => return,
            }
        }
    }
}
