//! Putting a snapshot's pages where they belong: its full segment mapped run by run, and what the
//! deltas say laid over that; or all of it loaded into fresh memory, and moved into place.
//!
//! What is to be done is worked out before the arena is touched; doing it allocates nothing.
#![allow(unsafe_code, reason = "maps files over parts of the arena, and writes to it")]

use crate::arena::Arena;
use crate::base::{CELL_SIZE, CellIndex, PAGE_SIZE, PAGES_PER_CELL, PageIndex, PageRun, RunSet};
use crate::image::{Chain, InForce, Layout, SegmentError};
use crate::os::{DiskFile, File, Helper, map};
use crate::snapshot::load::{Loaded, load};
use crate::snapshot::sources::Sources;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::ptr;
use std::sync::{Mutex, PoisonError};

/// Runs of a delta's pages from this length on are mapped; shorter ones are copied.
const MAP_PAGES: usize = 16;
/// Mappings that deltas may take at most: a process has 65,530 unless its system says otherwise.
const MAPPINGS: usize = 8192;
/// Runs from this length on that deltas made zero get fresh memory; shorter ones are cleared.
const RENEW_PAGES: u32 = 64;
/// From so many copied pages on a second thread copies half of them.
const HELPED: usize = 64;

/// How a snapshot's pages come back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Mapped, if they are not compressed: read when they are used.
    Map,
    /// Read at once, and verified as they are.
    Load,
}

/// A snapshot that is ready to be put in place.
#[derive(Debug)]
pub struct Prepared<F> {
    chain: Chain<F>,
    placements: Vec<Placement>,
    /// Pages that were compressed.
    decoded: Vec<u8>,
    loaded: Option<Loaded>,
    /// Copies half of the pages that are copied.
    helper: Option<Mutex<Helper>>,
}

/// Where a run of an image goes: whole cells, and how their memory comes to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placement {
    /// The first cell.
    pub first: CellIndex,
    /// How many cells the run reaches into.
    pub cells: u32,
    run: PageRun,
    steps: Vec<Step>,
    /// To be done after all steps, in any order: each has a page of its own.
    copies: Vec<Copied>,
}

/// A thing to be done to a cell's memory, which is fresh at first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// Map pages from a segment's file.
    Map { run: PageRun, segment: usize, offset: u64 },
    /// Give pages fresh memory again.
    Renew(PageRun),
    /// Clear a page.
    Clear(PageIndex),
}

/// A page that is copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Copied {
    /// From a segment's file.
    Saved(InForce),
    /// From what has been decoded.
    Decoded(PageIndex, usize),
}

/// Why a snapshot cannot be put in place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A run does not start at a cell, or shares a cell with the run before it.
    #[error(
        "{}: the run of {} pages from page {} on does not start at a cell of its own",
        path.display(), run.count, run.first.0
    )]
    Misplaced {
        /// The segment's file.
        path: PathBuf,
        /// The run.
        run: PageRun,
    },
    /// A page is damaged.
    #[error(transparent)]
    Damage(#[from] SegmentError),
    /// The system gives no memory.
    #[error("the snapshot cannot be loaded: {0}")]
    Memory(#[source] io::Error),
}

impl<F: File> Prepared<F> {
    /// Works out how to put a sound snapshot in place. `watch` is told of pages as they are
    /// loaded.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub fn new(
        chain: Chain<F>,
        way: Way,
        watch: &(dyn Fn(u64) + Sync),
    ) -> Result<Self, PlaceError> {
        let mut placements = place_runs(&chain)?;
        let is_placed =
            chain.segments().first().is_some_and(|full| full.header().layout() == Layout::Placed);
        let (mut decoded, mut loaded) = (Vec::new(), None);
        if way == Way::Map && is_placed {
            for placement in &mut placements {
                placement.map_full(&chain);
            }
            lay_over(&chain, &mut placements, &mut decoded)?;
        } else {
            let runs: Vec<PageRun> = placements.iter().map(|placement| placement.run).collect();
            loaded = Some(load(&chain, &runs, watch)?);
        }
        let copies = placements.iter().map(|placement| placement.copies.len()).sum::<usize>();
        let helper = Helper::start_if(copies >= HELPED).map(Mutex::new);
        Ok(Self { chain, placements, decoded, loaded, helper })
    }

    /// Where the runs go.
    #[must_use]
    pub fn placements(&self) -> &[Placement] {
        &self.placements
    }

    /// Whether the snapshot's pages lie in memory of their own, and not in files.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.loaded.is_some()
    }
}

