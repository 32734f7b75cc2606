//! Copying memory that may be written at the same time.
//!
//! A copy that a write has raced with is thrown away (see `epoch`), or is of memory that no root
//! reaches; but making it must not be undefined, so no Rust reference or plain read is used.
#![allow(unsafe_code, reason = "reads the arena's memory behind its owners' backs")]

#[cfg(not(target_arch = "x86_64"))]
use std::ptr;

/// Copies `buffer.len()` bytes, a multiple of 8, from an address that is a multiple of 8.
///
/// The memory is mapped and readable: pages of a known cell, or of its tables.
pub(super) fn copy_memory(source: usize, buffer: &mut [u8]) {
    debug_assert!(source.is_multiple_of(8) && buffer.len().is_multiple_of(8));
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: reads mapped memory and writes the buffer, both of that length. Written in
        // assembler, it is no access of the language's: racing writes give any bytes, and
        // nothing worse.
        unsafe {
            std::arch::asm!(
                "rep movsb",
                inout("rsi") source => _,
                inout("rdi") buffer.as_mut_ptr() => _,
                inout("rcx") buffer.len() => _,
                options(nostack, preserves_flags),
            );
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let words: *const u64 = ptr::with_exposed_provenance(source);
        for (index, word) in buffer.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            // SAFETY: within the source's length.
            let place = unsafe { words.add(index) };
            // SAFETY: mapped and aligned; volatile, so the word is taken as it is.
            *word = unsafe { place.read_volatile() }.to_le_bytes();
        }
    }
}
