//! What a snapshot has to hold: read from the cells' tables as they were at the freeze.
//!
//! The tables change while the window is open, so their first pages are saved before anything
//! else, and kept until the file has been laid out.

use crate::arena::{
    Arena, ChunkKind, FrozenEntry, FrozenHeader, TablePage, first_table_page, later_table_pages,
};
use crate::base::{
    CHUNKS_PER_CELL, CellIndex, ChunkIndex, PAGE_SIZE, PAGES_PER_CHUNK, PageIndex, PageRun, RunSet,
    SLOT_PAGES,
};
use crate::cow::{CellKind, Staged, Unit, Window};
use crate::os::File;
use crate::snapshot::sink::Sink;
use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

/// How long a copy that a writer has begun may take to arrive. The writer's thread may not run.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// The pages that make up the frozen state, or those of them that a delta may have to have.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Pages of tables that may hold something, rising.
    pub(super) tables: Vec<TablePlan>,
    /// Chunks with pages to be saved.
    pub(super) chunks: Vec<ChunkPlan>,
    /// All chunks with pages in use.
    pub(super) in_use: Vec<ChunkIndex>,
    /// What makes up the image.
    pub(super) runs: Vec<PageRun>,
    /// Pages in use: those of tables are not counted.
    pub(super) pages: u64,
    /// Cells in use, with the lengths of their spans.
    cells: Vec<(CellIndex, u32)>,
}

/// A page of tables; the contents are known of the first one of each slot.
#[derive(Debug)]
pub(super) struct TablePlan {
    pub(super) page: PageIndex,
    pub(super) bytes: Option<Box<TablePage>>,
}

/// A chunk's pages in use.
#[derive(Debug)]
pub(super) struct ChunkPlan {
    pub(super) chunk: ChunkIndex,
    pub(super) kind: CellKind,
    pub(super) runs: Vec<PageRun>,
}

impl ChunkPlan {
    /// Its pages, one by one.
    pub(super) fn pages(&self) -> impl Iterator<Item = PageIndex> {
        let pages = |run: &PageRun| {
            let first = run.first.0;
            (0..run.count).map(move |place| PageIndex(first + place))
        };
        self.runs.iter().flat_map(pages)
    }
}

/// A copy that a writer began has not come.
#[derive(Debug, thiserror::Error)]
#[error("a thread that was copying a page for the snapshot has not finished within a minute")]
pub struct CopyMissing;

/// First pages of slots on their way from the arena or the stage.
struct FirstPages<'w, 'e> {
    window: &'w Window<'e>,
    found: HashMap<PageIndex, Box<TablePage>>,
    /// What came from the stage meanwhile and is none of these.
    early: Vec<Staged>,
}

impl Plan {
    /// Reads the tables of all frozen cells. What writers have staged meanwhile is added to
    /// `early`.
    pub(super) fn make(window: &Window<'_>, early: &mut Vec<Staged>) -> Result<Self, CopyMissing> {
        let cells = window.frozen_cells();
        let mut pages = FirstPages { window, found: HashMap::new(), early: Vec::new() };
        let mut plan = Self::default();
        let result = pages.fetch_all(&cells).map(|()| {
            let mut room_ends = 0;
            let mut bodies_until = 0;
            for (cell, kind) in cells {
                // The later cells of a span have no tables.
                if cell.0 >= bodies_until {
                    let span = pages.span(cell);
                    bodies_until = cell.0 + span;
                    plan.add_cell(&mut pages.found, cell, kind, span, &mut room_ends);
                }
            }
        });
        early.append(&mut pages.early);
        plan.tables.sort_unstable_by_key(|table| table.page);
        plan.in_use = plan.chunks.iter().map(|plan| plan.chunk).collect();
        result.map(|()| plan)
    }

    fn add_cell(
        &mut self,
        found: &mut HashMap<PageIndex, Box<TablePage>>,
        cell: CellIndex,
        kind: CellKind,
        span: u32,
        room_ends: &mut u64,
    ) {
        let mut used = vec![0];
        let mut end = 0;
        for place in 1..CHUNKS_PER_CELL {
            let Some(page) = found.get(&first_table_page(cell, place)) else { continue };
            let entry = FrozenEntry::of(page);
            if entry.kind == ChunkKind::Free {
                continue;
            }
            used.push(place);
            let chunk = ChunkIndex(cell.first_chunk().0 + place);
            for run in entry.runs(chunk, span) {
                end = end.max(run.pages().end);
                self.add_run(kind, run);
            }
        }
        if cell.0 != 0 && used.len() == 1 {
            return;
        }
        for place in used {
            let page = first_table_page(cell, place);
            if let Some(bytes) = found.remove(&page) {
                self.tables.push(TablePlan { page, bytes: Some(bytes) });
                end = end.max(u64::from(page.0 + SLOT_PAGES));
            }
            let later = later_table_pages(cell, place);
            self.tables.extend(later.map(|page| TablePlan { page, bytes: None }));
        }
        self.cells.push((cell, span));
        self.add_to_image(Arena::cell_pages(cell, span), end, room_ends);
    }

    /// Adds a run of pages in use to the chunks that it lies in.
    fn add_run(&mut self, kind: CellKind, run: PageRun) {
        self.pages += u64::from(run.count);
        let (mut first, mut left) = (run.first, run.count);
        while left > 0 {
            let count = left.min(PAGES_PER_CHUNK - first.within_chunk());
            let part = PageRun { first, count };
            match self.chunks.last_mut().filter(|last| last.chunk == first.chunk()) {
                Some(last) => last.runs.push(part),
                None => {
                    let chunk = first.chunk();
                    self.chunks.push(ChunkPlan { chunk, kind, runs: vec![part] });
                }
            }
            left -= count;
            first = PageIndex(first.0.saturating_add(count));
        }
    }

