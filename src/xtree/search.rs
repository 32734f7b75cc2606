//! Searches for all entries of a kind: a lazy walk without recursion and without allocation.

use std::fmt;

use smallvec::SmallVec;

use super::filter::{All, Filter};
use super::node::{self, Columns, Inner, Leaf, Node, rect_of};
use super::rect::Rect;
use super::scalar::Scalar;
use super::scan::{Found, SPAN};
use crate::{Branch, Rows};

/// The entries that a filter wants, in no particular order, found as they are asked for. From
/// [`XTree::window`](super::XTree::window) and its like.
///
/// Counting what is left (`count()`) does not look at the entries of nodes that are wanted as a
/// whole.
pub struct Search<'a, const D: usize, T, S: Scalar, F> {
    filter: F,
    leaf: Option<(&'a Leaf<T, S>, Found)>,
    above: Path<'a, T, S>,
}

/// Inner nodes with children that are still to be entered. In place for trees of usual height: one
/// of a billion points has five levels.
type Path<'a, T, S> = SmallVec<[(&'a Inner<T, S>, Found); 6]>;

impl<'a, const D: usize, T, S: Scalar, F: Filter<D, S>> Search<'a, D, T, S, F> {
    #[inline]
    pub(super) fn new(root: Option<&'a Node<T, S>>, filter: F) -> Self {
        let mut search = Self { filter, leaf: None, above: Path::new() };
        if let Some(root) = root {
            search.enter(root);
        }
        search
    }

    #[inline]
    fn enter(&mut self, node: &'a Node<T, S>) {
        match node {
            Branch::Leaf(leaf) => {
                leaf.note_use();
                self.leaf = Some((leaf, Found { base: 0, mask: self.filter.wants(leaf, 0) }));
            }
            Branch::Inner(inner) => {
                inner.note_use();
                self.above.push((inner, Found { base: 0, mask: self.filter.enters(inner, 0) }));
            }
        }
    }

    /// Enters the next leaf that may hold something.
    fn next_leaf(&mut self) -> Option<()> {
        self.leaf = None;
        while self.leaf.is_none() {
            let (inner, found) = self.above.last_mut()?;
            let inner = *inner;
            if found.mask == 0 {
                found.base += SPAN;
                if found.base < inner.len() {
                    found.mask = self.filter.enters(inner, found.base);
                } else {
                    self.above.pop();
                }
                continue;
            }
            let Some(row) = found.next() else { continue };
            match found.peek() {
                Some(next) => node::prefetch(&inner.values()[next]),
                None if found.base + SPAN >= inner.len() => {
                    self.above.pop();
                }
                None => {}
            }
            self.enter(&inner.values()[row]);
        }
        Some(())
    }

    /// Finds rows in the current leaf, or enters the next one.
    #[inline]
    fn advance(&mut self) -> Option<()> {
        match &mut self.leaf {
            Some((leaf, found)) if found.base + SPAN < leaf.len() => {
                found.base += SPAN;
                found.mask = self.filter.wants(leaf, found.base);
                Some(())
            }
            _ => self.next_leaf(),
        }
    }

    /// Takes the children of which everything is wanted out of `found`, and counts their entries.
    fn count_whole(filter: &F, inner: &Inner<T, S>, found: &mut Found) -> usize {
        let mut whole = *found;
        whole.mask = filter.takes_whole(inner, found.base, found.mask);
        found.mask &= !whole.mask;
        whole.map(|row| entries_below(&inner.values()[row])).sum()
    }

    /// Entries in the current leaf.
    fn count_leaf(&self) -> usize {
        self.leaf.map_or(0, |(leaf, found)| {
            found.mask.count_ones() as usize
                + count_rows(leaf, found.base + SPAN, |base| self.filter.wants(leaf, base))
        })
    }
}

fn count_rows<S: Scalar, V>(rows: &Rows<S, V>, from: usize, wants: impl Fn(usize) -> u64) -> usize {
    (from..rows.len()).step_by(SPAN).map(|base| wants(base).count_ones() as usize).sum()
}

