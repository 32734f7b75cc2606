//! Moving an entry: in place if its leaf's box has room, else from the lowest node that has.
//!
//! The idea of the bottom-up updates of Lee, Hsu, Jensen, Cui, Teo: "Supporting Frequent Updates in
//! R-Trees", VLDB 2003, on the way back up: most moves are short, and end in the leaf where they
//! began.

use super::insert::{Insertion, Item, Load, Outcome};
use super::node::{self, Inner, Leaf, Node, rect_of};
use super::rect::Rect;
use super::remove::{Orphan, condense, dissolve, tighten};
use super::scalar::Scalar;
use super::scan::{self, Found, SPAN};
use crate::{BranchReach, Reach};

/// Looks for an entry with exactly the box `from` that `matches`, and gives it the box `to`.
pub(super) struct Relocation<'a, const D: usize, T, S: Scalar, F> {
    pub(super) from: &'a Rect<D, S>,
    pub(super) to: Rect<D, S>,
    pub(super) matches: F,
    pub(super) orphans: Vec<Orphan<T, S>>,
    pub(super) insertion: Insertion<D, T, S>,
}

/// What happened below.
pub(super) enum Relocated {
    /// The entry is not there.
    Absent,
    /// The entry has its new box; otherwise as after an insertion.
    Done(Outcome),
    /// The entry was taken out, and has to go in higher up; the insertion has it.
    Homeless,
}

impl<const D: usize, T, S: Scalar, F: FnMut(&T) -> bool> Relocation<'_, D, T, S, F> {
    /// Moves the entry, if it is below `node`, which is at `level` and has the box `own`; the
    /// root has none.
    pub(super) fn go(
        &mut self,
        node: Reach<'_, Node<T, S>>,
        level: u32,
        own: Option<&Rect<D, S>>,
    ) -> Relocated {
        let stays = own.is_none_or(|own| own.contains(&self.to));
        match node.kind() {
            BranchReach::Leaf(leaf) => self.go_in_leaf(leaf, stays),
            BranchReach::Inner(inner) => self.go_below(inner, level, stays),
        }
    }

    fn go_in_leaf(&mut self, mut leaf: Reach<'_, Leaf<T, S>>, stays: bool) -> Relocated {
        let stays = stays && (leaf.columns() > D || self.to.is_point());
        for base in (0..leaf.len()).step_by(SPAN) {
            let mask = scan::equal(&leaf, base, self.from);
            for row in (Found { base, mask }) {
                if !(self.matches)(&leaf.values()[row]) {
                    continue;
                }
                if !stays {
                    let load = Load::Entry(leaf.write().swap_remove(row));
                    self.insertion.set_out(Item { rect: self.to, load, level: 0 });
                    return Relocated::Homeless;
                }
                node::set_rect(&mut leaf.write(), row, &self.to);
                return Relocated::Done(Outcome::Placed);
            }
        }
        Relocated::Absent
    }

    fn go_below(
        &mut self,
        mut inner: Reach<'_, Inner<T, S>>,
        level: u32,
        stays: bool,
    ) -> Relocated {
        for base in (0..inner.len()).step_by(SPAN) {
            let mask = scan::containing(&inner, base, self.from);
            for row in (Found { base, mask }) {
                let child = rect_of(&inner, row);
                match self.go(inner.reach(row), level - 1, Some(&child)) {
                    Relocated::Absent => {}
                    Relocated::Done(outcome) => {
                        return Relocated::Done(self.settle(inner, row, level, outcome));
                    }
                    Relocated::Homeless => return self.house(inner, row, level, stays),
                }
            }
        }
        Relocated::Absent
    }

    /// Child `row` has the entry now.
    fn settle(
        &mut self,
        mut inner: Reach<'_, Inner<T, S>>,
        row: usize,
        level: u32,
        outcome: Outcome,
    ) -> Outcome {
        let Self { from, orphans, insertion, .. } = self;
        let sizes = &insertion.rules.sizes;
        match outcome {
            Outcome::Full => return insertion.relieve(inner, row, level),
            Outcome::Placed => condense(&mut inner, row, level, from, sizes, orphans),
            Outcome::Shrunk => {
                if !dissolve::<D, T, S>(&mut inner, row, level, sizes, orphans) {
                    tighten::<D, T, S>(&mut inner, row, sizes);
                }
            }
        }
        outcome
    }

    /// Child `row` had the entry: it goes into the best child of this node, or of one above.
    fn house(
        &mut self,
        mut inner: Reach<'_, Inner<T, S>>,
        row: usize,
        level: u32,
        stays: bool,
    ) -> Relocated {
        let Self { from, orphans, insertion, .. } = self;
        condense(&mut inner, row, level, from, &insertion.rules.sizes, orphans);
        if !stays || inner.is_empty() {
            return Relocated::Homeless;
        }
        Relocated::Done(insertion.pass_down(inner, level))
    }
}
