//! [`Rows`]: a page-sized table in structure-of-arrays order, the building block of tree nodes.
//!
//! ```text
//! block, page-aligned, whole pages, zeroed when new
//! +--------+------------+------------+-- ... --+-------------+
//! | header | column 0   | column 1   |         | values      |
//! | 64 B   | K x stride | 64 B-aligned         | V, `len` are initialised
//! +--------+------------+------------+-- ... --+-------------+
//! ```
//! Invariants: `len <= capacity`; the first `len` values are initialised and no others; every
//! key slot up to the stride's end is initialised (zero is a valid key); header fields other than
//! `len` and the words never change. Nothing writes without announcing the block before and after.
#![allow(unsafe_code, reason = "lays columns and values out in a block of raw pages")]

use std::marker::PhantomData;
use std::mem::needs_drop;
use std::ptr::NonNull;
use std::{fmt, slice};

use super::layout::Shape;
use super::rows_mut::{Reach, RowsMut};
use super::tracked::Pages;
use super::vector::{LANES, Lane};
use crate::base::PAGE_SIZE;
use crate::runtime::pages::{self, Announced};
use crate::runtime::uses;

/// Numbers that can be keys: plain, and valid when all their bytes are zero. Sealed.
pub trait Key: Copy + PartialEq + PartialOrd + fmt::Debug + Send + Sync + sealed::Zeroable {}

mod sealed {
    /// Types for which a run of zero bytes is a value.
    pub trait Zeroable: 'static {}
}

macro_rules! keys {
    ($($number:ty)*) => {$(
        impl sealed::Zeroable for $number {}
        impl Key for $number {}
    )*};
}
keys! { f32 f64 i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize }

/// How many words of a block's header are the user's.
const WORDS: usize = 5;

/// How much of a block `prefetch` asks for: less than the keys of two columns gained less, and a
/// whole page as well.
#[cfg(target_arch = "x86_64")]
const PREFETCHED_BYTES: usize = 2816;

#[repr(C, align(64))]
struct Header {
    len: u32,
    capacity: u32,
    columns: u32,
    pages: u32,
    /// Bytes from one column to the next.
    stride: u32,
    /// Bytes from the block's start to the values.
    values_at: u32,
    words: [u64; WORDS],
}

static_assertions::const_assert_eq!(size_of::<Header>(), super::layout::HEADER_BYTES);

/// A tracked, page-aligned table of rows: some numeric key columns and one column of values.
///
/// The capacity is what fits the pages. Reading gives slices, one a column, which the compiler
/// can scan with vector instructions. Writing goes through [`write`](Self::write), which announces
/// the block's pages, as for [`Tracked`](super::Tracked); undeclared writes are impossible in safe
/// code. Values and keys hold nothing that changes through a shared reference, for nobody would
/// announce that.
pub struct Rows<K: Key, V> {
    block: NonNull<Header>,
    owns: PhantomData<(K, V)>,
}

// SAFETY: a block is owned by one `Rows` alone; sending it sends keys (plain) and values.
unsafe impl<K: Key, V: Send> Send for Rows<K, V> {}
// SAFETY: a shared `Rows` gives out shared slices and nothing more.
unsafe impl<K: Key, V: Sync> Sync for Rows<K, V> {}

impl<K: Key, V> Rows<K, V> {
    /// An empty block of `pages` pages with `columns` columns of keys.
    ///
    /// # Panics
    /// If `pages` is 0 or the block would pass 4 GiB. Running out of memory does not return.
    #[must_use]
    pub fn new(columns: usize, pages: usize) -> Self {
        let shape = Shape::of::<K, V>(columns, pages);
        let (block, _announced) = pages::alloc(pages * PAGE_SIZE);
        let block = block.cast::<Header>();
        let header = Header {
            len: 0,
            capacity: narrow(shape.capacity),
            columns: narrow(columns),
            pages: narrow(pages),
            stride: narrow(shape.stride),
            values_at: narrow(shape.values_at),
            words: [0; WORDS],
        };
        // SAFETY: the block is page-aligned, at least a page long, and ours alone.
        unsafe { block.write(header) };
        Self { block, owns: PhantomData }
    }

    /// How many rows fit into `pages` pages with `columns` columns; 0 if not even one.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    #[must_use]
    pub const fn capacity_of(columns: usize, pages: usize) -> usize {
        Shape::of::<K, V>(columns, pages).capacity
    }

