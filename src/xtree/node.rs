//! Nodes: what their columns mean, how much they hold, and how they move to larger or smaller
//! blocks.
//!
//! Invariants: a leaf whose entries are all points has `D` columns, every other node `2 * D`: the
//! least corner's coordinates, then the greatest corner's. Word 0 of a block is its split history:
//! bit `d` is set if a split along axis `d` led to it.

use super::rect::Rect;
use super::scalar::Scalar;
use super::scan;
use super::tuning::{Limits, Sizes};
use crate::{Branch, Reach, Rows, RowsMut};

pub(super) type Node<T, S> = Branch<S, T>;
pub(super) type Leaf<T, S> = Rows<S, T>;
pub(super) type Inner<T, S> = Rows<S, Node<T, S>>;

/// The word of a block that holds its split history.
const HISTORY: usize = 0;

impl Sizes {
    #[inline]
    pub(super) fn of_leaf<const D: usize, T, S: Scalar>(&self, leaf: &Leaf<T, S>) -> Limits {
        if leaf.columns() == D { self.points } else { self.boxes }
    }

    #[inline]
    pub(super) fn of_node<const D: usize, T, S: Scalar>(&self, node: &Node<T, S>) -> Limits {
        match node {
            Branch::Leaf(leaf) => self.of_leaf::<D, T, S>(leaf),
            Branch::Inner(_) => self.inner,
        }
    }
}

/// The box of row `row`.
#[inline]
pub(super) fn rect_of<const D: usize, S: Scalar, V>(rows: &Rows<S, V>, row: usize) -> Rect<D, S> {
    let high = rows.columns() - D;
    Rect::from_corners(
        std::array::from_fn(|axis| rows.column(axis)[row]),
        std::array::from_fn(|axis| rows.column(high + axis)[row]),
    )
}

/// The columns of a block, for many of its rows.
pub(super) struct Columns<'a, const D: usize, S, V> {
    low: [&'a [S]; D],
    high: [&'a [S]; D],
    values: &'a [V],
}

impl<'a, const D: usize, S: Scalar, V> Columns<'a, D, S, V> {
    #[inline]
    pub(super) fn of(rows: &'a Rows<S, V>) -> Self {
        let high = rows.columns() - D;
        Self {
            low: std::array::from_fn(|axis| rows.column(axis)),
            high: std::array::from_fn(|axis| rows.column(high + axis)),
            values: rows.values(),
        }
    }

    #[inline]
    pub(super) fn row(&self, row: usize) -> (Rect<D, S>, &'a V) {
        let min = std::array::from_fn(|axis| self.low[axis][row]);
        let max = std::array::from_fn(|axis| self.high[axis][row]);
        (Rect::from_corners(min, max), &self.values[row])
    }
}

/// The least box around all rows.
#[inline]
pub(super) fn bounds_of_rows<const D: usize, S: Scalar, V>(rows: &Rows<S, V>) -> Rect<D, S> {
    let high = rows.columns() - D;
    Rect::from_corners(
        std::array::from_fn(|axis| scan::least(rows.column(axis))),
        std::array::from_fn(|axis| scan::greatest(rows.column(high + axis))),
    )
}

/// The least box around everything in `node`.
pub(super) fn bounds<const D: usize, T, S: Scalar>(node: &Node<T, S>) -> Rect<D, S> {
    match node {
        Branch::Leaf(rows) => bounds_of_rows(rows),
        Branch::Inner(rows) => bounds_of_rows(rows),
    }
}

/// Asks for `node` while something else is looked at.
#[inline]
pub(super) fn prefetch<T, S: Scalar>(node: &Node<T, S>) {
    match node {
        Branch::Leaf(rows) => rows.prefetch(),
        Branch::Inner(rows) => rows.prefetch(),
    }
}

/// Appends a row; to a block of points only if `rect` is one.
#[inline]
pub(super) fn push<const D: usize, S: Scalar, V>(
    page: &mut RowsMut<'_, S, V>,
    rect: &Rect<D, S>,
    value: V,
) {
    if page.columns() == D {
        page.push(&rect.min(), value);
    } else {
        page.push([rect.min(), rect.max()].as_flattened(), value);
    }
}

/// Sets the box of row `row`; in a leaf of points only to a point.
#[inline]
pub(super) fn set_rect<const D: usize, S: Scalar, V>(
    page: &mut RowsMut<'_, S, V>,
    row: usize,
    rect: &Rect<D, S>,
) {
    if page.columns() == D {
        page.set_keys(row, &rect.min());
    } else {
        page.set_keys(row, [rect.min(), rect.max()].as_flattened());
    }
}

/// Makes the box of child `row` the exact one, if it is not.
pub(super) fn set_exact<const D: usize, T, S: Scalar>(
    inner: &mut Reach<'_, Inner<T, S>>,
    row: usize,
) {
    let exact = bounds::<D, T, S>(&inner.values()[row]);
    if exact != rect_of(inner, row) {
        set_rect(&mut inner.write(), row, &exact);
    }
}

/// Takes row `row` out, with its box; the last row takes its place.
#[inline]
pub(super) fn take<const D: usize, S: Scalar, V>(
    page: &mut RowsMut<'_, S, V>,
    row: usize,
) -> (Rect<D, S>, V) {
    (rect_of(page, row), page.swap_remove(row))
}

/// Moves every row to a new block of another shape.
pub(super) fn repack<const D: usize, S: Scalar, V>(
    rows: &mut Rows<S, V>,
    columns: usize,
    pages: usize,
) {
    let mut packed = Rows::new(columns, pages);
    let mut from = rows.write();
    let mut to = packed.write();
    while let Some(last) = from.len().checked_sub(1) {
        let (rect, value) = take::<D, S, V>(&mut from, last);
        push(&mut to, &rect, value);
    }
    to.set_word(HISTORY, from.word(HISTORY));
    drop((from, to));
    *rows = packed;
}

/// Gives pages back that `rows` no longer needs, once a quarter of a node's rows would stay free.
pub(super) fn shrink<const D: usize, S: Scalar, V>(rows: &mut Rows<S, V>, limits: Limits) {
    let spare = if rows.len() <= limits.most { 0 } else { limits.least };
    let pages = limits.pages_for(rows.len() + spare);
    if pages < rows.pages() {
        repack::<D, S, V>(rows, rows.columns(), pages);
    }
}

/// The axes along which splits led to this node, a bit each.
pub(super) fn history<T, S: Scalar>(node: &Node<T, S>) -> u64 {
    match node {
        Branch::Leaf(rows) => rows.word(HISTORY),
        Branch::Inner(rows) => rows.word(HISTORY),
    }
}

/// Sets the axes along which a new node was split off.
pub(super) fn set_history<S: Scalar, V>(page: &mut RowsMut<'_, S, V>, history: u64) {
    page.set_word(HISTORY, history);
}

/// Notes a split along `axis` in both halves.
pub(super) fn note_split<S: Scalar, V>(
    low: &mut RowsMut<'_, S, V>,
    high: &mut RowsMut<'_, S, V>,
    axis: usize,
) {
    let history = low.word(HISTORY) | 1 << axis;
    low.set_word(HISTORY, history);
    high.set_word(HISTORY, history);
}
