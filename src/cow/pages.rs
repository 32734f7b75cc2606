//! The ledger of pages that are written through the barrier: tables, and tracked memory. One
//! word a page, and three bits: dirty in this epoch, dirty in the one before, held.
//!
//! ```text
//! block of a cell | words, 8 bytes a page | dirty bits, even epochs | odd epochs | held bits |
//! ```
//! A page is *held* while somebody who is in no scope may write to it: a freeze may come between
//! two such writes, so the page counts as dirty in every epoch until it is let go.
//! The blocks lie outside the arena; a cell's is committed when the cell is claimed.
#![allow(unsafe_code, reason = "words lie in mapped memory, reached by pointers")]

use crate::base::sync::{AtomicU64, Ordering};
use crate::base::{CellIndex, PAGE_SIZE, PageIndex};
use crate::os::map::{self, Reservation};
use std::io;
use std::ptr;
use std::slice;

/// The map of held pages, after those of dirty ones.
const HELD: usize = 2;

/// The ledger of one kind of pages.
#[derive(Debug)]
pub(super) struct PageLedger {
    blocks: Reservation,
    /// Bytes from one cell's block to the next.
    stride: usize,
    /// A cell has two to the power of this pages: the barrier shifts, where it would divide.
    cell_bits: u32,
    /// Where page 0 of this kind lies.
    memory: usize,
}

impl PageLedger {
    /// A ledger for `cells` cells of `per_cell` pages (a power of two, 64 at least), which lie at
    /// `memory`.
    pub(super) fn new(cells: u32, per_cell: u32, memory: usize) -> io::Result<Self> {
        debug_assert!(per_cell.is_power_of_two() && per_cell >= 64);
        let stride = block_len(per_cell);
        let blocks = Reservation::anywhere(cells as usize * stride, PAGE_SIZE)?;
        Ok(Self { blocks, stride, cell_bits: per_cell.trailing_zeros(), memory })
    }

    /// Gives memory to a cell's block. It stays when the cell goes.
    pub(super) fn commit_cell(&self, cell: CellIndex) -> io::Result<()> {
        // SAFETY: the cell's part of the ledger's own reservation.
        unsafe { map::commit(self.block(cell), self.stride) }
    }

    /// The word of a page of a committed cell.
    #[inline]
    pub(super) fn word(&self, page: u32) -> &AtomicU64 {
        let (cell, place) = self.place(page);
        let at = self.block(cell) + place as usize * 8;
        let word: *const AtomicU64 = ptr::with_exposed_provenance(at);
        // SAFETY: callers name pages of cells that are or have been live, so the block is
        // committed; zero, as any other bytes, is a valid word.
        unsafe { &*word }
    }

    /// Where a page lies.
    pub(super) fn address(&self, page: u32) -> usize {
        self.memory + page as usize * PAGE_SIZE
    }

