//! Taking many entries out in one pass.
//!
//! First all entries are judged, then the tree is changed: a judge that panics leaves it as it was.

use smallvec::SmallVec;

use super::filter::Filter;
use super::node::{self, Node};
use super::rect::Rect;
use super::remove::{Orphan, dissolve, tighten};
use super::scalar::Scalar;
use super::scan::{Found, SPAN};
use super::search::Search;
use super::tuning::Sizes;
use crate::{BranchReach, Reach};

/// One verdict for each entry that a search finds, in its order.
pub(super) struct Verdicts {
    bits: Vec<u64>,
    len: usize,
    /// How many entries are to go.
    pub(super) going: usize,
}

impl Verdicts {
    pub(super) fn of<const D: usize, T, S: Scalar, F: Filter<D, S>>(
        search: Search<'_, D, T, S, F>,
        mut goes: impl FnMut(&Rect<D, S>, &T) -> bool,
    ) -> Self {
        let mut verdicts = Self { bits: Vec::new(), len: 0, going: 0 };
        for (rect, value) in search {
            verdicts.push(goes(&rect, value));
        }
        verdicts
    }

    fn push(&mut self, goes: bool) {
        if self.len.is_multiple_of(64) {
            self.bits.push(0);
        }
        self.bits[self.len / 64] |= u64::from(goes) << (self.len % 64);
        self.len += 1;
        self.going += usize::from(goes);
    }

    /// All verdicts, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = bool> {
        (0..self.len).map(|place| self.bits[place / 64] >> (place % 64) & 1 == 1)
    }
}

/// Takes the entries out that are to go.
pub(super) struct Extraction<'a, const D: usize, T, S: Scalar, F, I> {
    pub(super) filter: &'a F,
    pub(super) verdicts: I,
    pub(super) sizes: Sizes,
    pub(super) taken: Vec<(Rect<D, S>, T)>,
    pub(super) orphans: Vec<Orphan<T, S>>,
}

impl<const D: usize, T, S, F, I> Extraction<'_, D, T, S, F, I>
where
    S: Scalar,
    F: Filter<D, S>,
    I: Iterator<Item = bool>,
{
    /// Walks over what the search found below `node`, which is at `level`; gives whether anything
    /// went.
    pub(super) fn sweep(&mut self, node: Reach<'_, Node<T, S>>, level: u32) -> bool {
        // Rows that lose something, in order.
        let mut rows = SmallVec::<[usize; 256]>::new();
        match node.kind() {
            BranchReach::Leaf(mut leaf) => {
                for base in (0..leaf.len()).step_by(SPAN) {
                    let found = Found { base, mask: self.filter.wants(&leaf, base) };
                    for row in found {
                        if self.verdicts.next() == Some(true) {
                            rows.push(row);
                        }
                    }
                }
                if !rows.is_empty() {
                    let mut page = leaf.write();
                    // From the last row down: the row that fills a gap is never one that goes.
                    let gone = rows.iter().rev().map(|&row| node::take(&mut page, row));
                    self.taken.extend(gone);
                }
            }
            BranchReach::Inner(mut inner) => {
                for base in (0..inner.len()).step_by(SPAN) {
                    let found = Found { base, mask: self.filter.enters(&inner, base) };
                    for row in found {
                        if self.sweep(inner.reach(row), level - 1) {
                            rows.push(row);
                        }
                    }
                }
                for &row in rows.iter().rev() {
                    let Self { sizes, orphans, .. } = self;
                    if !dissolve::<D, T, S>(&mut inner, row, level, sizes, orphans) {
                        tighten::<D, T, S>(&mut inner, row, sizes);
                    }
                }
            }
        }
        !rows.is_empty()
    }
}
