//! The shapes on stillheap, with no heap opened.
#![allow(unsafe_code, reason = "looks for the allocator's tables in its own memory")]

use std::ops::Range;
use std::ptr;
use stillheap::ProcessHeap;
use stillheap::arena::{ArenaConfig, CELL_MAGIC};
use stillheap::base::CHUNK_SIZE;
use stillheap_alloc::Part;

#[global_allocator]
static ALLOCATOR: ProcessHeap = ProcessHeap::new();

fn main() -> Result<(), stillheap_alloc::Error> {
    stillheap_alloc::run(part_of)
}

/// Snapshots save the arena, and the tables of its cells. Each cell's lie elsewhere, in a chunk
/// of their own that begins with a mark. The rest is the process's: who owns a slab, what has been
/// written in which epoch, the program's own statics.
fn part_of(page: usize, mapping: &Range<usize>) -> Part {
    let arena = ArenaConfig::process(ProcessHeap::DEFAULT_BASE);
    if (arena.base..arena.base + arena.byte_len()).contains(&page) {
        return Part::Saved;
    }
    let chunk = page - page % CHUNK_SIZE;
    // A chunk's mapping is made as a whole.
    if !mapping.contains(&chunk) {
        return Part::Transient;
    }
    let mark: *const u64 = ptr::with_exposed_provenance(chunk);
    // SAFETY: aligned, and within a mapping that can be read and written. No other thread runs.
    let mark = unsafe { mark.read_volatile() };
    if mark == CELL_MAGIC { Part::Tables } else { Part::Transient }
}
