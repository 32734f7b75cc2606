//! [`RowsMut`]: the right to write to a block of rows; and [`Reach`], the way through one block to
//! another.
//!
//! Invariants: a guard exists only between two announcements of its block; a row is counted only
//! while its value is initialised.
#![allow(unsafe_code, reason = "moves values into and out of a block of raw pages")]

use std::ops::Deref;
use std::{fmt, slice};

use super::rows::{Key, Rows};
use crate::runtime::pages::Announced;

/// The right to write to a block of [`Rows`], announced at both ends.
pub struct RowsMut<'a, K: Key, V> {
    rows: &'a mut Rows<K, V>,
    _announced: Announced,
}

impl<'a, K: Key, V> RowsMut<'a, K, V> {
    /// The guard over a block that has just been announced.
    #[inline]
    pub(super) fn new(rows: &'a mut Rows<K, V>, announced: Announced) -> Self {
        Self { rows, _announced: announced }
    }
}

impl<K: Key, V> RowsMut<'_, K, V> {
    /// Appends a row.
    ///
    /// # Panics
    /// If the block is full, or `keys` are not one for each column; the block is then as before.
    #[inline]
    pub fn push(&mut self, keys: &[K], value: V) {
        let row = self.rows.len();
        assert!(row < self.rows.capacity(), "no room: the block holds {row} rows");
        self.write_keys(row, keys);
        // SAFETY: the row is below the capacity, so its value's place lies within the block.
        let place = unsafe { self.rows.values_at().add(row) };
        // SAFETY: the place is aligned, exclusive, and holds no value yet, as it is at `len`.
        unsafe { place.write(value) };
        // SAFETY: there are as many values as before, and the one just written.
        unsafe { self.rows.set_len(row + 1) };
    }

    /// Takes row `row` out; the last row takes its place. The row's keys are lost.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    pub fn swap_remove(&mut self, row: usize) -> V {
        let len = self.rows.len();
        assert!(row < len, "row {row} of {len}");
        let last = len - 1;
        for column in 0..self.rows.columns() {
            let keys = self.column_mut(column);
            keys[row] = keys[last];
        }
        self.values_mut().swap(row, last);
        // SAFETY: the values before the last one stay initialised and the block's own.
        unsafe { self.rows.set_len(last) };
        // SAFETY: `last` is below the capacity, so the place lies within the block.
        let place = unsafe { self.rows.values_at().add(last) };
        // SAFETY: the value there is initialised, and is no longer counted, so it is moved out only
        // once.
        unsafe { place.read() }
    }

    /// Replaces the keys of row `row`.
    ///
    /// # Panics
    /// If there is no such row, or `keys` are not one for each column.
    #[inline]
    pub fn set_keys(&mut self, row: usize, keys: &[K]) {
        assert!(row < self.rows.len(), "row {row} of {}", self.rows.len());
        self.write_keys(row, keys);
    }

    /// The keys of column `column`, one a row.
    ///
    /// # Panics
    /// If there is no such column.
    #[inline]
    #[must_use]
    pub fn column_mut(&mut self, column: usize) -> &mut [K] {
        let len = self.rows.len();
        // SAFETY: as in `Rows::column`; the guard is borrowed mutably, which makes the slice
        // exclusive.
        unsafe { slice::from_raw_parts_mut(self.rows.column_at(column).as_ptr(), len) }
    }

    /// The values, one a row.
    #[inline]
    #[must_use]
    pub fn values_mut(&mut self) -> &mut [V] {
        let len = self.rows.len();
        // SAFETY: the first `len` values are initialised; the guard is borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.rows.values_at().as_ptr(), len) }
    }

    /// Sets the user's word number `word` (0 to 4) in the block's header.
    ///
    /// # Panics
    /// If there is no such word.
    #[inline]
    pub fn set_word(&mut self, word: usize, value: u64) {
        self.rows.set_word(word, value);
    }

    /// Drops every row.
    pub fn clear(&mut self) {
        let values: *mut [V] = self.values_mut();
        // SAFETY: no values at all is always right; those that were there are dropped below.
        unsafe { self.rows.set_len(0) };
        // SAFETY: the values were initialised and are no longer counted, so they are dropped only
        // once, even if one of their destructors panics.
        unsafe { values.drop_in_place() };
    }

    #[inline]
    fn write_keys(&mut self, row: usize, keys: &[K]) {
        assert_eq!(keys.len(), self.rows.columns(), "one key for each column");
        for (column, key) in keys.iter().enumerate() {
            // SAFETY: callers check that the row is below the capacity, so its key lies within the
            // column.
            let place = unsafe { self.rows.column_at(column).add(row) };
            // SAFETY: the place is aligned and, through the guard, exclusive.
            unsafe { place.write(*key) };
        }
    }
}

impl<K: Key, V> Deref for RowsMut<'_, K, V> {
    type Target = Rows<K, V>;

    #[inline]
    fn deref(&self) -> &Rows<K, V> {
        self.rows
    }
}

impl<K: Key, V: fmt::Debug> fmt::Debug for RowsMut<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows.fmt(f)
    }
}

/// A value in a tracked block, on the way to a block that the value owns.
///
/// To write to a child's block takes `&mut` to the child's handle, which lies in the parent's
/// block; a plain `&mut` would let safe code replace the handle without announcing the parent.
/// This one only lets through to the child. [`Rows::reach`] and [`Branch`](super::Branch) make
/// them, and
/// `From<&mut V>` where the handle itself lies outside tracked memory.
pub struct Reach<'a, V>(pub(super) &'a mut V);

impl<V> Deref for Reach<'_, V> {
    type Target = V;

    #[inline]
    fn deref(&self) -> &V {
        self.0
    }
}

impl<'a, V> From<&'a mut V> for Reach<'a, V> {
    #[inline]
    fn from(value: &'a mut V) -> Self {
        Self(value)
    }
}

impl<'a, K: Key, V> Reach<'a, Rows<K, V>> {
    /// As [`Rows::write`].
    #[inline]
    pub fn write(&mut self) -> RowsMut<'_, K, V> {
        self.0.write()
    }

    /// As [`write`](Self::write), for as long as the way to the block is.
    #[inline]
    #[must_use]
    pub fn into_write(self) -> RowsMut<'a, K, V> {
        self.0.write()
    }

    /// As [`Rows::reach`].
    #[inline]
    pub fn reach(&mut self, row: usize) -> Reach<'_, V> {
        self.0.reach(row)
    }

    /// As [`reach`](Self::reach), for as long as the way to the block is.
    #[inline]
    #[must_use]
    pub fn into_reach(self, row: usize) -> Reach<'a, V> {
        self.0.reach(row)
    }
}

impl<V: fmt::Debug> fmt::Debug for Reach<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reach").field(&self.0).finish()
    }
}
