//! What the allocator's tables in an image say: which pages are in use, as what. FORMAT.md, "What
//! lies in the pages", specifies them.
//!
//! Reading is total: a table that contradicts itself is an error that names it.
//! Invariant: stretches rise by page and do not overlap.

use crate::{
    failure::{DAMAGED, Failure},
    kinds::{Content, Memory, Stretch, blocks_of, kind_name},
};
use std::collections::BTreeMap;
use stillheap::{
    arena::{
        CELL_MAGIC, ChunkKind, FrozenEntry, FrozenHeader, PageTag, Purpose, TablePage,
        first_table_page, frozen_page_entry,
    },
    base::{
        CHUNKS_PER_CELL, CellIndex, ChunkIndex, PAGES_PER_CELL, PAGES_PER_CHUNK, PageIndex,
        SLOT_PAGES,
    },
    heap::{CLASSES, class_pages},
    image::Chain,
    os::DiskFile,
    trace::{ChainSource, SlotMaps, Source},
};

/// A cell, or the first of a span of several.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub(crate) first: CellIndex,
    pub(crate) span: u32,
}

/// What the tables of an image say.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) cells: Vec<Cell>,
    /// How many chunks there are of each kind.
    pub(crate) chunks: BTreeMap<(&'static str, Memory), u64>,
    pub(crate) stretches: Vec<Stretch>,
}

impl Survey {
    pub(crate) fn of(chain: &Chain<DiskFile>) -> Result<Self, Failure> {
        let mut survey = Self::default();
        let mut source = ChainSource::new(chain)?;
        for run in chain.runs() {
            let end = run.pages().end.div_ceil(u64::from(PAGES_PER_CELL));
            let mut cell = run.first.0 / PAGES_PER_CELL;
            while u64::from(cell) < end {
                let room = end - u64::from(cell);
                cell += survey.cell(&mut source, CellIndex(cell), room)?;
            }
        }
        survey.stretches.sort_unstable_by_key(|stretch| stretch.first);
        Ok(survey)
    }

    /// All stretches from the one on that may hold that page.
    pub(crate) fn from(&self, page: PageIndex) -> impl Iterator<Item = &Stretch> {
        let after = self.stretches.partition_point(|stretch| stretch.first <= page);
        self.stretches.iter().skip(after.saturating_sub(1))
    }

    /// What a page is.
    pub(crate) fn find(&self, page: PageIndex) -> (Memory, Content) {
        let found = self.from(page).next().filter(|found| found.first <= page);
        match found.filter(|found| page.0 - found.first.0 < found.count) {
            Some(found) => (found.memory, found.content),
            None => (Memory::Free, Content::Free),
        }
    }

    /// Reads a cell's tables. Gives how many cells the span has.
    fn cell(
        &mut self,
        source: &mut ChainSource<'_, DiskFile>,
        cell: CellIndex,
        room: u64,
    ) -> Result<u32, Failure> {
        let FrozenHeader { magic, cell: number, span } =
            FrozenHeader::of(&source.copy(first_table_page(cell, 0))?);
        if magic != CELL_MAGIC || number != cell.0 {
            return Err(wrong(cell, 0, "header", format!("magic {magic:#x}, number {number}")));
        }
        if span == 0 || u64::from(span) > room {
            return Err(wrong(cell, 0, "span", span));
        }
        self.cells.push(Cell { first: cell, span });
        self.push_tables(cell, 0);
        for place in 1..CHUNKS_PER_CELL {
            self.chunk(source, Cell { first: cell, span }, place)?;
        }
        Ok(span)
    }

    fn push_tables(&mut self, cell: CellIndex, place: u32) {
        let (first, count) = (first_table_page(cell, place), SLOT_PAGES);
        let (memory, content) = (Memory::Tables, Content::Tables);
        self.stretches.push(Stretch { first, count, memory, content, blocks: 0 });
    }

