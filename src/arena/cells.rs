//! Claiming cells and giving them up.
//!
//! In the main space the lowest cells come first. In the boot space places are picked at
//! random, so that a process and the image that it will open hardly ever want the same cell.
#![allow(unsafe_code, reason = "gives memory to cells and takes it back")]

use crate::arena::layout::{CELL_MAGIC, CellHeader};
use crate::arena::side::{HEAD, LOST, PLAIN, UNUSED};
use crate::arena::{Arena, Space};
use crate::base::sync::Ordering::Relaxed;
use crate::base::{CELL_SIZE, CHUNK_SIZE, CellIndex, ChunkIndex};
use crate::cow::CellKind;
use crate::os::map;
use std::io;
use std::ops::Range;

/// Random places tried in the boot space before a search in order.
const BOOT_TRIES: u32 = 64;

impl Space {
    /// Claims `count` consecutive unused cells of the window as one span and makes them live.
    pub(super) fn claim_cells(
        &mut self,
        arena: &Arena,
        kind: CellKind,
        count: u32,
    ) -> Option<CellIndex> {
        let window = self.window(arena, kind);
        let first = match self.in_main() {
            true => lowest_unused(arena, window, count)?,
            false => self.random_unused(arena, window, count)?,
        };
        arena.commit_cells(first, count).ok()?;
        arena.make_live(first, count);
        arena.cow().add_cells(first, count, kind);
        arena.announce_header(first, 0, size_of::<CellHeader>());
        let header = arena.cell_header(first)?;
        header.magic.store(CELL_MAGIC, Relaxed);
        header.cell.store(first.0, Relaxed);
        header.span.store(count, Relaxed);
        for chunk in Arena::data_chunks(first) {
            arena.side.free_chunks().set(chunk.0);
        }
        Some(first)
    }

    /// Makes main cell 0 live, which holds the superblock. Its state must be unused.
    ///
    /// # Errors
    /// What the system says when it refuses the memory.
    pub fn claim_first_cell(&mut self, arena: &Arena) -> io::Result<()> {
        let claimed = self.claim_cells(arena, CellKind::Guarded, 1);
        let cell = claimed.ok_or(io::ErrorKind::OutOfMemory)?;
        if cell.0 == 0 { Ok(()) } else { Err(io::ErrorKind::AlreadyExists.into()) }
    }

    /// Gives up a cell (or the span that it heads) with all that lies in it, at the end of the
    /// window if it has still to be saved.
    pub(super) fn release_cells(&mut self, arena: &Arena, head: CellIndex) {
        let count = arena.span_cells(head);
        if !arena.cow().remove_cells(head, count) {
            arena.side.deferred().set(head.first_chunk().0);
            return;
        }
        for chunk in Arena::data_chunks(head) {
            arena.side.free_chunks().clear(chunk.0);
        }
        arena.abandon_cells(head, count);
    }

    fn random_unused(
        &mut self,
        arena: &Arena,
        window: Range<u32>,
        count: u32,
    ) -> Option<CellIndex> {
        let places = (window.end - window.start).checked_sub(count - 1).filter(|&n| n > 0)?;
        for _ in 0..BOOT_TRIES {
            let random = u32::try_from(self.next_random() >> 32).unwrap_or(0);
            let first = window.start + random % places;
            if (first..first + count).all(|cell| !arena.is_live(CellIndex(cell))) {
                return Some(CellIndex(first));
            }
        }
        lowest_unused(arena, window, count)
    }

    /// splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn lowest_unused(arena: &Arena, window: Range<u32>, count: u32) -> Option<CellIndex> {
    let mut run = 0;
    for cell in window {
        run = if arena.is_live(CellIndex(cell)) { 0 } else { run + 1 };
        if run == count {
            return Some(CellIndex(cell + 1 - count));
        }
    }
    None
}

impl Arena {
    /// Gives memory to cells that are about to go live.
    pub(super) fn commit_cells(&self, first: CellIndex, count: u32) -> io::Result<()> {
        let (start, len) = (self.base() + first.offset(), count as usize * CELL_SIZE);
        // SAFETY: unused cells of the reservation; nobody has a pointer into them.
        unsafe { map::commit(start, len)? };
        map::advise_huge(start, len, true);
        self.commit_tables(first, count)
    }

    /// Gives memory to the tables of cells that are about to go live: all zero. They stay on
    /// small pages, since little of them is touched.
    pub(super) fn commit_tables(&self, first: CellIndex, count: u32) -> io::Result<()> {
        // SAFETY: the first cell's tables, which nobody refers to.
        unsafe { map::commit(self.tables_address(first), CHUNK_SIZE)? };
        self.cow().commit_cells(first, count, self.kind_of_cell(first))?;
        self.side.commit_cells(first, count)
    }

    /// Sets the states of a cell, or of a span.
    pub(super) fn make_live(&self, first: CellIndex, count: u32) {
        for back in 1..count {
            self.set_cell_state(CellIndex(first.0 + back), HEAD + back);
        }
        self.set_cell_state(first, if count == 1 { PLAIN } else { HEAD });
    }

    /// Turns live cells, which the engine has forgotten, back into bare address space. The side
    /// table's free-chunk bits are the caller's to clear.
    pub(super) fn abandon_cells(&self, first: CellIndex, count: u32) {
        let (start, len) = (self.base() + first.offset(), count as usize * CELL_SIZE);
        // SAFETY: the cells' blocks have all been freed, so nothing refers to their contents.
        let taken = unsafe { map::decommit(start, len) }
            // SAFETY: as above, and a heap without a block in a cell does not look at its tables.
            .and_then(|()| unsafe { map::decommit(self.tables_address(first), CHUNK_SIZE) });
        // What the system would not take back still has its old contents: it is lost for good,
        // since who claims a cell relies on zeros.
        let state = if taken.is_ok() { UNUSED } else { LOST };
        for cell in (first.0..first.0 + count).map(CellIndex) {
            self.set_cell_state(cell, state);
        }
    }

    /// Takes the memory of a free chunk back; it reads as zero afterwards.
    pub(super) fn drop_memory(&self, chunk: ChunkIndex) {
        let start = self.chunk_address(chunk);
        if self.cow().is_file_backed(chunk) {
            return self.renew_memory(chunk);
        }
        // SAFETY: the chunk is free and anonymous.
        if unsafe { map::discard(start, CHUNK_SIZE) }.is_err() {
            self.wipe(chunk);
        }
    }

    /// Gives a free chunk that is part of a file's mapping fresh memory. The mapping must be
    /// replaced, not discarded, or the file's bytes would show again.
    pub(super) fn renew_memory(&self, chunk: ChunkIndex) {
        // SAFETY: the chunk is free: nothing refers to it.
        if unsafe { self.cow().renew(chunk) }.is_ok() {
            map::advise_huge(self.chunk_address(chunk), CHUNK_SIZE, true);
        } else {
            self.wipe(chunk);
        }
    }

    /// Zeroes a free chunk by hand, where the system refused to.
    fn wipe(&self, chunk: ChunkIndex) {
        self.cow().open(chunk);
        let start = self.pointer(chunk.first_page());
        // SAFETY: the chunk is mapped, writable and free.
        unsafe { start.write_bytes(0, CHUNK_SIZE) };
    }
}
