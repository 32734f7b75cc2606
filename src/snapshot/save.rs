//! Writing the frozen pages into a segment, while writers go on.
//!
//! Every unit of the plan comes here once: copied from the arena if nobody was faster, else from
//! the stage. Copies are made before they are written and summed, so that checksum and page
//! cannot differ, and no writer waits for the disk unless the stage is full.

use crate::base::{CHUNK_SIZE, ChunkIndex, PAGE_SIZE, PageIndex, PageRun};
use crate::cow::{CellKind, Engine, Staged, Unit, Window};
use crate::image::{SegmentInfo, SegmentWriter, WriteError, Written};
use crate::os::{Dir, File};
use crate::snapshot::plan::{ChunkPlan, CopyMissing, PATIENCE, Plan};
use std::collections::HashMap;
use std::thread;
use std::time::Instant;

/// Chunks that were written in so many of the last eight epochs are writable again once saved.
const HOT: u32 = 3;

/// Chunks that a window has made writable again, with the fingerprints of what it saved of them:
/// nobody sees whether they are written, but the next window sees whether they have changed.
pub(super) type Reopened = HashMap<ChunkIndex, u128>;

/// A snapshot whose pages are in its segment; not complete, not durable.
#[derive(Debug)]
pub struct Draft<F> {
    pub(super) writer: SegmentWriter<F>,
    pub(super) info: SegmentInfo,
    pub(super) notes: Vec<u8>,
    /// How the pages came here.
    pub counts: SaveCounts,
    pub(super) reopened: Reopened,
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
    chunks: &'w [ChunkPlan],
    /// Where a chunk stands in `chunks`.
    places: HashMap<ChunkIndex, usize>,
    tables: Vec<PageIndex>,
    /// Copies of writers' that wait for their chunk's turn, by its place in `chunks`.
    waiting: Vec<Vec<Staged>>,
    /// Whether a chunk has had its turn.
    done: Vec<bool>,
    buffer: Vec<u8>,
    counts: SaveCounts,
    before: &'w Reopened,
    reopened: Reopened,
    /// Units that writers had taken over when their turn came, and those of them that have come
    /// since.
    missed: u64,
    late: u64,
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
        before: &Reopened,
    ) -> Result<Self, DraftError> {
        let mut early = Vec::new();
        let made = Plan::make(window, &mut early);
        let result = made.map_err(DraftError::from).and_then(|mut plan| {
            plan.sort_by_heat(|chunk| engine.heat(chunk));
            let writer = SegmentWriter::create(dir, &info, &plan.runs)?;
            let mut saving = Saving::new(window, writer, &plan, before);
            let saved = saving.save(&plan, engine, &mut early);
            saving.give_back();
            saved?;
            let notes = super::heat::encode(plan.chunks.iter().map(|plan| plan.chunk), engine);
            let Saving { writer, counts, reopened, .. } = saving;
            Ok(Self { writer, info, notes, counts, reopened })
        });
        early.into_iter().for_each(|staged| window.stage().give(staged));
        result
    }
}

impl<'w, 'e, F: File> Saving<'w, 'e, F> {
    fn new(
        window: &'w Window<'e>,
        writer: SegmentWriter<F>,
        plan: &'w Plan,
        before: &'w Reopened,
    ) -> Self {
        let mut tables = plan.later_pages.clone();
        tables.sort_unstable();
        let places = plan.chunks.iter().enumerate().map(|(place, plan)| (plan.chunk, place));
        Self {
            window,
            writer,
            chunks: &plan.chunks,
            places: places.collect(),
            tables,
            waiting: plan.chunks.iter().map(|_| Vec::new()).collect(),
            done: vec![false; plan.chunks.len()],
            buffer: vec![0; CHUNK_SIZE],
            counts: SaveCounts::default(),
            before,
            reopened: Reopened::new(),
            missed: 0,
            late: 0,
        }
    }

