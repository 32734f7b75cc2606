//! Free chunks that keep their memory for what comes next: giving it back, and clearing it when it
//! is asked for again, takes far longer than all else.
//!
//! Of those that are kept as many go back each second as were not wanted in that second.

use crate::arena::Arena;
use crate::base::ChunkIndex;
use std::time::{Duration, Instant};

/// Chunks that are kept at most: 256 MiB.
const KEPT: u32 = 128;
/// How long a chunk is kept that nobody wants, at least.
const TIME: Duration = Duration::from_secs(1);

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct Stale {
    count: u32,
    /// The fewest since the last look.
    fewest: u32,
    looked: Option<Instant>,
}

impl Stale {
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Keeps the memory of a chunk that becomes free. `false`: it is to be given back.
    pub(super) fn keep(&mut self, arena: &Arena, chunk: ChunkIndex) -> bool {
        // What is a file's mapping shows the file's bytes when it is taken.
        if self.count >= KEPT || arena.cow().is_file_backed(chunk) {
            return false;
        }
        arena.side.stale().set(chunk.0);
        self.count += 1;
        true
    }

    /// The chunk is taken. Gives whether its memory was kept.
    pub(super) fn take(&mut self, arena: &Arena, chunk: ChunkIndex) -> bool {
        let stale = arena.side.stale();
        let kept = stale.get(chunk.0);
        if kept {
            stale.clear(chunk.0);
            self.count -= 1;
            self.fewest = self.fewest.min(self.count);
        }
        kept
    }

    /// Whether it is time to look for what is not wanted.
    pub(super) fn is_due(&self) -> bool {
        self.count > 0 && self.looked.is_none_or(|looked| looked.elapsed() >= TIME)
    }

    /// Takes out as many as nobody has wanted since the last look, those with the highest
    /// addresses.
    pub(super) fn unwanted<'a>(
        &mut self,
        arena: &'a Arena,
    ) -> impl Iterator<Item = ChunkIndex> + use<'a> {
        let mut rest = self.fewest.min(self.count);
        let mut wanted = self.count - rest;
        self.count = wanted;
        self.fewest = wanted;
        self.looked = Some(Instant::now());
        let mut from = 0;
        std::iter::from_fn(move || {
            while rest > 0 {
                let chunk = arena.side.stale().next_set(from)?;
                from = chunk + 1;
                if wanted > 0 {
                    wanted -= 1;
                    continue;
                }
                rest -= 1;
                arena.side.stale().clear(chunk);
                return Some(ChunkIndex(chunk));
            }
            None
        })
    }
}
