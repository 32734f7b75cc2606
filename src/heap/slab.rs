//! One slab: making it, merging what other threads freed, giving it up.

use crate::arena::{Arena, BLOCK_MIN, PageEntry, PageTag, Purpose, Slot, Space};
use crate::base::sync::AtomicU64;
use crate::base::sync::Ordering::{AcqRel, Acquire, Relaxed};
use crate::base::{PAGE_SIZE, PageIndex};
use crate::heap::classes::{Class, TABLE};
use crate::heap::lists::{ListName, kind_of};
use crate::os;

const WORDS_PER_PAGE: usize = PAGE_SIZE / BLOCK_MIN / 64;

/// What a kind of slabs holds: `class << 1 | scoped`, as in a note.
pub(super) fn kind_number(class: usize, scoped: bool) -> usize {
    class << 1 | usize::from(scoped)
}

pub(super) fn class_of_kind(kind: usize) -> &'static Class {
    &TABLE[kind >> 1]
}

pub(super) fn purpose_of_kind(kind: usize) -> Purpose {
    if kind & 1 == 1 { Purpose::Scoped } else { Purpose::Ambient }
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
    let words = live_words(slot, page, class);
    words.iter().for_each(|word| word.store(0, Relaxed));
    // Zero already, in a heap without mistakes: so these pages stay untouched.
    for word in remote_words(slot, page, class).iter().filter(|word| word.load(Relaxed) != 0) {
        arena.announce_remote(page.chunk(), first_word(page), word_count(class));
        word.store(0, Relaxed);
    }
    if let Some(last) = words.last() {
        last.store(padding(class), Relaxed);
    }
    let note = arena.note(page);
    note.kind.store(u32::try_from(kind).unwrap_or(0), Relaxed);
    note.used.store(0, Relaxed);
    note.list.store(ListName::Active as u32, Relaxed);
    note.owner.store(owner, Relaxed);
    Some(page)
}

/// Gives up an empty slab that stands in no list.
pub(super) fn release(arena: &Arena, space: &mut Space, page: PageIndex) {
    let note = arena.note(page);
    let pages = class_of_kind(kind_of(note)).pages;
    note.list.store(ListName::None as u32, Relaxed);
    note.owner.store(0, Relaxed);
    space.give_pages(arena, page, pages);
}

/// Takes the blocks that other threads freed into the slab's own map. The caller owns it.
pub(super) fn merge(arena: &Arena, page: PageIndex) {
    let Some(slot) = arena.slot(page.chunk()) else { return };
    let note = arena.note(page);
    let class = class_of_kind(kind_of(note));
    let mut merged = 0;
    for (live, remote) in live_words(slot, page, class).iter().zip(remote_words(slot, page, class))
    {
        if remote.load(Relaxed) == 0 {
            continue;
        }
        if merged == 0 {
            arena.announce_remote(page.chunk(), first_word(page), word_count(class));
            arena.announce_live(page.chunk(), first_word(page), word_count(class));
        }
        let freed = remote.swap(0, Acquire);
        let before = live.load(Relaxed);
        if freed & !before != 0 {
            os::fatal(&["a block was freed twice, by two threads"]);
        }
        live.store(before & !freed, Relaxed);
        merged += freed.count_ones();
    }
    if merged > 0 {
        note.used.store(note.used.load(Relaxed) - merged, Relaxed);
    }
}

/// Marks a block as freed by a thread that does not own the slab; its word has been announced.
/// `false`: it is free already.
pub(super) fn free_remotely(slot: &Slot, page: PageIndex, block: u32) -> bool {
    let word = word_of(page, block);
    let bit = 1 << (block % 64);
    let live = slot.live[word].load(Relaxed) & bit != 0;
    live && slot.remote[word].fetch_or(bit, AcqRel) & bit == 0
}

/// Whether a block is in use.
pub(super) fn is_live(slot: &Slot, page: PageIndex, block: u32) -> bool {
    let word = word_of(page, block);
    let bit = 1 << (block % 64);
    slot.live[word].load(Relaxed) & !slot.remote[word].load(Relaxed) & bit != 0
}

pub(super) fn live_words<'a>(slot: &'a Slot, page: PageIndex, class: &Class) -> &'a [AtomicU64] {
    let first = first_word(page);
    &slot.live[first..first + word_count(class)]
}

pub(super) fn remote_words<'a>(slot: &'a Slot, page: PageIndex, class: &Class) -> &'a [AtomicU64] {
    let first = first_word(page);
    &slot.remote[first..first + word_count(class)]
}

/// Counts the blocks in use, without those that were freed by others and not yet merged.
pub(super) fn count_unfreed(arena: &Arena, page: PageIndex, kind: usize) -> u32 {
    let Some(slot) = arena.slot(page.chunk()) else { return 0 };
    let remote = remote_words(slot, page, class_of_kind(kind));
    let freed: u32 = remote.iter().map(|word| word.load(Relaxed).count_ones()).sum();
    count_live(arena, page, kind).saturating_sub(freed)
}

/// The bits of the last word that stand for no block. They are set, so that nobody takes them.
pub(super) fn padding(class: &Class) -> u64 {
    match class.blocks % 64 {
        0 => 0,
        rest => u64::MAX << rest,
    }
}

/// Counts the blocks in use, those included that were freed by others and not yet merged.
pub(super) fn count_live(arena: &Arena, page: PageIndex, kind: usize) -> u32 {
    let Some(slot) = arena.slot(page.chunk()) else { return 0 };
    let class = class_of_kind(kind);
    let set: u32 = live_words(slot, page, class).iter().map(|word| ones(word.load(Relaxed))).sum();
    set - padding(class).count_ones()
}

/// Bits that are set. In most words all are, and counting takes a dozen instructions where the
/// target has none for it.
pub(super) fn ones(word: u64) -> u32 {
    if word == u64::MAX { 64 } else { word.count_ones() }
}

/// The index of the first word of a slab's maps in its slot.
pub(super) fn first_word(page: PageIndex) -> usize {
    page.within_chunk() as usize * WORDS_PER_PAGE
}

/// The index of a block's word.
pub(super) fn word_of(page: PageIndex, block: u32) -> usize {
    first_word(page) + (block / 64) as usize
}

pub(super) fn word_count(class: &Class) -> usize {
    class.blocks.div_ceil(64) as usize
}
