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
    arena::{CELL_MAGIC, ChunkKind, PageEntry, PageTag, Purpose, SLOT_SIZE, first_table_page},
    base::{
        CHUNKS_PER_CELL, CellIndex, ChunkIndex, PAGE_SIZE, PAGES_PER_CELL, PAGES_PER_CHUNK,
        PageIndex, SLOT_PAGES,
    },
    heap::{CLASSES, class_pages},
    image::Chain,
    os::DiskFile,
    trace::{ChainSource, Source},
};

/// Where a slot's page entries and maps begin, in bytes.
const ENTRIES: usize = 0x800;
const LIVE: usize = 0x4000;
const AT_HAND: usize = 0x8000;
/// Bytes of a map for each page.
const MAP_BYTES: usize = 32;

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
        let header = read(source, first_table_page(cell, 0))?;
        let (magic, number, span) = (long(&header, 0), word(&header, 8), word(&header, 12));
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
        let table = read(source, first_table_page(cell.first, place))?;
        let wrong = |what, found: u32| wrong(cell.first, place, what, found);
        let kind = ChunkKind::decode(word(&table, 0)).ok_or_else(|| wrong("kind", word(&table, 0)));
        let purpose = Purpose::decode(word(&table, 4));
        let kind = kind?;
        let memory = match (kind, purpose) {
            (ChunkKind::Free, _) => Memory::Free,
            (_, Some(Purpose::Ambient)) => Memory::Ambient,
            (_, Some(Purpose::Scoped)) => Memory::Scoped,
            (_, Some(Purpose::Tracked)) => Memory::Tracked,
            (_, None) => return Err(wrong("purpose", word(&table, 4))),
        };
        *self.chunks.entry((kind_name(kind), memory)).or_default() += 1;
        if kind == ChunkKind::Free {
            return Ok(());
        }
        self.push_tables(cell.first, place);
        let chunk = ChunkIndex(cell.first.first_chunk().0 + place);
        match kind {
            ChunkKind::Paged => self.paged(source, chunk, memory, &table),
            ChunkKind::LargeHead => {
                let (pages, offset) = (word(&table, 8), word(&table, 12));
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
        table: &[u8],
    ) -> Result<(), Failure> {
        let mut maps: Option<Vec<u8>> = None;
        let mut page = 0;
        while page < PAGES_PER_CHUNK {
            let bits = word(table, ENTRIES + page as usize * 4);
            let wrong =
                || wrong(chunk.cell(), chunk.within_cell(), "page entry", format!("{bits:#x}"));
            let entry = PageEntry::decode(bits).ok_or_else(wrong)?;
            let back = u32::from(entry.back);
            let (count, content, blocks) = match entry.tag {
                PageTag::None => {
                    page += 1;
                    continue;
                }
                PageTag::Slab if back == 0 && usize::from(entry.class) < CLASSES => {
                    if maps.is_none() {
                        maps = Some(read_slot(source, chunk)?);
                    }
                    let used =
                        blocks_in_use(maps.as_deref().unwrap_or_default(), page, entry.class);
                    let pages = u32::try_from(class_pages(entry.class.into())).unwrap_or(u32::MAX);
                    (pages, Content::Slab { class: entry.class }, used)
                }
                PageTag::RunHead if back > 0 => (back, Content::Run, 1),
                PageTag::LargeTail => (1, Content::Large, 0),
                PageTag::Slab | PageTag::RunHead | PageTag::RunBody => return Err(wrong()),
            };
            if count > PAGES_PER_CHUNK - page {
                return Err(wrong());
            }
            let first = PageIndex(chunk.first_page().0 + page);
            self.stretches.push(Stretch { first, count, memory, content, blocks });
            page += count;
        }
        Ok(())
    }
}

fn read(source: &mut ChainSource<'_, DiskFile>, page: PageIndex) -> Result<Vec<u8>, Failure> {
    Ok(source.page(page)?.map_or_else(|| vec![0; PAGE_SIZE], <[u8]>::to_vec))
}

/// A chunk's slot, as far as its maps.
fn read_slot(
    source: &mut ChainSource<'_, DiskFile>,
    chunk: ChunkIndex,
) -> Result<Vec<u8>, Failure> {
    let first = first_table_page(chunk.cell(), chunk.within_cell()).0;
    let mut slot = Vec::with_capacity(SLOT_SIZE);
    for page in first..first + SLOT_PAGES {
        slot.extend(read(source, PageIndex(page))?);
    }
    Ok(slot)
}

/// Blocks of a slab that are in use, without those that a thread merely had at hand.
fn blocks_in_use(slot: &[u8], page: u32, class: u8) -> u32 {
    let blocks = blocks_of(class);
    let at = page as usize * MAP_BYTES;
    (0..blocks.div_ceil(64))
        .map(|index| {
            let at = at + index as usize * 8;
            let used = long(slot, LIVE + at) & !long(slot, AT_HAND + at);
            let valid = (blocks - index * 64).min(64);
            (used & (u64::MAX >> (64 - valid))).count_ones()
        })
        .sum()
}

fn wrong(cell: CellIndex, place: u32, what: &str, found: impl std::fmt::Display) -> Failure {
    let table = match place {
        0 => format!("the table of cell {}", cell.0),
        _ => format!("the table of chunk {place} in cell {}", cell.0),
    };
    let rest = "each page is as it was saved, so the program had destroyed its heap before that";
    Failure::new(DAMAGED, format!("{table} is wrong: {what}: found {found} ({rest})"))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
