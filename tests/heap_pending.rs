//! Cells of an image whose tables are looked at later: whoever needs one enters it, nobody else
//! waits for it, and damage in it is found before anything of it is believed.
#![allow(clippy::unwrap_used, reason = "a failing test panics")]
#![allow(unsafe_code, reason = "allocates by hand and writes into the blocks")]

mod heap_support;

use heap_support::{commit, detach, free, heap_at, open, own_base, restore_as, take};
use std::sync::Barrier;
use std::thread;
use stillheap::arena::Arena;
use stillheap::base::{CELL_SIZE, CellIndex};
use stillheap::heap::Heap;

/// Sizes of blocks: in slabs, runs of pages, and large ones.
const SIZES: [usize; 7] = [16, 48, 700, 5000, 40 << 10, 300 << 10, 3 << 20];
/// Cells that the blocks of [`saved`] fill, but for the last one.
const CELLS: u32 = 4;

/// A heap of some cells, each byte of a block telling its number; every seventh block is free.
/// Its directory, its base, its blocks.
fn saved() -> (tempfile::TempDir, usize, Vec<(usize, usize)>) {
    saved_of(&SIZES)
}

/// The same with blocks of these sizes, in turn.
fn saved_of(sizes: &[usize]) -> (tempfile::TempDir, usize, Vec<(usize, usize)>) {
    let heap = heap_at(own_base());
    let lane = heap.attach().unwrap();
    let (mut blocks, mut free_ones) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    for number in 0.. {
        let size = sizes[number % sizes.len()];
        let block = take(&heap, lane, size, 8);
        bytes += size;
        if number % 49 == 48 || number % 7 == 2 {
            free_ones.push(block);
            continue;
        }
        // SAFETY: a block of that many bytes.
        unsafe { block.write_bytes(u8::try_from(number % 128).unwrap() | 1, size) };
        blocks.push((block.addr().get(), size));
        if bytes > (CELLS as usize - 1) * CELL_SIZE - CELL_SIZE / 4 {
            break;
        }
    }
    free_ones.into_iter().for_each(|block| free(&heap, lane, block).unwrap());
    let folder = tempfile::tempdir().unwrap();
    detach(&heap, lane);
    commit(&open(&folder, &heap).unwrap(), &heap, 1, 2);
    (folder, heap.arena().base(), blocks)
}

fn pending(heap: &Heap) -> Vec<u32> {
    (0..CELLS + 2).filter(|&cell| heap.arena().is_pending(CellIndex(cell))).collect()
}

fn check_bytes((address, size): (usize, usize)) {
    let first: *const u8 = std::ptr::with_exposed_provenance(address);
    // SAFETY: a restored block of that many bytes.
    let bytes = unsafe { std::slice::from_raw_parts(first, size) };
    assert!(bytes.iter().all(|byte| *byte == bytes[0] && *byte != 0), "{size}");
}

#[test]
fn who_needs_a_cell_enters_it_and_no_other() {
    let (folder, base, blocks) = saved();
    let heap = restore_as(&folder, base, true, |_| {}).unwrap();
    assert_eq!(pending(&heap), [1, 2, 3]);
    let cell_of = |block: &&(usize, usize)| (block.0 - base) / CELL_SIZE;
    let in_cell = |cell| blocks.iter().find(move |block| cell_of(block) == cell).unwrap();
    // Memory is there all the same.
    blocks.iter().for_each(|&block| check_bytes(block));
    assert!(heap.usable_size(in_cell(2).0).unwrap() >= in_cell(2).1);
    assert_eq!(pending(&heap), [1, 3]);
    let lane = heap.attach().unwrap();
    // SAFETY: the lane is this test's, and so is the block.
    unsafe { heap.free(lane, in_cell(3).0) }.unwrap();
    assert_eq!(pending(&heap), [1]);
    assert!(!heap.is_live_block(in_cell(3).0) && heap.is_live_block(in_cell(2).0));
    assert!(heap.enter_next().unwrap() && !heap.enter_next().unwrap());
    assert_eq!(pending(&heap), [0; 0]);
    heap.validate().unwrap();
    assert_eq!(heap.stats().blocks, blocks.len() as u64 - 1);
}

#[test]
fn it_is_what_it_would_be_if_all_were_looked_at_first() {
    let (folder, base, blocks) = saved();
    let stats = |is_later| {
        let heap = restore_as(&folder, base, is_later, |_| {}).unwrap();
        heap.validate().unwrap();
        heap.stats()
    };
    assert_eq!(stats(true), stats(false));
    assert_eq!(stats(true).blocks, blocks.len() as u64);
}

