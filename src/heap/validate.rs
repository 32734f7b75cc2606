//! The heap checks itself: every table against every other, those outside the arena included.

use crate::arena::{Arena, ChunkKind};
use crate::base::sync::Ordering::Relaxed;
use crate::base::{CellIndex, ChunkIndex, PageIndex};
use crate::heap::check::Damage;
use crate::heap::facade::Shared;
use crate::heap::lists::{KINDS, ListName, kind_of, list_of};
use crate::heap::{Heap, slab};

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
        self.check_chunk(chunk, |_, _| {})?;
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

    fn validate_slab(&self, page: PageIndex, class: u8) -> Result<(), Damage> {
        let note = self.arena.note(page);
        let kind = kind_of(note);
        let wrong = |what, expected: u32, found: u32| {
            let (expected, found) = (u64::from(expected), u64::from(found));
            Err(Damage::Slab { page: page.0, what, expected, found })
        };
        if kind >> 1 != usize::from(class) {
            return wrong("its note has another class", class.into(), note.kind.load(Relaxed));
        }
        let (live, used) = (slab::count_live(&self.arena, page, kind), note.used.load(Relaxed));
        if live != used {
            return wrong("blocks in use", live, used);
        }
        match list_of(note) {
            ListName::None => wrong("a slab in no list", 1, 0),
            ListName::Full if note.owner.load(Relaxed) != 0 => {
                let blocks = slab::class_of_kind(kind).blocks;
                if used == blocks { Ok(()) } else { wrong("a full slab's blocks", blocks, used) }
            }
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
                    let sound = note.owner.load(Relaxed) == 0
                        && list_of(note) == list
                        && kind_of(note) == kind
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
