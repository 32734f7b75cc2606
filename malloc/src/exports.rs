//! The functions that take the place of the C library's.
//!
//! They keep the rules of the C standard, and where it leaves a choice they choose as glibc does,
//! since programs have come to rely on that: `realloc` to size 0 frees, blocks of size 0 are
//! different ones, `memalign` rounds odd alignments up.
#![allow(unsafe_code, reason = "these are the C library's functions")]
#![allow(
    clippy::missing_safety_doc,
    unreachable_pub,
    reason = "their rules are those of the C library"
)]

use crate::blocks::{self, ALIGN};
use crate::thread::set_errno;
use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use stillheap::base::PAGE_SIZE;

#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut c_void {
    blocks::allocate(size, ALIGN)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(block: *mut c_void) {
    // SAFETY: says the caller.
    unsafe { blocks::release(block) };
}

#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        Some(size) => blocks::allocate_zeroed(size),
        None => fail(libc::ENOMEM),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: says the caller.
    unsafe { resize(block, size) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(
    block: *mut c_void,
    count: usize,
    size: usize,
) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: says the caller.
        Some(size) => unsafe { resize(block, size) },
        None => fail(libc::ENOMEM),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(
    place: *mut *mut c_void,
    align: usize,
    size: usize,
) -> c_int {
    if !align.is_power_of_two() || !align.is_multiple_of(size_of::<*mut c_void>()) {
        return libc::EINVAL;
    }
    let _errno = stillheap::os::ErrnoKept::new();
    let block = blocks::allocate(size, align);
    if block.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller's variable.
    unsafe { place.write(block) };
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    match align.is_power_of_two() {
        true => blocks::allocate(size, align),
        false => fail(libc::EINVAL),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    match align.checked_next_power_of_two() {
        Some(align) => blocks::allocate(size, align),
        None => fail(libc::EINVAL),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn valloc(size: usize) -> *mut c_void {
    blocks::allocate(size, PAGE_SIZE)
}

#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(size: usize) -> *mut c_void {
    match size.checked_next_multiple_of(PAGE_SIZE) {
        Some(size) => blocks::allocate(size, PAGE_SIZE),
        None => fail(libc::ENOMEM),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn malloc_usable_size(block: *mut c_void) -> usize {
    // SAFETY: says the caller.
    unsafe { blocks::usable_size(block) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_sized(block: *mut c_void, _size: usize) {
    // SAFETY: says the caller.
    unsafe { blocks::release(block) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_aligned_sized(block: *mut c_void, _align: usize, _size: usize) {
    // SAFETY: says the caller.
    unsafe { blocks::release(block) };
}

/// Nothing to be done: whole free chunks go back to the system when they become free.
#[unsafe(no_mangle)]
pub extern "C" fn malloc_trim(_keep: usize) -> c_int {
    0
}

/// # Safety
/// As for `realloc`.
unsafe fn resize(block: *mut c_void, size: usize) -> *mut c_void {
    let Some(known) = NonNull::new(block) else { return blocks::allocate(size, ALIGN) };
    if size == 0 {
        // SAFETY: says the caller.
        unsafe { blocks::release(block) };
        return ptr::null_mut();
    }
    // SAFETY: says the caller.
    unsafe { blocks::resize(known, size) }
}

#[cold]
fn fail(error: c_int) -> *mut c_void {
    set_errno(error);
    ptr::null_mut()
}