#[test]
fn room_is_found_in_cells_that_are_there() {
    let (folder, base, blocks) = saved();
    for size in SIZES {
        let heap = restore_as(&folder, base, true, |_| {}).unwrap();
        let before = (0..CELLS + 2).filter(|&cell| heap.arena().is_live(CellIndex(cell))).count();
        let lane = heap.attach().unwrap();
        let new: Vec<_> = (0..(6 << 20) / size.max(256 << 10))
            .map(|_| take(&heap, lane, size, 8).addr().get())
            .collect();
        for &address in &new {
            let overlaps =
                |&&(old, len): &&(usize, usize)| old < address + size && address < old + len;
            assert_eq!(blocks.iter().find(overlaps), None, "{size}");
        }
        let after = (0..CELLS + 2).filter(|&cell| heap.arena().is_live(CellIndex(cell))).count();
        assert_eq!(after, before, "{size}: the heap has grown");
        heap.validate().unwrap();
        assert_eq!(heap.stats().blocks, (blocks.len() + new.len()) as u64);
    }
}

#[test]
fn threads_may_all_want_them_at_once() {
    let (folder, base, blocks) = saved();
    for round in 0..3 {
        let heap = restore_as(&folder, base, true, |_| {}).unwrap();
        let start = Barrier::new(4);
        thread::scope(|scope| {
            for part in 0..4 {
                let (heap, start, blocks) = (&heap, &start, &blocks);
                scope.spawn(move || {
                    let lane = heap.attach().unwrap();
                    start.wait();
                    for (number, &block) in blocks.iter().enumerate().skip(part).step_by(4) {
                        check_bytes(block);
                        // SAFETY: the lane and these blocks are this thread's.
                        unsafe { heap.free(lane, block.0) }.unwrap();
                        if number % 3 == 0 {
                            let new = take(heap, lane, block.1, 8);
                            // SAFETY: a block of that many bytes.
                            unsafe { new.write_bytes(7, block.1) };
                            free(heap, lane, new).unwrap();
                        }
                        if part == round % 4 {
                            heap.enter_next().unwrap();
                        }
                    }
                    // SAFETY: the lane is not used any more.
                    unsafe { heap.detach(lane) };
                });
            }
        });
        assert_eq!(heap.stats().blocks, 0);
        heap.validate().unwrap();
    }
}

/// Words of a pending cell's tables, set to wrong values: found when the cell is entered, or
/// harmless.
/// What asks without a lock whether a block is in use hears so as soon as its cell is live.
#[test]
fn a_block_in_use_is_so_while_its_cell_is_entered() {
    // Slabs all over.
    let (folder, base, blocks) = saved_of(&[700]);
    let cell_of = |address: usize| CellIndex(u32::try_from((address - base) / CELL_SIZE).unwrap());
    for _ in 0..20 {
        let heap = restore_as(&folder, base, true, |_| {}).unwrap();
        for cell in pending(&heap).into_iter().rev().map(CellIndex) {
            // The last one of the cell: its maps are built last.
            let here = blocks.iter().filter(|&&(address, _)| cell_of(address) == cell);
            let Some(&(block, _)) = here.max() else { continue };
            thread::scope(|scope| {
                let asked = scope.spawn(|| {
                    while heap.arena().is_pending(cell) {
                        std::hint::spin_loop();
                    }
                    heap.is_live_block(block)
                });
                assert!(heap.enter_next().unwrap());
                assert!(asked.join().unwrap(), "it is in use");
            });
        }
    }
}

#[test]
fn damage_is_found_before_it_is_believed() {
    let (folder, base, _) = saved();
    let (mut at_once, mut later) = (0, 0);
    for slot in 0..4 {
        for offset in (0..0x1000).step_by(104).chain((0x4000..0x4100).step_by(56)) {
            let heap = restore_as(&folder, base, true, |arena: &Arena| {
                let at = arena.base() + CELL_SIZE + slot * 0x1_0000 + offset;
                let word: *mut u64 = std::ptr::with_exposed_provenance_mut(at);
                // SAFETY: a word of the second cell's metadata, mapped private and writable.
                let old = unsafe { word.read() };
                // SAFETY: as above.
                unsafe { word.write(!old) };
            });
            let Ok(heap) = heap else {
                at_once += 1;
                continue;
            };
            match heap.enter_all() {
                Ok(()) => heap.validate().unwrap(),
                Err(damage) => {
                    later += 1;
                    assert!(heap.arena().is_pending(CellIndex(1)), "{damage}");
                    assert_eq!(heap.enter_all().unwrap_err().to_string(), damage.to_string());
                    // The others are as usable as before.
                    let lane = heap.attach().unwrap();
                    let block = take(&heap, lane, 100, 8);
                    free(&heap, lane, block).unwrap();
                }
            }
        }
    }
    assert!(at_once > 0 && later > 50, "{at_once} at once, {later} later");
}
