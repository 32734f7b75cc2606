//! Loading a snapshot: its pages are read into fresh memory outside the arena, by two threads, and
//! verified as they are; then that memory is moved into the arena in one step.
#![allow(unsafe_code, reason = "fills memory that it has mapped, and moves it")]

use crate::base::{CHUNK_SIZE, PAGE_SIZE, PAGES_PER_CHUNK, PageIndex, PageRun};
use crate::image::{Chain, SegmentError};
use crate::os::map::{self, Reservation};
use crate::os::{File, in_two};
use crate::snapshot::PlaceError;
use std::io;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Pages that one thread loads before it takes the next piece.
const PIECE_PAGES: u32 = 16 * PAGES_PER_CHUNK;

/// Pages that are read with one call: small enough to be in the cache still when they are verified.
const READ_PAGES: usize = 64;

/// A snapshot's pages in memory, not in place yet.
#[derive(Debug)]
pub(super) struct Loaded {
    memory: Reservation,
    /// Where each run begins in the memory, and its length there: whole chunks.
    places: Vec<(usize, usize)>,
}

/// A part of a run, and where it goes.
struct Piece {
    run: PageRun,
    target: usize,
}

/// Loads what a snapshot has in these runs, which are its own.
pub(super) fn load<F: File>(
    chain: &Chain<F>,
    runs: &[PageRun],
    watch: &(dyn Fn(u64) + Sync),
) -> Result<Loaded, PlaceError> {
    let mut places = Vec::with_capacity(runs.len());
    let mut total = 0;
    for run in runs {
        let len = run.byte_len().next_multiple_of(CHUNK_SIZE);
        places.push((total, len));
        total += len;
    }
    let memory =
        Reservation::anywhere(total.max(CHUNK_SIZE), CHUNK_SIZE).map_err(PlaceError::Memory)?;
    // SAFETY: the reservation just made.
    unsafe { map::commit(memory.start(), memory.len()) }.map_err(PlaceError::Memory)?;
    map::advise_huge(memory.start(), memory.len(), true);
    let pieces: Vec<Piece> = runs
        .iter()
        .zip(&places)
        .flat_map(|(run, (at, _))| cut(*run, memory.start() + at))
        .collect();
    fill(chain, &pieces, watch)?;
    Ok(Loaded { memory, places })
}

impl Loaded {
    /// Moves a run's memory to `start`.
    ///
    /// # Errors
    /// What the system says.
    ///
    /// # Safety
    /// The caller owns what lies there, and has no use for it.
    pub(super) unsafe fn move_to(&self, number: usize, start: usize) -> io::Result<()> {
        let (at, len) = self.places[number];
        let source = self.memory.start() + at;
        // SAFETY: says the caller; and the source is this value's own.
        if unsafe { map::move_over(source, len, start) }.is_ok() {
            return Ok(());
        }
        // A kernel that cannot move it (before 5.7) has left both as they were.
        if !map::is_mapped(start, len) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let source: *const u8 = ptr::with_exposed_provenance(source);
        let target: *mut u8 = ptr::with_exposed_provenance_mut(start);
        // SAFETY: both are mapped and writable, and different reservations.
        unsafe { ptr::copy_nonoverlapping(source, target, len) };
        Ok(())
    }
}

fn cut(run: PageRun, target: usize) -> impl Iterator<Item = Piece> {
    (0..run.count).step_by(PIECE_PAGES as usize).map(move |start| {
        let count = (run.count - start).min(PIECE_PAGES);
        let run = PageRun { first: PageIndex(run.first.0 + start), count };
        Piece { run, target: target + start as usize * PAGE_SIZE }
    })
}

/// Has two threads fill the pieces, if there are several.
fn fill<F: File>(
    chain: &Chain<F>,
    pieces: &[Piece],
    watch: &(dyn Fn(u64) + Sync),
) -> Result<(), SegmentError> {
    let (next, go_on) = (AtomicUsize::new(0), AtomicBool::new(true));
    let work = || {
        // Relaxed: the counter only deals out pieces, which were there before the threads.
        while go_on.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = pieces.get(number) else { break };
            let filled = fill_piece(chain, piece);
            go_on.fetch_and(filled.is_ok(), Ordering::Relaxed);
            watch(filled?);
        }
        Ok(())
    };
    if pieces.len() < 2 {
        return work();
    }
    let (mine, theirs) = in_two("stillheap-load", &work);
    mine.and(theirs.unwrap_or(Ok(())))
}

/// Fills a piece's memory; gives how many pages it got.
fn fill_piece<F: File>(chain: &Chain<F>, piece: &Piece) -> Result<u64, SegmentError> {
    let mut pages = chain.pages();
    let mut rest = chain.in_force_within(piece.run).peekable();
    let (mut run, mut count) = (Vec::with_capacity(READ_PAGES), 0);
    while let Some(first) = rest.next() {
        run.clear();
        run.push(first);
        let mut last = first;
        while run.len() < READ_PAGES
            && let Some(next) = rest.next_if(|next| pages.follows(&last, next))
        {
            run.push(next);
            last = next;
        }
        let offset = (first.page.0 - piece.run.first.0) as usize * PAGE_SIZE;
        let target: *mut u8 = ptr::with_exposed_provenance_mut(piece.target + offset);
        // SAFETY: pages of the piece's memory, which is zero at first, and which this thread alone
        // has a hold of.
        let target = unsafe { slice::from_raw_parts_mut(target, run.len() * PAGE_SIZE) };
        pages.read_into(&run, target)?;
        count += run.len() as u64;
    }
    Ok(count)
}
