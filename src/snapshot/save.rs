//! Writing the frozen pages into a segment, while writers go on.
//!
//! Every unit of the plan comes here once: copied from the arena if nobody was faster, else from
//! the stage. Copies are made before they are written and summed, so that checksum and page
//! cannot differ, and no writer waits for the disk unless the stage is full.

use crate::base::{ChunkIndex, PAGE_SIZE, PageIndex};
use crate::cow::{CellKind, Engine, Saves, Staged, Unit, Window};
use crate::image::{Chain, SegmentInfo, SegmentWriter, WriteError};
use crate::os::{Dir, File, Helper};
use crate::snapshot::check::{Unannounced, check_unsaved};
use crate::snapshot::heat::ChunkUse;
use crate::snapshot::plan::{ChunkPlan, CopyMissing, PATIENCE, Plan};
use crate::snapshot::sieve::Sieve;
use crate::snapshot::sink::{Batch, Sink, Sunk};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::thread;
use std::time::Instant;

/// Chunks that were written in so many of the last eight epochs are writable again once saved.
const HOT: u32 = 3;

/// With fewer chunks than these to look at a second thread is not worth its start.
const HELPED: usize = 8;

/// A snapshot whose pages are in its segment; not complete, not durable.
#[derive(Debug)]
pub struct Draft<F> {
    pub(super) writer: SegmentWriter<F>,
    pub(super) info: SegmentInfo,
    pub(super) uses: Vec<ChunkUse>,
    /// How the pages came here.
    pub counts: SaveCounts,
}

/// How the pages of a snapshot were saved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SaveCounts {
    /// Pages that the saving thread copied.
    pub by_thread: u64,
    /// Pages that writers copied to the stage.
    pub by_barrier: u64,
    /// Pages of these that are not as they were in the snapshot before.
    pub differing: u64,
    /// Pages that make up the heap.
    pub in_use: u64,
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
    /// In a checked heap, a change that nobody has announced.
    #[error(transparent)]
    Unannounced(#[from] Unannounced),
}

/// The work on one segment.
struct Saving<'w, 'e, F> {
    window: &'w Window<'e>,
    engine: &'w Engine,
    sink: Sink<'w, F>,
    /// A second thread, with a batch for what it takes.
    help: Option<(Helper, Batch<'w, F>)>,
    chunks: &'w [ChunkPlan],
    /// Where a chunk stands in `chunks`.
    places: HashMap<ChunkIndex, usize>,
    /// Copies of writers' that wait for their chunk's turn, by its place in `chunks`.
    waiting: Vec<Vec<Staged>>,
    /// Whether a chunk has had its turn.
    done: Vec<bool>,
    counts: SaveCounts,
    /// Units that writers had taken over when their turn came, and that have not come since.
    missed: HashSet<Unit>,
}

impl<F: File> Draft<F> {
    /// Creates the segment and writes the frozen pages: all of them, or, for a delta, those that
    /// are not as `parent` has them.
    ///
    /// # Errors
    /// [`DraftError`]; a file that was created is the caller's to remove.
    pub(super) fn write<D: Dir<File = F>>(
        dir: &D,
        info: SegmentInfo,
        engine: &Engine,
        window: &Window<'_>,
        parent: Option<&Chain<F>>,
    ) -> Result<Self, DraftError> {
        let mut early = Vec::new();
        let made = Plan::make(window, &mut early);
        let result = made.map_err(DraftError::from).and_then(|mut plan| {
            let saves = if info.parent.is_some() { Saves::Changed } else { Saves::All };
            let writer = SegmentWriter::create(dir, &info, &plan.runs)?;
            let sieve = Sieve::new(parent, info.identity.digest_seed());
            let mut sink = Sink::new(writer, sieve, saves);
            if saves == Saves::Changed {
                plan.state_dropped(window, &mut sink);
                if engine.is_checked() {
                    check_unsaved(&plan, window, &mut sink.batch.sieve)?;
                }
                plan.keep_changed(window);
            }
            sink.writer.expect(plan.chunks.iter().flat_map(|plan| &plan.runs))?;
            plan.sort_by_heat(|chunk| engine.heat(chunk));
            let mut saving = Saving::new(window, engine, sink, &plan);
            saving.counts.in_use = plan.pages;
            let saved = saving.save(&plan, &mut early);
            saving.give_back();
            saved?;
            let uses = ChunkUse::of(&plan.in_use, engine);
            let Saving { sink, counts, .. } = saving;
            Ok(Self { writer: sink.writer, info, uses, counts })
        });
        early.into_iter().for_each(|staged| window.stage().give(staged));
        result
    }

