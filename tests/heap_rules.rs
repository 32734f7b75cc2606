//! What the allocator promises, one rule a test, and its way through an image and back.
#![allow(clippy::unwrap_used, reason = "a failing test panics")]
#![allow(unsafe_code, reason = "allocates by hand and writes into the blocks")]

mod heap_support;

use heap_support::{commit, detach, free, heap_at, open, own_base, restore, take};
use stillheap::arena::{Arena, CellDamage, Purpose};
use stillheap::base::PAGE_SIZE;
use stillheap::heap::{AdoptError, BadFree, Damage, Heap, RootRecord};
use stillheap::image::Wish;
use stillheap::os::DiskDir;
use stillheap::snapshot::{Policy, Store, host_of};

fn heap() -> Heap {
    heap_at(0)
}

const SIZES: [usize; 9] = [1, 16, 100, 4096, 32 << 10, 40 << 10, 1 << 20, 3 << 20, 100 << 20];

#[test]
fn freeing_twice_is_caught_at_every_size() {
    let heap = heap();
    let lane = heap.attach().unwrap();
    for size in SIZES {
        // A second block keeps the chunk alive.
        let (block, other) = (take(&heap, lane, size, 8), take(&heap, lane, size.min(64), 8));
        free(&heap, lane, block).unwrap();
        let again = free(&heap, lane, block).unwrap_err();
        assert!(matches!(again, BadFree::Free | BadFree::NoBlock), "{size}: {again:?}");
        free(&heap, lane, other).unwrap();
        heap.validate().unwrap();
    }
}

#[test]
fn freeing_twice_is_caught_across_threads() {
    let heap = heap();
    let (mine, other) = (heap.attach().unwrap(), heap.attach().unwrap());
    let block = take(&heap, mine, 48, 8);
    free(&heap, other, block).unwrap();
    assert_eq!(free(&heap, other, block), Err(BadFree::Free));
    assert_eq!(free(&heap, mine, block), Err(BadFree::Free), "not merged yet");
}

#[test]
fn addresses_that_are_no_block_are_refused() {
    let heap = heap();
    let lane = heap.attach().unwrap();
    for size in SIZES {
        let block = take(&heap, lane, size, 8);
        let inside = block.addr().get() + 8;
        // SAFETY: the lane is this test's; the call must refuse.
        assert_eq!(unsafe { heap.free(lane, inside) }, Err(BadFree::NoBlock), "{size}");
    }
    let local = 0_u64;
    // SAFETY: as above.
    let foreign = unsafe { heap.free(lane, std::ptr::from_ref(&local).addr()) };
    assert_eq!(foreign, Err(BadFree::Foreign));
}

#[test]
fn alignments_up_to_many_chunks_are_kept() {
    let heap = heap();
    let lane = heap.attach().unwrap();
    for shift in 0..=26 {
        for size in [1, 5000, 50_000] {
            let block = take(&heap, lane, size, 1 << shift);
            assert!(block.addr().get().is_multiple_of(1 << shift), "{size} at 2^{shift}");
            heap.validate().unwrap();
            free(&heap, lane, block).unwrap();
        }
    }
}

#[test]
fn a_full_heap_says_no_and_goes_on() {
    let heap = heap();
    let lane = heap.attach().unwrap();
    let mut blocks = Vec::new();
    // SAFETY: the lane is this test's.
    while let Some(found) = unsafe { heap.allocate(lane, 30 << 20, 8, Purpose::Ambient) } {
        blocks.push(found.block);
    }
    assert_eq!(blocks.len(), 10, "two in each of the five guarded cells");
    // SAFETY: as above.
    assert!(unsafe { heap.allocate(lane, usize::MAX / 2, 8, Purpose::Ambient) }.is_none());
    heap.validate().unwrap();
    free(&heap, lane, blocks.pop().unwrap()).unwrap();
    take(&heap, lane, 30 << 20, 8);
    heap.validate().unwrap();
}

#[test]
fn blocks_are_resized_in_place_where_it_can_be() {
    let heap = heap();
    let lane = heap.attach().unwrap();
    let resize = |block, old, new| {
        // SAFETY: the lane is this test's, and so is the block.
        unsafe { heap.resize(lane, block, old, new, 8, Purpose::Scoped) }.unwrap().unwrap()
    };
    let small = take(&heap, lane, 33, 8);
    assert_eq!(resize(small, 33, 48), small, "within its class");
    let run = take(&heap, lane, 50_000, 8);
    assert_eq!(resize(run, 50_000, 200_000), run, "the pages behind it are free");
    assert_eq!(resize(run, 200_000, 60_000), run, "shortened");
    heap.validate().unwrap();
    let next = take(&heap, lane, 100_000, 8);
    assert_ne!(resize(run, 60_000, 400_000), run, "another run is in the way");
    assert!(next > run);
    heap.validate().unwrap();
}

