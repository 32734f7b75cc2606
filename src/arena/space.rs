//! Handing out chunks and large blocks.
//!
//! A `Space` is the right to change an arena's tables: the heap keeps the one of its arena
//! behind its lock. Low addresses come first, so that heaps stay dense.

use crate::arena::Arena;
use crate::arena::layout::{CellHeader, ChunkKind, PageEntry, PageTag, Purpose};
use crate::arena::stale::Stale;
use crate::base::sync::Ordering::Relaxed;
use crate::base::{
    self, CELL_SIZE, CHUNK_SIZE, CHUNKS_PER_CELL, CellIndex, ChunkIndex, PAGE_SIZE,
    PAGES_PER_CHUNK, PageIndex,
};
use crate::cow::CellKind;
use std::ops::Range;

/// The mutable side of an arena.
#[derive(Debug)]
pub struct Space {
    /// Whether new memory comes from the main space; if not, from the boot space.
    in_main: bool,
    /// State of the generator that picks boot cells.
    pub(super) random: u64,
    pub(super) stale: Stale,
}

impl Space {
    /// A space that takes new memory from the boot space, at places picked by `seed`.
    #[must_use]
    pub fn booting(seed: u64) -> Self {
        Self { in_main: false, random: seed, stale: Stale::default() }
    }

    /// From now on new memory comes from the main space.
    pub fn enter_main(&mut self) {
        self.in_main = true;
    }

    /// Whether new memory comes from the main space.
    #[must_use]
    pub fn in_main(&self) -> bool {
        self.in_main
    }

    /// Whether new memory comes from the space where that page lies.
    #[must_use]
    pub fn serves(&self, arena: &Arena, page: PageIndex) -> bool {
        arena.main_cells().contains(&page.chunk().cell().0) == self.in_main
    }

    /// The cells that new memory of a kind comes from.
    pub(crate) fn window(&self, arena: &Arena, kind: CellKind) -> Range<u32> {
        arena.config().area(self.in_main, kind)
    }

    pub(super) fn chunk_window(&self, arena: &Arena, kind: CellKind) -> Range<u32> {
        let cells = self.window(arena, kind);
        cells.start * CHUNKS_PER_CELL..cells.end * CHUNKS_PER_CELL
    }

    /// A free chunk, now paged and of that purpose. `None`: out of capacity.
    pub(super) fn take_paged_chunk(
        &mut self,
        arena: &Arena,
        purpose: Purpose,
    ) -> Option<ChunkIndex> {
        let chunk = self.find_free_chunks(arena, purpose.kind(), 1)?;
        self.make_paged(arena, chunk, purpose);
        Some(chunk)
    }

    fn make_paged(&mut self, arena: &Arena, chunk: ChunkIndex, purpose: Purpose) -> bool {
        let zeroed = self.take_free(arena, chunk);
        arena.set_kind(chunk, ChunkKind::Paged, purpose);
        arena.side.roomy(purpose).set(chunk.0);
        arena.side.hint(chunk).store(u32::MAX, Relaxed);
        zeroed
    }

    /// Takes a free chunk. Gives whether its memory reads as zero.
    fn take_free(&mut self, arena: &Arena, chunk: ChunkIndex) -> bool {
        arena.side.free_chunks().clear(chunk.0);
        // The last snapshot leaves the cell out if it had no chunk in use then.
        arena.announce_header(chunk.cell(), 0, size_of::<CellHeader>());
        arena.hand_out(chunk);
        !self.stale.take(arena, chunk)
    }

    /// A block of `pages` pages (at least a chunk's), its first byte at a multiple of `align`, and
    /// whether its memory reads as zero. `None`: out of capacity.
    pub fn take_large(
        &mut self,
        arena: &Arena,
        purpose: Purpose,
        pages: u32,
        align: usize,
    ) -> Option<(PageIndex, bool)> {
        let chunks = pages.div_ceil(PAGES_PER_CHUNK);
        if chunks >= CHUNKS_PER_CELL || align > CHUNK_SIZE {
            return Some((self.take_span(arena, purpose, pages, align)?, true));
        }
        let head = self.find_free_chunks(arena, purpose.kind(), chunks)?;
        let tail = pages % PAGES_PER_CHUNK;
        let whole = chunks - u32::from(tail > 0);
        let mut zeroed = true;
        for chunk in (head.0..head.0 + whole).map(ChunkIndex) {
            zeroed &= self.take_free(arena, chunk);
        }
        arena.write_large(head, pages, 0, purpose);
        if tail > 0 {
            let last = ChunkIndex(head.0 + whole);
            zeroed &= self.make_paged(arena, last, purpose);
            arena.mark_pages(last.first_page(), tail, |_| PageEntry {
                tag: PageTag::LargeTail,
                ..PageEntry::NONE
            });
        }
        Some((head.first_page(), zeroed))
    }

