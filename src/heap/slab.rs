//! One slab: making it, handing its blocks out some words at a time, merging what other threads
//! freed, giving it up.
//!
//! Four maps tell of its blocks, one bit each. Outside the arena:
//! * *taken*: in use, as its owner knows. Bits that stand for no block are set.
//! * *remote*: freed by another thread, and not merged into the taken map yet.
//!
//! In the arena's tables:
//! * *live*: in use, as the next run believes.
//! * *at hand*: live, but free when the owner claimed its word, or when that was settled last. It
//!   may be in use by now.
//!
//! **Invariant:** what is taken and not remote is live. A block may be live that is free: of the
//! words that the owner takes blocks from, which it has *claimed*, all are live. Before each
//! snapshot [`settle`] brings the others together, and what falls between the next run sweeps. So
//! neither taking blocks of claimed words nor freeing writes to a table, and neither needs the
//! gate.
//!
//! **Invariant:** outside of claimed words nothing is at hand.

use crate::arena::{
    Arena, MapWords, PageEntry, PageTag, Purpose, SlabNote, Slot, Space, WORDS_PER_PAGE,
};
use crate::base::sync::AtomicU64;
use crate::base::sync::Ordering::Relaxed;
use crate::base::{self, Busy, PageIndex};
use crate::heap::classes::{Class, TABLE};
use crate::heap::lists::ListName;
use crate::heap::tag::Tag;
use crate::os;
use std::ops::Range;

/// Words are claimed until so many blocks of theirs are free.
const CLAIMED_MIN: u32 = 48;

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
    words: &'a [MapWords],
    pub(super) class: &'static Class,
}

impl<'a> Maps<'a> {
    /// Of a slab of that kind.
    pub(super) fn of(arena: &'a Arena, page: PageIndex, kind: usize) -> Self {
        let class = class_of_kind(kind);
        Self { words: arena.map_words(page, word_count(class)), class }
    }

    /// The same with these words, which are as many as the class needs.
    #[cfg(test)]
    pub(super) fn over(words: &'a [MapWords], kind: usize) -> Self {
        Self { words, class: class_of_kind(kind) }
    }

    /// A word of the taken map.
    pub(super) fn taken(&self, word: usize) -> &'a AtomicU64 {
        &self.words[word].taken
    }

    /// A pointer to a word of both maps, from which the slab's other words can be reached.
    pub(super) fn pointer(&self, word: usize) -> *const MapWords {
        self.words.as_ptr().wrapping_add(word)
    }

    /// A word of the remote map.
    pub(super) fn remote(&self, word: usize) -> &'a AtomicU64 {
        &self.words[word].remote
    }

    fn words(&self) -> Range<usize> {
        0..word_count(self.class)
    }

    /// Merges all words. Gives how many blocks are in use. The caller owns the slab.
    pub(super) fn merge(&self) -> u32 {
        let taken = self.words().map(|word| ones(merge(self.taken(word), self.remote(word))));
        taken.sum::<u32>() - padding_bits(self.class)
    }

    /// Merges the words from that one on up to those that have blocks to take: a few that have some
    /// dozen together. Gives these. The caller owns the slab.
    fn next_free(&self, from: usize) -> Option<Range<usize>> {
        let mut words = (from..self.words().end)
            .map(|word| (word, merge(self.taken(word), self.remote(word)).count_zeros()));
        let (first, mut free) = words.find(|&(_, free)| free > 0)?;
        let mut end = first + 1;
        while free < CLAIMED_MIN {
            let Some((word, more)) = words.next() else { break };
            if more > 0 {
                free += more;
                end = word + 1;
            }
        }
        Some(first..end)
    }

    /// The blocks of a word that are free. Those that others have freed are, before they have been
    /// merged.
    fn free(&self, word: usize) -> u64 {
        let freed = self.remote(word).load(Relaxed);
        !self.taken(word).load(Relaxed) | freed
    }

    /// Whether a block is in use.
    pub(super) fn is_taken(&self, block: usize) -> bool {
        let (word, bit) = (block / 64, 1 << (block % 64));
        self.taken(word).load(Relaxed) & !self.remote(word).load(Relaxed) & bit != 0
    }

    /// Frees a block in use. The caller owns the slab.
    pub(super) fn give(&self, block: usize) {
        let (word, bit) = (self.taken(block / 64), 1 << (block % 64));
        word.store(word.load(Relaxed) & !bit, Relaxed);
    }

    /// Marks a block as freed by a thread that does not own the slab. `false`: it is free already.
    pub(super) fn free_remotely(&self, block: usize) -> bool {
        let (word, bit) = (block / 64, 1 << (block % 64));
        base::free_remotely(self.taken(word), self.remote(word), bit)
    }

    /// Blocks in use, without those that were freed by others and not merged yet.
    pub(super) fn count(&self) -> u32 {
        let in_use = |word| self.taken(word).load(Relaxed) & !self.remote(word).load(Relaxed);
        self.words().map(|word| ones(in_use(word))).sum::<u32>() - padding_bits(self.class)
    }
}