#[test]
fn memory_that_is_said_to_be_zero_is() {
    let heap = heap();
    let lane = heap.attach().unwrap();
    for (len, first) in [(5 << 20, true), (5 << 20, false), (40 << 20, false), (70 << 20, true)] {
        // SAFETY: the lane is this test's.
        let found = unsafe { heap.allocate(lane, len, 8, Purpose::Scoped) }.unwrap();
        // What was freed just before is kept as it was; what has cells of its own is fresh.
        assert_eq!(found.zeroed, first, "{len}");
        // SAFETY: a block of that many bytes, all of which are initialised.
        let bytes = unsafe { std::slice::from_raw_parts_mut(found.block.as_ptr(), len) };
        assert!(!found.zeroed || bytes.iter().all(|&byte| byte == 0));
        bytes.fill(0xa5);
        free(&heap, lane, found.block).unwrap();
    }
}

#[test]
fn lanes_of_ended_threads_leave_their_blocks_to_others() {
    let heap = heap();
    let blocks: Vec<usize> = std::thread::scope(|scope| {
        let allocate = || {
            let lane = heap.attach().unwrap();
            let blocks = (0..1000).map(|_| take(&heap, lane, 64, 8).addr().get()).collect();
            // SAFETY: the lane is this thread's and is not used any more.
            unsafe { heap.detach(lane) };
            blocks
        };
        scope.spawn(allocate).join().unwrap()
    });
    let lane = heap.attach().unwrap();
    for block in blocks {
        // SAFETY: the lane is this test's, and so are the blocks.
        unsafe { heap.free(lane, block) }.unwrap();
    }
    // The next slow path merges what was freed on behalf of nobody.
    take(&heap, lane, 20_000, 8);
    heap.validate().unwrap();
    assert_eq!(heap.stats().blocks, 1);
}

/// Fills a heap, saves it, and gives its directory and base back.
fn saved(size_max: usize) -> (tempfile::TempDir, usize, Vec<(usize, usize)>) {
    let heap = heap_at(own_base());
    let lane = heap.attach().unwrap();
    let mut blocks = Vec::new();
    for (index, size) in SIZES.into_iter().cycle().take(60).enumerate() {
        if size > size_max || size > 10 << 20 && index > 10 {
            continue;
        }
        let block = take(&heap, lane, size, 8);
        // SAFETY: a block of that many bytes.
        unsafe { block.write_bytes(u8::try_from(index).unwrap() + 1, size) };
        blocks.push((block.addr().get(), size));
    }
    let mut root = RootRecord::named("root").unwrap();
    root.value = blocks[3].0 as u64;
    root.size = blocks[3].1 as u64;
    root.schema = blocks[4].0 as u64;
    root.schema_len = 100;
    heap.put_root(&root).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let opening = open(&folder, &heap).unwrap();
    detach(&heap, lane);
    commit(&opening, &heap, 1, 2);
    (folder, heap.arena().base(), blocks)
}

#[test]
fn a_heap_comes_back_with_every_block() {
    let (folder, base, blocks) = saved(100 << 20);
    let heap = restore(&folder, base, |_| {}).unwrap();
    heap.validate().unwrap();
    assert_eq!(heap.stats().blocks, blocks.len() as u64);
    assert_eq!(heap.find_root("root").unwrap().1.value, blocks[3].0 as u64);
    let lane = heap.attach().unwrap();
    for &(address, size) in &blocks {
        let first: *const u8 = std::ptr::with_exposed_provenance(address);
        // SAFETY: a restored block of that many bytes.
        let bytes = unsafe { std::slice::from_raw_parts(first, size) };
        assert!(bytes.iter().all(|byte| *byte == bytes[0] && *byte != 0), "{size}");
        assert!(heap.usable_size(address).unwrap() >= size);
    }
    // New blocks do not overlap old ones, and everything can be freed.
    let new: Vec<_> = (0..1000).map(|index| take(&heap, lane, 1 + index * 7, 8)).collect();
    for (block, &(address, size)) in new.iter().zip(blocks.iter().cycle()) {
        assert!(!(address..address + size).contains(&block.addr().get()));
    }
    for address in blocks.iter().map(|block| block.0).chain(new.iter().map(|b| b.addr().get())) {
        // SAFETY: the lane is this test's, and so are the blocks.
        unsafe { heap.free(lane, address) }.unwrap();
    }
    // SAFETY: the lane is not used any more.
    unsafe { heap.detach(lane) };
    assert_eq!(heap.stats().blocks, 0);
    let dangling = heap.validate().unwrap_err();
    assert!(matches!(dangling, Damage::Root { index: 0, .. }), "{dangling}");
}

