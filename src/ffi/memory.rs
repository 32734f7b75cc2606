//! Blocks.
#![allow(unsafe_code, reason = "functions for C hand out and take back memory")]

use crate::ffi::calls::{coded, pointed};
use crate::ffi::codes::Code;
use crate::ffi::failure::Failure;
use crate::ffi::{root_values, text};
use crate::runtime::blocks::{self, BlockError};
use std::alloc::Layout;
use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

/// What every block starts at a multiple of: enough for all of C's types.
const ALIGN: usize = 16;
/// The most that can be asked for.
const ALIGN_MAX: usize = 1 << 21;

/// A block of at least `size` bytes, with anything in it; null on failure.
#[unsafe(no_mangle)]
pub extern "C" fn stillheap_alloc(size: usize) -> *mut c_void {
    pointed(|| alloc(size, ALIGN, false))
}

/// The same at a multiple of `align`, a power of two.
#[unsafe(no_mangle)]
pub extern "C" fn stillheap_aligned_alloc(align: usize, size: usize) -> *mut c_void {
    pointed(|| alloc(size, checked_align(align)?.max(ALIGN), false))
}

/// A block for `count` times `size` bytes, all zero; null on failure.
#[unsafe(no_mangle)]
pub extern "C" fn stillheap_calloc(count: usize, size: usize) -> *mut c_void {
    pointed(|| {
        let bytes = count.checked_mul(size).ok_or(BlockError::NoRoom { bytes: usize::MAX })?;
        alloc(bytes, ALIGN, true)
    })
}

/// A block of whole pages, all zero, of which writes are announced; null on failure.
#[unsafe(no_mangle)]
pub extern "C" fn stillheap_alloc_tracked(size: usize) -> *mut c_void {
    pointed(|| Ok(blocks::alloc_tracked(size)?.as_ptr().cast()))
}

/// Gives a block another size; it may move. Null on failure: the block is as it was.
///
/// # Safety
/// The block is the caller's alone, and not used any more where it was, if it has moved.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_realloc(block: *mut c_void, size: usize) -> *mut c_void {
    pointed(|| {
        let Some(old) = NonNull::new(block.cast()) else { return alloc(size, ALIGN, false) };
        root_values::refuse(old.as_ptr())?;
        // SAFETY: says the caller.
        let moved = unsafe { blocks::resize(old, size.max(1), ALIGN)? };
        Ok(moved.as_ptr().cast())
    })
}

/// Gives a block back. Null is fine.
///
/// # Safety
/// Nothing refers to the block any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_free(block: *mut c_void) -> c_int {
    coded(|| {
        if block.is_null() {
            return Ok(());
        }
        root_values::refuse(block.cast())?;
        // SAFETY: says the caller.
        unsafe { blocks::free(block.addr())? };
        Ok(())
    })
}

/// The bytes that a block can hold, at least as many as were asked for.
///
/// # Safety
/// `size` is null or a place for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_usable_size(block: *const c_void, size: *mut usize) -> c_int {
    coded(|| {
        let size = text::wanted("`size`", size)?;
        let usable = match block.is_null() {
            true => return Err(Failure::new(Code::Invalid, "`block` is null")),
            false => blocks::usable_size(block.addr())?,
        };
        // SAFETY: says the caller.
        unsafe { text::put(size, usable) };
        Ok(())
    })
}

/// Whether an address lies in the open heap's range: 1 or 0.
#[unsafe(no_mangle)]
pub extern "C" fn stillheap_contains(address: *const c_void) -> c_int {
    blocks::is_inside(address.addr()).into()
}

#[inline]
fn alloc(size: usize, align: usize, zeroed: bool) -> Result<*mut c_void, Failure> {
    let size = size.max(1);
    let layout =
        Layout::from_size_align(size, align).map_err(|_| BlockError::NoRoom { bytes: size })?;
    Ok(blocks::alloc(layout, zeroed)?.as_ptr().cast())
}

/// # Errors
/// If it is no power of two, or beyond 2 MiB.
pub(super) fn checked_align(align: usize) -> Result<usize, Failure> {
    match align.is_power_of_two() && align <= ALIGN_MAX {
        true => Ok(align),
        false => Err(Failure::invalid(format_args!(
            "an alignment is a power of two, at most {ALIGN_MAX}, and not {align}"
        ))),
    }
}