    fn chunk(
        &mut self,
        source: &mut ChainSource<'_, DiskFile>,
        cell: Cell,
        place: u32,
    ) -> Result<(), Failure> {
        let table = source.copy(first_table_page(cell.first, place))?;
        let wrong = |what, found: u32| wrong(cell.first, place, what, found);
        let entry = FrozenEntry::decode(&table).map_err(|found| wrong(found.field, found.found))?;
        let memory = match (entry.kind, entry.purpose) {
            (ChunkKind::Free, _) => Memory::Free,
            (_, Purpose::Ambient) => Memory::Ambient,
            (_, Purpose::Scoped) => Memory::Scoped,
            (_, Purpose::Tracked) => Memory::Tracked,
        };
        *self.chunks.entry((kind_name(entry.kind), memory)).or_default() += 1;
        if entry.kind == ChunkKind::Free {
            return Ok(());
        }
        self.push_tables(cell.first, place);
        let chunk = ChunkIndex(cell.first.first_chunk().0 + place);
        match entry.kind {
            ChunkKind::Paged => self.paged(source, chunk, memory, &table),
            ChunkKind::LargeHead => {
                let (pages, offset) = (entry.run_pages, entry.offset);
                let tail = if cell.span == 1 { pages % PAGES_PER_CHUNK } else { 0 };
                let first = u64::from(chunk.first_page().0) + u64::from(offset);
                let end = u64::from(cell.first.0 + cell.span) * u64::from(PAGES_PER_CELL);
                let first = u32::try_from(first).map_err(|_| wrong("offset", offset))?;
                if pages < PAGES_PER_CHUNK || u64::from(first) + u64::from(pages) > end {
                    return Err(wrong("pages of the block", pages));
                }
                let (first, count, content) = (PageIndex(first), pages - tail, Content::Large);
                self.stretches.push(Stretch { first, count, memory, content, blocks: 1 });
                Ok(())
            }
            ChunkKind::Free | ChunkKind::LargeBody => Ok(()),
        }
    }

    fn paged(
        &mut self,
        source: &mut ChainSource<'_, DiskFile>,
        chunk: ChunkIndex,
        memory: Memory,
        table: &TablePage,
    ) -> Result<(), Failure> {
        let (cell, place) = (chunk.cell(), chunk.within_cell());
        let wrong = |bits: u32| wrong(cell, place, "page entry", format!("{bits:#x}"));
        let (mut maps, mut page) = (None, 0);
        while page < PAGES_PER_CHUNK {
            let entry = frozen_page_entry(table, page as usize).map_err(wrong)?;
            let back = u32::from(entry.back);
            let (count, content, blocks) = match entry.tag {
                PageTag::None => {
                    page += 1;
                    continue;
                }
                PageTag::Slab if back == 0 && usize::from(entry.class) < CLASSES => {
                    let maps = match &mut maps {
                        Some(maps) => maps,
                        none => none.insert(SlotMaps::read(source, cell, place)?),
                    };
                    // Without those that a thread merely had at hand.
                    let words = maps.of_slab(page as usize, blocks_of(entry.class));
                    let used = words.map(|word| (word.live & !word.at_hand).count_ones()).sum();
                    let pages = u32::try_from(class_pages(entry.class.into())).unwrap_or(u32::MAX);
                    (pages, Content::Slab { class: entry.class }, used)
                }
                PageTag::RunHead if back > 0 => (back, Content::Run, 1),
                PageTag::LargeTail => (1, Content::Large, 0),
                PageTag::Slab | PageTag::RunHead | PageTag::RunBody => {
                    return Err(wrong(entry.encode()));
                }
            };
            if count > PAGES_PER_CHUNK - page {
                return Err(wrong(entry.encode()));
            }
            let first = PageIndex(chunk.first_page().0 + page);
            self.stretches.push(Stretch { first, count, memory, content, blocks });
            page += count;
        }
        Ok(())
    }
}

fn wrong(cell: CellIndex, place: u32, what: &str, found: impl std::fmt::Display) -> Failure {
    let table = match place {
        0 => format!("the table of cell {}", cell.0),
        _ => format!("the table of chunk {place} in cell {}", cell.0),
    };
    let rest = "each page is as it was saved, so the program had destroyed its heap before that";
    Failure::new(DAMAGED, format!("{table} is wrong: {what}: found {found} ({rest})"))
}
