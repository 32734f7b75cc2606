//! One slab: making it, handing its blocks out word by word, merging what other threads freed,
//! giving it up.
//!
//! Three maps tell of its blocks, one bit each:
//! * *taken*, outside the arena: in use, as its owner knows.
//! * *remote*, outside the arena: freed by another thread, and not merged into the taken map yet.
//! * *live*, in the arena's tables: in use, as the next run believes.
//!
//! **Invariant:** live has every bit that taken has. A block may be live that is free: of the word
//! that the owner takes blocks from, which it has *claimed*, all are live. Before each snapshot
//! [`settle`] brings the others together, and what falls between the next run sweeps. So neither
//! taking blocks of a claimed word nor freeing writes to a table, and neither needs the gate.

use crate::arena::{Arena, BLOCK_MIN, PageEntry, PageTag, Purpose, SlabNote, Slot, Space};
use crate::base::sync::AtomicU64;
use crate::base::sync::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::base::sync::hint;
use crate::base::{PAGE_SIZE, PageIndex};
use crate::heap::classes::{Class, TABLE};
use crate::heap::lists::ListName;
use crate::heap::tag::Tag;
use crate::os;

const WORDS_PER_PAGE: usize = PAGE_SIZE / BLOCK_MIN / 64;

/// What a kind of slabs holds: `class << 1 | scoped`, as in a tag.
#[inline]
pub(super) fn kind_number(class: usize, scoped: bool) -> usize {
    class << 1 | usize::from(scoped)
}

#[inline]
pub(super) fn class_of_kind(kind: usize) -> &'static Class {
    &TABLE[kind >> 1]
}

pub(super) fn purpose_of_kind(kind: usize) -> Purpose {
    if kind & 1 == 1 { Purpose::Scoped } else { Purpose::Ambient }
}

/// A slab's maps outside the arena.
#[derive(Clone, Copy)]
pub(super) struct Maps<'a> {
    pub(super) taken: &'a [AtomicU64],
    pub(super) remote: &'a [AtomicU64],
    pub(super) class: &'static Class,
}

impl<'a> Maps<'a> {
    /// Of a slab of that kind.
    pub(super) fn of(arena: &'a Arena, page: PageIndex, kind: usize) -> Self {
        let class = class_of_kind(kind);
        let words = word_count(class);
        Self { taken: arena.taken(page, words), remote: arena.remote(page, words), class }
    }

    /// Takes what other threads freed into a word of the taken map. The caller owns the slab.
    fn merge_word(&self, word: usize) -> u64 {
        let taken = self.taken[word].load(Relaxed);
        if self.remote[word].load(Relaxed) == 0 {
            return taken;
        }
        let freed = self.remote[word].swap(0, Acquire);
        if freed & !taken != 0 {
            os::fatal(&["stillheap: a block was freed twice, by two threads\n"]);
        }
        self.taken[word].store(taken & !freed, Relaxed);
        taken & !freed
    }

    /// Merges all words. Gives whether blocks are in use, and whether some are free.
    pub(super) fn merge(&self) -> (bool, bool) {
        let (mut used, mut free) = (false, false);
        for word in 0..self.taken.len() {
            let taken = self.merge_word(word);
            used |= taken != 0;
            free |= taken != valid(self.class, word);
        }
        (used, free)
    }

    /// Whether no block is in use, as far as its owner knows.
    pub(super) fn is_unused(&self) -> bool {
        self.taken.iter().all(|word| word.load(Relaxed) == 0)
    }

    /// Whether a block is in use.
    pub(super) fn is_taken(&self, block: u32) -> bool {
        let (word, bit) = ((block / 64) as usize, 1 << (block % 64));
        self.taken[word].load(Relaxed) & !self.remote[word].load(Relaxed) & bit != 0
    }

