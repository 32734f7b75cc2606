//! Reading a snapshot's tables: which blocks it has, and where its roots lie.

use crate::arena::{ChunkKind, PageEntry, PageTag, Purpose, TablePage, first_table_page};
use crate::base::{
    CHUNKS_PER_CELL, CellIndex, ChunkIndex, PAGE_SIZE, PAGES_PER_CELL, PageIndex, PageRun,
    SLOT_PAGES,
};
use crate::heap::{CLASSES, RootRecord};
use crate::trace::Source;
use crate::trace::blocks::{Blocks, ChunkBlocks, GROUPS_MAX, Group, PAGES, PageUse};

/// Where a slot has its page entries, in its first page.
const ENTRIES: usize = 0x800;
/// The pages of a slot that hold the live map, and the map of what lanes had at hand.
const LIVE_PAGES: u32 = 4;
const AT_HAND_PAGES: u32 = 8;
const MAP_PAGES: u32 = 4;
/// Words of these maps for each page of the chunk.
const MAP_WORDS_PER_PAGE: usize = 4;

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
        let header = copy(source, first_table_page(cell, 0))?;
        let span = crate::arena::frozen_span(&header).clamp(1, room);
        self.cells.push((cell, span));
        let (start, end) = (cell.0 as usize, (cell.0 + span) as usize);
        if self.places.len() < end {
            self.places.resize(end, 0);
        }
        self.places[start..end].fill(u32::try_from(self.cells.len()).unwrap_or(0));
        self.chunks.push(ChunkBlocks::None);
        let end = CellIndex(cell.0 + span).first_page();
        for place in 1..CHUNKS_PER_CELL {
            let chunk = ChunkIndex(cell.first_chunk().0 + place);
            let chunk = self.read_chunk(source, chunk, end)?;
            self.chunks.push(chunk);
        }
        Ok(span)
    }

    /// `end` is that of its cell or span.
    fn read_chunk<S: Source>(
        &mut self,
        source: &mut S,
        chunk: ChunkIndex,
        end: PageIndex,
    ) -> Result<ChunkBlocks, S::Error> {
        let slot = first_table_page(chunk.cell(), chunk.within_cell());
        let table = copy(source, slot)?;
        let kind = ChunkKind::decode(word(&table, 0));
        let purpose = Purpose::decode(word(&table, 4));
        // Whose places in a list are told by 32 bits.
        let place = |len: usize, room| u32::try_from(len + room).and(u32::try_from(len)).ok();
        let first_page = place(self.pages.len(), PAGES);
        let first_group = place(self.groups.len(), GROUPS_MAX);
        let (Some(kind), Some(purpose), Some(first_page), Some(first_group)) =
            (kind, purpose, first_page, first_group)
        else {
            return Ok(ChunkBlocks::None);
        };
        let (pages, offset) = (word(&table, 8), word(&table, 12));
        Ok(match kind {
            ChunkKind::Free => ChunkBlocks::None,
            ChunkKind::LargeBody => ChunkBlocks::Body(offset),
            ChunkKind::LargeHead => {
                let first = PageIndex(chunk.first_page().0.saturating_add(offset).min(end.0));
                let pages = pages.min(end.0 - first.0);
                self.groups.push(Group { left: 1, reached: 0 });
                ChunkBlocks::Large { purpose, first, pages, group: first_group }
            }
            ChunkKind::Paged => {
                self.read_pages(source, slot, &table)?;
                ChunkBlocks::Paged { purpose, pages: first_page, groups: first_group }
            }
        })
    }

    /// What the pages of a paged chunk belong to, and which blocks there are in use.
    fn read_pages<S: Source>(
        &mut self,
        source: &mut S,
        slot: PageIndex,
        table: &TablePage,
    ) -> Result<(), S::Error> {
        let (first_page, first_group) = (self.pages.len(), self.groups.len());
        self.pages.resize(first_page + PAGES, PageUse::None);
        let mut maps = None;
        let mut page = 0;
        while page < PAGES {
            let entry = PageEntry::decode(word(table, ENTRIES + page * 4));
            let group = u16::try_from(self.groups.len() - first_group).unwrap_or(u16::MAX);
            let count = match entry {
                Some(PageEntry { tag: PageTag::Slab, class, back: 0 })
                    if usize::from(class) < CLASSES =>
                {
                    let count = self.class(class).pages as usize;
                    if page + count <= PAGES {
                        let maps = match &mut maps {
                            Some(maps) => maps,
                            none => none.insert(read_maps(source, slot)?),
                        };
                        self.push_groups(class, &maps[page * MAP_WORDS_PER_PAGE..]);
                        for (back, place) in (0..).zip(page..page + count) {
                            self.pages[first_page + place] = PageUse::Slab { class, back, group };
                        }
                    }
                    count
                }
                Some(PageEntry { tag: PageTag::RunHead, back: pages, .. }) => {
                    let count = usize::from(pages);
                    if count > 0 && page + count <= PAGES {
                        self.groups.push(Group { left: 1, reached: 0 });
                        for (back, place) in (0..).zip(page..page + count) {
                            self.pages[first_page + place] = PageUse::Run { pages, back, group };
                        }
                    }
                    count
                }
                Some(PageEntry { tag: PageTag::LargeTail, .. }) => {
                    self.pages[first_page + page] = PageUse::Tail;
                    1
                }
                _ => 1,
            };
            page += count.max(1);
        }
        Ok(())
    }

    /// The groups of a slab, by the words of the map from its first page's on.
    fn push_groups(&mut self, class: u8, map: &[(u64, u64)]) {
        let mut rest = self.class(class).blocks;
        for &(live, at_hand) in map {
            if rest == 0 {
                return;
            }
            let valid = if rest >= 64 { u64::MAX } else { (1 << rest) - 1 };
            if at_hand != 0 {
                self.at_hand.push((self.groups.len(), at_hand));
            }
            self.groups.push(Group { left: live & valid, reached: 0 });
            rest = rest.saturating_sub(64);
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
        let page = copy(source, page)?;
        roots.extend(RootRecord::all_in(&page));
    }
    Ok(roots)
}

/// Which blocks of slabs are in use, and which of these may as well be free.
fn read_maps<S: Source>(source: &mut S, slot: PageIndex) -> Result<Vec<(u64, u64)>, S::Error> {
    let mut map = Vec::with_capacity(PAGES * MAP_WORDS_PER_PAGE);
    for page in 0..MAP_PAGES {
        let live = copy(source, PageIndex(slot.0 + LIVE_PAGES + page))?;
        let at_hand = copy(source, PageIndex(slot.0 + AT_HAND_PAGES + page))?;
        let words = live.as_chunks().0.iter().zip(at_hand.as_chunks().0);
        map.extend(
            words.map(|(live, at_hand)| (u64::from_le_bytes(*live), u64::from_le_bytes(*at_hand))),
        );
    }
    Ok(map)
}

/// A page's bytes.
fn copy<S: Source>(source: &mut S, page: PageIndex) -> Result<TablePage, S::Error> {
    let mut bytes = [0; PAGE_SIZE];
    if let Some(found) = source.page(page)?.and_then(|found| found.first_chunk::<PAGE_SIZE>()) {
        bytes = *found;
    }
    Ok(bytes)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

const _: () = assert!(AT_HAND_PAGES + MAP_PAGES <= SLOT_PAGES, "the slot of FORMAT.md");
