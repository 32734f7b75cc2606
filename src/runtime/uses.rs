//! Which blocks were read last, and how often a read finds its block among them.
//!
//! ```text
//! set      way 0                  way 1       ...  way 7        one cache line
//! 0     |  stamp 32 | page 32  |           |     |           |  a block stands as its first page
//! ...                                                           stamp 0: the way is empty
//! 511   |                      |           |     |           |  the lowest stamp gives way
//! ```
//! A page belongs to one set. A touch finds it there and gives it the set's highest stamp, or puts
//! it in the place of the one with the lowest. One use in some 64 is a touch.
//!
//! **Races.** Nothing here is locked, and every access is relaxed. That is enough: a way is one
//! word, written whole, so it always holds a page that was touched and a stamp that it was given;
//! no word says anything about another one, or about other memory, and nobody follows it anywhere.
//! So any eight words are a valid set, whoever wrote them and in whatever order they are seen. What
//! two threads in one set can do to each other is this: a touch is written over, and lost; a page
//! comes into two ways, and is counted once (`pages`); two pages get one stamp, and which of them
//! gives way first is open. Counters are added to, so they lose nothing. There is no order to be
//! explored here, and so no model of loom's.
//!
//! Its memory is transient, made by `open`: no snapshot has it, and its writes are not announced.

use crate::base::{ChunkIndex, PageIndex};
use crate::runtime::process;
use crate::runtime::thread::{self, ThreadState};
use crate::snapshot::ChunkUse;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

const SETS: usize = 512;
const WAYS: usize = 8;
/// Counters are in so many places, so that threads seldom share one.
const STRIPES: usize = 16;
/// A use that is looked at costs 16 ns (the same block as before) to 35 ns (another one, of many),
/// one that is not 0.6 ns. At one in 64 a call costs 1 ns on average; at one in 16 it would be 2 to
/// 2.5 ns, a part of which is a branch that cannot be foretold: too much for an X-tree, which looks
/// for the nearest point in 1,000 ns and reads eight blocks for it.
const SAMPLING: u32 = 64;

/// How often readers find their block among those that were read last, as far as programs say
/// what they read: [`Rows::note_use`](crate::Rows::note_use).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UseStats {
    /// Uses that were looked at since the heap was opened: one in [`UseStats::SAMPLING`].
    pub noted: u64,
    /// Those of them whose block was among the [`UseStats::PLACES`] used last.
    pub hits: u64,
    /// How many blocks are among these now.
    pub kept: u64,
}

impl UseStats {
    /// How many blocks are known at most: the last used, by and large, for each block has but eight
    /// places that it can take.
    pub const PLACES: u64 = (SETS * WAYS) as u64;
    /// Of so many uses one is looked at, on average.
    pub const SAMPLING: u64 = SAMPLING as u64;

    /// The share of uses that found their block among those used last, from 0 to 1; `None` if
    /// none has been looked at.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
    pub fn hit_rate(&self) -> Option<f64> {
        (self.noted > 0).then(|| self.hits as f64 / self.noted as f64)
    }
}

/// Notes that somebody reads the block at this address.
#[inline]
pub(crate) fn note(address: usize) {
    thread::with(|state| match state.uses_left.get() {
        0 => look(state, address),
        left => state.uses_left.set(left - 1),
    });
}

/// The use that is looked at, of some 64.
#[cold]
#[inline(never)]
fn look(state: &ThreadState, address: usize) {
    state.uses_left.set(SAMPLING - 1);
    let Some(process) = process::get() else { return };
    let Some(uses) = process.opened.uses() else { return };
    // By chance: of queries that read four blocks each a fixed step would always see the same one.
    let chance = state.chance.get();
    let next = match chance {
        0 => uses.seeds.fetch_add(0x9E37_79B9, Relaxed) | 1,
        chance => chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223).max(1),
    };
    state.chance.set(next);
    state.uses_left.set((next >> 16) % (2 * SAMPLING - 1));
    // Where a thread begins is open, too.
    if chance != 0
        && let Some(page) = process.heap.arena().page_of(address)
    {
        uses.touch(page, scatter(std::ptr::from_ref(state).addr()) % STRIPES);
    }
}

