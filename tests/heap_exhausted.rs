//! A process that has used up its mappings: in a file of its own, for no other test could work
//! beside it.
#![allow(clippy::unwrap_used, reason = "a failing test panics")]
#![allow(unsafe_code, reason = "maps memory and allocates by hand")]

use stillheap::arena::{Arena, ArenaConfig, Purpose};
use stillheap::heap::Heap;

/// What the system will not take back is never handed out as zero.
#[test]
fn memory_that_the_system_keeps_is_not_used_again() {
    let config = ArenaConfig { base: 0, main_cells: 6, boot_cells: 4 };
    let heap = Heap::booting(Arena::reserve(config).unwrap(), 7).unwrap();
    heap.found().unwrap();
    let lane = heap.attach().unwrap();
    // SAFETY: the lane is this test's.
    let block = unsafe { heap.allocate(lane, 100 << 20, 8, Purpose::Scoped) }.unwrap().block;
    // SAFETY: a block of that many bytes.
    unsafe { block.write_bytes(0xa5, 100 << 20) };
    // Use up the process's mappings: neighbours that differ are not merged.
    let mut maps = Vec::with_capacity(70_000);
    for access in [libc::PROT_READ, libc::PROT_NONE].into_iter().cycle().take(70_000) {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: maps fresh memory wherever there is room.
        let found = unsafe { libc::mmap(std::ptr::null_mut(), 4096, access, flags, -1, 0) };
        if found == libc::MAP_FAILED {
            break;
        }
        maps.push(found);
    }
    // SAFETY: the lane is this test's, and so is the block.
    unsafe { heap.free(lane, block.addr().get()) }.unwrap();
    for map in maps {
        // SAFETY: mapped above, and not used.
        unsafe { libc::munmap(map, 4096) };
    }
    // SAFETY: the lane is this test's.
    let again = unsafe { heap.allocate(lane, 100 << 20, 8, Purpose::Scoped) }.unwrap();
    // SAFETY: a block of that many bytes.
    let bytes = unsafe { std::slice::from_raw_parts(again.block.as_ptr(), 100 << 20) };
    assert!(again.zeroed && bytes.iter().all(|&byte| byte == 0));
    heap.validate().unwrap();
}