/// How many entries a node holds. Of leaves, only the first cache line is read.
fn entries_below<T, S: Scalar>(node: &Node<T, S>) -> usize {
    let mut count = 0;
    let mut path = SmallVec::<[_; 6]>::new();
    path.push(std::slice::from_ref(node).iter());
    while let Some(siblings) = path.last_mut() {
        match siblings.next() {
            Some(Branch::Leaf(leaf)) => count += leaf.len(),
            Some(Branch::Inner(inner)) => path.push(inner.values().iter()),
            None => {
                path.pop();
            }
        }
    }
    count
}

impl<'a, const D: usize, T, S: Scalar, F: Filter<D, S>> Iterator for Search<'a, D, T, S, F> {
    type Item = (Rect<D, S>, &'a T);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((leaf, found)) = &mut self.leaf
                && let Some(row) = found.next()
            {
                return Some((rect_of(leaf, row), &leaf.values()[row]));
            }
            self.advance()?;
        }
    }

    #[inline]
    fn fold<B, G: FnMut(B, Self::Item) -> B>(mut self, init: B, mut each: G) -> B {
        let mut folded = init;
        loop {
            if let Some((leaf, mut found)) = self.leaf {
                let columns = Columns::of(leaf);
                loop {
                    if found.mask == u64::MAX {
                        let rows = found.base..found.base + SPAN;
                        folded = rows.fold(folded, |folded, row| each(folded, columns.row(row)));
                        found.mask = 0;
                    }
                    folded = found.fold(folded, |folded, row| each(folded, columns.row(row)));
                    found.base += SPAN;
                    if found.base >= leaf.len() {
                        break;
                    }
                    found.mask = self.filter.wants(leaf, found.base);
                }
            }
            if self.next_leaf().is_none() {
                return folded;
            }
        }
    }

    fn count(self) -> usize {
        let mut count = self.count_leaf();
        let Self { filter, mut above, .. } = self;
        for (inner, found) in &mut above {
            count += Self::count_whole(&filter, inner, found);
        }
        while let Some((inner, found)) = above.last_mut() {
            let inner = *inner;
            if let Some(row) = found.next() {
                match &inner.values()[row] {
                    Branch::Leaf(leaf) => {
                        count += count_rows(leaf, 0, |base| filter.wants(leaf, base));
                    }
                    Branch::Inner(below) => {
                        let mut found = Found { base: 0, mask: filter.enters(below, 0) };
                        count += Self::count_whole(&filter, below, &mut found);
                        above.push((below, found));
                    }
                }
                continue;
            }
            found.base += SPAN;
            if found.base < inner.len() {
                found.mask = filter.enters(inner, found.base);
                count += Self::count_whole(&filter, inner, found);
            } else {
                above.pop();
            }
        }
        count
    }
}

impl<const D: usize, T, S, F> std::iter::FusedIterator for Search<'_, D, T, S, F>
where
    S: Scalar,
    F: Filter<D, S>,
{
}

impl<const D: usize, T, S: Scalar, F: Clone> Clone for Search<'_, D, T, S, F> {
    fn clone(&self) -> Self {
        Self { filter: self.filter.clone(), leaf: self.leaf, above: self.above.clone() }
    }
}

impl<const D: usize, T, S, F> fmt::Debug for Search<'_, D, T, S, F>
where
    T: fmt::Debug,
    S: Scalar,
    F: Filter<D, S>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// All entries, in no particular order. From [`XTree::iter`](super::XTree::iter).
pub struct Iter<'a, const D: usize, T, S: Scalar = f64> {
    all: Search<'a, D, T, S, All>,
    left: usize,
}

impl<'a, const D: usize, T, S: Scalar> Iter<'a, D, T, S> {
    pub(super) fn new(root: Option<&'a Node<T, S>>, len: usize) -> Self {
        Self { all: Search::new(root, All), left: len }
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

    #[inline]
    fn fold<B, G: FnMut(B, Self::Item) -> B>(self, init: B, each: G) -> B {
        self.all.fold(init, each)
    }

    fn count(self) -> usize {
        self.left
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
