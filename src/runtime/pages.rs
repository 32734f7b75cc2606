//! Tracked blocks: whole pages whose writes are announced by software.
#![allow(unsafe_code, reason = "hands out and takes back memory")]

use crate::arena::Purpose;
use crate::base::{PAGE_SIZE, PageIndex};
use crate::runtime::global;
use crate::runtime::process;
use std::alloc::{Layout, handle_alloc_error};
use std::ptr::NonNull;

/// A block of `bytes` bytes, all zero, that starts at a page. In a process without a heap it
/// comes from the program's allocator.
///
/// Out of memory ends the process, as for `Box`.
///
/// # Panics
/// If `bytes` is not a multiple of the page size, or zero.
#[must_use]
pub(crate) fn alloc(bytes: usize) -> NonNull<u8> {
    let layout = layout(bytes);
    let allocation = global::allocate(process::get(), layout, Some(Purpose::Tracked));
    let Some(allocation) = allocation else {
        // SAFETY: the layout's size is not zero.
        let block = unsafe { std::alloc::alloc_zeroed(layout) };
        return NonNull::new(block).unwrap_or_else(|| handle_alloc_error(layout));
    };
    if !allocation.zeroed {
        // SAFETY: a fresh block of that many bytes.
        unsafe { allocation.block.write_bytes(0, bytes) };
    }
    allocation.block
}

/// Gives back a block.
///
/// # Safety
/// The block came from [`alloc`] with the same number of bytes, and is not used any more.
pub(crate) unsafe fn free(block: NonNull<u8>, bytes: usize) {
    let address = block.addr().get();
    match process::get().filter(|process| process.heap.arena().page_of(address).is_some()) {
        // SAFETY: says the caller.
        Some(process) => unsafe { global::free(process, address) },
        // SAFETY: outside the arena it came from the program's allocator, with this layout.
        None => unsafe { std::alloc::dealloc(block.as_ptr(), layout(bytes)) },
    }
}

/// Announces that the pages of `block` are about to be written, or just have been: the barrier
/// of tracked memory.
#[inline]
pub(crate) fn announce(block: NonNull<u8>, bytes: usize) {
    #[cfg(test)]
    tests::ANNOUNCED.with(|count| count.set(count.get() + 1));
    let Some(process) = process::get() else { return };
    let arena = process.heap.arena();
    let Some(first) = arena.page_of(block.addr().get()) else { return };
    arena.cow().announce_tracked(first);
    let mut page = first.0;
    for _ in 1..bytes / PAGE_SIZE {
        page += 1;
        arena.cow().announce_tracked(PageIndex(page));
    }
}

fn layout(bytes: usize) -> Layout {
    assert!(bytes > 0 && bytes.is_multiple_of(PAGE_SIZE), "tracked blocks are whole pages");
    match Layout::from_size_align(bytes, PAGE_SIZE) {
        Ok(layout) => layout,
        Err(_) => handle_alloc_error(Layout::new::<u8>()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    thread_local! {
        /// How often this thread called the barrier.
        pub(super) static ANNOUNCED: Cell<usize> = const { Cell::new(0) };
    }

    pub(crate) fn announced() -> usize {
        ANNOUNCED.with(Cell::get)
    }
}