    /// Notes that a page is dirty in the epoch `epoch`. `false`: it has been noted before.
    pub(super) fn set_dirty(&self, page: u32, epoch: u64) -> bool {
        let (word, bit) = self.bit(page, dirty_map(epoch));
        word.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// Whether a page has been noted as dirty in the epoch.
    pub(super) fn is_dirty(&self, page: u32, epoch: u64) -> bool {
        let (word, bit) = self.bit(page, dirty_map(epoch));
        word.load(Ordering::Relaxed) & bit != 0
    }

    /// Notes that a page may be written in any epoch, or that it may not any more.
    pub(super) fn set_held(&self, page: u32, held: bool) {
        let (word, bit) = self.bit(page, HELD);
        if held {
            word.fetch_or(bit, Ordering::Relaxed);
        } else {
            word.fetch_and(!bit, Ordering::Relaxed);
        }
    }

    pub(super) fn is_held(&self, page: u32) -> bool {
        let (word, bit) = self.bit(page, HELD);
        word.load(Ordering::Relaxed) & bit != 0
    }

    /// Counts a cell's held pages as dirty in an epoch that has just begun.
    pub(super) fn carry_held(&self, cell: CellIndex, epoch: u64) {
        carry(self.bits(cell, HELD), self.dirty(cell, epoch));
    }

    /// Counts what was dirty in epochs of one parity as dirty in those of the other.
    pub(super) fn carry_dirty(&self, cell: CellIndex, from: u64, to: u64) {
        carry(self.dirty(cell, from), self.dirty(cell, to));
    }

    /// Counts all pages of a cell as dirty.
    pub(super) fn set_all_dirty(&self, cell: CellIndex, epoch: u64) {
        self.dirty(cell, epoch).iter().for_each(|word| word.store(u64::MAX, Ordering::Relaxed));
    }

    /// Forgets which pages of a cell were dirty in epochs of that parity.
    pub(super) fn clear_dirty(&self, cell: CellIndex, epoch: u64) {
        for word in self.dirty(cell, epoch).iter().filter(|word| word.load(Ordering::Relaxed) != 0)
        {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// Pages of a cell that are dirty in the epoch: how many, and calls `visit` for each.
    pub(super) fn for_dirty(&self, cell: CellIndex, epoch: u64, mut visit: impl FnMut(u32)) {
        let first = cell.0 << self.cell_bits;
        for (place, word) in (0_u32..).zip(self.dirty(cell, epoch)) {
            let mut bits = word.load(Ordering::Relaxed);
            while bits != 0 {
                visit(first + place * 64 + bits.trailing_zeros());
                bits &= bits - 1;
            }
        }
    }

    #[inline]
    pub(super) fn per_cell(&self) -> u32 {
        1 << self.cell_bits
    }

    fn dirty(&self, cell: CellIndex, epoch: u64) -> &[AtomicU64] {
        self.bits(cell, dirty_map(epoch))
    }

    /// A page's bit in a map: its word there, and which of its bits.
    fn bit(&self, page: u32, map: usize) -> (&AtomicU64, u64) {
        let (cell, place) = self.place(page);
        (&self.bits(cell, map)[(place / 64) as usize], 1 << (place % 64))
    }

    fn bits(&self, cell: CellIndex, map: usize) -> &[AtomicU64] {
        let len = (self.per_cell() / 64) as usize;
        let at = self.block(cell) + self.per_cell() as usize * 8 + map * len * 8;
        // SAFETY: within the cell's committed block; otherwise as in `word`.
        unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(at), len) }
    }

    /// A page's cell, and which of its pages it is.
    #[inline]
    fn place(&self, page: u32) -> (CellIndex, u32) {
        (CellIndex(page >> self.cell_bits), page & (self.per_cell() - 1))
    }

    #[inline]
    fn block(&self, cell: CellIndex) -> usize {
        self.blocks.start() + cell.0 as usize * self.stride
    }
}

/// The map of pages that are dirty in an epoch.
fn dirty_map(epoch: u64) -> usize {
    usize::from(!epoch.is_multiple_of(2))
}

fn carry(from: &[AtomicU64], to: &[AtomicU64]) {
    for (from, to) in from.iter().zip(to) {
        let bits = from.load(Ordering::Relaxed);
        if bits != 0 {
            to.fetch_or(bits, Ordering::Relaxed);
        }
    }
}

/// The number in images of a page of tables: those of a cell count from its first page on.
pub(super) fn image_page_of_table(table: u32) -> PageIndex {
    let per_cell = crate::base::PAGES_PER_CHUNK;
    PageIndex(table / per_cell * crate::base::PAGES_PER_CELL + table % per_cell)
}

/// The page of tables with that number in images.
pub(super) fn table_of_image_page(page: PageIndex) -> u32 {
    page.chunk().cell().0 * crate::base::PAGES_PER_CHUNK + page.within_chunk()
}

const fn block_len(per_cell: u32) -> usize {
    (per_cell as usize * 8 + 3 * (per_cell as usize / 8)).next_multiple_of(PAGE_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_and_bits_do_not_overlap() {
        let ledger = PageLedger::new(3, 512, 0x1000).unwrap();
        ledger.commit_cell(CellIndex(1)).unwrap();
        for page in [512, 1023] {
            ledger.word(page).store(u64::MAX, Ordering::Relaxed);
            assert!(!ledger.is_dirty(page, 2));
            assert!(ledger.set_dirty(page, 2) && !ledger.set_dirty(page, 4));
            assert!(ledger.is_dirty(page, 2) && !ledger.is_dirty(page, 3));
        }
        let mut found = Vec::new();
        ledger.for_dirty(CellIndex(1), 2, |page| found.push(page));
        assert_eq!(found, [512, 1023]);
        ledger.for_dirty(CellIndex(1), 1, |_| panic!("the other parity"));
        ledger.set_held(700, true);
        assert!(ledger.is_held(700) && !ledger.is_held(701));
        ledger.carry_held(CellIndex(1), 3);
        ledger.set_held(700, false);
        ledger.for_dirty(CellIndex(1), 3, |page| assert_eq!(page, 700));
        assert!(!ledger.is_held(700) && !ledger.set_dirty(700, 3));
        ledger.clear_dirty(CellIndex(1), 2);
        ledger.for_dirty(CellIndex(1), 2, |_| panic!("cleared"));
        assert_eq!(ledger.address(513), 0x1000 + 513 * PAGE_SIZE);
        let table = 3 * 512 + 17;
        assert_eq!(table_of_image_page(image_page_of_table(table)), table);
    }
}
