//! Whole pages for tracked blocks, and the door to the write barrier.
//!
//! Invariants: a block is page-aligned, a multiple of [`PAGE_SIZE`] long, and was zeroed
//! when it was handed out.
#![allow(unsafe_code, reason = "takes pages from the global allocator and gives them back")]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use crate::base::PAGE_SIZE;

/// A zeroed, page-aligned block of `bytes`, a positive multiple of [`PAGE_SIZE`]. Does not return when
/// memory is exhausted (`handle_alloc_error`).
pub(crate) fn alloc(bytes: usize) -> NonNull<u8> {
    let layout = layout(bytes);
    // SAFETY: `layout` asserts that `bytes` is positive, which is all that `alloc_zeroed` asks.
    let block = unsafe { alloc_zeroed(layout) };
    NonNull::new(block).unwrap_or_else(|| handle_alloc_error(layout))
}

/// Gives a block back.
///
/// # Safety
/// `block` came from [`alloc`] with the same `bytes`, and nobody uses it any more.
pub(crate) unsafe fn free(block: NonNull<u8>, bytes: usize) {
    // SAFETY: the caller vouches that `alloc` made this block with this size, hence with this layout.
    unsafe { dealloc(block.as_ptr(), layout(bytes)) }
}

/// Tells the ledger that the pages of a block are about to be written, or have just been.
#[inline]
pub(crate) fn announce(block: NonNull<u8>, bytes: usize) {
    barrier(block, bytes);
}

#[inline]
fn barrier(_block: NonNull<u8>, _bytes: usize) {
    #[cfg(test)]
    tests::ANNOUNCED.with(|count| count.set(count.get() + 1));
}

fn layout(bytes: usize) -> Layout {
    assert!(bytes > 0 && bytes.is_multiple_of(PAGE_SIZE), "{bytes} bytes are not whole pages");
    Layout::from_size_align(bytes, PAGE_SIZE).expect("a block fits the address space")
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    thread_local! {
        /// How often this thread called the barrier.
        pub(crate) static ANNOUNCED: Cell<usize> = const { Cell::new(0) };
    }

    pub(crate) fn announced() -> usize {
        ANNOUNCED.with(Cell::get)
    }
}
