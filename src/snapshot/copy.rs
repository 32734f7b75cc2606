//! Copying pages out of memory that may be written at the same time.
//!
//! While the gate is closed no scope and no allocator call runs, but a thread outside scopes
//! may write to ambient memory of its own. What such a write tears is not reachable from a
//! root; but checksum and page must be made from the same bytes, so pages are copied first.
#![allow(unsafe_code, reason = "reads the arena's memory behind its owners' backs")]

use crate::arena::Arena;
use crate::base::PageRun;

/// Copies the pages of a run, word by word, into `buffer`, which is as long as they are.
///
/// The pages are saved ones of a live cell, so they are mapped.
pub(super) fn copy_pages(arena: &Arena, run: PageRun, buffer: &mut [u8]) {
    assert_eq!(buffer.len(), run.byte_len());
    let source = arena.pointer(run.first).cast::<u64>();
    for (index, word) in buffer.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        // SAFETY: within the run, whose pages are mapped and aligned.
        let place = unsafe { source.add(index) };
        // SAFETY: as above. A volatile read takes the word as it is at this moment; a race
        // with the owner's write gives one of the values, of which nobody builds anything but
        // a copy.
        let value = unsafe { place.read_volatile() };
        // The crate compiles for little-endian machines only, so this is the order in memory.
        *word = value.to_le_bytes();
    }
}
