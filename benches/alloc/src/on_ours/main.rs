//! The shapes on stillheap. A heap is opened where a root is changed only.
#![allow(unsafe_code, reason = "looks for the allocator's tables in its own memory")]

use std::ops::Range;
use std::ptr;
use std::sync::{Mutex, PoisonError};
use stillheap::arena::{ArenaConfig, CELL_MAGIC};
use stillheap::base::CHUNK_SIZE;
use stillheap::{Heap, Options, ProcessHeap, Root};
use stillheap_alloc::{Error, Part};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: ProcessHeap = ProcessHeap::new();

fn main() -> Result<(), Error> {
    stillheap_alloc::run(part_of, change_root)?;
    if let Some(opened) = OPENED.lock().unwrap_or_else(PoisonError::into_inner).take() {
        opened.heap.close()?;
    }
    Ok(())
}

/// What the first change to the root opens.
static OPENED: Mutex<Option<Opened>> = Mutex::new(None);

struct Opened {
    root: Root<u64>,
    heap: Heap,
    _folder: TempDir,
}

impl Opened {
    fn new() -> Result<Self, Error> {
        let folder = tempfile::tempdir()?;
        let heap = ALLOCATOR.open(folder.path().join("heap"), Options::new())?;
        Ok(Self { root: heap.root("changes")?, heap, _folder: folder })
    }
}

fn change_root(change: &mut dyn FnMut()) {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let opened = opened.get_or_insert_with(|| Opened::new().expect("a heap"));
    opened.root.write(|changes| {
        *changes += 1;
        change();
    });
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
