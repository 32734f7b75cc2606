//! Memory of the bench's own: shared mappings, which are not watched, so that its bookkeeping does
//! not count. Never given back.
#![allow(unsafe_code, reason = "maps memory, and makes values in it")]

use std::io;
use std::mem::align_of;
use std::ptr;
use std::slice;

const PAGE: usize = 4096;

/// A slice of `len` values that `make` gives for their places.
///
/// # Errors
/// If the system gives no memory.
pub(super) fn slice<T>(len: usize, make: impl Fn(usize) -> T) -> io::Result<&'static mut [T]> {
    assert!(align_of::<T>() <= PAGE, "pages are aligned to no more");
    let bytes = (len * size_of::<T>()).max(1);
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping at a place that the system chooses touches nobody's memory.
    let memory = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let first: *mut T = memory.cast();
    for place in 0..len {
        // SAFETY: within the mapping, which has room for `len` of them.
        let at = unsafe { first.add(place) };
        // SAFETY: aligned memory of the mapping's, in which there is no value yet.
        unsafe { at.write(make(place)) };
    }
    // SAFETY: `len` values have just been made there; nobody else has the mapping, and it stays.
    Ok(unsafe { slice::from_raw_parts_mut(first, len) })
}
