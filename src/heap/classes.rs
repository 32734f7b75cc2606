//! Size classes: multiples of 16 bytes up to 128, then eight steps to each doubling up to
//! 32 KiB, so that a block is at most 12.5 % larger than what was asked for.

use crate::arena::{BLOCK_MIN, Purpose};
use crate::base::PAGE_SIZE;

/// The largest block of a slab in bytes; above it a block is a run of pages.
pub const SMALL_MAX: usize = 32 << 10;
/// How many size classes there are.
pub const CLASSES: usize = 72;

const LINEAR_MAX: usize = 128;
const STEPS: usize = 8;
/// Shift of the reciprocals below; exact for offsets within a slab, see the test.
const RECIPROCAL_SHIFT: u32 = 32;

/// What there is to know of a class.
#[derive(Clone, Copy)]
pub(super) struct Class {
    /// Bytes of a block.
    pub(super) size: u32,
    /// Pages of a slab.
    pub(super) pages: u32,
    /// Blocks of a slab.
    pub(super) blocks: u32,
    pub(super) reciprocal: u32,
}

impl Class {
    /// The block at `offset` bytes from the slab's start, if one starts there.
    #[inline]
    pub(super) fn block_at(&self, offset: usize) -> Option<usize> {
        block_at(offset, self.reciprocal, self.size, self.blocks)
    }

    /// So many blocks of a slab have to be free for it to be allocated from: an eighth. Who gets
    /// one then goes on in it for some time, and writes to few pages; and fewer slabs change hands.
    pub(super) fn enough(&self) -> u32 {
        (self.blocks / 8).max(1)
    }

    /// How many blocks have still to be freed for that, in a slab with so many in use; 0: none.
    pub(super) fn missing(&self, used: u32) -> u32 {
        self.enough().saturating_sub(self.blocks - used)
    }
}

/// Of `blocks` blocks of `size` bytes the one that starts at an offset. What lies far behind the
/// last one may overflow, and is found to be none.
#[inline]
pub(super) fn block_at(offset: usize, reciprocal: u32, size: u32, blocks: u32) -> Option<usize> {
    let offset = offset as u64;
    let block = offset.wrapping_mul(u64::from(reciprocal)) >> RECIPROCAL_SHIFT;
    let is_start = block.wrapping_mul(u64::from(size)) == offset && block < u64::from(blocks);
    is_start.then(|| usize::try_from(block).unwrap_or(0))
}

pub(super) static TABLE: [Class; CLASSES] = table();

/// What a kind of slabs holds: `class << 1 | scoped`, as in a tag.
#[inline]
pub(super) fn kind_number(class: usize, scoped: bool) -> usize {
    class << 1 | usize::from(scoped)
}

#[inline]
pub(super) fn class_of_kind(kind: usize) -> &'static Class {
    &TABLE[kind >> 1]
}

pub(super) fn purpose_of_kind(kind: usize) -> Purpose {
    if kind & 1 == 1 { Purpose::Scoped } else { Purpose::Ambient }
}

/// Bytes of a block of that class.
///
/// # Panics
/// If there is no such class.
#[must_use]
pub fn class_size(class: usize) -> usize {
    TABLE[class].size as usize
}

/// Pages of a slab with blocks of that class; it has as many blocks as fit.
///
/// # Panics
/// If there is no such class.
#[must_use]
pub fn class_pages(class: usize) -> usize {
    TABLE[class].pages as usize
}

/// The class of the smallest blocks that hold `size` bytes at a multiple of `align`; `None`
/// if that is beyond slabs. `align` is a power of two.
#[must_use]
pub(super) fn class_for(size: usize, align: usize) -> Option<usize> {
    match common_class_for(size, align) {
        None if align > BLOCK_MIN => aligned_class_for(size, align),
        found => found,
    }
}

/// The same; `None` also for alignments of more than [`BLOCK_MIN`].
#[inline]
#[must_use]
pub(super) fn common_class_for(size: usize, align: usize) -> Option<usize> {
    if align > BLOCK_MIN {
        return None;
    }
    // A look into a table: which of two ways sizes take nobody could foretell.
    match SHORT.get(size.div_ceil(BLOCK_MIN)) {
        Some(&class) => Some(class.into()),
        None => (size <= SMALL_MAX).then(|| class_of(size)),
    }
}

/// Sizes up to this have their classes in [`SHORT`].
const SHORT_MAX: usize = 2048;

/// Classes by size, in multiples of [`BLOCK_MIN`].
static SHORT: [u8; SHORT_MAX / BLOCK_MIN + 1] = short();