    /// A large block in cells of its own.
    fn take_span(
        &mut self,
        arena: &Arena,
        purpose: Purpose,
        pages: u32,
        align: usize,
    ) -> Option<PageIndex> {
        let slack = if align > CHUNK_SIZE { align } else { 0 };
        let bytes = (pages as usize * PAGE_SIZE).checked_add(slack)?.checked_add(CHUNK_SIZE)?;
        // At least two: a cell that stands alone has its large blocks start at their chunks.
        let cells = u32::try_from(bytes.div_ceil(CELL_SIZE)).ok()?.max(2);
        let head = self.claim_cells(arena, purpose.kind(), cells)?;
        let first = arena.chunk_address(head.first_chunk()) + CHUNK_SIZE;
        let start = first.checked_next_multiple_of(align.max(1))?;
        let offset = u32::try_from((start - first) / PAGE_SIZE).ok()?;
        for chunk in Arena::data_chunks(head) {
            arena.side.free_chunks().clear(chunk.0);
        }
        let first_chunk = head.first_chunk().0;
        for chunk in first_chunk + 1..first_chunk + cells * CHUNKS_PER_CELL {
            arena.hand_out(ChunkIndex(chunk));
        }
        arena.write_large(ChunkIndex(first_chunk + 1), pages, offset, purpose);
        arena.page_of(start)
    }

    /// Gives back the large block that starts at `page`.
    ///
    /// The caller has checked with [`Arena::large_pages`] that there is one.
    pub fn give_large(&mut self, arena: &Arena, page: PageIndex) {
        let Some((head, pages)) = arena.large_head(page) else { return };
        let cell = head.cell();
        if arena.span_cells(cell) > 1 {
            if let Some(slot) = arena.slot_for_write(head) {
                slot.entry.kind.store(ChunkKind::Free as u32, Relaxed);
            }
            self.release_cells(arena, cell);
            return;
        }
        for chunk in head.0..head.0 + pages / PAGES_PER_CHUNK {
            self.free_chunk(arena, ChunkIndex(chunk));
        }
        let tail = pages % PAGES_PER_CHUNK;
        if tail > 0 {
            let last = PageIndex(head.first_page().0 + pages - tail);
            self.give_pages(arena, last, tail);
        }
        self.release_if_empty(arena, cell);
    }

    /// The lowest `count` consecutive free chunks, in live cells or else in a new one.
    fn find_free_chunks(
        &mut self,
        arena: &Arena,
        kind: CellKind,
        count: u32,
    ) -> Option<ChunkIndex> {
        let window = self.chunk_window(arena, kind);
        let free = arena.side.free_chunks();
        let mut from = window.start;
        while let Some(start) = free.next_set(from).filter(|&start| start < window.end) {
            let last_in_cell = (start / CHUNKS_PER_CELL + 1) * CHUNKS_PER_CELL;
            let end = (start..last_in_cell).find(|&chunk| !free.get(chunk)).unwrap_or(last_in_cell);
            if end - start >= count {
                return Some(ChunkIndex(start));
            }
            from = end;
        }
        let cell = self.claim_cells(arena, kind, 1)?;
        Some(ChunkIndex(cell.first_chunk().0 + 1))
    }

    /// Frees a chunk: its entry becomes zero. Its memory is kept for what comes next, or goes back
    /// to the system; at the end of the window, if it has still to be saved.
    pub(super) fn free_chunk(&mut self, arena: &Arena, chunk: ChunkIndex) {
        if let Some(kind) = arena.purpose(chunk) {
            arena.side.roomy(kind).clear(chunk.0);
        }
        arena.clear_entry(chunk);
        if arena.cow().must_keep(chunk) {
            arena.side.deferred().set(chunk.0);
        } else {
            self.put_free(arena, chunk);
        }
    }

    fn put_free(&mut self, arena: &Arena, chunk: ChunkIndex) {
        if !self.stale.keep(arena, chunk) {
            arena.drop_memory(chunk);
        }
        arena.side.free_chunks().set(chunk.0);
        self.decay(arena);
    }

    /// Gives the system back what was kept of free memory, and was not wanted for a second: to be
    /// called now and then.
    pub fn decay(&mut self, arena: &Arena) {
        if !self.stale.is_due() {
            return;
        }
        for chunk in self.stale.unwanted(arena) {
            arena.drop_memory(chunk);
            self.release_if_empty(arena, chunk.cell());
        }
    }

    /// Whether free memory is kept.
    #[must_use]
    pub fn has_stale(&self) -> bool {
        self.stale.count() > 0
    }

