//! [`XTree`]: the tree itself, and how it changes.

use super::bulk::BulkLoad;
use super::entries::IntoIter;
use super::extract::{Extraction, Verdicts};
use super::filter::{All, Filter, Meeting};
use super::insert::{Insertion, Item, Load, Outcome, make_room};
use super::node::{self, Node, bounds, push};
use super::rect::{Rect, RectError};
use super::relocate::{Relocated, Relocation};
use super::remove::{Orphan, Removal};
use super::scalar::Scalar;
use super::search::Search;
use super::tuning::{Rules, Tuning};
use crate::{Branch, Durable, Reach, Rows};

/// An index of points and boxes in `D` dimensions (1 to 32), each with a value of type `T`.
///
/// Insertion is the R*-tree's (choose-subtree by overlap, topological split), with the
/// X-tree's overlap-minimal split and supernodes for inner nodes that have no good split. Several
/// entries may have the same box, and the same value. Coordinates may be infinite, but not NaN: a
/// box that is infinite in a direction has no end there, and the distance to what lies at infinity
/// is infinite, but for 0 between equal infinities.
///
/// Searches are lazy iterators that allocate nothing (but for `nearest`, which returns a `Vec`, and
/// `nearest_first`, which keeps a queue; and in trees of more than seven levels, which have
/// billions of entries unless their nodes were made small). Nodes are page-sized blocks (4 KiB; a
/// wide value takes more) whose writes are announced, see [`Rows`]. Values are moved on the stack:
/// box those of tens of kilobytes. The tree is the same in a durable heap and outside of one.
///
/// ```
/// use stillheap::{GreatCircle, Rect, XTree};
///
/// let mut tree = XTree::<2, &str>::new();
/// tree.insert([2.4, 48.9], "Paris")?;
/// tree.insert([13.4, 52.5], "Berlin")?;
/// tree.insert([13.1, 52.4], "Potsdam")?;
/// assert_eq!(*tree.nearest([3.0, 50.0], 1)[0].value, "Paris");
/// assert_eq!(tree.window(&Rect::new([13.0, 52.0], [14.0, 53.0])?).count(), 2);
/// let near = tree.within_distance_by(GreatCircle::EARTH, [13.0, 52.4], 30_000.0);
/// assert_eq!(near.map(|(_, name)| *name).collect::<Vec<_>>(), ["Berlin", "Potsdam"]);
/// assert!(tree.relocate(&[2.4, 48.9].into(), |&name| name == "Paris", [2.35, 48.86])?);
/// assert_eq!(tree.remove(&[13.4, 52.5].into(), |&name| name == "Berlin"), Some("Berlin"));
/// # Ok::<(), stillheap::RectError>(())
/// ```
#[derive(Durable)]
#[durable(crate = "crate", name = "stillheap::XTree")]
pub struct XTree<const D: usize, T, S: Scalar = f64> {
    pub(super) root: Option<Node<T, S>>,
    /// Levels of nodes; leaves are level 0, and the root is level `height - 1`.
    pub(super) height: u32,
    pub(super) len: usize,
    pub(super) rules: Rules,
}

