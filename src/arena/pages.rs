//! Runs of pages within a paged chunk.

use crate::arena::layout::{PageEntry, Purpose};
use crate::arena::{Arena, Space};
use crate::base::sync::Ordering::Relaxed;
use crate::base::{self, ChunkIndex, PAGES_PER_CHUNK, PageIndex};

/// The shortest run that slabs ask for: a chunk without one is taken off the roomy list.
const SHORTEST_WANTED: u32 = 4;

impl Space {
    /// A run of `count` pages (fewer than a chunk's) of that purpose, its place within the
    /// chunk a multiple of `align` pages. `entry` tells each page's entry by its place in the
    /// run. The memory holds anything. `None`: out of capacity.
    pub fn take_pages(
        &mut self,
        arena: &Arena,
        purpose: Purpose,
        count: u32,
        align: u32,
        entry: impl Fn(u32) -> PageEntry,
    ) -> Option<PageIndex> {
        let first = match self.find_pages(arena, purpose, count, align) {
            Some(first) => first,
            None => self.take_paged_chunk(arena, purpose)?.first_page(),
        };
        arena.mark_pages(first, count, entry);
        Some(first)
    }

    /// Gives back `count` pages from `first` on; the chunk too, if it was the last run in it.
    pub fn give_pages(&mut self, arena: &Arena, first: PageIndex, count: u32) {
        let chunk = first.chunk();
        let Some(slot) = arena.slot_for_write(chunk) else { return };
        base::fill(&slot.entry.used, first.within_chunk(), count, false);
        for page in first.within_chunk()..first.within_chunk() + count {
            slot.pages[page as usize].store(PageEntry::NONE.encode(), Relaxed);
        }
        if base::all(&slot.entry.used, 0, PAGES_PER_CHUNK, false) {
            self.free_chunk(arena, chunk);
            self.release_if_empty(arena, chunk.cell());
            return;
        }
        if let Some(purpose) = arena.purpose(chunk) {
            arena.side.roomy(purpose).set(chunk.0);
            arena.side.hint(chunk).store(u32::MAX, Relaxed);
        }
    }

    /// Lengthens the run of `count` pages at `first` to `wanted`, if what follows is free.
    pub fn grow_pages(
        &mut self,
        arena: &Arena,
        first: PageIndex,
        count: u32,
        wanted: u32,
        entry: impl Fn(u32) -> PageEntry,
    ) -> bool {
        let Some(slot) = arena.slot(first.chunk()) else { return false };
        let (start, more) = (first.within_chunk() + count, wanted - count);
        let fits = start + more <= PAGES_PER_CHUNK;
        if !fits || !base::all(&slot.entry.used, start, more, false) {
            return false;
        }
        arena.mark_pages(first, wanted, entry);
        true
    }

    /// Whether so many pages can be had without a new cell.
    pub(crate) fn has_room(&self, arena: &Arena, purpose: Purpose, count: u32, align: u32) -> bool {
        let window = self.chunk_window(arena, purpose.kind());
        let free = arena.side.free_chunks().next_set(window.start);
        free.is_some_and(|chunk| chunk < window.end)
            || self.find_pages(arena, purpose, count, align).is_some()
    }

    fn find_pages(
        &self,
        arena: &Arena,
        purpose: Purpose,
        count: u32,
        align: u32,
    ) -> Option<PageIndex> {
        let window = self.chunk_window(arena, purpose.kind());
        let roomy = arena.side.roomy(purpose);
        let mut from = window.start;
        while let Some(number) = roomy.next_set(from).filter(|&number| number < window.end) {
            let chunk = ChunkIndex(number);
            let hint = arena.side.hint(chunk);
            if count < hint.load(Relaxed) {
                if let Some(place) = arena.clear_run(chunk, count, align) {
                    return Some(PageIndex(chunk.first_page().0 + place));
                }
                if align == 1 {
                    hint.store(count, Relaxed);
                }
                if align == 1 && count <= SHORTEST_WANTED && !arena.has_clear_page(chunk) {
                    roomy.clear(number);
                }
            }
            from = number + 1;
        }
        None
    }
}

impl Arena {
    /// Marks `count` pages from `first` on as used, with their entries.
    pub(super) fn mark_pages(
        &self,
        first: PageIndex,
        count: u32,
        entry: impl Fn(u32) -> PageEntry,
    ) {
        let Some(slot) = self.slot_for_write(first.chunk()) else { return };
        base::fill(&slot.entry.used, first.within_chunk(), count, true);
        for place in 0..count {
            let page = (first.within_chunk() + place) as usize;
            slot.pages[page].store(entry(place).encode(), Relaxed);
        }
    }

    /// The entry of a page of a paged chunk.
    #[must_use]
    pub fn page_entry(&self, page: PageIndex) -> Option<PageEntry> {
        let slot = self.slot(page.chunk())?;
        PageEntry::decode(slot.pages[page.within_chunk() as usize].load(Relaxed))
    }

    fn clear_run(&self, chunk: ChunkIndex, count: u32, align: u32) -> Option<u32> {
        let used = self.used_pages(chunk)?;
        base::find_clear_run(&used, count, align)
    }

    fn has_clear_page(&self, chunk: ChunkIndex) -> bool {
        self.used_pages(chunk).is_some_and(|used| used.iter().any(|&word| word != u64::MAX))
    }

    pub(super) fn used_pages(&self, chunk: ChunkIndex) -> Option<[u64; 8]> {
        let used = &self.slot(chunk)?.entry.used;
        Some(std::array::from_fn(|word| used[word].load(Relaxed)))
    }
}
