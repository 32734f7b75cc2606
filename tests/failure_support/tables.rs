//! The pages of an arena's tables that a snapshot has to hold.
#![allow(unsafe_code, reason = "reads memory of the arena")]

use std::collections::BTreeMap;
use std::ptr;
use stillheap::arena::{Arena, ChunkKind, first_table_page, later_table_pages};
use stillheap::base::{CHUNKS_PER_CELL, CellIndex, ChunkIndex, PAGE_SIZE};

/// The pages of tables that an image has to hold, as they are now.
pub(crate) fn tables(arena: &Arena) -> BTreeMap<u32, Vec<u8>> {
    let mut found = BTreeMap::new();
    let is_used = |cell: CellIndex| {
        let chunks = 1..CHUNKS_PER_CELL;
        let mut kinds = chunks.map(|n| arena.kind(ChunkIndex(cell.first_chunk().0 + n)));
        cell.0 == 0 || kinds.any(|kind| kind.is_some_and(|kind| kind != ChunkKind::Free))
    };
    for cell in arena.live_cells().filter(|&cell| is_used(cell)) {
        for place in 0..CHUNKS_PER_CELL {
            let chunk = ChunkIndex(cell.first_chunk().0 + place);
            let start = match arena.slot(chunk) {
                Some(_) if arena.kind(chunk) == Some(ChunkKind::Free) => continue,
                Some(slot) => ptr::from_ref(slot).expose_provenance(),
                None => {
                    let header = arena.cell_header(cell).expect("a cell that is no span");
                    ptr::from_ref(header).expose_provenance()
                }
            };
            let first = first_table_page(cell, place);
            for page in std::iter::once(first).chain(later_table_pages(cell, place)) {
                let address = start + (page.0 - first.0) as usize * PAGE_SIZE;
                // SAFETY: tables of a live cell; nobody writes to them now.
                found.insert(page.0, unsafe { bytes_at(address, PAGE_SIZE) }.to_vec());
            }
        }
    }
    found
}

/// # Safety
/// So many bytes are mapped there, and nobody writes to them while this is in use.
pub(crate) unsafe fn bytes_at<'a>(address: usize, len: usize) -> &'a [u8] {
    let start: *const u8 = ptr::with_exposed_provenance(address);
    // SAFETY: says the caller.
    unsafe { std::slice::from_raw_parts(start, len) }
}
