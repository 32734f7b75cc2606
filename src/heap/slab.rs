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

use crate::arena::{Arena, PageEntry, PageTag, SlabNote, Slot, Space, WORDS_PER_PAGE};
use crate::base::sync::AtomicU64;
use crate::base::sync::Ordering::Relaxed;
use crate::base::{self, Busy, PageIndex};
use crate::heap::classes::{Class, class_of_kind, purpose_of_kind};
use crate::heap::lists::ListName;
use crate::heap::maps::{Maps, padding, word_count};
use crate::heap::tag::Tag;
use std::ops::Range;

/// A slab, with all that tells of its blocks.
pub(super) struct Slab<'a> {
    arena: &'a Arena,
    slot: &'a Slot,
    note: &'a SlabNote,
    page: PageIndex,
    pub(super) maps: Maps<'a>,
}

impl<'a> Slab<'a> {
    /// The one of that kind that begins with that page. `None`: its cell has no tables.
    pub(super) fn at(arena: &'a Arena, page: PageIndex, kind: usize) -> Option<Self> {
        Some(Self::with(arena, arena.slot(page.chunk())?, page, kind))
    }

    /// The same with its chunk's slot.
    pub(super) fn with(arena: &'a Arena, slot: &'a Slot, page: PageIndex, kind: usize) -> Self {
        Self { arena, slot, note: arena.note(page), page, maps: Maps::of(arena, page, kind) }
    }

    /// The same of the kind that its tag tells.
    pub(super) fn tagged(arena: &'a Arena, page: PageIndex) -> Option<Self> {
        Self::at(arena, page, Tag::of(arena, page).kind())
    }

    /// Makes an empty slab, owned by `owner` and in no list. `None`: out of capacity.
    pub(super) fn make(
        arena: &'a Arena,
        space: &mut Space,
        kind: usize,
        owner: u32,
    ) -> Option<PageIndex> {
        let class_number = u8::try_from(kind >> 1).ok()?;
        let pages = class_of_kind(kind).pages;
        let page = space.take_pages(arena, purpose_of_kind(kind), pages, 1, |back| PageEntry {
            tag: PageTag::Slab,
            class: class_number,
            back: u16::try_from(back).unwrap_or(u16::MAX),
        })?;
        let slab = Self::at(arena, page, kind)?;
        slab.clear();
        slab.note.list.store(ListName::Active as u32, Relaxed);
        arena.tag(page).frees_left.store(u32::MAX, Relaxed);
        Tag::new(kind, owner).write(arena, page);
        Some(page)
    }

    /// No block is in use, and none claimed.
    fn clear(&self) {
        let class = self.maps.class;
        self.arena.announce_live(self.page.chunk(), first_word(self.page), word_count(class));
        let live = self.live();
        live.iter().for_each(|word| word.store(0, Relaxed));
        if let Some(last) = live.last() {
            last.store(padding(class), Relaxed);
        }
        for (word, live) in live.iter().enumerate() {
            self.maps.taken(word).store(live.load(Relaxed), Relaxed);
        }
        self.note.spare.store(0, Relaxed);
        self.note.claimed.store(0, Relaxed);
        // An image may say so of pages that were in no slab.
        self.forget_at_hand();
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

    /// Claims the next words that have free blocks, behind those that are claimed, whose claim
    /// ends. The caller owns the slab, and is behind the gate.
    pub(super) fn claim(&self) -> Option<Range<usize>> {
        let _busy = Busy::get(&self.note.busy);
        let before = self.claimed();
        self.end_claim();
        let found = self.maps.next_free(before.end)?;
        for word in found.clone() {
            self.bring_up(word, true);
            self.say_at_hand(word, self.maps.free(word));
        }
        let [start, end] = [found.start, found.end].map(|word| u32::try_from(word).unwrap_or(0));
        self.note.claimed.store(start | end << 16, Relaxed);
        Some(found)
    }

    /// Ends the claim of its words. The caller owns the slab, and is behind the gate.
    pub(super) fn unclaim(&self) {
        let _busy = Busy::get(&self.note.busy);
        self.end_claim();
    }

    /// The words that are claimed.
    pub(super) fn claimed(&self) -> Range<usize> {
        let bits = self.note.claimed.load(Relaxed);
        (bits & 0xffff) as usize..(bits >> 16) as usize
    }

    /// The caller is busy. What is not at hand any more is free in the tables, too.
    fn end_claim(&self) {
        for word in self.claimed() {
            self.bring_up(word, false);
            self.say_at_hand(word, 0);
        }
        self.note.claimed.store(0, Relaxed);
    }

    /// Brings the live map up to the taken map. The caller holds the heap's lock, and no freeze can
    /// come meanwhile.
    pub(super) fn settle(&self) {
        let _busy = Busy::get(&self.note.busy);
        let claimed = self.claimed();
        for word in 0..word_count(self.maps.class) {
            let is_claimed = claimed.contains(&word);
            self.bring_up(word, is_claimed);
            if is_claimed {
                self.say_at_hand(word, self.maps.free(word));
            }
        }
    }

    /// Has a word of the map of what is at hand say so. The caller is busy.
    fn say_at_hand(&self, word: usize, bits: u64) {
        let at_hand = &self.at_hand()[word];
        if at_hand.load(Relaxed) != bits {
            self.arena.announce_at_hand(self.page.chunk(), first_word(self.page) + word, 1);
            at_hand.store(bits, Relaxed);
        }
    }

    /// Has a word of the live map say what it is to say. The caller is busy.
    fn bring_up(&self, word: usize, is_claimed: bool) {
        let (taken, remote) = (self.maps.taken(word), self.maps.remote(word));
        let live = &self.live()[word];
        if let Some(wanted) = base::settled(taken, remote, live, is_claimed) {
            self.arena.announce_live(self.page.chunk(), first_word(self.page) + word, 1);
            live.store(wanted, Relaxed);
        }
    }

    /// Builds the maps outside the arena of a slab that an image has, whose tables have been
    /// checked. What was at hand may be in use; the sweep finds out.
    pub(super) fn enter(&self, kind: usize) {
        for (word, live) in self.live().iter().enumerate() {
            self.maps.taken(word).store(live.load(Relaxed), Relaxed);
            self.maps.remote(word).store(0, Relaxed);
        }
        self.note.spare.store(0, Relaxed);
        self.note.claimed.store(0, Relaxed);
        Tag::new(kind, 0).write(self.arena, self.page);
    }

    /// Says in the tables that nothing is at hand any more.
    pub(super) fn forget_at_hand(&self) {
        (0..word_count(self.maps.class)).for_each(|word| self.say_at_hand(word, 0));
    }

    pub(super) fn live(&self) -> &'a [AtomicU64] {
        live_words(self.slot, self.page, self.maps.class)
    }

    pub(super) fn at_hand(&self) -> &'a [AtomicU64] {
        at_hand_words(self.slot, self.page, self.maps.class)
    }
}

/// The words of the live map, of a slab that begins with that page of its chunk.
pub(super) fn live_words<'a>(slot: &'a Slot, page: PageIndex, class: &Class) -> &'a [AtomicU64] {
    &slot.live[first_word(page)..][..word_count(class)]
}

/// The same of the map of what is at hand.
pub(super) fn at_hand_words<'a>(slot: &'a Slot, page: PageIndex, class: &Class) -> &'a [AtomicU64] {
    &slot.at_hand[first_word(page)..][..word_count(class)]
}

/// The index of the first word of a slab's maps in its slot.
fn first_word(page: PageIndex) -> usize {
    page.within_chunk() as usize * WORDS_PER_PAGE
}