    fn save(
        &mut self,
        plan: &Plan,
        engine: &Engine,
        early: &mut Vec<Staged>,
    ) -> Result<(), DraftError> {
        for (page, bytes) in &plan.first_pages {
            self.writer.write_pages(*page, &bytes[..])?;
            self.counts.by_thread += 1;
        }
        self.sort_in(early)?;
        self.save_later_tables()?;
        let mut next = 0;
        while let Some(place) = self.choose(&mut next) {
            self.done[place] = true;
            let plan = &self.chunks[place];
            match plan.kind {
                CellKind::Guarded => self.save_chunk(place, plan, engine)?,
                CellKind::Tracked => self.save_tracked(place, plan)?,
            }
            self.look_at_stage()?;
        }
        self.await_the_rest()
    }

    /// The chunk whose turn it is: the next in order, or, when the stage is filling up, the one
    /// that has most in it.
    fn choose(&self, next: &mut usize) -> Option<usize> {
        while self.done.get(*next).is_some_and(|done| *done) {
            *next += 1;
        }
        let mut best = Some(*next).filter(|next| *next < self.done.len())?;
        if self.window.stage().is_filling() {
            let weight = |place: usize| {
                let staged = self.waiting[place].len();
                if self.chunks[place].kind == CellKind::Guarded { staged * 512 } else { staged }
            };
            for place in *next..self.done.len() {
                if !self.done[place] && weight(place) > weight(best) {
                    best = place;
                }
            }
        }
        Some(best)
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

    fn save_chunk(
        &mut self,
        place: usize,
        plan: &ChunkPlan,
        engine: &Engine,
    ) -> Result<(), DraftError> {
        if let Some(staged) = self.waiting[place].pop() {
            let result = write_chunk(&mut self.writer, plan, self.window.stage().bytes(&staged));
            self.give(staged);
            let written = result?;
            self.counts.by_barrier += written.pages;
            self.judge(plan.chunk, written.fingerprint, engine);
            return Ok(());
        }
        if !self.window.save_chunk(plan.chunk, &plan.runs, &mut self.buffer) {
            self.missed += 1;
            return Ok(());
        }
        let (mut at, mut written) = (0, Written::default());
        for run in &plan.runs {
            let bytes = &self.buffer[at..at + run.byte_len()];
            written = written.and(self.writer.write_pages(run.first, bytes)?);
            at += run.byte_len();
        }
        self.counts.by_thread += written.pages;
        self.judge(plan.chunk, written.fingerprint, engine);
        if engine.heat(plan.chunk) >= HOT && self.window.reopen(plan.chunk) {
            self.reopened.insert(plan.chunk, written.fingerprint);
        }
        Ok(())
    }

    /// Whether a chunk that the last window has made writable has been written since then.
    fn judge(&self, chunk: ChunkIndex, fingerprint: u128, engine: &Engine) {
        if self.before.get(&chunk) == Some(&fingerprint) {
            engine.cool(chunk);
        }
    }

    /// Page by page, as they are written to; but what follows without a gap is one write.
    fn save_tracked(&mut self, place: usize, plan: &ChunkPlan) -> Result<(), DraftError> {
        let mut waiting = std::mem::take(&mut self.waiting[place]);
        waiting.sort_unstable_by_key(|staged| std::cmp::Reverse(first_page(staged.unit)));
        let mut result = Ok(());
        for run in &plan.runs {
            result = result.and_then(|()| self.save_run(*run, &mut waiting));
        }
        // What is left was not in use at the freeze.
        waiting.into_iter().for_each(|staged| self.give(staged));
        result
    }

    /// `waiting` holds copies in falling order of their pages.
    fn save_run(&mut self, run: PageRun, waiting: &mut Vec<Staged>) -> Result<(), DraftError> {
        let (mut begun, mut filled) = (run.first.0, 0);
        for page in run.first.0..=run.first.0 + (run.count - 1) {
            let place = &mut self.buffer[filled..filled + PAGE_SIZE];
            let is_before = |staged: &Staged| first_page(staged.unit).0 < page;
            while let Some(unused) = waiting.pop_if(|staged| is_before(staged)) {
                self.window.stage().give(unused);
            }
            if let Some(staged) = waiting.pop_if(|staged| first_page(staged.unit).0 == page) {
                place.copy_from_slice(self.window.stage().bytes(&staged));
                self.window.stage().give(staged);
                self.counts.by_barrier += 1;
                filled += PAGE_SIZE;
            } else if self.window.save_tracked(PageIndex(page), place) {
                self.counts.by_thread += 1;
                filled += PAGE_SIZE;
            } else {
                self.missed += 1;
                self.flush(PageIndex(begun), filled)?;
                (begun, filled) = (page + 1, 0);
            }
        }
        self.flush(PageIndex(begun), filled)
    }

    fn flush(&mut self, first: PageIndex, len: usize) -> Result<(), DraftError> {
        if len > 0 {
            self.writer.write_pages(first, &self.buffer[..len])?;
        }
        Ok(())
    }

    /// Waits for copies that writers have begun.
    fn await_the_rest(&mut self) -> Result<(), DraftError> {
        let mut begun = Instant::now();
        while self.late < self.missed {
            let before = self.late;
            self.look_at_stage()?;
            if self.late > before {
                begun = Instant::now();
            } else if begun.elapsed() > PATIENCE {
                return Err(CopyMissing.into());
            } else {
                thread::yield_now();
            }
        }
        Ok(())
    }

    /// Takes what writers have copied, and wakes those that found the stage full.
    fn look_at_stage(&mut self) -> Result<(), DraftError> {
        let mut staged = self.window.take_staged();
        let result = self.sort_in(&mut staged);
        staged.into_iter().for_each(|staged| self.give(staged));
        self.window.stage().wake();
        result
    }

    /// Puts copies where they wait for their chunk's turn; those whose turn has been are written.
    fn sort_in(&mut self, staged: &mut Vec<Staged>) -> Result<(), DraftError> {
        while let Some(staged) = staged.pop() {
            let chunk = first_page(staged.unit).chunk();
            let place = match staged.unit {
                Unit::Table(_) => None,
                Unit::Tracked(_) | Unit::Chunk(_) => self.places.get(&chunk).copied(),
            };
            match place {
                Some(place) if !self.done[place] => self.waiting[place].push(staged),
                _ => {
                    let result = self.write_late(&staged, place);
                    self.give(staged);
                    result?;
                }
            }
        }
        Ok(())
    }

    /// Writes a copy by itself, if its pages were in use at the freeze.
    fn write_late(&mut self, staged: &Staged, place: Option<usize>) -> Result<(), WriteError> {
        let bytes = self.window.stage().bytes(staged);
        let plan = place.map(|place| &self.chunks[place]);
        let page = match (staged.unit, plan) {
            (Unit::Chunk(_), Some(plan)) => {
                self.late += 1;
                self.counts.by_barrier += write_chunk(&mut self.writer, plan, bytes)?.pages;
                return Ok(());
            }
            (Unit::Table(page), _) => self.tables.binary_search(&page).is_ok().then_some(page),
            (Unit::Tracked(page), Some(plan)) => {
                plan.runs.iter().any(|run| contains(*run, page)).then_some(page)
            }
            _ => None,
        };
        if let Some(page) = page {
            self.late += 1;
            self.counts.by_barrier += self.writer.write_pages(page, bytes)?.pages;
        }
        Ok(())
    }

    fn give(&self, staged: Staged) {
        self.window.stage().give(staged);
    }

    /// Gives all slots back, however the saving has ended.
    fn give_back(&mut self) {
        for staged in std::mem::take(&mut self.waiting).into_iter().flatten() {
            self.give(staged);
        }
    }
}

/// Writes the pages in use of a whole chunk's copy.
fn write_chunk<F: File>(
    writer: &mut SegmentWriter<F>,
    plan: &ChunkPlan,
    bytes: &[u8],
) -> Result<Written, WriteError> {
    let mut written = Written::default();
    for run in &plan.runs {
        let start = run.first.within_chunk() as usize * PAGE_SIZE;
        let bytes = &bytes[start..start + run.byte_len()];
        written = written.and(writer.write_pages(run.first, bytes)?);
    }
    Ok(written)
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