    /// The fewest pages that hold `rows` rows with `columns` columns.
    ///
    /// # Panics
    /// If that is more than 4 GiB.
    #[must_use]
    pub const fn pages_for(columns: usize, rows: usize) -> usize {
        let row = columns * size_of::<K>() + size_of::<V>();
        let Some(bytes) = rows.checked_mul(row) else { panic!("a block is 1 page to 4 GiB") };
        let mut pages = bytes / PAGE_SIZE;
        if pages == 0 {
            pages = 1;
        }
        while Self::capacity_of(columns, pages) < rows {
            pages += 1;
        }
        pages
    }

    /// Rows in the block.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.header().len as usize
    }

    /// Whether there are no rows.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows that the block has room for.
    #[inline]
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.header().capacity as usize
    }

    /// Columns of keys.
    #[inline]
    #[must_use]
    pub fn columns(&self) -> usize {
        self.header().columns as usize
    }

    /// Pages of 4 KiB that the block takes.
    #[inline]
    #[must_use]
    pub fn pages(&self) -> usize {
        self.header().pages as usize
    }

    /// The keys of column `column`, one a row.
    ///
    /// # Panics
    /// If there is no such column.
    #[inline]
    #[must_use]
    pub fn column(&self, column: usize) -> &[K] {
        // SAFETY: `column_at` gives the start of a whole column, of which `len` keys are within its
        // stride.
        unsafe { slice::from_raw_parts(self.column_at(column).as_ptr(), self.len()) }
    }

    /// The keys of column `column`, and what lies behind them up to the next multiple of 64 bytes:
    /// stale keys or zeros. For scans in whole vectors; results beyond [`len`](Self::len) are to be
    /// masked out.
    ///
    /// # Panics
    /// If there is no such column.
    #[inline]
    #[must_use]
    pub fn column_padded(&self, column: usize) -> &[K] {
        let padded = (self.len() * size_of::<K>()).next_multiple_of(64) / size_of::<K>();
        // SAFETY: strides are multiples of 64 bytes not shorter than `capacity` keys, so the padded
        // length lies within the column, whose bytes were zeroed by the allocator: a valid key
        // each.
        unsafe { slice::from_raw_parts(self.column_at(column).as_ptr(), padded) }
    }

    /// The values, one a row.
    #[inline]
    #[must_use]
    pub fn values(&self) -> &[V] {
        // SAFETY: the first `len` values are initialised; `&self` excludes writers.
        unsafe { slice::from_raw_parts(self.values_at().as_ptr(), self.len()) }
    }

    /// Asks the processor to fetch the block's beginning, where its keys are, for a scan soon
    /// after. A hint: it changes nothing, and does nothing on processors other than x86-64.
    #[inline]
    pub fn prefetch(&self) {
        #[cfg(target_arch = "x86_64")]
        for offset in (0..PREFETCHED_BYTES).step_by(64) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let line = self.block.as_ptr().cast::<i8>().wrapping_add(offset);
            // SAFETY: every x86-64 processor has SSE, and prefetching any address at all has no
            // effect but on speed.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
        }
    }

    /// Notes that a reader looks at the block: to be called once by each query that reads it.
    ///
    /// A snapshot keeps how many of the blocks that were read last lie in each 2 MiB, and the next
    /// run fetches these from the disk first. How often a block is found among those read last,
    /// [`Stats::uses`](crate::Stats) tells.
    ///
    /// A call costs about a nanosecond: one in 64, by chance, is looked at, the others are counted
    /// down. It takes no lock, allocates nothing, announces nothing, and does nothing at
    /// all as long as no heap has been opened, or if the block does not lie in it.
    #[inline]
    pub fn note_use(&self) {
        uses::note(self.block.addr().get());
    }

    /// The user's word number `word` (0 to 4) in the block's header; 0 in a new block.
    ///
    /// # Panics
    /// If there is no such word.
    #[inline]
    #[must_use]
    pub fn word(&self, word: usize) -> u64 {
        self.header().words[word]
    }

    /// Announces a write to the block, and lends it for that; announces it again when the guard is
    /// dropped.
    ///
    /// One that is leaked leaves the block's pages held: they count as written between any two
    /// snapshots from then on.
    #[inline]
    pub fn write(&mut self) -> RowsMut<'_, K, V> {
        let announced = Announced::begin(self.block.cast(), self.pages() * PAGE_SIZE);
        RowsMut::new(self, announced)
    }

    /// The value of row `row`, for the way down into a block that it owns; see [`Reach`].
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    pub fn reach(&mut self, row: usize) -> Reach<'_, V> {
        assert!(row < self.len(), "row {row} of {}", self.len());
        // SAFETY: the row exists, so its value lies in the block and is initialised.
        let mut value = unsafe { self.values_at().add(row) };
        // SAFETY: `&mut self` is borrowed for as long as the reference lives, and `Reach` never
        // writes to the value itself, so that nothing in this block changes unannounced.
        Reach(unsafe { value.as_mut() })
    }

    #[inline]
    fn header(&self) -> &Header {
        // SAFETY: `new` initialised the header, and the block lives as long as `self`.
        unsafe { self.block.as_ref() }
    }

    #[inline]
    fn header_mut(&mut self) -> &mut Header {
        // SAFETY: as above; `&mut self` makes the access exclusive.
        unsafe { self.block.as_mut() }
    }

    /// Counts one row more or fewer, or none at all.
    ///
    /// # Safety
    /// The first `len` values are initialised, and nobody else owns them.
    #[inline]
    pub(super) unsafe fn set_len(&mut self, len: usize) {
        debug_assert!(len <= self.capacity());
        self.header_mut().len = narrow(len);
    }

    #[inline]
    pub(super) fn set_word(&mut self, word: usize, value: u64) {
        self.header_mut().words[word] = value;
    }

    #[inline]
    pub(super) fn column_at(&self, column: usize) -> NonNull<K> {
        let header = self.header();
        assert!(column < header.columns as usize, "column {column} of {}", header.columns);
        let offset = size_of::<Header>() + column * header.stride as usize;
        // SAFETY: the column exists, so its offset lies within the block, by `Shape`.
        unsafe { self.block.byte_add(offset) }.cast()
    }

    #[inline]
    pub(super) fn values_at(&self) -> NonNull<V> {
        let offset = self.header().values_at as usize;
        // SAFETY: by `Shape` the values begin within the block or at its end, aligned for `V`.
        unsafe { self.block.byte_add(offset) }.cast()
    }
}