/// Takes what other threads freed into a word of the taken map, and gives that. The caller owns the
/// slab.
#[inline]
pub(super) fn merge(taken: &AtomicU64, remote: &AtomicU64) -> u64 {
    base::merge(taken, remote).unwrap_or_else(|base::FreedTwice| {
        os::fatal(&["stillheap: a block was freed twice, by two threads\n"])
    })
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
    let maps = Maps::of(arena, page, kind);
    for (word, live) in live.iter().enumerate() {
        maps.taken(word).store(live.load(Relaxed), Relaxed);
    }
    let note = arena.note(page);
    note.list.store(ListName::Active as u32, Relaxed);
    note.spare.store(0, Relaxed);
    note.claimed.store(0, Relaxed);
    arena.tag(page).frees_left.store(u32::MAX, Relaxed);
    Tag::new(kind, owner).write(arena, page);
    // An image may say so of pages that were in no slab.
    forget_at_hand(arena, page);
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

/// Claims the next words that have free blocks, behind those that are claimed, whose claim ends.
/// The caller owns the slab, and is behind the gate.
pub(super) fn claim(arena: &Arena, page: PageIndex, kind: usize) -> Option<Range<usize>> {
    let maps = Maps::of(arena, page, kind);
    let note = arena.note(page);
    let slot = arena.slot(page.chunk())?;
    let _busy = Busy::get(&note.busy);
    let before = claimed(note);
    end_claim(arena, slot, page, &maps);
    let found = maps.next_free(before.end)?;
    for word in found.clone() {
        let place = first_word(page) + word;
        bring_up(arena, page, &maps, &slot.live[place], (word, true));
        say_at_hand(arena, slot, page, word, maps.free(word));
    }
    let [start, end] = [found.start, found.end].map(|word| u32::try_from(word).unwrap_or(0));
    note.claimed.store(start | end << 16, Relaxed);
    Some(found)
}

/// Ends the claim of a slab's words. The caller owns the slab, and is behind the gate.
pub(super) fn unclaim(arena: &Arena, page: PageIndex, kind: usize) {
    let Some(slot) = arena.slot(page.chunk()) else { return };
    let _busy = Busy::get(&arena.note(page).busy);
    end_claim(arena, slot, page, &Maps::of(arena, page, kind));
}

/// The words that are claimed.
pub(super) fn claimed(note: &SlabNote) -> Range<usize> {
    let bits = note.claimed.load(Relaxed);
    (bits & 0xffff) as usize..(bits >> 16) as usize
}

/// The caller is busy. What is not at hand any more is free in the tables, too.
fn end_claim(arena: &Arena, slot: &Slot, page: PageIndex, maps: &Maps<'_>) {
    let note = arena.note(page);
    for word in claimed(note) {
        let place = first_word(page) + word;
        bring_up(arena, page, maps, &slot.live[place], (word, false));
        say_at_hand(arena, slot, page, word, 0);
    }
    note.claimed.store(0, Relaxed);
}

/// Brings a slab's live map up to its taken map. The caller holds the heap's lock, and no freeze
/// can come meanwhile.
pub(super) fn settle(arena: &Arena, page: PageIndex, kind: usize) {
    let maps = Maps::of(arena, page, kind);
    let Some(slot) = arena.slot(page.chunk()) else { return };
    let live = live_words(slot, page, maps.class);
    let note = arena.note(page);
    let _busy = Busy::get(&note.busy);
    let claimed = claimed(note);
    for (word, live) in live.iter().enumerate() {
        let is_claimed = claimed.contains(&word);
        bring_up(arena, page, &maps, live, (word, is_claimed));
        if is_claimed {
            say_at_hand(arena, slot, page, word, maps.free(word));
        }
    }
}

/// Has a word of the map of what is at hand say so. The caller is busy.
fn say_at_hand(arena: &Arena, slot: &Slot, page: PageIndex, word: usize, bits: u64) {
    let place = first_word(page) + word;
    if slot.at_hand[place].load(Relaxed) != bits {
        arena.announce_at_hand(page.chunk(), place, 1);
        slot.at_hand[place].store(bits, Relaxed);
    }
}

/// Has a word of the live map say what it is to say. The caller is busy.
fn bring_up(
    arena: &Arena,
    page: PageIndex,
    maps: &Maps<'_>,
    live: &AtomicU64,
    (word, is_claimed): (usize, bool),
) {
    if let Some(wanted) = base::settled(maps.taken(word), maps.remote(word), live, is_claimed) {
        arena.announce_live(page.chunk(), first_word(page) + word, 1);
        live.store(wanted, Relaxed);
    }
}

/// Builds the maps outside the arena of a slab that an image has, whose tables have been checked.
/// What was at hand may be in use; the sweep finds out.
pub(super) fn enter(arena: &Arena, page: PageIndex, kind: usize) {
    let maps = Maps::of(arena, page, kind);
    let Some(slot) = arena.slot(page.chunk()) else { return };
    for (word, live) in live_words(slot, page, maps.class).iter().enumerate() {
        maps.taken(word).store(live.load(Relaxed), Relaxed);
        maps.remote(word).store(0, Relaxed);
    }
    arena.note(page).spare.store(0, Relaxed);
    arena.note(page).claimed.store(0, Relaxed);
    Tag::new(kind, 0).write(arena, page);
}

/// Says in the tables that of such a slab nothing is at hand any more.
pub(super) fn forget_at_hand(arena: &Arena, page: PageIndex) {
    let Some(slot) = arena.slot(page.chunk()) else { return };
    let class = class_of_kind(Tag::of(arena, page).kind());
    (0..word_count(class)).for_each(|word| say_at_hand(arena, slot, page, word, 0));
}

pub(super) fn live_words<'a>(slot: &'a Slot, page: PageIndex, class: &Class) -> &'a [AtomicU64] {
    let first = first_word(page);
    &slot.live[first..first + word_count(class)]
}

pub(super) fn at_hand_words<'a>(slot: &'a Slot, page: PageIndex, class: &Class) -> &'a [AtomicU64] {
    let first = first_word(page);
    &slot.at_hand[first..first + word_count(class)]
}

/// The bits of the last word that stand for no block. In the live and taken maps they are set.
pub(super) fn padding(class: &Class) -> u64 {
    match class.blocks % 64 {
        0 => 0,
        rest => u64::MAX << rest,
    }
}

fn padding_bits(class: &Class) -> u32 {
    class.blocks.next_multiple_of(64) - class.blocks
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