impl Prepared<DiskFile> {
    /// Makes the memory of the placement with that number. Allocates nothing.
    ///
    /// # Errors
    /// What the system says.
    ///
    /// # Safety
    /// The cells are not live, and no other thread can claim them meanwhile. The files are
    /// immutable segments, and stay as they are.
    ///
    /// # Panics
    /// If there is no such placement.
    pub unsafe fn place(&self, number: usize, arena: &Arena) -> io::Result<()> {
        let placement = &self.placements[number];
        let start = arena.base() + placement.first.offset();
        let len = placement.cells as usize * CELL_SIZE;
        // SAFETY: the cells are nobody's, says the caller.
        unsafe { map::commit(start, len)? };
        map::advise_huge(start, len, true);
        if let Some(loaded) = &self.loaded {
            // SAFETY: as above.
            return unsafe { loaded.move_to(number, start) };
        }
        for &step in &placement.steps {
            // SAFETY: as above; a placement's steps stay within its cells.
            unsafe { self.take_step(step, arena.base())? };
        }
        let copy = |pages: &[Copied]| {
            for &page in pages {
                // SAFETY: as above.
                unsafe { self.copy(page, arena.base()) };
            }
        };
        match &self.helper {
            Some(helper) if placement.copies.len() >= HELPED => {
                let (theirs, mine) = placement.copies.split_at(placement.copies.len() / 2);
                let mut helper = helper.lock().unwrap_or_else(PoisonError::into_inner);
                helper.both(|| copy(theirs), || copy(mine));
            }
            _ => copy(&placement.copies),
        }
        Ok(())
    }

    /// # Safety
    /// As for [`Prepared::place`].
    unsafe fn take_step(&self, step: Step, base: usize) -> io::Result<()> {
        match step {
            Step::Map { run, segment, offset } => {
                let (start, len) = (base + run.first.offset(), run.byte_len());
                let file = self.chain.segments()[segment].file().as_fd();
                // SAFETY: the cells are nobody's, says the caller, and the file stays as it is.
                unsafe { map::map_file(start, len, file, offset) }
            }
            Step::Renew(run) => {
                let (start, len) = (base + run.first.offset(), run.byte_len());
                // SAFETY: as above.
                unsafe { map::renew(start, len) }
            }
            Step::Clear(page) => {
                // SAFETY: as above.
                unsafe { fill(page, base, &[0; PAGE_SIZE]) };
                Ok(())
            }
        }
    }

    /// # Safety
    /// As for [`Prepared::place`]; the page's memory is there.
    unsafe fn copy(&self, page: Copied, base: usize) {
        let (page, source): (PageIndex, &[u8]) = match page {
            Copied::Saved(found) => {
                let reader = &self.chain.segments()[found.segment];
                (found.page, reader.mapped_page(found.place).map_or(&[], |bytes| &bytes[..]))
            }
            Copied::Decoded(page, at) => (page, &self.decoded[at..at + PAGE_SIZE]),
        };
        // SAFETY: says the caller.
        unsafe { fill(page, base, source) };
    }
}

/// # Safety
/// The page lies in cells that have memory and that nobody else has a hold of. `source` has at most
/// a page's length, and lies elsewhere.
unsafe fn fill(page: PageIndex, base: usize, source: &[u8]) {
    let target: *mut u8 = ptr::with_exposed_provenance_mut(base + page.offset());
    // SAFETY: says the caller.
    unsafe { ptr::copy_nonoverlapping(source.as_ptr(), target, source.len()) };
}

