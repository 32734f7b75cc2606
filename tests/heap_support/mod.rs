//! Heaps over small arenas, saved and taken in again. Bases are of the test's process alone.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unsafe_code, reason = "allocates by hand and maps images")]

use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use stillheap::arena::{Arena, ArenaConfig, Purpose};
use stillheap::cow::Saves;
use stillheap::heap::{AdoptError, BadFree, CellRun, Heap, Lane};
use stillheap::image::{Choice, Wish, choose};
use stillheap::os::DiskDir;
use stillheap::snapshot::{Policy, Prepared, Store, Way, host_of};

pub(crate) const CONFIG: ArenaConfig = ArenaConfig { base: 0, main_cells: 6, boot_cells: 4 };

pub(crate) fn heap_at(base: usize) -> Heap {
    let heap = Heap::booting(Arena::reserve(ArenaConfig { base, ..CONFIG }).unwrap(), 7).unwrap();
    heap.found().unwrap();
    heap
}

/// A base where nobody else in the process maps anything: neither the system by itself nor
/// another of these tests.
pub(crate) fn own_base() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0x3000_0000_0000);
    NEXT.fetch_add(16 << 30, Ordering::Relaxed)
}

pub(crate) fn take(heap: &Heap, lane: &Lane, size: usize, align: usize) -> NonNull<u8> {
    // SAFETY: the lane is this test's.
    unsafe { heap.allocate(lane, size, align, Purpose::Scoped) }.unwrap().block
}

pub(crate) fn free(heap: &Heap, lane: &Lane, block: NonNull<u8>) -> Result<(), BadFree> {
    // SAFETY: the lane is this test's, and so is the block.
    unsafe { heap.free(lane, block.addr().get()) }
}

/// Gives a lane back: so blocks that it has at hand are not taken for blocks in use.
pub(crate) fn detach(heap: &Heap, lane: &Lane) {
    // SAFETY: the lane is this test's, and is not used any more.
    unsafe { heap.detach(lane) };
}

/// Freezes the heap, which nobody changes, and makes a snapshot of it durable.
pub(crate) fn commit(store: &Store<DiskDir>, heap: &Heap, at: u64, operations: u64) {
    heap.settle();
    let engine = heap.arena().cow();
    engine.stage().prepare(1 << 20);
    engine.freeze(Some(Saves::All)).unwrap();
    let window = engine.window();
    let draft = store.draft(heap.arena(), &window, at, operations, Saves::All).unwrap();
    drop(window);
    store.commit(draft).unwrap();
    store.prune();
}

pub(crate) fn open(folder: &tempfile::TempDir, heap: &Heap) -> Option<Store<DiskDir>> {
    let dir = DiskDir::open(folder.path()).unwrap();
    let opening =
        Store::open(dir, &host_of(heap.arena()), 1, Policy::default(), true, Wish::default())
            .unwrap();
    opening.image.is_none().then_some(opening.store)
}

/// Maps the saved image into a fresh heap at the same base, after `damage` has been done.
pub(crate) fn restore(
    folder: &tempfile::TempDir,
    base: usize,
    damage: impl Fn(&Arena),
) -> Result<Heap, AdoptError> {
    restore_as(folder, base, false, damage)
}

/// The same; `is_later`: tables are looked at when they are needed.
pub(crate) fn restore_as(
    folder: &tempfile::TempDir,
    base: usize,
    is_later: bool,
    damage: impl Fn(&Arena),
) -> Result<Heap, AdoptError> {
    let arena = Arena::reserve(ArenaConfig { base, ..CONFIG }).unwrap();
    let dir = DiskDir::open(folder.path()).unwrap();
    let Choice::Sound(sound) = choose(&dir, &host_of(&arena)).unwrap() else { panic!("no image") };
    let prepared = Prepared::new(sound.chain, Way::Map, &|_| {}).unwrap();
    let runs: Vec<CellRun> = prepared
        .placements()
        .iter()
        .map(|place| CellRun {
            first: place.first,
            count: place.cells,
            file_backed: true,
            is_later,
        })
        .collect();
    let heap = Heap::booting(arena, 9).unwrap();
    let map = |index: usize| {
        // SAFETY: the arena is new, and the files are this test's.
        unsafe { prepared.place(index, heap.arena())? };
        if index + 1 == runs.len() {
            damage(heap.arena());
        }
        Ok(())
    };
    // SAFETY: a placement maps the whole of its cells.
    unsafe { heap.adopt(&runs, map)? };
    Ok(heap)
}
