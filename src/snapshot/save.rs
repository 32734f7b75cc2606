//! Writing the frozen pages into a segment, while writers go on.
//!
//! Every unit of the plan comes here once: copied from the arena if nobody was faster, else from
//! the stage. Copies are made before they are written and summed, so that checksum and page
//! cannot differ, and no writer waits for the disk unless the stage is full.

use crate::base::{CHUNK_SIZE, PAGE_SIZE, PageIndex, PageRun};
use crate::cow::{CellKind, Engine, Staged, Unit, Window};
use crate::image::{SegmentInfo, SegmentWriter, WriteError};
use crate::os::{Dir, File};
use crate::snapshot::plan::{ChunkPlan, CopyMissing, PATIENCE, Plan};
use std::collections::HashMap;
use std::thread;
use std::time::Instant;

/// Chunks that were written in so many of the last eight epochs are writable again once saved.
const HOT: u32 = 3;

/// A snapshot whose pages are in its segment; not complete, not durable.
#[derive(Debug)]
pub struct Draft<F> {
    pub(super) writer: SegmentWriter<F>,
    pub(super) info: SegmentInfo,
    pub(super) notes: Vec<u8>,
    /// How the pages came here.
    pub counts: SaveCounts,
}

/// How the pages of a snapshot were saved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SaveCounts {
    /// Pages copied by the saving thread.
    pub by_thread: u64,
    /// Pages that writers copied to the stage, whole chunks counted by their pages in use.
    pub by_barrier: u64,
}

/// Why frozen pages could not be saved.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// The segment could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A copy that a writer began has not come.
    #[error(transparent)]
    Copy(#[from] CopyMissing),
}

/// The work on one segment.
struct Saving<'w, 'e, F> {
    window: &'w Window<'e>,
    writer: SegmentWriter<F>,
    /// The runs of guarded chunks, and of tracked ones, by chunk.
    runs: HashMap<u32, Vec<PageRun>>,
    tables: Vec<PageIndex>,
    buffer: Vec<u8>,
    counts: SaveCounts,
    /// Units that writers have taken over, and those of them that have come.
    missed: u64,
    arrived: u64,
}

impl<F: File> Draft<F> {
    /// Creates the segment and writes all frozen pages.
    ///
    /// # Errors
    /// [`DraftError`]; a file that was created is the caller's to remove.
    pub(super) fn write<D: Dir<File = F>>(
        dir: &D,
        info: SegmentInfo,
        engine: &Engine,
        window: &Window<'_>,
    ) -> Result<Self, DraftError> {
        let mut early = Vec::new();
        let made = Plan::make(window, &mut early);
        let result = made.map_err(DraftError::from).and_then(|mut plan| {
            plan.sort_by_heat(|chunk| engine.heat(chunk));
            let writer = SegmentWriter::create(dir, &info, &plan.runs)?;
            let mut saving = Saving::new(window, writer, &plan);
            saving.write_staged(&mut early)?;
            saving.save(&plan, engine)?;
            let notes = super::heat::encode(plan.chunks.iter().map(|plan| plan.chunk), engine);
            Ok(Self { writer: saving.writer, info, notes, counts: saving.counts })
        });
        early.into_iter().for_each(|staged| window.stage().give(staged));
        result
    }
}

impl<'w, 'e, F: File> Saving<'w, 'e, F> {
    fn new(window: &'w Window<'e>, writer: SegmentWriter<F>, plan: &Plan) -> Self {
        let mut tables = plan.later_pages.clone();
        tables.sort_unstable();
        let runs = plan.chunks.iter().map(|plan| (plan.chunk.0, plan.runs.clone())).collect();
        Self {
            window,
            writer,
            runs,
            tables,
            buffer: vec![0; CHUNK_SIZE],
            counts: SaveCounts::default(),
            missed: 0,
            arrived: 0,
        }
    }

    fn save(&mut self, plan: &Plan, engine: &Engine) -> Result<(), DraftError> {
        for (page, bytes) in &plan.first_pages {
            self.counts.by_thread += self.writer.write_pages(*page, &bytes[..])?.pages;
        }
        self.save_later_tables()?;
        for plan in &plan.chunks {
            match plan.kind {
                CellKind::Guarded => self.save_chunk(plan, engine)?,
                CellKind::Tracked => self.save_tracked(plan)?,
            }
            if self.window.stage().is_filling() {
                self.empty_stage()?;
            }
        }
        self.await_the_rest()
    }

    fn save_later_tables(&mut self) -> Result<(), DraftError> {
        let mut page = [0; PAGE_SIZE];
        for index in 0..self.tables.len() {
            let table = self.tables[index];
            if self.window.save_table(table, &mut page) {
                self.counts.by_thread += self.writer.write_pages(table, &page)?.pages;
            } else {
                self.missed += 1;
            }
        }
        Ok(())
    }