impl<K: Lane, V> Rows<K, V> {
    /// The keys of column `column` in blocks of eight, as [`column_padded`](Self::column_padded)
    /// has them: from block `first` on, at most `most` blocks.
    ///
    /// # Panics
    /// If there is no such column, or not so many blocks before the first.
    #[inline]
    #[must_use]
    pub fn lanes(&self, column: usize, first: usize, most: usize) -> &[[K; LANES]] {
        let blocks = self.len().div_ceil(LANES);
        assert!(first <= blocks, "block {first} of {blocks}");
        let start = self.column_at(column).cast::<[K; LANES]>();
        // SAFETY: strides are multiples of 64 bytes not shorter than `capacity` keys, and eight
        // `f32` or `f64` are 32 or 64 bytes: all blocks up to the last key's lie in the column.
        let start = unsafe { start.add(first) };
        // SAFETY: as above; the column's bytes were zeroed by the allocator: a valid key each.
        unsafe { slice::from_raw_parts(start.as_ptr(), (blocks - first).min(most)) }
    }
}

impl<K: Key, V> Drop for Rows<K, V> {
    fn drop(&mut self) {
        let block = Pages { block: self.block.cast(), bytes: self.pages() * PAGE_SIZE };
        if needs_drop::<V>() {
            self.write().clear();
        }
        drop(block);
    }
}

impl<K: Key, V: Clone> Clone for Rows<K, V> {
    fn clone(&self) -> Self {
        let mut copy = Self::new(self.columns(), self.pages());
        let mut page = copy.write();
        let mut keys = Vec::with_capacity(self.columns());
        for (row, value) in self.values().iter().enumerate() {
            keys.clear();
            keys.extend((0..self.columns()).map(|column| self.column(column)[row]));
            page.push(&keys, value.clone());
        }
        for word in 0..WORDS {
            page.set_word(word, self.word(word));
        }
        drop(page);
        copy
    }
}

impl<K: Key, V: fmt::Debug> fmt::Debug for Rows<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<_> = (0..self.columns()).map(|column| self.column(column)).collect();
        f.debug_struct("Rows").field("columns", &columns).field("values", &self.values()).finish()
    }
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("`Shape` keeps blocks below 4 GiB")
}

#[cfg(test)]
#[path = "rows_tests.rs"]
mod tests;
