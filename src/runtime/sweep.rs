//! Freeing what dead runs left behind: blocks of the restored snapshot that none of its roots leads
//! to, as the temporary memory of a run that was killed.
//!
//! **Why this races with nobody:** what this run can reach it has found through a root, or has
//! allocated. No word of the snapshot leads from a root to such a block, so nobody can have found
//! it; and it is in use, so it was not allocated again. It stays garbage until it is freed here.
#![allow(unsafe_code, reason = "frees blocks that nobody refers to")]

use crate::image::{Chain, SegmentError};
use crate::os::{self, DiskFile};
use crate::runtime::passing::passing;
use crate::runtime::process::Process;
use crate::runtime::scope::transient;
use crate::runtime::thread;
use crate::trace::{Block, Blocks, ChainSource, Tally, Trace, Visit};
use std::time::{Duration, Instant};

/// Blocks that are freed in one allocator call: a freeze waits for it.
const BATCH: usize = 64;

/// What earlier runs had left behind in the restored snapshot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Swept {
    /// All blocks of the snapshot.
    pub found: Tally,
    /// Those of them that its roots lead to, or seem to.
    pub kept: Tally,
    /// The others. They have been freed.
    pub freed: Tally,
    /// How long it took to find them.
    pub traced: Duration,
    /// How long it took to free them.
    pub sweeping: Duration,
}

/// Why a sweep did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum SweepError {
    #[error("{0}")]
    Unread(#[from] SegmentError),
    #[error(
        "the program has freed the block at {0:#x} itself, to which no root leads by a plain \
         pointer: some type breaks the contract of `Durable`"
    )]
    Known(u64),
    #[error("there are too many threads")]
    NoLane,
}

/// Finds and frees what is left behind. `None`: `goes_on` has ended it.
pub(super) fn sweep(
    process: &'static Process,
    chain: &Chain<DiskFile>,
    goes_on: &(dyn Fn() -> bool + Sync),
) -> Result<Option<Swept>, SweepError> {
    let started = Instant::now();
    let search = || {
        // SAFETY: what is found is given to the upkeep thread, which keeps it to itself.
        unsafe { transient(|| find(process, chain, goes_on)) }
    };
    // The program has just started, and has better things to do.
    let Some((blocks, found)) = os::in_background("stillheap-trace", &search)? else {
        return Ok(None);
    };
    let mut swept = Swept { found, traced: started.elapsed(), ..Swept::default() };
    swept.kept = found;
    let started = Instant::now();
    let mut left = blocks.unreached().peekable();
    let mut batch = Vec::with_capacity(BATCH);
    while left.peek().is_some() {
        if !goes_on() {
            return Ok(None);
        }
        batch.clear();
        batch.extend(left.by_ref().take(BATCH));
        free(process, &batch)?;
        for block in &batch {
            swept.freed.add(block);
            swept.kept.subtract(block);
        }
    }
    swept.sweeping = started.elapsed();
    Ok(Some(swept))
}

/// The snapshot's blocks, those reached that the roots lead to; and how many there are in all.
fn find(
    process: &'static Process,
    chain: &Chain<DiskFile>,
    goes_on: &(dyn Fn() -> bool + Sync),
) -> Result<Option<(Blocks, Tally)>, SegmentError> {
    let runs = chain.runs().iter().copied();
    let mut trace = Trace::read(ChainSource::new(chain)?, process.arena_addresses(), runs)?;
    let ended = trace.run(&mut Watched(goes_on))?.is_err();
    let all = trace.all();
    Ok((!ended).then(|| (trace.into_blocks(), all)))
}

struct Watched<'a>(&'a (dyn Fn() -> bool + Sync));

impl Visit for Watched<'_> {
    fn goes_on(&mut self) -> bool {
        (self.0)()
    }
}

/// Frees blocks in one allocator call, and gives back what that has emptied.
fn free(process: &'static Process, batch: &[Block]) -> Result<(), SweepError> {
    let base = process.heap.arena().base();
    thread::with(|state| {
        let lane = state.lane(process).ok_or(SweepError::NoLane)?;
        passing(process, lane, false, || {
            for block in batch {
                let address = base + usize::try_from(block.start).unwrap_or(0);
                if let Some(defence) = &process.defence {
                    defence.erase(process, address, usize::try_from(block.len).unwrap_or(0));
                }
                // SAFETY: nobody refers to the block: see the file's header.
                unsafe { process.heap.free(lane, address) }
                    .map_err(|_| SweepError::Known(address as u64))?;
            }
            process.heap.drain();
            Ok(())
        })
    })
}