    fn save_chunk(&mut self, plan: &ChunkPlan, engine: &Engine) -> Result<(), DraftError> {
        if !self.window.save_chunk(plan.chunk, &plan.runs, &mut self.buffer) {
            self.missed += 1;
            return Ok(());
        }
        if engine.heat(plan.chunk) >= HOT {
            self.window.reopen(plan.chunk);
        }
        let mut at = 0;
        for run in &plan.runs {
            let bytes = &self.buffer[at..at + run.byte_len()];
            self.counts.by_thread += self.writer.write_pages(run.first, bytes)?.pages;
            at += run.byte_len();
        }
        Ok(())
    }

    /// Page by page, as they are written; what follows without a gap is one write.
    fn save_tracked(&mut self, plan: &ChunkPlan) -> Result<(), DraftError> {
        for run in &plan.runs {
            let mut begun = run.first.0;
            let mut filled = 0;
            for page in run.first.0..=run.first.0 + (run.count - 1) {
                let place = &mut self.buffer[filled..filled + PAGE_SIZE];
                if self.window.save_tracked(PageIndex(page), place) {
                    filled += PAGE_SIZE;
                } else {
                    self.missed += 1;
                    self.flush(PageIndex(begun), filled)?;
                    (begun, filled) = (page + 1, 0);
                }
            }
            self.flush(PageIndex(begun), filled)?;
        }
        Ok(())
    }

    fn flush(&mut self, first: PageIndex, len: usize) -> Result<(), DraftError> {
        if len > 0 {
            let written = self.writer.write_pages(first, &self.buffer[..len])?;
            self.counts.by_thread += written.pages;
        }
        Ok(())
    }

    /// Waits for copies that writers have begun.
    fn await_the_rest(&mut self) -> Result<(), DraftError> {
        let mut begun = Instant::now();
        loop {
            let before = self.arrived;
            self.empty_stage()?;
            if self.arrived >= self.missed {
                return Ok(());
            }
            if self.arrived > before {
                begun = Instant::now();
            }
            if begun.elapsed() > PATIENCE {
                return Err(CopyMissing.into());
            }
            thread::yield_now();
        }
    }

    fn empty_stage(&mut self) -> Result<(), DraftError> {
        let mut staged = self.window.take_staged();
        let result = self.write_staged(&mut staged);
        staged.into_iter().for_each(|staged| self.window.stage().give(staged));
        self.window.stage().wake();
        result
    }

    /// Writes copies, in the order of their pages, and gives their slots back.
    fn write_staged(&mut self, staged: &mut Vec<Staged>) -> Result<(), DraftError> {
        let stage = self.window.stage();
        staged.sort_unstable_by_key(|staged| std::cmp::Reverse(first_page(staged.unit)));
        while let Some(last) = staged.last() {
            self.write_copy(last.unit, stage.bytes(last))?;
            if let Some(written) = staged.pop() {
                stage.give(written);
            }
        }
        Ok(())
    }

    fn write_copy(&mut self, unit: Unit, bytes: &[u8]) -> Result<(), WriteError> {
        let wanted: &[PageRun] = match unit {
            Unit::Table(page) => match self.tables.binary_search(&page) {
                Ok(_) => &[PageRun { first: page, count: 1 }],
                Err(_) => &[],
            },
            Unit::Tracked(page) => {
                let runs = self.runs.get(&page.chunk().0);
                match runs.is_some_and(|runs| runs.iter().any(|run| contains(*run, page))) {
                    true => &[PageRun { first: page, count: 1 }],
                    false => &[],
                }
            }
            Unit::Chunk(chunk) => self.runs.get(&chunk.0).map_or(&[], Vec::as_slice),
        };
        // What was not in use at the freeze is of no interest.
        self.arrived += u64::from(!wanted.is_empty());
        for run in wanted {
            let start = match unit {
                Unit::Chunk(_) => run.first.within_chunk() as usize * PAGE_SIZE,
                Unit::Table(_) | Unit::Tracked(_) => 0,
            };
            let bytes = &bytes[start..start + run.byte_len()];
            self.counts.by_barrier += self.writer.write_pages(run.first, bytes)?.pages;
        }
        Ok(())
    }
}

fn first_page(unit: Unit) -> PageIndex {
    match unit {
        Unit::Table(page) | Unit::Tracked(page) => page,
        Unit::Chunk(chunk) => chunk.first_page(),
    }
}

fn contains(run: PageRun, page: PageIndex) -> bool {
    run.pages().contains(&u64::from(page.0))
}