    /// Marks a block as freed by a thread that does not own the slab. `false`: it is free already.
    pub(super) fn free_remotely(&self, block: u32) -> bool {
        let (word, bit) = ((block / 64) as usize, 1 << (block % 64));
        // What the owner takes of this word meanwhile are other blocks.
        let taken = self.taken[word].load(Relaxed) & bit != 0;
        taken && self.remote[word].fetch_or(bit, AcqRel) & bit == 0
    }

    /// Blocks in use, without those that were freed by others and not merged yet.
    pub(super) fn count(&self) -> u32 {
        let words = self.taken.iter().zip(self.remote);
        words.map(|(taken, remote)| ones(taken.load(Relaxed) & !remote.load(Relaxed))).sum()
    }
}

/// Makes an empty slab, owned by `owner` and in no list. `None`: out of capacity.
pub(super) fn make(arena: &Arena, space: &mut Space, kind: usize, owner: u32) -> Option<PageIndex> {
    let class = class_of_kind(kind);
    let class_number = u8::try_from(kind >> 1).ok()?;
    let page =
        space.take_pages(arena, purpose_of_kind(kind), class.pages, 1, |back| PageEntry {
            tag: PageTag::Slab,
            class: class_number,
            back: u16::try_from(back).unwrap_or(u16::MAX),
        })?;
    let slot = arena.slot(page.chunk())?;
    arena.announce_live(page.chunk(), first_word(page), word_count(class));
    let live = live_words(slot, page, class);
    live.iter().for_each(|word| word.store(0, Relaxed));
    if let Some(last) = live.last() {
        last.store(padding(class), Relaxed);
    }
    Maps::of(arena, page, kind).taken.iter().for_each(|word| word.store(0, Relaxed));
    let note = arena.note(page);
    note.list.store(ListName::Active as u32, Relaxed);
    note.spare.store(0, Relaxed);
    note.claimed.store(0, Relaxed);
    Tag::new(kind, owner).write(arena, page);
    Some(page)
}

/// Gives up an empty slab that stands in no list.
pub(super) fn release(arena: &Arena, space: &mut Space, page: PageIndex) {
    let tag = Tag::of(arena, page);
    let note = arena.note(page);
    note.list.store(ListName::None as u32, Relaxed);
    note.spare.store(0, Relaxed);
    tag.clear(arena, page);
    space.give_pages(arena, page, class_of_kind(tag.kind()).pages);
}

/// Claims the first word that has a free block, in place of the one that is claimed. Gives its
/// number. The caller owns the slab, and is behind the gate.
pub(super) fn claim(arena: &Arena, page: PageIndex, kind: usize) -> Option<usize> {
    let maps = Maps::of(arena, page, kind);
    let note = arena.note(page);
    let _busy = Busy::get(note);
    note.claimed.store(0, Relaxed);
    for word in 0..maps.taken.len() {
        if maps.merge_word(word) == valid(maps.class, word) {
            continue;
        }
        let live = &arena.slot(page.chunk())?.live[first_word(page) + word];
        if live.load(Relaxed) != u64::MAX {
            arena.announce_live(page.chunk(), first_word(page) + word, 1);
            live.store(u64::MAX, Relaxed);
        }
        note.claimed.store(u32::try_from(word).unwrap_or(0) + 1, Relaxed);
        return Some(word);
    }
    None
}

/// Brings a slab's live map up to its taken map. The caller holds the heap's lock, and no freeze
/// can come meanwhile.
pub(super) fn settle(arena: &Arena, page: PageIndex, kind: usize) {
    let maps = Maps::of(arena, page, kind);
    let Some(slot) = arena.slot(page.chunk()) else { return };
    let live = live_words(slot, page, maps.class);
    let note = arena.note(page);
    let _busy = Busy::get(note);
    let claimed = note.claimed.load(Relaxed).checked_sub(1);
    for (word, (live, taken)) in live.iter().zip(maps.taken).enumerate() {
        if claimed.is_some_and(|claimed| claimed as usize == word) {
            continue;
        }
        // Who frees meanwhile leaves more live than in use.
        let settled = taken.load(Relaxed) | !valid(maps.class, word);
        if live.load(Relaxed) != settled {
            arena.announce_live(page.chunk(), first_word(page) + word, 1);
            live.store(settled, Relaxed);
        }
    }
}

