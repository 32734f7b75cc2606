//! Taking in an image: its cells are checked, then become part of the heap.
//!
//! Everything here holds the heap's lock and allocates nothing.
#![allow(unsafe_code, reason = "relies on the caller for the memory of the cells")]

use crate::arena::{Adoption, Arena, ChunkKind, Purpose};
use crate::base::sync::Ordering::Relaxed;
use crate::base::{CHUNKS_PER_CELL, CellIndex, ChunkIndex};
use crate::heap::check::{Damage, for_slabs};
use crate::heap::facade::Shared;
use crate::heap::lists::{KINDS, ListName};
use crate::heap::slab::Slab;
use crate::heap::{Heap, classes};
use std::io;

/// Consecutive cells that the caller has mapped from an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CellRun {
    /// The first cell.
    pub first: CellIndex,
    /// How many.
    pub count: u32,
    /// Whether they are private mappings of a file.
    pub file_backed: bool,
    /// Whether their tables are checked later: when a block of theirs is freed or resized, when
    /// their room is wanted, or by [`Heap::enter_next`] and [`Heap::enter_all`].
    pub is_later: bool,
}

/// Why an image could not be taken in.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// The process uses a cell of the image already.
    #[error("cell {cell} of the image is in use by this process")]
    Taken {
        /// The cell's number.
        cell: u32,
    },
    /// The image's bytes could not be mapped.
    #[error("the image could not be mapped: {0}")]
    Map(#[source] io::Error),
    /// The image's tables are wrong.
    #[error("the heap's tables in the image are damaged: {0}")]
    Damage(#[from] Damage),
}

impl Heap {
    /// Takes in the cells of an image and continues in the main space. `runs` do not overlap
    /// each other. `map` puts the image's bytes into the cells of one run, which are not live
    /// then; it must not allocate.
    ///
    /// # Errors
    /// See [`AdoptError`]. Then the cells have become bare address space again, and the heap
    /// is as it was.
    ///
    /// # Safety
    /// When `map` has succeeded for a run, all memory of its cells is readable and writable,
    /// and stays so while the heap uses it.
    pub unsafe fn adopt(
        &self,
        runs: &[CellRun],
        mut map: impl FnMut(usize) -> io::Result<()>,
    ) -> Result<(), AdoptError> {
        let mut shared = self.lock();
        let mut cells = runs.iter().flat_map(|run| run.first.0..run.first.0 + run.count);
        if let Some(cell) = cells.find(|&cell| self.arena.is_live(CellIndex(cell))) {
            return Err(AdoptError::Taken { cell });
        }
        let mapped = (0..runs.len()).try_for_each(&mut map).map_err(AdoptError::Map);
        let result = mapped
            .and_then(|()| {
                let own = |run: &CellRun| {
                    let CellRun { file_backed, is_later, .. } = *run;
                    Adoption::Own { file_backed, is_later }
                };
                Ok(self.adopt_cells(runs, own)?)
            })
            .and_then(|()| Ok(self.check_first_cell()?));
        if result.is_err() {
            self.reject(runs);
            return result;
        }
        for run in runs {
            let protected = self.arena.protect_adopted(run.first, run.count);
            if let Err(error) = protected {
                self.reject(runs);
                return Err(AdoptError::Map(error));
            }
        }
        self.enter_main(&mut shared);
        if runs.iter().any(|run| run.is_later) {
            shared.pending.begin(self.arena.config().cells());
        }
        for cell in runs.iter().flat_map(|run| run.first.0..run.first.0 + run.count) {
            self.enter_cell(&mut shared, CellIndex(cell));
        }
        Ok(())
    }

    /// Continues in the main space, without an image: makes cell 0 and its superblock.
    ///
    /// # Errors
    /// What the system says when it refuses the memory.
    pub fn found(&self) -> io::Result<()> {
        let mut shared = self.lock();
        self.enter_main(&mut shared);
        shared.space.claim_first_cell(&self.arena)?;
        self.write_superblock();
        Ok(())
    }

    /// From now on new memory comes from the main space. Nothing is allocated from the heap's own
    /// slabs in the boot space any more; a lane's go on until it is retired.
    fn enter_main(&self, shared: &mut Shared) {
        shared.space.enter_main();
        for kind in 0..KINDS {
            while let Some(page) = shared.lists.pop(&self.arena, ListName::Partial, kind) {
                self.enter_list(shared, page);
            }
        }
    }

    /// Has an image's cells be there to be looked at: the heap goes on in the boot space, and never
    /// allocates in them. Otherwise as [`Heap::adopt`].
    ///
    /// # Errors
    /// As there.
    ///
    /// # Safety
    /// As there; and nobody frees what lies in these cells.
    pub unsafe fn borrow_image(
        &self,
        runs: &[CellRun],
        mut map: impl FnMut(usize) -> io::Result<()>,
    ) -> Result<(), AdoptError> {
        // With the lock held no thread claims a cell.
        let _shared = self.lock();
        let mut cells = runs.iter().flat_map(|run| run.first.0..run.first.0 + run.count);
        if let Some(cell) = cells.find(|&cell| self.arena.is_live(CellIndex(cell))) {
            return Err(AdoptError::Taken { cell });
        }
        let result = (0..runs.len())
            .try_for_each(&mut map)
            .map_err(AdoptError::Map)
            .and_then(|()| Ok(self.adopt_cells(runs, |_| Adoption::Borrowed)?))
            .and_then(|()| Ok(self.check_first_cell()?));
        if result.is_err() {
            self.reject(runs);
        }
        result
    }

    /// Ends that: the cells become bare address space again.
    ///
    /// # Safety
    /// Nobody has a reference into them.
    pub unsafe fn return_image(&self, runs: &[CellRun]) {
        let _shared = self.lock();
        self.reject(runs);
    }

    fn adopt_cells(
        &self,
        runs: &[CellRun],
        adoption: impl Fn(&CellRun) -> Adoption,
    ) -> Result<(), Damage> {
        for run in runs {
            let end = run.first.0 + run.count;
            let mut cell = run.first;
            self.arena.prepare_to_adopt(run.first, run.count)?;
            while cell.0 < end {
                let span = self.arena.adopt_cell(cell, end - cell.0, adoption(run))?;
                if !self.arena.is_pending(cell) {
                    self.check_chunks(cell)?;
                    self.build_maps(cell);
                }
                cell = CellIndex(cell.0 + span);
            }
        }
        Ok(())
    }

    /// Checks what the heap keeps for a cell's chunks.
    pub(super) fn check_chunks(&self, cell: CellIndex) -> Result<(), Damage> {
        Arena::data_chunks(cell).try_for_each(|chunk| self.check_chunk(chunk))
    }

    /// Builds the maps outside the arena of the slabs of a checked cell, which may be pending.
    pub(super) fn build_maps(&self, cell: CellIndex) {
        for chunk in Arena::data_chunks(cell) {
            let Some(slot) = self.arena.slot_unchecked(chunk) else { continue };
            let scoped = slot.entry.purpose.load(Relaxed) == Purpose::Scoped as u32;
            for_slabs(
                chunk,
                || Some(slot),
                |page, class| {
                    let kind = classes::kind_number(usize::from(class), scoped);
                    Slab::with(&self.arena, slot, page, kind).enter(kind);
                },
            );
        }
    }

    fn check_first_cell(&self) -> Result<(), Damage> {
        if self.arena.is_pending(CellIndex(0)) {
            self.make_live(CellIndex(0))?;
        }
        if self.arena.cell_header(CellIndex(0)).is_none() {
            return Err(Damage::NoFirstCell);
        }
        self.check_superblock()?;
        for (_, root) in self.roots() {
            // Where they lie is looked at now.
            let blocks = [root.value, root.schema].map(|at| usize::try_from(at).unwrap_or(0));
            for page in blocks.iter().filter_map(|&at| self.arena.page_of(at)) {
                if self.arena.is_pending(page.chunk().cell()) {
                    self.make_live(page.chunk().cell())?;
                }
            }
        }
        self.check_roots()
    }

    fn reject(&self, runs: &[CellRun]) {
        for cell in runs.iter().flat_map(|run| run.first.0..run.first.0 + run.count) {
            self.arena.reject_cell(CellIndex(cell));
        }
    }

    /// Makes the slabs of a checked cell, whose maps have been built, the heap's.
    pub(super) fn enter_cell(&self, shared: &mut Shared, cell: CellIndex) {
        if self.arena.cell_header(cell).is_none() {
            return;
        }
        for place in 1..CHUNKS_PER_CELL {
            let chunk = ChunkIndex(cell.first_chunk().0 + place);
            // Giving up the last slab of a chunk, and the last chunk of a cell, ends the walk.
            if self.arena.kind(chunk) != Some(ChunkKind::Paged) {
                continue;
            }
            self.for_slabs(chunk, |page, _| {
                if let Some(slab) = Slab::tagged(&self.arena, page) {
                    slab.forget_at_hand();
                }
                self.enter_list(shared, page);
            });
        }
    }
}
