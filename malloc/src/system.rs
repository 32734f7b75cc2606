//! The C library's own allocator, under the names by which it can be had still.
//!
//! It serves allocations that come while the heap is being made, and all of them if it cannot be
//! made. Its blocks are told by not lying in the heap.
#![allow(unsafe_code, reason = "calls the C library")]

use std::ffi::{c_char, c_void};
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};

unsafe extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(block: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_memalign(align: usize, size: usize) -> *mut c_void;
    fn __libc_free(block: *mut c_void);
}

/// Whether there has been such a block: if not, no address outside the heap can be freed.
static LENT: AtomicBool = AtomicBool::new(false);

/// Whether an address that does not lie in the heap may be a block of the system's.
pub(crate) fn has_lent() -> bool {
    LENT.load(Ordering::Relaxed)
}

/// A block at a multiple of `align`, a power of two.
#[cold]
pub(crate) fn allocate(size: usize, align: usize) -> *mut c_void {
    LENT.store(true, Ordering::Relaxed);
    if align > crate::blocks::ALIGN {
        // SAFETY: has no conditions.
        return unsafe { __libc_memalign(align, size) };
    }
    // SAFETY: has no conditions.
    unsafe { __libc_malloc(size) }
}

/// The same, zeroed.
#[cold]
pub(crate) fn allocate_zeroed(size: usize) -> *mut c_void {
    LENT.store(true, Ordering::Relaxed);
    // SAFETY: has no conditions.
    unsafe { __libc_calloc(1, size) }
}

/// # Safety
/// The block is the system's, and the caller's alone; the size is not 0.
#[cold]
pub(crate) unsafe fn resize(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: says the caller.
    unsafe { __libc_realloc(block, size) }
}

/// # Safety
/// The block is the system's, and nothing refers to it any more.
#[cold]
pub(crate) unsafe fn release(block: *mut c_void) {
    // SAFETY: says the caller.
    unsafe { __libc_free(block) };
}

/// The bytes that a block can hold; 0 if the system does not say.
///
/// # Safety
/// The block is the system's.
#[cold]
pub(crate) unsafe fn usable_size(block: *mut c_void) -> usize {
    const NAME: *const c_char = c"malloc_usable_size".as_ptr();
    // SAFETY: looks for a name.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, NAME) };
    if found.is_null() {
        return 0;
    }
    type Function = unsafe extern "C" fn(*mut c_void) -> usize;
    // SAFETY: a function of that name has this type in every C library.
    let function: Function = unsafe { mem::transmute(found) };
    // SAFETY: says the caller.
    unsafe { function(block) }
}