/// Builds the maps outside the arena of a slab that an image has, whose tables have been checked.
pub(super) fn enter(arena: &Arena, page: PageIndex, kind: usize) {
    let maps = Maps::of(arena, page, kind);
    let Some(slot) = arena.slot(page.chunk()) else { return };
    let live = live_words(slot, page, maps.class);
    let remote = remote_words(slot, page, maps.class);
    for (word, (live, remote)) in live.iter().zip(remote).enumerate() {
        let taken = live.load(Relaxed) & !remote.load(Relaxed) & valid(maps.class, word);
        maps.taken[word].store(taken, Relaxed);
        maps.remote[word].store(0, Relaxed);
    }
    arena.note(page).spare.store(0, Relaxed);
    arena.note(page).claimed.store(0, Relaxed);
    Tag::new(kind, 0).write(arena, page);
}

/// Clears the remote map in the tables of such a slab. Earlier versions had it there; and who
/// comes later would take blocks of it for free that have been handed out again.
pub(super) fn forget_remote(arena: &Arena, page: PageIndex) {
    let Some(slot) = arena.slot(page.chunk()) else { return };
    let class = class_of_kind(Tag::of(arena, page).kind());
    let words = live_words(slot, page, class).iter().zip(remote_words(slot, page, class));
    for (word, (live, remote)) in words.enumerate() {
        let freed = remote.load(Relaxed);
        if freed != 0 {
            arena.announce_live(page.chunk(), first_word(page) + word, 1);
            live.store(live.load(Relaxed) & !freed, Relaxed);
            arena.announce_remote(page.chunk(), first_word(page) + word, 1);
            remote.store(0, Relaxed);
        }
    }
}

/// Ends the claim of a slab's word.
pub(super) fn unclaim(arena: &Arena, page: PageIndex) {
    let note = arena.note(page);
    let _busy = Busy::get(note);
    note.claimed.store(0, Relaxed);
}

/// The right to change a slab's live map, and which word is claimed.
struct Busy<'a>(&'a SlabNote);

impl<'a> Busy<'a> {
    /// Waits for whoever has it: for some hundred instructions at most.
    fn get(note: &'a SlabNote) -> Self {
        while note.busy.swap(1, Acquire) != 0 {
            hint::spin_loop();
        }
        Self(note)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.store(0, Release);
    }
}

/// The bits of a slab's word that stand for blocks.
#[inline]
pub(super) fn valid(class: &Class, word: usize) -> u64 {
    let blocks = class.blocks as usize - word * 64;
    if blocks >= 64 { u64::MAX } else { (1 << blocks) - 1 }
}

pub(super) fn live_words<'a>(slot: &'a Slot, page: PageIndex, class: &Class) -> &'a [AtomicU64] {
    let first = first_word(page);
    &slot.live[first..first + word_count(class)]
}

pub(super) fn remote_words<'a>(slot: &'a Slot, page: PageIndex, class: &Class) -> &'a [AtomicU64] {
    let first = first_word(page);
    &slot.remote[first..first + word_count(class)]
}

/// The bits of the last word that stand for no block. In the live map they are set.
pub(super) fn padding(class: &Class) -> u64 {
    match class.blocks % 64 {
        0 => 0,
        rest => u64::MAX << rest,
    }
}

/// Counts the bits that are set. In most words all are, and counting takes a dozen instructions
/// where the target has none for it.
pub(super) fn ones(word: u64) -> u32 {
    if word == u64::MAX { 64 } else { word.count_ones() }
}

/// The index of the first word of a slab's maps in its slot.
pub(super) fn first_word(page: PageIndex) -> usize {
    page.within_chunk() as usize * WORDS_PER_PAGE
}

#[inline]
pub(super) fn word_count(class: &Class) -> usize {
    class.blocks.div_ceil(64) as usize
}