const fn short() -> [u8; SHORT_MAX / BLOCK_MIN + 1] {
    let mut table = [0; SHORT_MAX / BLOCK_MIN + 1];
    let mut units = 0;
    while units < table.len() {
        #[allow(clippy::cast_possible_truncation, reason = "there are fewer classes than 256")]
        let class = class_of(units * BLOCK_MIN) as u8;
        table[units] = class;
        units += 1;
    }
    table
}

/// A block's place is a multiple of its size, and a slab starts at a page: so a class serves
/// an alignment up to a page's if its size is a multiple of it.
#[cold]
fn aligned_class_for(size: usize, align: usize) -> Option<usize> {
    if align > PAGE_SIZE {
        return None;
    }
    let size = size.max(align).checked_next_multiple_of(align)?;
    if size > SMALL_MAX {
        return None;
    }
    (class_of(size)..CLASSES).find(|&class| class_size(class).is_multiple_of(align))
}

/// The smallest class of at least `size` bytes, which is at most `SMALL_MAX`.
#[inline]
const fn class_of(size: usize) -> usize {
    if size <= LINEAR_MAX {
        return size.saturating_sub(1) / BLOCK_MIN;
    }
    let last = size - 1;
    let doubling = (usize::BITS - 1 - last.leading_zeros()) as usize;
    STEPS * (doubling - 6) + (last >> (doubling - 3)) % STEPS
}

const fn table() -> [Class; CLASSES] {
    let mut table = [Class { size: 0, pages: 0, blocks: 0, reciprocal: 0 }; CLASSES];
    let mut class = 0;
    while class < CLASSES {
        let size = size_of_class(class);
        let pages = slab_pages(size);
        let blocks = pages * PAGE_SIZE / size;
        #[allow(clippy::cast_possible_truncation, reason = "sizes are 16 and more")]
        let reciprocal = ((1_u64 << RECIPROCAL_SHIFT) / size as u64 + 1) as u32;
        #[allow(clippy::cast_possible_truncation, reason = "all below 2^18, checked by a test")]
        let entry =
            Class { size: size as u32, pages: pages as u32, blocks: blocks as u32, reciprocal };
        table[class] = entry;
        class += 1;
    }
    table
}

const fn size_of_class(class: usize) -> usize {
    if class < STEPS {
        return (class + 1) * BLOCK_MIN;
    }
    let doubling = class / STEPS - 1;
    let base = LINEAR_MAX << doubling;
    base + (class % STEPS + 1) * (base / STEPS)
}

/// Small blocks get small slabs, so that small heaps stay dense; large ones at least eight
/// blocks a slab, so that little is lost at its end.
const fn slab_pages(size: usize) -> usize {
    match size {
        0..=128 => 4,
        129..=512 => 8,
        513..=8192 => 16,
        _ => (size * 8).div_ceil(PAGE_SIZE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_rise_and_waste_little() {
        for class in 1..CLASSES {
            assert!(class_size(class) > class_size(class - 1));
        }
        assert_eq!(class_size(CLASSES - 1), SMALL_MAX);
        for size in 1..=SMALL_MAX {
            let class = class_for(size, 1).unwrap();
            assert!(class_size(class) >= size, "{size}");
            assert!(class == 0 || class_size(class - 1) < size, "{size}");
            assert!(size < 128 || class_size(class) * 8 <= size * 9, "{size}");
        }
        assert!(class_for(SMALL_MAX + 1, 1).is_none());
    }

    #[test]
    fn slabs_lose_little_at_their_end() {
        for class in TABLE {
            let used = class.blocks as usize * class.size as usize;
            let bytes = class.pages as usize * PAGE_SIZE;
            assert!(used <= bytes && (bytes - used) * 8 <= bytes, "{}", class.size);
        }
    }

    #[test]
    fn reciprocals_are_exact() {
        for class in TABLE {
            let bytes = class.pages * 4096;
            for offset in 0..bytes {
                let block = offset / class.size;
                let exact = offset % class.size == 0 && block < class.blocks;
                assert_eq!(class.block_at(offset as usize), exact.then_some(block as usize));
            }
        }
    }

    #[test]
    fn alignments_are_kept() {
        for shift in 0..=12 {
            let align = 1 << shift;
            for size in [1, 24, 100, 4000, 5000, 20_000] {
                if let Some(class) = class_for(size, align) {
                    assert!(
                        class_size(class) >= size
                            && (align <= 16 || class_size(class).is_multiple_of(align))
                    );
                }
            }
        }
    }
}