/// Every word of the metadata in use, set to wrong values: refused, or harmless.
#[test]
fn damaged_tables_are_refused_or_sound() {
    let (folder, base, _) = saved(40 << 10);
    let word_at = |arena: &Arena, offset: usize| -> *mut u64 {
        std::ptr::with_exposed_provenance_mut(arena.base() + offset)
    };
    let mut refused = 0;
    for slot in 0..4 {
        for offset in (0..0x1000).step_by(8).chain((0x4000..0x4100).step_by(8)) {
            let outcome = restore(&folder, base, |arena| {
                let word = word_at(arena, slot * 0x1_0000 + offset);
                // SAFETY: a word of the first cell's metadata, mapped private and writable.
                let old = unsafe { word.read() };
                // SAFETY: as above.
                unsafe { word.write(!old) };
            });
            match outcome {
                Err(AdoptError::Damage(_)) => refused += 1,
                Err(error) => panic!("{error}"),
                Ok(heap) => heap.validate().unwrap(),
            }
        }
    }
    assert!(refused > 200, "only {refused} were noticed");
}

#[test]
fn an_image_of_another_kind_is_named() {
    let (folder, base, _) = saved(40 << 10);
    let magic = restore(&folder, base, |arena| {
        let first: *mut u64 = std::ptr::with_exposed_provenance_mut(arena.base());
        // SAFETY: the first cell's header, mapped private and writable.
        unsafe { first.write(5) };
    });
    let Err(AdoptError::Damage(Damage::Cell(CellDamage::Magic { cell: 0, found: 5 }))) = magic
    else {
        panic!("expected a complaint about the magic number");
    };
    assert_eq!(PAGE_SIZE, 4096);
}

fn word_at(arena: &Arena, offset: usize) -> *mut u64 {
    std::ptr::with_exposed_provenance_mut(arena.base() + offset)
}

/// Bits of freed blocks where no slab is yet: a slab that is made there must not heed them.
#[test]
fn stale_remote_bits_free_nothing() {
    let (folder, base, _) = saved(40 << 10);
    let heap = restore(&folder, base, |arena| {
        for (slot, page) in (1..32).flat_map(|slot| (0..512).map(move |page| (slot, page))) {
            // SAFETY: words of the first cell's metadata, mapped private and writable.
            let entries = unsafe { word_at(arena, slot * 0x1_0000 + 0x800 + page / 2 * 8).read() };
            if entries >> (page % 2 * 32) & 0xff != 0 {
                continue;
            }
            for word in 0..4 {
                let place = word_at(arena, slot * 0x1_0000 + 0x8000 + (page * 4 + word) * 8);
                // SAFETY: as above.
                unsafe { place.write(0x10) };
            }
        }
    })
    .unwrap();
    heap.validate().unwrap();
    let (lane, other) = (heap.attach().unwrap(), heap.attach().unwrap());
    let blocks: Vec<_> = (0..50).map(|_| take(&heap, lane, 2048, 8)).collect();
    free(&heap, other, blocks[0]).unwrap();
    for _ in 0..200 {
        assert!(!blocks[1..].contains(&take(&heap, lane, 2048, 8)), "handed out once more");
    }
}

/// Entries of pages in a chunk that is free, and a root that lies in such a page.
#[test]
fn entries_in_free_chunks_are_refused() {
    let (folder, base, _) = saved(40 << 10);
    for entries in [1 | 1 << 16, 1 | 0xffff << 16, 2 | 1 << 16] {
        let outcome = restore(&folder, base, |arena| {
            // SAFETY: words of the first cell's metadata, mapped private and writable.
            unsafe { word_at(arena, 20 * 0x1_0000 + 0x800).write(entries) };
            let address = arena.base() + 20 * (2 << 20);
            // SAFETY: as above.
            unsafe { word_at(arena, 0x4000 + 104).write(address as u64) };
        });
        assert!(matches!(outcome, Err(AdoptError::Damage(Damage::Cell(_)))));
    }
}

/// A damaged snapshot that was passed over does not take the place of a sound one.
#[test]
fn damaged_snapshots_do_not_count_among_those_kept() {
    let heap = heap();
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder, &heap).unwrap();
    for number in 1..=2 {
        commit(&store, &heap, number, number);
    }
    let file = |number: u64| folder.path().join(format!("{number:010}.full"));
    let mut bytes = std::fs::read(file(2)).unwrap();
    bytes[4096] ^= 1;
    std::fs::write(file(2), bytes).unwrap();
    let dir = DiskDir::open(folder.path()).unwrap();
    let opening =
        Store::open(dir, &host_of(heap.arena()), 1, Policy::default(), true, Wish::default())
            .unwrap();
    assert_eq!(opening.image.unwrap().snapshot.number, 1);
    assert!(file(2).exists(), "opening changes nothing");
    let store = opening.store;
    commit(&store, &heap, 3, 3);
    assert_eq!([1, 2, 3].map(|number| file(number).exists()), [true, false, true]);
}
