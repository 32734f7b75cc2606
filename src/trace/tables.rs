//! Reading a snapshot's tables: which blocks it has, and where its roots lie.

use crate::arena::{ChunkKind, PageEntry, PageTag, Purpose, TablePage, first_table_page};
use crate::base::{
    CHUNKS_PER_CELL, CellIndex, ChunkIndex, PAGE_SIZE, PAGES_PER_CELL, PAGES_PER_CHUNK, PageIndex,
    PageRun, SLOT_PAGES,
};
use crate::heap::{CLASSES, RootRecord, class_pages, class_size};
use crate::trace::Source;
use crate::trace::blocks::{Blocks, CellBlocks, ChunkBlocks, MAP_WORDS, PageUse, Paged};

/// Where a slot has its page entries, in its first page.
const ENTRIES: usize = 0x800;
/// The pages of a slot that hold the live and the remote map.
const LIVE_PAGES: u32 = 4;
const REMOTE_PAGES: u32 = 8;
const MAP_PAGES: u32 = 4;
const WORDS_PER_PAGE: usize = PAGE_SIZE / 8;

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
                let found = read_cell(source, CellIndex(cell), room)?;
                let span = found.span;
                blocks.push(found);
                cell += span;
            }
        }
        Ok(blocks)
    }

    fn push(&mut self, cell: CellBlocks) {
        let (start, end) = (cell.first.0 as usize, (cell.first.0 + cell.span) as usize);
        self.cells.push(cell);
        let place = u32::try_from(self.cells.len()).unwrap_or(0);
        if self.places.len() < end {
            self.places.resize(end, 0);
        }
        self.places[start..end].fill(place);
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

fn read_cell<S: Source>(
    source: &mut S,
    cell: CellIndex,
    room: u32,
) -> Result<CellBlocks, S::Error> {
    let header = copy(source, first_table_page(cell, 0))?;
    let span = crate::arena::frozen_span(&header).clamp(1, room);
    let mut chunks = Vec::with_capacity(CHUNKS_PER_CELL as usize - 1);
    for place in 1..CHUNKS_PER_CELL {
        let chunk = ChunkIndex(cell.first_chunk().0 + place);
        chunks.push(read_chunk(source, chunk)?);
    }
    Ok(CellBlocks { first: cell, span, chunks })
}

fn read_chunk<S: Source>(source: &mut S, chunk: ChunkIndex) -> Result<ChunkBlocks, S::Error> {
    let first = first_table_page(chunk.cell(), chunk.within_cell());
    let table = copy(source, first)?;
    let (Some(kind), Some(purpose)) =
        (ChunkKind::decode(word(&table, 0)), Purpose::decode(word(&table, 4)))
    else {
        return Ok(ChunkBlocks::None);
    };
    let (pages, offset) = (word(&table, 8), word(&table, 12));
    Ok(match kind {
        ChunkKind::Free => ChunkBlocks::None,
        ChunkKind::LargeBody => ChunkBlocks::Body(offset),
        ChunkKind::LargeHead => match chunk.first_page().0.checked_add(offset) {
            Some(first) => {
                ChunkBlocks::Large { first: PageIndex(first), pages, purpose, reached: false }
            }
            None => ChunkBlocks::None,
        },
        ChunkKind::Paged => {
            let mut paged =
                Box::new(Paged { purpose, pages: page_uses(&table), unreached: [0; MAP_WORDS] });
            if paged.pages.iter().any(|page| matches!(page, PageUse::Slab { .. })) {
                read_maps(source, first, &mut paged.unreached)?;
            }
            paged.keep_starts();
            ChunkBlocks::Paged(paged)
        }
    })
}

/// Which blocks of slabs are in use: the live map without what other threads have freed.
fn read_maps<S: Source>(
    source: &mut S,
    slot: PageIndex,
    map: &mut [u64; MAP_WORDS],
) -> Result<(), S::Error> {
    for page in 0..MAP_PAGES {
        let live = copy(source, PageIndex(slot.0 + LIVE_PAGES + page))?;
        let remote = copy(source, PageIndex(slot.0 + REMOTE_PAGES + page))?;
        let at = page as usize * WORDS_PER_PAGE;
        for (place, word) in map[at..at + WORDS_PER_PAGE].iter_mut().enumerate() {
            *word = long(&live, place * 8) & !long(&remote, place * 8);
        }
    }
    Ok(())
}

fn page_uses(table: &TablePage) -> [PageUse; PAGES_PER_CHUNK as usize] {
    let mut uses = [PageUse::None; PAGES_PER_CHUNK as usize];
    let entry = |page: usize| PageEntry::decode(word(table, ENTRIES + page * 4));
    let mut page = 0;
    while page < uses.len() {
        let Some(found) = entry(page) else {
            page += 1;
            continue;
        };
        let (count, class) = match found.tag {
            PageTag::Slab if found.back == 0 && usize::from(found.class) < CLASSES => {
                (class_pages(found.class.into()), Some(found.class))
            }
            PageTag::RunHead => (usize::from(found.back), None),
            PageTag::LargeTail => {
                uses[page] = PageUse::Tail;
                page += 1;
                continue;
            }
            _ => (0, None),
        };
        let fits = count > 0 && page + count <= uses.len();
        for (back, place) in
            (0..).zip(uses.iter_mut().skip(page).take(if fits { count } else { 0 }))
        {
            *place = match class {
                Some(class) => PageUse::Slab { class, back },
                None => PageUse::Run { pages: found.back, back },
            };
        }
        page += count.max(1);
    }
    uses
}

impl Paged {
    /// Leaves those bits alone that stand for blocks: of a slab as many as it has, of a run one.
    fn keep_starts(&mut self) {
        let mut place = 0;
        while place < self.pages.len() {
            let words = place * 4..;
            let count = match self.pages[place] {
                PageUse::Slab { class, .. } => {
                    let pages = class_pages(class.into());
                    let blocks = pages * PAGE_SIZE / class_size(class.into());
                    for (word, bits) in self.unreached[words].iter_mut().take(pages * 4).enumerate()
                    {
                        let rest = blocks.saturating_sub(word * 64).min(64);
                        *bits &= if rest == 64 { u64::MAX } else { (1 << rest) - 1 };
                    }
                    pages
                }
                PageUse::Run { pages, .. } => {
                    let pages = usize::from(pages);
                    self.unreached[words.clone()].iter_mut().take(pages * 4).for_each(|w| *w = 0);
                    self.unreached[words.start] = 1;
                    pages
                }
                PageUse::None | PageUse::Tail => {
                    self.unreached[words].iter_mut().take(4).for_each(|word| *word = 0);
                    1
                }
            };
            place += count.max(1);
        }
    }
}

/// A page's bytes.
fn copy<S: Source>(source: &mut S, page: PageIndex) -> Result<TablePage, S::Error> {
    let mut bytes = [0; PAGE_SIZE];
    if let Some(found) = source.page(page)?.and_then(|found| found.first_chunk::<PAGE_SIZE>()) {
        bytes = *found;
    }
    Ok(bytes)
}

pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

pub(super) fn long(bytes: &[u8], at: usize) -> u64 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

const _: () = assert!(REMOTE_PAGES + MAP_PAGES <= SLOT_PAGES, "the slot of FORMAT.md");