/// The blocks that were read last.
#[derive(Debug)]
pub(super) struct Uses {
    sets: [Set; SETS],
    counts: [Counts; STRIPES],
    /// Where the next thread's chance begins.
    seeds: AtomicU32,
    /// What the restored snapshot told of reads.
    before: Vec<ChunkUse>,
}

#[derive(Debug)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Counts {
    hits: AtomicU64,
    misses: AtomicU64,
}

impl Uses {
    /// None yet in this run; `before` is what the run before knew.
    pub(super) fn new(before: Vec<ChunkUse>) -> Self {
        Self {
            sets: [const { Set([const { AtomicU64::new(0) }; WAYS]) }; SETS],
            counts: Default::default(),
            seeds: AtomicU32::new(0),
            before,
        }
    }

    /// The block that begins with this page is read; counted in one of the stripes.
    fn touch(&self, page: PageIndex, stripe: usize) {
        let set = &self.sets[scatter(page.0 as usize) % SETS];
        let (mut place, mut lowest, mut highest) = (0, u64::MAX, 0);
        let mut found = None;
        for (way, word) in set.0.iter().enumerate() {
            let word = word.load(Relaxed);
            if word < lowest {
                (place, lowest) = (way, word);
            }
            if page_in(word) == Some(page) {
                found = Some((way, word));
            }
            highest = highest.max(word);
        }
        let counts = &self.counts[stripe];
        match found {
            None => counts.misses.fetch_add(1, Relaxed),
            Some(_) => counts.hits.fetch_add(1, Relaxed),
        };
        // The last one again: its line stays as it is, for the root of a tree is read by all.
        if found.is_some_and(|(_, word)| word == highest) {
            return;
        }
        let stamp = match highest >> 32 {
            stamp if stamp < u32::MAX.into() => stamp + 1,
            _ => set.number_anew(),
        };
        let place = found.map_or(place, |(way, _)| way);
        set.0[place].store(stamp << 32 | u64::from(page.0), Relaxed);
    }

    /// The first pages of the blocks that were used last, rising, each once.
    fn pages(&self) -> Vec<PageIndex> {
        let words = self.sets.iter().flat_map(|set| &set.0);
        let mut pages: Vec<_> = words.filter_map(|word| page_in(word.load(Relaxed))).collect();
        pages.sort_unstable();
        pages.dedup();
        pages
    }

    /// How many of the blocks that were used last begin in each chunk.
    ///
    /// As long as this run has looked at fewer uses than there are places, chunks count for as much
    /// as they did in the run before, at least: so two restarts on end forget nothing.
    pub(super) fn by_chunk(&self) -> BTreeMap<ChunkIndex, u32> {
        let mut chunks = BTreeMap::new();
        for page in self.pages() {
            *chunks.entry(page.chunk()).or_insert(0) += 1;
        }
        if self.stats().noted < UseStats::PLACES {
            for before in &self.before {
                let read = chunks.entry(before.chunk).or_insert(0);
                *read = before.read.max(*read);
            }
        }
        chunks
    }

    pub(super) fn stats(&self) -> UseStats {
        let sum = |of: fn(&Counts) -> &AtomicU64| {
            self.counts.iter().map(|counts| of(counts).load(Relaxed)).sum::<u64>()
        };
        let hits = sum(|counts| &counts.hits);
        let noted = hits + sum(|counts| &counts.misses);
        UseStats { noted, hits, kept: self.pages().len() as u64 }
    }
}

impl Set {
    /// Begins with low stamps again, in the same order. Gives the next one.
    #[cold]
    fn number_anew(&self) -> u64 {
        let words = self.0.each_ref().map(|word| word.load(Relaxed));
        for (way, word) in self.0.iter().zip(words) {
            let stamp = words.iter().filter(|&&other| other <= word).count() as u64;
            if page_in(word).is_some() {
                way.store(stamp << 32 | word & u64::from(u32::MAX), Relaxed);
            }
        }
        WAYS as u64 + 1
    }
}

/// The page that a way holds, if any.
fn page_in(word: u64) -> Option<PageIndex> {
    let page = u32::try_from(word & u64::from(u32::MAX)).ok()?;
    (word >> 32 > 0).then_some(PageIndex(page))
}

/// Scatters numbers of which many have the same low bits, as blocks of several pages do.
fn scatter(number: usize) -> usize {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48
}

#[cfg(test)]
#[path = "uses_tests.rs"]
mod tests;
