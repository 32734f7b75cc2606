//! Promotion: a chunk that is a mapping of an image becomes anonymous memory, in a huge page if
//! the system has one, at its first write.
//!
//! The chunk is write-protected, so its contents stand still while they are copied; then the
//! copy is moved over it in one step, beside threads that read. The copies are made in a range
//! as long as the arena, each at its chunk's place in it, so that the kernel can see
//! neighbouring chunks as one mapping again.
#![allow(unsafe_code, reason = "replaces mappings of the arena")]

use crate::base::CHUNK_SIZE;
use crate::base::ChunkIndex;
use crate::os;
use crate::os::map::{self, Reservation};
use std::io;
use std::ptr;

/// The range where copies are made.
#[derive(Debug)]
pub(super) struct Promotion {
    range: Reservation,
}

impl Promotion {
    pub(super) fn new(arena_len: usize) -> io::Result<Self> {
        Reservation::anywhere(arena_len, CHUNK_SIZE).map(|range| Self { range })
    }

    /// Replaces the chunk at `address` by an anonymous, writable copy of itself.
    ///
    /// # Errors
    /// What the system says; the chunk is then as it was.
    ///
    /// # Safety
    /// The chunk is readable memory of the caller's that nobody writes to meanwhile.
    pub(super) unsafe fn promote(&self, chunk: ChunkIndex, address: usize) -> io::Result<()> {
        let copy = self.range.start() + chunk.offset();
        // SAFETY: the chunk's own place in the range, which the caller alone works on.
        unsafe { map::commit(copy, CHUNK_SIZE)? };
        map::advise_huge(copy, CHUNK_SIZE, true);
        let source: *const u8 = ptr::with_exposed_provenance(address);
        let target: *mut u8 = ptr::with_exposed_provenance_mut(copy);
        // SAFETY: readable, says the caller; the copy has just been made writable; ranges that
        // are different reservations do not overlap.
        unsafe { ptr::copy_nonoverlapping(source, target, CHUNK_SIZE) };
        // SAFETY: both are the caller's, and hold the same bytes.
        let moved = unsafe { map::move_over(copy, CHUNK_SIZE, address) };
        if moved.is_err() {
            if !map::is_mapped(address, CHUNK_SIZE) {
                os::fatal(&["stillheap: the system has taken memory away that it should move\n"]);
            }
            // SAFETY: nobody else knows of the copy.
            let _ = unsafe { map::decommit(copy, CHUNK_SIZE) };
        }
        moved
    }
}
