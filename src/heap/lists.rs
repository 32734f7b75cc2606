//! Doubly linked lists of slabs, one pair (partly used, full or nearly so) for each kind.
//!
//! The links are the slabs' notes. A slab stands in at most one list of its owner; the owner
//! alone changes them: a lane its own, the holder of the heap's lock the heap's.

use crate::arena::{Arena, SlabNote};
use crate::base::sync::Ordering::Relaxed;
use crate::base::{PageIndex, linked};
use crate::heap::classes::CLASSES;
use crate::heap::tag::Tag;

/// Which list a slab stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(super) enum ListName {
    /// It is no slab (any more).
    None = 0,
    /// In no list: it is the one that its lane allocates from.
    Active = 1,
    /// It has free blocks, enough to allocate from.
    Partial = 2,
    /// It has none, or too few of them.
    Full = 3,
}

/// Kinds of slabs: class times scoped or not.
pub(super) const KINDS: usize = CLASSES * 2;

/// An owner's slabs.
#[repr(C)]
pub(super) struct Lists {
    partial: [u32; KINDS],
    full: [u32; KINDS],
}

impl Lists {
    pub(super) const EMPTY: Self = Self { partial: [0; KINDS], full: [0; KINDS] };

    fn head(&mut self, list: ListName, kind: usize) -> Option<&mut u32> {
        match list {
            ListName::Partial => Some(&mut self.partial[kind]),
            ListName::Full => Some(&mut self.full[kind]),
            ListName::None | ListName::Active => None,
        }
    }

    /// Whether no slab of that kind stands in a list.
    pub(super) fn is_empty(&mut self, list: ListName, kind: usize) -> bool {
        self.head(list, kind).is_none_or(|head| *head == 0)
    }

    /// Puts a slab that stands in no list at the front of one.
    pub(super) fn push(&mut self, arena: &Arena, list: ListName, page: PageIndex) {
        let note = arena.note(page);
        note.list.store(list as u32, Relaxed);
        let kind = Tag::of(arena, page).kind();
        let Some(head) = self.head(list, kind) else { return };
        note.previous.store(0, Relaxed);
        note.next.store(*head, Relaxed);
        if let Some(next) = linked(*head) {
            arena.note(next).previous.store(page.0 + 1, Relaxed);
        }
        *head = page.0 + 1;
    }

    /// Takes a slab out of the list that it stands in.
    pub(super) fn remove(&mut self, arena: &Arena, page: PageIndex) {
        let note = arena.note(page);
        let (previous, next) = (note.previous.load(Relaxed), note.next.load(Relaxed));
        if let Some(next) = linked(next) {
            arena.note(next).previous.store(previous, Relaxed);
        }
        match linked(previous) {
            Some(previous) => arena.note(previous).next.store(next, Relaxed),
            None => {
                if let Some(head) = self.head(list_of(note), Tag::of(arena, page).kind()) {
                    *head = next;
                }
            }
        }
        note.list.store(ListName::Active as u32, Relaxed);
    }

    /// Takes the first slab out of a list.
    pub(super) fn pop(&mut self, arena: &Arena, list: ListName, kind: usize) -> Option<PageIndex> {
        let first = linked(*self.head(list, kind)?)?;
        self.remove(arena, first);
        Some(first)
    }

    /// The slabs of a list, for checking.
    pub(super) fn walk(
        &mut self,
        arena: &Arena,
        list: ListName,
        kind: usize,
    ) -> impl Iterator<Item = PageIndex> {
        let mut next = self.head(list, kind).map_or(0, |head| *head);
        std::iter::from_fn(move || {
            let page = linked(next)?;
            next = arena.note(page).next.load(Relaxed);
            Some(page)
        })
    }
}

pub(super) fn list_of(note: &SlabNote) -> ListName {
    match note.list.load(Relaxed) {
        1 => ListName::Active,
        2 => ListName::Partial,
        3 => ListName::Full,
        _ => ListName::None,
    }
}
