//! Blocks of the heap's, or of the system's where there is no heap.
#![allow(unsafe_code, reason = "blocks are pointers")]

use crate::{process, system, thread};
use std::ffi::c_void;
use std::ptr::{self, NonNull};
use stillheap::arena::Purpose;
use stillheap::heap::{Allocation, BadFree};
use stillheap::os::{self, ErrnoKept};

/// What every block lies at a multiple of: the strictest alignment of C's own types.
pub(crate) const ALIGN: usize = 16;

/// No object is larger: differences of pointers would not fit.
const SIZE_MAX: usize = isize::MAX.cast_unsigned();

/// A block at a multiple of `align`, a power of two. Null, and `errno` says `ENOMEM`: there is
/// no memory for it.
#[inline]
pub(crate) fn allocate(size: usize, align: usize) -> *mut c_void {
    match take(size, align) {
        Some(Some(allocation)) => allocation.block.as_ptr().cast(),
        Some(None) => no_memory(),
        None => system::allocate(size, align),
    }
}

/// The same, zeroed, at a multiple of `ALIGN`.
#[inline]
pub(crate) fn allocate_zeroed(size: usize) -> *mut c_void {
    match take(size, ALIGN) {
        Some(Some(Allocation { block, zeroed })) => {
            if !zeroed {
                // SAFETY: a fresh block of at least this size.
                unsafe { block.write_bytes(0, size) };
            }
            block.as_ptr().cast()
        }
        Some(None) => no_memory(),
        None => system::allocate_zeroed(size),
    }
}

/// `None`: it is the system's turn. `Some(None)`: out of capacity.
#[inline]
fn take(size: usize, align: usize) -> Option<Option<Allocation>> {
    if size > SIZE_MAX {
        return Some(None);
    }
    thread::call(|heap, lane| {
        // SAFETY: the lane is this thread's.
        unsafe { heap.allocate(lane, size, align, Purpose::Ambient) }
    })
}

/// Frees a block, if it is not null. Leaves `errno` as it is.
///
/// # Safety
/// Nothing refers to the block any more.
#[inline]
pub(crate) unsafe fn release(block: *mut c_void) {
    if block.is_null() {
        return;
    }
    let _errno = ErrnoKept::new();
    let freed = thread::call(|heap, lane| {
        // SAFETY: the lane is this thread's; the rest says the caller.
        unsafe { heap.free(lane, block.addr()) }
    });
    match freed {
        Some(Ok(())) => {}
        // SAFETY: passed on from the caller.
        Some(Err(error)) => unsafe { release_elsewhere(block, error) },
        // SAFETY: as above.
        None => unsafe { release_without_lane(block) },
    }
}

/// # Safety
/// As for `release`.
#[cold]
unsafe fn release_elsewhere(block: *mut c_void, error: BadFree) {
    if error != BadFree::Foreign || !system::has_lent() {
        refuse(block, error);
    }
    // SAFETY: what does not lie in the heap is the system's, or it will say so.
    unsafe { system::release(block) };
}

/// A block of the heap's stays in use then: the thread is one too many.
///
/// # Safety
/// As for `release`.
#[cold]
unsafe fn release_without_lane(block: *mut c_void) {
    if !is_in_heap(block) {
        // SAFETY: passed on from the caller; what does not lie in the heap is the system's.
        unsafe { system::release(block) };
    }
}

/// Changes a block's size, to one that is not 0. Null, and `errno` says `ENOMEM`: the block is as
/// it was.
///
/// # Safety
/// The block is the caller's alone.
pub(crate) unsafe fn resize(block: NonNull<c_void>, size: usize) -> *mut c_void {
    if size > SIZE_MAX {
        return no_memory();
    }
    let resized = thread::call(|heap, lane| {
        let old = heap.usable_size(block.addr().get())?;
        // SAFETY: the lane is this thread's, and the block holds that much; the rest says the
        // caller.
        unsafe { heap.resize(lane, block.cast(), old, size, ALIGN, Purpose::Ambient) }
    });
    match resized {
        Some(Ok(Some(moved))) => moved.as_ptr().cast(),
        Some(Ok(None)) => no_memory(),
        Some(Err(error)) if error != BadFree::Foreign || !system::has_lent() => {
            refuse(block.as_ptr(), error)
        }
        // Without a lane there is none for a new block either.
        None if is_in_heap(block.as_ptr()) => no_memory(),
        // SAFETY: passed on from the caller; what does not lie in the heap is the system's.
        _ => unsafe { system::resize(block.as_ptr(), size) },
    }
}

/// The bytes that a block can hold; of null, 0.
///
/// # Safety
/// The block is the caller's.
pub(crate) unsafe fn usable_size(block: *mut c_void) -> usize {
    if block.is_null() {
        return 0;
    }
    match process::get().map(|process| process.heap.usable_size(block.addr())) {
        Some(Ok(size)) => size,
        Some(Err(error)) if error != BadFree::Foreign || !system::has_lent() => {
            refuse(block, error)
        }
        // SAFETY: passed on from the caller; what does not lie in the heap is the system's.
        _ => unsafe { system::usable_size(block) },
    }
}

fn is_in_heap(block: *mut c_void) -> bool {
    process::get().is_some_and(|process| process.heap.arena().addresses().contains(&block.addr()))
}

#[cold]
fn no_memory() -> *mut c_void {
    thread::set_errno(libc::ENOMEM);
    ptr::null_mut()
}

#[cold]
fn refuse(block: *mut c_void, error: BadFree) -> ! {
    let what = match error {
        BadFree::Foreign => "the address does not lie in the heap",
        BadFree::NoBlock => "no block starts there",
        BadFree::Free => "the block is free already (a double free)",
    };
    let mut digits = [0; 16];
    let address = os::hex(block.addr(), &mut digits);
    os::fatal(&["stillheap: cannot free or resize 0x", address, ": ", what, "\n"])
}