    /// Gives up a cell without a used chunk, unless it is the first one (it holds the
    /// superblock) or belongs to a heap that still boots.
    pub(super) fn release_if_empty(&mut self, arena: &Arena, cell: CellIndex) {
        let first = cell.0 == 0 || !self.in_main && !arena.main_cells().contains(&cell.0);
        let (free, stale) = (arena.side.free_chunks(), arena.side.stale());
        let is_unused = |chunk: ChunkIndex| free.get(chunk.0) && !stale.get(chunk.0);
        if !first && Arena::data_chunks(cell).all(is_unused) {
            self.release_cells(arena, cell);
        }
    }

    /// Frees what could not be freed within a window. To be called when it has closed.
    pub fn reclaim(&mut self, arena: &Arena) {
        let mut from = 0;
        while let Some(chunk) = arena.side.deferred().next_set(from).map(ChunkIndex) {
            from = chunk.0 + 1;
            arena.side.deferred().clear(chunk.0);
            let cell = chunk.cell();
            if chunk.within_cell() > 0 {
                self.put_free(arena, chunk);
                self.release_if_empty(arena, cell);
            } else if arena.span_cells(cell) > 1 {
                self.release_cells(arena, cell);
            } else {
                self.release_if_empty(arena, cell);
            }
        }
    }
}

impl Arena {
    /// The length in pages of the large block that starts at `page`.
    #[must_use]
    pub fn large_pages(&self, page: PageIndex) -> Option<u32> {
        self.large_head(page).map(|(_, pages)| pages)
    }

    /// The head chunk and the length of the large block that starts at `page`.
    fn large_head(&self, page: PageIndex) -> Option<(ChunkIndex, u32)> {
        let cell = self.head_of(page.chunk().cell())?;
        let head = match self.span_cells(cell) {
            1 => page.chunk(),
            _ => ChunkIndex(cell.first_chunk().0 + 1),
        };
        let entry = &self.slot(head)?.entry;
        if ChunkKind::decode(entry.kind.load(Relaxed)) != Some(ChunkKind::LargeHead) {
            return None;
        }
        let start = head.first_page().0 + entry.offset.load(Relaxed);
        (start == page.0).then(|| (head, entry.run_pages.load(Relaxed)))
    }

    /// Cells of the span that starts at `cell`; 1 for one that stands alone.
    #[must_use]
    pub fn span_cells(&self, cell: CellIndex) -> u32 {
        self.cell_header(cell).map_or(1, |header| header.span.load(Relaxed))
    }

    /// What a chunk is used for.
    #[must_use]
    pub fn kind(&self, chunk: ChunkIndex) -> Option<ChunkKind> {
        ChunkKind::decode(self.slot(chunk)?.entry.kind.load(Relaxed))
    }

    /// Which memory lies in a chunk that is not free.
    #[must_use]
    pub fn purpose(&self, chunk: ChunkIndex) -> Option<Purpose> {
        Purpose::decode(self.slot(chunk)?.entry.purpose.load(Relaxed))
    }

    /// Writes the entries of a large block: head and bodies, not the tail.
    fn write_large(&self, head: ChunkIndex, pages: u32, offset: u32, purpose: Purpose) {
        self.set_kind(head, ChunkKind::LargeHead, purpose);
        if let Some(slot) = self.slot_for_write(head) {
            slot.entry.run_pages.store(pages, Relaxed);
            slot.entry.offset.store(offset, Relaxed);
        }
        let span = self.span_cells(head.cell()) > 1;
        let bodies = if span { CHUNKS_PER_CELL - 1 } else { pages / PAGES_PER_CHUNK };
        for back in 1..bodies {
            let chunk = ChunkIndex(head.0 + back);
            self.set_kind(chunk, ChunkKind::LargeBody, purpose);
            if let Some(slot) = self.slot_for_write(chunk) {
                slot.entry.offset.store(back, Relaxed);
            }
        }
    }

    /// A free chunk is about to be used.
    fn hand_out(&self, chunk: ChunkIndex) {
        if self.cow().is_file_backed(chunk) {
            self.renew_memory(chunk);
        }
        self.cow().hand_out(chunk);
    }

    pub(super) fn set_kind(&self, chunk: ChunkIndex, kind: ChunkKind, purpose: Purpose) {
        if let Some(slot) = self.slot_for_write(chunk) {
            slot.entry.kind.store(kind as u32, Relaxed);
            slot.entry.purpose.store(purpose as u32, Relaxed);
        }
    }

    fn clear_entry(&self, chunk: ChunkIndex) {
        let Some(slot) = self.slot_for_write(chunk) else { return };
        let entry = &slot.entry;
        for word in [&entry.kind, &entry.purpose, &entry.run_pages, &entry.offset] {
            word.store(0, Relaxed);
        }
        base::fill(&entry.used, 0, PAGES_PER_CHUNK, false);
    }
}
