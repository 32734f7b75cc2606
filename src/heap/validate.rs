//! The heap checks itself: every table against every other, those outside the arena included.

use crate::arena::{Arena, ChunkKind};
use crate::base::sync::Ordering::{Acquire, Relaxed};
use crate::base::{CellIndex, ChunkIndex, PageIndex};
use crate::heap::check::Damage;
use crate::heap::facade::Shared;
use crate::heap::lists::{KINDS, ListName, list_of};
use crate::heap::slab::Slab;
use crate::heap::tag::Tag;
use crate::heap::{Heap, classes};

impl Heap {
    /// Checks the whole heap. Exact only while no other thread is inside the heap.
    ///
    /// # Errors
    /// The first contradiction found.
    pub fn validate(&self) -> Result<(), Damage> {
        self.enter_all()?;
        let mut shared = self.lock();
        for cell in self.arena.live_cells() {
            let span = self.arena.span_cells(cell);
            if span > 1 && self.arena.is_deferred(cell.first_chunk()) {
                continue;
            }
            self.arena.check_cell(cell, span)?;
            Arena::data_chunks(cell).try_for_each(|chunk| self.validate_chunk(chunk))?;
        }
        self.validate_lists(&mut shared)?;
        if self.arena.is_live(CellIndex(0)) {
            self.check_superblock()?;
            self.check_roots()?;
        }
        Ok(())
    }

    fn validate_chunk(&self, chunk: ChunkIndex) -> Result<(), Damage> {
        self.check_chunk(chunk)?;
        let free = self.arena.kind(chunk) == Some(ChunkKind::Free);
        if free != (self.arena.listed_free(chunk) || self.arena.is_deferred(chunk)) {
            let (page, found) = (chunk.first_page().0, u64::from(!free));
            let what = "the list of free chunks says otherwise";
            return Err(Damage::Slab { page, what, expected: u64::from(free), found });
        }
        let mut result = Ok(());
        self.for_slabs(chunk, |page, class| {
            let outcome = self.validate_slab(page, class);
            if result.is_ok() {
                result = outcome;
            }
        });
        result
    }

    /// Other threads may allocate and free what they have at hand meanwhile.
    fn validate_slab(&self, page: PageIndex, class: u8) -> Result<(), Damage> {
        let tag = Tag::of(&self.arena, page);
        let wrong = |what, expected: u64, found: u64| {
            Err(Damage::Slab { page: page.0, what, expected, found })
        };
        if tag.kind() >> 1 != usize::from(class) {
            return wrong("its tag has another class", class.into(), tag.0.into());
        }
        for back in 0..classes::class_of_kind(tag.kind()).pages {
            let found = Tag::of(&self.arena, PageIndex(page.0 + back));
            if found.0 != tag.0 | back {
                return wrong("the tag of one of its pages", (tag.0 | back).into(), found.0.into());
            }
        }
        let Some(slab) = Slab::tagged(&self.arena, page) else { return Ok(()) };
        let (maps, claimed) = (&slab.maps, slab.claimed());
        for (word, (live, at_hand)) in slab.live().iter().zip(slab.at_hand()).enumerate() {
            // In this order: what is freed meanwhile may only seem to be taken.
            let remote = maps.remote(word).load(Acquire);
            let taken = maps.taken(word).load(Relaxed);
            let live = live.load(Relaxed);
            if taken & !remote & !live != 0 {
                return wrong("blocks in use that its live map does not have", live, taken);
            }
            if remote & !taken != 0 {
                return wrong("free blocks that others have freed again", taken, remote);
            }
            let at_hand = at_hand.load(Relaxed);
            if at_hand != 0 && !claimed.contains(&word) {
                return wrong("blocks at hand of words that are not claimed", 0, at_hand);
            }
            if claimed.contains(&word) && live != u64::MAX {
                return wrong("a claimed word that is not live", u64::MAX, live);
            }
        }
        match list_of(self.arena.note(page)) {
            ListName::None => wrong("a slab in no list", 1, 0),
            _ => Ok(()),
        }
    }

    /// The heap's own lists hold slabs of their kind, linked both ways.
    fn validate_lists(&self, shared: &mut Shared) -> Result<(), Damage> {
        for list in [ListName::Partial, ListName::Full] {
            for kind in 0..KINDS {
                let mut previous = 0;
                for page in shared.lists.walk(&self.arena, list, kind) {
                    let note = self.arena.note(page);
                    let tag = Tag::of(&self.arena, page);
                    let sound = tag.lane() == 0
                        && list_of(note) == list
                        && tag.kind() == kind
                        && note.previous.load(Relaxed) == previous;
                    if !sound {
                        let found = u64::from(note.list.load(Relaxed));
                        let what = "stands in a list where it does not belong";
                        return Err(Damage::Slab {
                            page: page.0,
                            what,
                            expected: list as u64,
                            found,
                        });
                    }
                    previous = page.0 + 1;
                }
            }
        }
        Ok(())
    }
}