    /// Has the notes tell how many of the blocks that were read last begin in each chunk.
    pub fn set_reads(&mut self, reads: &BTreeMap<ChunkIndex, u32>) {
        for known in &mut self.uses {
            known.read = reads.get(&known.chunk).copied().unwrap_or(0);
        }
    }
}

impl<'w, 'e, F: File> Saving<'w, 'e, F> {
    fn new(window: &'w Window<'e>, engine: &'w Engine, sink: Sink<'w, F>, plan: &'w Plan) -> Self {
        let places = plan.chunks.iter().enumerate().map(|(place, plan)| (plan.chunk, place));
        let guarded = plan.chunks.iter().filter(|plan| plan.kind == CellKind::Guarded);
        let helper = Helper::start_if(guarded.take(HELPED).count() == HELPED);
        let help = helper.map(|helper| (helper, sink.batch.another()));
        Self {
            window,
            engine,
            sink,
            help,
            chunks: &plan.chunks,
            places: places.collect(),
            waiting: plan.chunks.iter().map(|_| Vec::new()).collect(),
            done: vec![false; plan.chunks.len()],
            counts: SaveCounts::default(),
            missed: HashSet::new(),
        }
    }

    fn save(&mut self, plan: &Plan, early: &mut Vec<Staged>) -> Result<(), DraftError> {
        self.save_tables(plan)?;
        self.sort_in(early)?;
        let mut next = 0;
        while let Some(place) = self.choose(&mut next) {
            self.done[place] = true;
            let plan = &self.chunks[place];
            match plan.kind {
                CellKind::Guarded => match self.companion(place, &mut next) {
                    Some(other) => self.save_both(plan, &self.chunks[other])?,
                    None => self.save_chunk(place, plan)?,
                },
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

    fn save_tables(&mut self, plan: &Plan) -> Result<(), DraftError> {
        for table in &plan.tables {
            match &table.bytes {
                Some(bytes) => {
                    self.sink.batch.room().copy_from_slice(&bytes[..]);
                    self.sink.batch.take(table.page);
                }
                None if self.window.save_table(table.page, self.sink.batch.room()) => {
                    self.sink.batch.take(table.page);
                }
                None => {
                    self.missed.insert(Unit::Table(table.page));
                }
            }
            if self.sink.batch.is_full() {
                self.flush_own()?;
            }
        }
        self.flush_own()?;
        Ok(())
    }

    fn save_chunk(&mut self, place: usize, plan: &ChunkPlan) -> Result<(), DraftError> {
        let chunk = plan.chunk;
        if let Some(staged) = self.waiting[place].pop() {
            self.take_staged_chunk(plan, &staged);
            self.give(staged);
            let sunk = self.flush_staged()?;
            self.judge(chunk, sunk);
            return Ok(());
        }
        if !copy_chunk(self.window, plan, &mut self.sink.batch) {
            self.missed.insert(Unit::Chunk(chunk));
            return Ok(());
        }
        let sunk = self.sink.flush()?;
        self.count_own(plan, sunk);
        Ok(())
    }

    /// The chunk that the second thread copies while the first one copies that at `place`: the next
    /// one, if no writer was faster with either.
    fn companion(&mut self, place: usize, next: &mut usize) -> Option<usize> {
        self.help.as_ref()?;
        let is_own = |place: &usize| {
            self.chunks[*place].kind == CellKind::Guarded && self.waiting[*place].is_empty()
        };
        let other = Some(place).filter(is_own).and_then(|_| self.choose(next)).filter(is_own)?;
        self.done[other] = true;
        Some(other)
    }

    /// Saves two chunks, copied by a thread each.
    fn save_both(&mut self, plan: &ChunkPlan, other: &ChunkPlan) -> Result<(), DraftError> {
        let Some((helper, batch)) = &mut self.help else { return Ok(()) };
        let (window, own) = (self.window, &mut self.sink.batch);
        let mut theirs = false;
        let copy_other = || theirs = copy_chunk(window, other, batch);
        let mine = helper.both(copy_other, || copy_chunk(window, plan, own));
        for (plan, copied) in [(plan, mine), (other, theirs)] {
            if !copied {
                self.missed.insert(Unit::Chunk(plan.chunk));
            }
        }
        // A batch is empty if its chunk was not copied.
        let mine = mine.then(|| self.sink.flush()).transpose()?;
        let theirs = theirs.then(|| self.sink.flush_from(batch)).transpose()?;
        for (plan, sunk) in [(plan, mine), (other, theirs)] {
            sunk.into_iter().for_each(|sunk| self.count_own(plan, sunk));
        }
        Ok(())
    }

    /// Counts a chunk that the saving thread has saved.
    fn count_own(&mut self, plan: &ChunkPlan, sunk: Sunk) {
        self.counts.by_thread += sunk.saved;
        self.counts.differing += sunk.differing;
        self.judge(plan.chunk, sunk);
        if self.engine.heat(plan.chunk) >= HOT {
            self.window.reopen(plan.chunk);
        }
    }

    fn take_staged_chunk(&mut self, plan: &ChunkPlan, staged: &Staged) {
        let bytes = self.window.stage().bytes(staged);
        for run in &plan.runs {
            let start = run.first.within_chunk() as usize * PAGE_SIZE;
            self.sink.batch.take_all(run.first, &bytes[start..start + run.byte_len()]);
        }
    }

    /// The epoch did not change a chunk of which no page differs, whatever its protection says.
    fn judge(&self, chunk: ChunkIndex, sunk: Sunk) {
        if sunk.differing == 0 {
            self.engine.cool(chunk);
        }
    }

    /// Page by page, as they are written to.
    fn save_tracked(&mut self, place: usize, plan: &ChunkPlan) -> Result<(), DraftError> {
        let mut waiting = std::mem::take(&mut self.waiting[place]);
        waiting.sort_unstable_by_key(|staged| std::cmp::Reverse(first_page(staged.unit)));
        for page in plan.pages() {
            let is_before = |staged: &Staged| first_page(staged.unit) < page;
            while let Some(unused) = waiting.pop_if(|staged| is_before(staged)) {
                self.give(unused);
            }
            if let Some(staged) = waiting.pop_if(|staged| first_page(staged.unit) == page) {
                self.sink.batch.room().copy_from_slice(self.window.stage().bytes(&staged));
                self.give(staged);
                self.sink.batch.take(page);
                self.counts.by_barrier += 1;
            } else if self.window.save_tracked(page, self.sink.batch.room()) {
                self.sink.batch.take(page);
                self.counts.by_thread += 1;
            } else {
                self.missed.insert(Unit::Tracked(page));
            }
        }
        // What is left was not in use at the freeze.
        waiting.into_iter().for_each(|staged| self.give(staged));
        // A chunk has no more pages than wait together.
        self.counts.differing += self.sink.flush()?.differing;
        Ok(())
    }

    fn flush_own(&mut self) -> Result<Sunk, WriteError> {
        let sunk = self.sink.flush()?;
        self.counts.by_thread += sunk.saved;
        self.counts.differing += sunk.differing;
        Ok(sunk)
    }

    fn flush_staged(&mut self) -> Result<Sunk, WriteError> {
        let sunk = self.sink.flush()?;
        self.counts.by_barrier += sunk.saved;
        self.counts.differing += sunk.differing;
        Ok(sunk)
    }

    /// Waits for copies that writers have begun.
    fn await_the_rest(&mut self) -> Result<(), DraftError> {
        let mut begun = Instant::now();
        while !self.missed.is_empty() {
            let before = self.missed.len();
            self.look_at_stage()?;
            if self.missed.len() < before {
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

    /// Writes a copy by itself, if its turn has been and it was missed then.
    fn write_late(&mut self, staged: &Staged, place: Option<usize>) -> Result<(), WriteError> {
        if !self.missed.remove(&staged.unit) {
            return Ok(());
        }
        match (staged.unit, place) {
            (Unit::Chunk(chunk), Some(place)) => {
                let plan = &self.chunks[place];
                self.take_staged_chunk(plan, staged);
                let sunk = self.flush_staged()?;
                self.judge(chunk, sunk);
            }
            (Unit::Table(page) | Unit::Tracked(page), _) => {
                self.sink.batch.take_all(page, self.window.stage().bytes(staged));
                self.flush_staged()?;
            }
            (Unit::Chunk(_), None) => {}
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

/// Copies a chunk's pages in use. `false`: a writer was faster, and the batch is empty. Allocates
/// nothing.
fn copy_chunk<F: File>(window: &Window<'_>, plan: &ChunkPlan, batch: &mut Batch<'_, F>) -> bool {
    let Some(frozen) = window.frozen_chunk(plan.chunk) else { return false };
    for page in plan.pages() {
        frozen.copy(page, batch.room());
        batch.take(page);
    }
    let is_confirmed = frozen.confirm();
    if !is_confirmed {
        batch.discard();
    }
    is_confirmed
}

fn first_page(unit: Unit) -> PageIndex {
    match unit {
        Unit::Table(page) | Unit::Tracked(page) => page,
        Unit::Chunk(chunk) => chunk.first_page(),
    }
}