impl<const D: usize, T, S: Scalar> XTree<D, T, S> {
    /// An empty tree; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_tuning(Tuning::new())
    }

    /// An empty tree with other parameters than the default ones.
    ///
    /// # Panics
    /// If a node of that many rows would pass 4 GiB.
    #[must_use]
    pub const fn with_tuning(tuning: Tuning) -> Self {
        const { assert!(D >= 1 && D <= 32, "an X-tree has 1 to 32 dimensions") };
        Self { root: None, height: 0, len: 0, rules: Rules::of::<D, T, S>(tuning) }
    }

    /// A tree with all these entries, built at once; [`BulkLoad`] has more to choose from.
    ///
    /// # Errors
    /// [`RectError`] if a coordinate is NaN.
    pub fn bulk_load<R: Into<Rect<D, S>>>(
        entries: impl IntoIterator<Item = (R, T)>,
    ) -> Result<Self, RectError> {
        BulkLoad::new().load(entries)
    }

    /// The parameters that the tree was made with.
    #[must_use]
    pub const fn tuning(&self) -> Tuning {
        self.rules.tuning
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
        let sizes = self.rules.sizes;
        let mut removal = Removal { rect: at, matches, taken: None, orphans: Vec::new(), sizes };
        removal.take(Reach::from(self.root.as_mut()?), self.height - 1);
        let Removal { taken, orphans, .. } = removal;
        let value = taken?;
        self.len -= 1;
        self.adopt_all(orphans);
        self.trim_root();
        Some(value)
    }

    /// Gives one entry with exactly the box `from` whose value `matches` the box `to`; `false` if
    /// there is none. Cheaper than removing and inserting it, above all for short ways.
    ///
    /// # Errors
    /// [`RectError`] if a coordinate of `to` is NaN; the tree is then as before.
    pub fn relocate(
        &mut self,
        from: &Rect<D, S>,
        matches: impl FnMut(&T) -> bool,
        to: impl Into<Rect<D, S>>,
    ) -> Result<bool, RectError> {
        let to = to.into();
        to.check()?;
        let Some(root) = &mut self.root else { return Ok(false) };
        let insertion = Insertion::new(&self.rules);
        let mut relocation = Relocation { from, to, matches, orphans: Vec::new(), insertion };
        let relocated = relocation.go(Reach::from(&mut *root), self.height - 1, None);
        let Relocation { mut insertion, orphans, .. } = relocation;
        let mut homeless = None;
        match relocated {
            Relocated::Absent => return Ok(false),
            Relocated::Done(Outcome::Full) => self.make_room(insertion.take()),
            Relocated::Done(_) => {}
            Relocated::Homeless => homeless = Some(insertion.take()),
        }
        self.place_homeless(&mut insertion);
        self.adopt_all(orphans);
        if let Some(item) = homeless {
            self.place(item);
        }
        self.trim_root();
        Ok(true)
    }

    /// Keeps the entries for which `keep` holds. All are judged before any goes, so that a panic in
    /// `keep` leaves the tree as it was.
    pub fn retain(&mut self, mut keep: impl FnMut(&Rect<D, S>, &T) -> bool) {
        drop(self.extract(&All, |rect, value| !keep(rect, value)));
    }

    /// Takes out the entries that meet `window`, and returns them.
    pub fn drain_window(&mut self, window: &Rect<D, S>) -> Vec<(Rect<D, S>, T)> {
        self.extract(&Meeting(*window), |_, _| true)
    }

    /// Takes out all entries; they are dropped with the iterator if they are not taken from it.
    pub fn drain(&mut self) -> IntoIter<D, T, S> {
        std::mem::replace(self, Self::with_tuning(self.tuning())).into_iter()
    }

    /// Drops every entry.
    pub fn clear(&mut self) {
        *self = Self::with_tuning(self.tuning());
    }

    fn extract<F: Filter<D, S>>(
        &mut self,
        filter: &F,
        goes: impl FnMut(&Rect<D, S>, &T) -> bool,
    ) -> Vec<(Rect<D, S>, T)> {
        let verdicts = Verdicts::of(Search::new(self.root.as_ref(), filter.clone()), goes);
        let Some(root) = &mut self.root else { return Vec::new() };
        if verdicts.going == 0 {
            return Vec::new();
        }
        let mut extraction = Extraction {
            filter,
            verdicts: verdicts.iter(),
            sizes: self.rules.sizes,
            taken: Vec::with_capacity(verdicts.going),
            orphans: Vec::new(),
        };
        extraction.sweep(Reach::from(&mut *root), self.height - 1);
        let Extraction { taken, orphans, .. } = extraction;
        self.len -= taken.len();
        if self.root.as_ref().is_some_and(Branch::is_empty) {
            (self.root, self.height) = (None, 0);
        }
        self.adopt_all(orphans);
        self.trim_root();
        taken
    }

    /// Inserts an item, and what that made homeless.
    fn place(&mut self, item: Item<D, T, S>) {
        let mut insertion = Insertion::new(&self.rules);
        self.place_one(&mut insertion, item);
        self.place_homeless(&mut insertion);
    }

    fn place_homeless(&mut self, insertion: &mut Insertion<D, T, S>) {
        while let Some(item) = insertion.homeless.pop() {
            self.place_one(insertion, item);
        }
    }

    fn place_one(&mut self, insertion: &mut Insertion<D, T, S>, item: Item<D, T, S>) {
        let Some(root) = &mut self.root else {
            return self.plant(item);
        };
        // A node of the root's own level, in a tree that has lost those above.
        if item.level == self.height {
            if let Load::Node(node) = item.load {
                self.grow(item.rect, node);
            }
            return;
        }
        insertion.set_out(item);
        if let Outcome::Full = insertion.descend(Reach::from(root), self.height - 1) {
            self.make_room(insertion.take());
        }
    }

    /// Puts `item` into the root, which is full.
    fn make_room(&mut self, item: Item<D, T, S>) {
        let Some(root) = &mut self.root else { return };
        if let Some((rect, sibling)) = make_room(root, item, &self.rules) {
            self.grow(rect, sibling);
        }
    }

    /// Puts a new root above the old one and its new sibling.
    fn grow(&mut self, rect: Rect<D, S>, sibling: Node<T, S>) {
        let Some(old) = self.root.take() else { return };
        let mut inner = Rows::new(2 * D, self.rules.sizes.inner.pages);
        let mut page = inner.write();
        push(&mut page, &bounds::<D, T, S>(&old), old);
        push(&mut page, &rect, sibling);
        drop(page);
        self.root = Some(Branch::Inner(inner));
        self.height += 1;
    }

    /// The first node: a leaf with one entry, or what a dissolved tree left.
    fn plant(&mut self, item: Item<D, T, S>) {
        match item.load {
            Load::Entry(value) => {
                let sizes = &self.rules.sizes;
                let (columns, limits) =
                    if item.rect.is_point() { (D, sizes.points) } else { (2 * D, sizes.boxes) };
                let mut leaf = Rows::new(columns, limits.pages);
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

    /// Inserts anew what dissolved nodes held, the highest first: a tree that has lost its root
    /// grows with them.
    fn adopt_all(&mut self, mut orphans: Vec<Orphan<T, S>>) {
        orphans.sort_by_key(|orphan| std::cmp::Reverse(orphan.level));
        for orphan in orphans {
            self.adopt(orphan);
        }
    }

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
                    node::shrink::<D, S, Node<T, S>>(inner, self.rules.sizes.inner);
                    return;
                }
                Branch::Leaf(_) => return,
            }
        }
    }
}
