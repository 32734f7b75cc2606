//! Which pages a snapshot has to save: the metadata of chunks in use, and the pages in use.

use crate::arena::Arena;
use crate::arena::layout::{ChunkKind, SLOT_SIZE};
use crate::base::sync::Ordering::Relaxed;
use crate::base::{
    CHUNKS_PER_CELL, CellIndex, ChunkIndex, PAGE_SIZE, PAGES_PER_CHUNK, PageIndex, PageRun,
};

const SLOT_PAGES: u32 = 16;
static_assertions::const_assert_eq!(SLOT_PAGES as usize * PAGE_SIZE, SLOT_SIZE);

impl Arena {
    /// The cells that a snapshot holds: live ones in which any chunk is in use, and cell 0.
    /// A cell without one holds nothing that anybody could refer to.
    pub fn saved_cells(&self) -> impl Iterator<Item = CellIndex> {
        self.live_cells().filter(|&cell| {
            cell.0 == 0
                || Self::data_chunks(cell)
                    .any(|chunk| self.kind(chunk).is_some_and(|kind| kind != ChunkKind::Free))
        })
    }

    /// Calls `save` for the runs of pages of a cell that a snapshot holds, in address order.
    /// Stops at the first error.
    ///
    /// # Errors
    /// What `save` gives.
    pub fn for_saved_runs<E>(
        &self,
        cell: CellIndex,
        mut save: impl FnMut(PageRun) -> Result<(), E>,
    ) -> Result<(), E> {
        let slots = cell.first_page().0;
        save(PageRun { first: PageIndex(slots), count: SLOT_PAGES })?;
        for chunk in Self::data_chunks(cell) {
            if self.kind(chunk).is_some_and(|kind| kind != ChunkKind::Free) {
                let first = PageIndex(slots + chunk.within_cell() * SLOT_PAGES);
                save(PageRun { first, count: SLOT_PAGES })?;
            }
        }
        for chunk in Self::data_chunks(cell) {
            match self.kind(chunk) {
                Some(ChunkKind::Paged) => self.paged_runs(chunk, &mut save)?,
                Some(ChunkKind::LargeHead) => save(self.large_run(chunk))?,
                _ => {}
            }
        }
        Ok(())
    }

    fn paged_runs<E>(
        &self,
        chunk: ChunkIndex,
        save: &mut impl FnMut(PageRun) -> Result<(), E>,
    ) -> Result<(), E> {
        let used = self.used_pages(chunk).unwrap_or_default();
        let is_used = |page: u32| used[(page / 64) as usize] >> (page % 64) & 1 == 1;
        let mut page = 0;
        while page < PAGES_PER_CHUNK {
            let end = (page..PAGES_PER_CHUNK).find(|&p| !is_used(p)).unwrap_or(PAGES_PER_CHUNK);
            if end > page {
                save(PageRun { first: PageIndex(chunk.first_page().0 + page), count: end - page })?;
            }
            page = end + 1;
        }
        Ok(())
    }

    /// The pages of a large block, without its tail, which its own chunk's map shows.
    fn large_run(&self, head: ChunkIndex) -> PageRun {
        let Some(slot) = self.slot(head) else {
            return PageRun { first: head.first_page(), count: 0 };
        };
        let pages = slot.entry.run_pages.load(Relaxed);
        let first = PageIndex(head.first_page().0 + slot.entry.offset.load(Relaxed));
        let alone = self.span_cells(head.cell()) == 1;
        let count = if alone { pages - pages % PAGES_PER_CHUNK } else { pages };
        PageRun { first, count }
    }

    /// The run of cells that starts at `cell`: one, or a span.
    #[must_use]
    pub fn cell_pages(&self, cell: CellIndex) -> PageRun {
        let count = self.span_cells(cell) * CHUNKS_PER_CELL * PAGES_PER_CHUNK;
        PageRun { first: cell.first_page(), count }
    }
}