/// Where the runs of a snapshot go; no steps yet.
fn place_runs<F: File>(chain: &Chain<F>) -> Result<Vec<Placement>, PlaceError> {
    let mut next_free = 0;
    let mut placements = Vec::new();
    for &run in chain.runs() {
        let first = CellIndex(run.first.0 / PAGES_PER_CELL);
        let cells = run.count.div_ceil(PAGES_PER_CELL);
        if first.first_page() != run.first || first.0 < next_free {
            let last = chain.segments().last();
            let path = last.map(|last| last.path().to_owned()).unwrap_or_default();
            return Err(PlaceError::Misplaced { path, run });
        }
        next_free = first.0 + cells;
        placements.push(Placement { first, cells, run, steps: Vec::new(), copies: Vec::new() });
    }
    Ok(placements)
}

impl Placement {
    /// Maps what the full segment has of the run, and clears what deltas made zero.
    fn map_full<F: File>(&mut self, chain: &Chain<F>) {
        let full = &chain.segments()[0];
        for extent in full.extents() {
            for run in RunSet::of([extent.run]).within(self.run).iter() {
                let skipped = u64::from(run.first.0 - extent.run.first.0) * PAGE_SIZE as u64;
                let offset = extent.offset + skipped;
                self.steps.push(Step::Map { run, segment: 0, offset });
                for hidden in RunSet::of([run]).without(chain.shown(0)).iter() {
                    self.clear(hidden, full.index().places_within(&hidden.pages()), |place| {
                        full.index().get(place).map(|entry| entry.page)
                    });
                }
            }
        }
    }

    fn clear(
        &mut self,
        hidden: PageRun,
        places: Range<usize>,
        page: impl Fn(usize) -> Option<PageIndex>,
    ) {
        if hidden.count >= RENEW_PAGES {
            self.steps.push(Step::Renew(hidden));
        } else {
            self.steps.extend(places.filter_map(page).map(Step::Clear));
        }
    }
}

/// Adds what the deltas have: long runs are mapped, short ones copied, compressed ones decoded.
fn lay_over<F: File>(
    chain: &Chain<F>,
    placements: &mut [Placement],
    decoded: &mut Vec<u8>,
) -> Result<(), PlaceError> {
    let offset = |page: &InForce| chain.segments()[page.segment].offset_of(page.place);
    let mut pages = chain.pages();
    let mut sources = Sources::new(chain);
    let mut mappings = 0;
    let mut number = 0;
    let mut rest = chain.in_force(1, chain.segments().len().max(1)).peekable();
    let mut run: Vec<InForce> = Vec::new();
    while let Some(first) = rest.next() {
        run.clear();
        run.push(first);
        let mut at = offset(&first);
        while let Some(next) = rest.peek() {
            at = at.map(|at| at + PAGE_SIZE as u64);
            let count = u32::try_from(run.len()).unwrap_or(u32::MAX);
            let follows = first.page.0.checked_add(count) == Some(next.page.0);
            // Runs of the image may touch, where each goes to cells of its own.
            let begins_run = chain.runs().binary_search_by_key(&next.page, |run| run.first).is_ok();
            let is_one = follows && !begins_run && next.segment == first.segment;
            if !is_one || at.is_none() || offset(next) != at {
                break;
            }
            run.extend(rest.next());
        }
        let is_behind =
            |placement: &Placement| placement.run.pages().end <= u64::from(first.page.0);
        while placements.get(number).is_some_and(is_behind) {
            number += 1;
        }
        let Some(placement) = placements.get_mut(number) else { break };
        match offset(&first) {
            Some(offset) if run.len() >= MAP_PAGES && mappings < MAPPINGS => {
                mappings += 1;
                let count = u32::try_from(run.len()).unwrap_or(u32::MAX);
                let run = PageRun { first: first.page, count };
                placement.steps.push(Step::Map { run, segment: first.segment, offset });
            }
            Some(offset) => {
                sources.add(first.segment, offset, run.len())?;
                placement.copies.extend(run.iter().copied().map(Copied::Saved));
            }
            None => {
                for &page in &run {
                    placement.copies.push(Copied::Decoded(page.page, decoded.len()));
                    decoded.extend_from_slice(pages.read(page)?);
                }
            }
        }
    }
    Ok(sources.fetch()?)
}