    /// Neighbouring cells make one run of the image, cut after the last page in use.
    fn add_to_image(&mut self, cell: PageRun, end: u64, room_ends: &mut u64) {
        let count = |first: PageIndex| u32::try_from(end - u64::from(first.0)).unwrap_or(u32::MAX);
        match self.runs.last_mut() {
            Some(last) if *room_ends == cell.pages().start => last.count = count(last.first),
            _ => self.runs.push(PageRun { first: cell.first, count: count(cell.first) }),
        }
        *room_ends = cell.pages().end;
    }

    /// States that pages are zero which the snapshot before has, and which are in use no more. (Of
    /// cells that are in use no more that needs not be said.)
    pub(super) fn state_dropped<F: File>(&self, window: &Window<'_>, sink: &mut Sink<'_, F>) {
        for &(cell, span) in &self.cells {
            let tables = cell.first_chunk();
            let table_pages = tables.first_page().0..tables.first_page().0 + PAGES_PER_CHUNK;
            if !table_pages.into_iter().any(|page| window.saves_table(PageIndex(page))) {
                continue;
            }
            let is_table = |page: PageIndex| {
                self.tables.binary_search_by_key(&page, |table| table.page).is_ok()
            };
            sink.state_dropped(tables, is_table);
            // Which pages are in use is in the first page of a chunk's slot; of a span, in that of
            // its head.
            let all = span > 1 && window.saves_table(first_table_page(cell, 1));
            let own = (1..CHUNKS_PER_CELL)
                .filter(|&place| all || window.saves_table(first_table_page(cell, place)));
            let later = if all { CHUNKS_PER_CELL..span * CHUNKS_PER_CELL } else { 0..0 };
            for chunk in own.chain(later).map(|place| ChunkIndex(tables.0 + place)) {
                let plan = self.chunks.binary_search_by_key(&chunk, |plan| plan.chunk);
                let runs = plan.ok().map_or(&[][..], |place| &self.chunks[place].runs);
                let is_in_use = |page: PageIndex| {
                    runs.iter().any(|run| run.pages().contains(&u64::from(page.0)))
                };
                sink.state_dropped(chunk, is_in_use);
            }
        }
    }

    /// Leaves what the epoch that has ended cannot have changed.
    pub(super) fn keep_changed(&mut self, window: &Window<'_>) {
        self.tables.retain(|table| window.saves_table(table.page));
        self.chunks.retain_mut(|plan| match plan.kind {
            CellKind::Guarded => window.saves_chunk(plan.chunk),
            CellKind::Tracked => {
                let changed = plan.pages().filter(|&page| window.saves_tracked(page));
                let changed = RunSet::of(changed.map(|first| PageRun { first, count: 1 }));
                plan.runs = changed.iter().collect();
                !plan.runs.is_empty()
            }
        });
    }

    /// Hottest chunks first: they will be written soonest. In the order of addresses otherwise.
    pub(super) fn sort_by_heat(&mut self, heat: impl Fn(ChunkIndex) -> u32) {
        self.chunks.sort_by_cached_key(|plan| (u32::MAX - heat(plan.chunk), plan.chunk));
    }
}

impl FirstPages<'_, '_> {
    /// Headers first, for they tell which cells have slots.
    fn fetch_all(&mut self, cells: &[(CellIndex, CellKind)]) -> Result<(), CopyMissing> {
        let mut bodies_until = 0;
        for &(cell, _) in cells {
            if cell.0 < bodies_until {
                continue;
            }
            let pages: Vec<PageIndex> =
                (0..CHUNKS_PER_CELL).map(|place| first_table_page(cell, place)).collect();
            self.fetch(&pages)?;
            bodies_until = cell.0 + self.span(cell);
        }
        Ok(())
    }

    fn span(&self, cell: CellIndex) -> u32 {
        let header = self.found.get(&first_table_page(cell, 0));
        header.map_or(1, |page| FrozenHeader::of(page).span.max(1))
    }

    fn fetch(&mut self, pages: &[PageIndex]) -> Result<(), CopyMissing> {
        for &page in pages {
            let mut bytes = Box::new([0; PAGE_SIZE]);
            if self.window.save_table(page, &mut bytes[..]) {
                self.found.insert(page, bytes);
            }
        }
        let begun = Instant::now();
        while pages.iter().any(|page| !self.found.contains_key(page)) {
            self.take_staged();
            if begun.elapsed() > PATIENCE {
                return Err(CopyMissing);
            }
            thread::yield_now();
        }
        Ok(())
    }

    /// Takes the first pages of slots out of the stage; the rest has to wait for its file.
    fn take_staged(&mut self) {
        let stage = self.window.stage();
        for staged in self.window.take_staged() {
            let Unit::Table(page) = staged.unit else {
                self.early.push(staged);
                continue;
            };
            if !page.0.is_multiple_of(SLOT_PAGES) {
                self.early.push(staged);
                continue;
            }
            let mut bytes = Box::new([0; PAGE_SIZE]);
            bytes.copy_from_slice(stage.bytes(&staged));
            self.found.insert(page, bytes);
            stage.give(staged);
        }
        stage.wake();
    }
}
