//! Reading a snapshot's tables: which blocks it has, and where its roots lie.

use crate::arena::{
    ChunkKind, FrozenEntry, FrozenHeader, PageEntry, PageTag, TablePage, first_table_page,
    frozen_page_entry,
};
use crate::base::{CHUNKS_PER_CELL, CellIndex, ChunkIndex, PAGES_PER_CELL, PageIndex, PageRun};
use crate::heap::{CLASSES, RootRecord};
use crate::trace::Source;
use crate::trace::blocks::{Blocks, ChunkBlocks, GROUPS_MAX, Group, PAGES, PageUse};
use crate::trace::maps::{MapWord, SlotMaps};

impl Blocks {
    /// The blocks of a snapshot that consists of these runs; all count as not reached.
    ///
    /// # Errors
    /// If a page of tables cannot be had.
    pub fn read<S: Source>(
        source: &mut S,
        runs: impl IntoIterator<Item = PageRun>,
    ) -> Result<Self, S::Error> {
        let mut blocks = Self::default();
        for run in runs {
            let end = run.pages().end.div_ceil(u64::from(PAGES_PER_CELL));
            let mut cell = run.first.0 / PAGES_PER_CELL;
            while u64::from(cell) < end {
                let room = u32::try_from(end - u64::from(cell)).unwrap_or(1);
                cell += blocks.read_cell(source, CellIndex(cell), room)?;
            }
        }
        Ok(blocks)
    }

    /// Gives how many cells the span has.
    fn read_cell<S: Source>(
        &mut self,
        source: &mut S,
        cell: CellIndex,
        room: u32,
    ) -> Result<u32, S::Error> {
        let header = source.copy(first_table_page(cell, 0))?;
        let span = FrozenHeader::of(&header).span.clamp(1, room);
        self.cells.push((cell, span));
        let (start, end) = (cell.0 as usize, (cell.0 + span) as usize);
        if self.places.len() < end {
            self.places.resize(end, 0);
        }
        self.places[start..end].fill(u32::try_from(self.cells.len()).unwrap_or(0));
        self.chunks.push(ChunkBlocks::None);
        let end = u64::from(cell.0 + span) * u64::from(PAGES_PER_CELL);
        for place in 1..CHUNKS_PER_CELL {
            let chunk = self.read_chunk(source, cell, place, end)?;
            self.chunks.push(chunk);
        }
        Ok(span)
    }

    /// `end` is that of its cell or span.
    fn read_chunk<S: Source>(
        &mut self,
        source: &mut S,
        cell: CellIndex,
        place: u32,
        end: u64,
    ) -> Result<ChunkBlocks, S::Error> {
        let table = source.copy(first_table_page(cell, place))?;
        let Ok(entry) = FrozenEntry::decode(&table) else { return Ok(ChunkBlocks::None) };
        // Whose places in a list are told by 32 bits.
        let number = |len: usize, room| u32::try_from(len + room).and(u32::try_from(len)).ok();
        let first_page = number(self.pages.len(), PAGES);
        let first_group = number(self.groups.len(), GROUPS_MAX);
        let (Some(first_page), Some(first_group)) = (first_page, first_group) else {
            return Ok(ChunkBlocks::None);
        };
        let purpose = entry.purpose;
        Ok(match entry.kind {
            ChunkKind::Free => ChunkBlocks::None,
            ChunkKind::LargeBody => ChunkBlocks::Body(entry.offset),
            ChunkKind::LargeHead => {
                let chunk = ChunkIndex(cell.first_chunk().0 + place).first_page();
                let first = PageIndex(chunk.0.saturating_add(entry.offset));
                // The end of the arena's last cell is no page's number.
                let room = end.saturating_sub(u64::from(first.0));
                let pages = u64::from(entry.run_pages).min(room);
                let pages = u32::try_from(pages).unwrap_or(0);
                self.groups.push(Group { left: 1, reached: 0 });
                ChunkBlocks::Large { purpose, first, pages, group: first_group }
            }
            ChunkKind::Paged => {
                self.read_pages(source, cell, place, &table)?;
                ChunkBlocks::Paged { purpose, pages: first_page, groups: first_group }
            }
        })
    }

    /// What the pages of a paged chunk belong to, and which blocks there are in use.
    fn read_pages<S: Source>(
        &mut self,
        source: &mut S,
        cell: CellIndex,
        place: u32,
        table: &TablePage,
    ) -> Result<(), S::Error> {
        let (first_page, first_group) = (self.pages.len(), self.groups.len());
        self.pages.resize(first_page + PAGES, PageUse::None);
        let mut maps = None;
        let mut page = 0;
        while page < PAGES {
            let group = u16::try_from(self.groups.len() - first_group).unwrap_or(u16::MAX);
            let count = match frozen_page_entry(table, page) {
                Ok(PageEntry { tag: PageTag::Slab, class, back: 0 })
                    if usize::from(class) < CLASSES =>
                {
                    let (count, blocks) =
                        (self.class(class).pages as usize, self.class(class).blocks);
                    if page + count <= PAGES {
                        let maps = match &mut maps {
                            Some(maps) => maps,
                            none => none.insert(SlotMaps::read(source, cell, place)?),
                        };
                        self.push_groups(maps.of_slab(page, blocks));
                        for (back, place) in (0..).zip(page..page + count) {
                            self.pages[first_page + place] = PageUse::Slab { class, back, group };
                        }
                    }
                    count
                }
                Ok(PageEntry { tag: PageTag::RunHead, back: pages, .. }) => {
                    let count = usize::from(pages);
                    if count > 0 && page + count <= PAGES {
                        self.groups.push(Group { left: 1, reached: 0 });
                        for (back, place) in (0..).zip(page..page + count) {
                            self.pages[first_page + place] = PageUse::Run { pages, back, group };
                        }
                    }
                    count
                }
                Ok(PageEntry { tag: PageTag::LargeTail, .. }) => {
                    self.pages[first_page + page] = PageUse::Tail;
                    1
                }
                _ => 1,
            };
            page += count.max(1);
        }
        Ok(())
    }

    /// The groups of a slab.
    fn push_groups(&mut self, words: impl Iterator<Item = MapWord>) {
        for MapWord { live, at_hand } in words {
            if at_hand != 0 {
                self.at_hand.push((self.groups.len(), at_hand));
            }
            self.groups.push(Group { left: live, reached: 0 });
        }
    }
}

/// The roots of a snapshot.
///
/// # Errors
/// If a page of the root table cannot be had.
pub(super) fn read_roots<S: Source>(source: &mut S) -> Result<Vec<RootRecord>, S::Error> {
    let mut roots = Vec::new();
    for page in RootRecord::table_pages() {
        let page = source.copy(page)?;
        roots.extend(RootRecord::all_in(&page));
    }
    Ok(roots)
}
