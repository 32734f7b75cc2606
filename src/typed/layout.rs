//! Where the parts of a block of rows lie. Pure arithmetic.

use crate::base::PAGE_SIZE;

/// Bytes of a block's header.
pub(super) const HEADER_BYTES: usize = 64;
/// Columns begin at multiples of this: a cache line, and the widest vector.
const COLUMN_ALIGN: usize = 64;

/// The places of columns and values in a block.
///
/// Invariants: `HEADER_BYTES + columns * stride <= values_at`; `values_at + capacity *
/// size_of::<V>()` is at most the block's size; `values_at` is a multiple of V's alignment;
/// `stride` is a multiple of 64 and at least
/// `capacity` keys long; everything is below 4 GiB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) capacity: usize,
    pub(super) stride: usize,
    pub(super) values_at: usize,
}

impl Shape {
    /// The shape of a block of `pages` pages with the greatest capacity that fits.
    ///
    /// # Panics
    /// If `pages` is 0, or the block or one row of keys would reach 4 GiB.
    pub(super) const fn of<K, V>(columns: usize, pages: usize) -> Self {
        const { assert!(align_of::<V>() <= PAGE_SIZE, "alignment above a page") };
        const { assert!(size_of::<K>() > 0 && COLUMN_ALIGN.is_multiple_of(size_of::<K>())) };
        assert!(pages > 0 && pages <= u32::MAX as usize / PAGE_SIZE, "a block is 1 page to 4 GiB");
        assert!(columns <= u32::MAX as usize / size_of::<K>(), "too many columns");
        let bytes = pages * PAGE_SIZE;
        let row = columns * size_of::<K>() + size_of::<V>();
        let mut capacity = match (bytes - HEADER_BYTES).checked_div(row) {
            Some(rows) => rows,
            None => u32::MAX as usize,
        };
        loop {
            let shape = Self::with_capacity::<K, V>(columns, capacity);
            // With no row at all nothing is ever stored; the values' place is the block's end.
            if capacity == 0 {
                return Self { capacity, values_at: bytes, stride: 0 };
            }
            if shape.values_at + capacity * size_of::<V>() <= bytes {
                return shape;
            }
            capacity -= 1;
        }
    }

    const fn with_capacity<K, V>(columns: usize, capacity: usize) -> Self {
        let stride = if columns == 0 {
            0
        } else {
            (capacity * size_of::<K>()).next_multiple_of(COLUMN_ALIGN)
        };
        let values_at = (HEADER_BYTES + columns * stride).next_multiple_of(align_of::<V>());
        Self { capacity, stride, values_at }
    }
}
