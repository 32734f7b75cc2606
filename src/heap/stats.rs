//! Counting what the heap holds.

use crate::arena::{Arena, ChunkKind, PageTag, Purpose};
use crate::base::sync::Ordering::Relaxed;
use crate::base::{CHUNK_SIZE, ChunkIndex, PAGE_SIZE, PAGES_PER_CHUNK, PageIndex};
use crate::heap::maps::Maps;
use crate::heap::{Heap, classes};

/// What a heap holds at one moment. Sizes are in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HeapStats {
    /// Cells in use, of 64 MiB of address space each.
    pub cells: u64,
    /// Bytes of chunks in use: what the process may have resident for data.
    pub committed: u64,
    /// Bytes of blocks in use that were allocated outside scopes.
    pub ambient: u64,
    /// Bytes of blocks in use that were allocated inside scopes.
    pub scoped: u64,
    /// Bytes of tracked blocks in use.
    pub tracked: u64,
    /// Blocks in use.
    pub blocks: u64,
}

impl HeapStats {
    fn add(&mut self, purpose: Purpose, blocks: u32, bytes: u64) {
        self.blocks += u64::from(blocks);
        *match purpose {
            Purpose::Ambient => &mut self.ambient,
            Purpose::Scoped => &mut self.scoped,
            Purpose::Tracked => &mut self.tracked,
        } += bytes;
    }
}

impl Heap {
    /// Counts by walking the tables. Other threads may go on; then it is a close estimate.
    #[must_use]
    pub fn stats(&self) -> HeapStats {
        // Damage ends the process elsewhere; what is damaged is not counted.
        let _ = self.enter_all();
        let _shared = self.lock();
        let mut stats = HeapStats::default();
        for cell in self.arena.live_cells() {
            stats.cells += u64::from(self.arena.span_cells(cell));
            for chunk in Arena::data_chunks(cell) {
                self.count_chunk(chunk, &mut stats);
            }
        }
        stats
    }

    fn count_chunk(&self, chunk: ChunkIndex, stats: &mut HeapStats) {
        let Some(purpose) = self.arena.purpose(chunk) else { return };
        match self.arena.kind(chunk) {
            Some(ChunkKind::Paged) => stats.committed += CHUNK_SIZE as u64,
            Some(ChunkKind::LargeHead) => {
                let pages =
                    self.arena.slot(chunk).map_or(0, |slot| slot.entry.run_pages.load(Relaxed));
                let bytes = u64::from(pages) * PAGE_SIZE as u64;
                stats.committed += bytes - bytes % CHUNK_SIZE as u64;
                stats.add(purpose, 1, bytes);
                return;
            }
            _ => return,
        }
        self.for_slabs(chunk, |page, class| {
            let kind = classes::kind_number(usize::from(class), false);
            let blocks = Maps::of(&self.arena, page, kind).count();
            let size = u64::from(classes::class_of_kind(kind).size);
            stats.add(purpose, blocks, u64::from(blocks) * size);
        });
        for place in 0..PAGES_PER_CHUNK {
            let entry = self.arena.page_entry(PageIndex(chunk.first_page().0 + place));
            if let Some(entry) = entry.filter(|entry| entry.tag == PageTag::RunHead) {
                stats.add(purpose, 1, u64::from(entry.back) * PAGE_SIZE as u64);
            }
        }
    }
}
