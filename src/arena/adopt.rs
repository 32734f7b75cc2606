//! Taking in cells that an image has just put into the arena.
//!
//! Nothing in them is believed: every entry is checked before it is used, and a cell whose
//! tables contradict themselves is refused as a whole. What the heap keeps in page entries
//! and live maps it checks itself.
#![allow(unsafe_code, reason = "copies tables from where an image has been mapped")]

use crate::arena::Arena;
use crate::arena::layout::{
    CELL_MAGIC, ChunkKind, MAPS, PageEntry, PageTag, Purpose, SLOT_SIZE, Slot,
};
use crate::arena::side::{PENDING, UNUSED};
use crate::base::sync::{AtomicU32, Ordering::Relaxed};
use crate::base::{
    self, CELL_SIZE, CHUNK_SIZE, CHUNKS_PER_CELL, CellIndex, ChunkIndex, PAGE_SIZE, PAGES_PER_CELL,
    PAGES_PER_CHUNK,
};
use crate::cow::CellKind;
use crate::os::map::{self, Protection};
use std::io;
use std::ptr;

/// What becomes of a cell that is taken in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Adoption {
    /// It is the heap's from then on.
    Own {
        /// Whether its memory is a private mapping of a file.
        file_backed: bool,
        /// Whether its tables are checked later, if it stands alone: until then it is pending.
        is_later: bool,
    },
    /// It can be looked at: nothing is allocated in it, and nothing of it is saved.
    Borrowed,
}

/// What is wrong with a cell's tables.
#[derive(Debug, thiserror::Error)]
pub enum CellDamage {
    /// The cell's header is not one.
    #[error("cell {cell}: its header says {found:#x} where {CELL_MAGIC:#x} is expected")]
    Magic {
        /// The cell's number.
        cell: u32,
        /// The header's first word.
        found: u64,
    },
    /// The header is another cell's.
    #[error("cell {cell}: its header is that of cell {found}")]
    Misplaced {
        /// The cell's number.
        cell: u32,
        /// The number in the header.
        found: u32,
    },
    /// The span is empty, leaves its space, or meets cells already in use.
    #[error("cell {cell}: a span of {span} cells does not fit there")]
    Span {
        /// The cell's number.
        cell: u32,
        /// Cells in the span.
        span: u32,
    },
    /// A chunk's entry contradicts itself or its neighbours.
    #[error("chunk {chunk} of cell {cell}: {what} (found {found})")]
    Chunk {
        /// The cell's number.
        cell: u32,
        /// The chunk's place in the cell.
        chunk: u32,
        /// What is wrong.
        what: &'static str,
        /// The value found.
        found: u64,
    },
    /// A page's entry does.
    #[error("page {page} of chunk {chunk} of cell {cell}: {what} (found {found:#x})")]
    Page {
        /// The cell's number.
        cell: u32,
        /// The chunk's place in the cell.
        chunk: u32,
        /// The page's place in the chunk.
        page: u32,
        /// What is wrong.
        what: &'static str,
        /// The entry found.
        found: u32,
    },
    /// The system refuses memory for the side table.
    #[error("no memory for the tables of cell {cell}: {source}")]
    Memory {
        /// The cell's number.
        cell: u32,
        /// What the system said.
        source: io::Error,
    },
}

impl Arena {
    /// Takes in the cell (or span) that starts at `cell`, whose memory the caller has mapped,
    /// `mapped_cells` cells of it. Its tables are moved from where the image has them. Gives
    /// the number of cells in the span.
    ///
    /// On an error the cell is not live; its memory stays the caller's.
    ///
    /// # Errors
    /// See [`CellDamage`].
    pub(crate) fn adopt_cell(
        &self,
        cell: CellIndex,
        mapped_cells: u32,
        adoption: Adoption,
    ) -> Result<u32, CellDamage> {
        let memory = |source| CellDamage::Memory { cell: cell.0, source };
        self.commit_tables(cell, 1).map_err(memory)?;
        self.take_tables(cell);
        self.set_cell_state(cell, PENDING);
        let result = self.adopt_taken(cell, mapped_cells, adoption);
        if result.is_err() {
            self.set_cell_state(cell, UNUSED);
        }
        result
    }

    fn adopt_taken(
        &self,
        cell: CellIndex,
        mapped_cells: u32,
        adoption: Adoption,
    ) -> Result<u32, CellDamage> {
        let kind = self.kind_of_cell(cell);
        let span = self.check_header(cell, mapped_cells)?;
        // A large block's cells have few tables.
        let is_later = matches!(adoption, Adoption::Own { is_later: true, .. }) && span == 1;
        if !is_later {
            self.check_chunks(cell, span)?;
            for later in 1..span {
                let later = CellIndex(cell.0 + later);
                let committed = self.cow().commit_cells(later, 1, kind);
                committed.map_err(|source| CellDamage::Memory { cell: cell.0, source })?;
            }
            self.make_live(cell, span);
        }
        if let Adoption::Own { file_backed, .. } = adoption {
            self.cow().add_restored_cells(cell, span, kind, file_backed);
            if !is_later {
                self.enter_side(cell);
            }
        }
        Ok(span)
    }

    /// Checks a pending cell's own tables.
    ///
    /// # Errors
    /// See [`CellDamage`]; it stays pending.
    pub(crate) fn check_pending(&self, cell: CellIndex) -> Result<(), CellDamage> {
        self.check_cell(cell, 1).map(drop)
    }

    /// Makes a pending cell, which has been checked, as live as any.
    pub(crate) fn enter_pending(&self, cell: CellIndex) {
        self.make_live(cell, 1);
        self.enter_side(cell);
    }

    /// Commits the notes of cells that are about to be adopted: together, so that they get huge
    /// pages.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn prepare_to_adopt(&self, first: CellIndex, count: u32) -> Result<(), CellDamage> {
        let refused = |source| CellDamage::Memory { cell: first.0, source };
        self.side.commit_cells(first, count).map_err(refused)
    }

    /// Puts a cell's tables in their place, from its first chunk, where an image has been mapped.
    fn take_tables(&self, cell: CellIndex) {
        let (mapped, tables) = (self.base() + cell.offset(), self.tables_address(cell));
        // Nothing is read before it is used. This needs one mapping that holds all of them.
        // SAFETY: the first chunk of a cell that nobody refers to yet, and its tables, which
        // have been committed.
        if unsafe { map::move_over_if_one(mapped, CHUNK_SIZE, tables) }.is_err() {
            self.copy_tables(cell);
        }
    }

    /// Copies them, page by page.
    fn copy_tables(&self, cell: CellIndex) {
        let mapped = self.base() + cell.offset();
        let tables = self.tables_address(cell);
        let copy = |offset: usize, len: usize| {
            let from: *const u8 = ptr::with_exposed_provenance(mapped + offset);
            let to: *mut u8 = ptr::with_exposed_provenance_mut(tables + offset);
            // SAFETY: the cell's memory is mapped, says the caller, its tables have been
            // committed, and nobody refers to either yet.
            unsafe { ptr::copy_nonoverlapping(from, to, len) };
        };
        copy(0, SLOT_SIZE);
        for place in 1..CHUNKS_PER_CELL as usize {
            let slot = place * SLOT_SIZE;
            copy(slot, PAGE_SIZE);
            let kind: *const u32 = ptr::with_exposed_provenance(tables + slot);
            // SAFETY: the page that has just been copied.
            if unsafe { kind.read() } == ChunkKind::Free as u32 {
                continue;
            }
            // The maps of most chunks are zero in part, as the tables are before anything is
            // copied: every page that is left alone saves a page fault.
            for at in MAPS.step_by(PAGE_SIZE) {
                let page: *const [u8; PAGE_SIZE] = ptr::with_exposed_provenance(mapped + slot + at);
                // SAFETY: as for `copy`.
                if unsafe { *page != [0; PAGE_SIZE] } {
                    copy(slot + at, PAGE_SIZE);
                }
            }
        }
    }

    /// Write-protects consecutive adopted cells that are mappings of a file, if they are
    /// guarded: a chunk's first write then gives it memory of its own.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn protect_adopted(&self, first: CellIndex, count: u32) -> io::Result<()> {
        if self.kind_of_cell(first) == CellKind::Tracked {
            return Ok(());
        }
        let (start, len) = (self.base() + first.offset(), count as usize * CELL_SIZE);
        // SAFETY: cells that have just been adopted, of which nobody has a reference yet.
        unsafe { map::protect(start, len, Protection::ReadOnly) }
    }

    /// Undoes [`Arena::adopt_cell`]: the cell becomes bare address space.
    pub(crate) fn reject_cell(&self, cell: CellIndex) {
        let count = self.span_cells(cell);
        for chunk in Self::data_chunks(cell) {
            self.side.free_chunks().clear(chunk.0);
            for purpose in Purpose::ALL {
                self.side.roomy(purpose).clear(chunk.0);
            }
        }
        let is_forgotten = self.cow().remove_cells(cell, count);
        debug_assert!(is_forgotten, "no window is open while an image is taken in");
        self.abandon_cells(cell, count);
    }

    fn enter_side(&self, cell: CellIndex) {
        for chunk in Self::data_chunks(cell) {
            match self.kind(chunk) {
                Some(ChunkKind::Free) => self.side.free_chunks().set(chunk.0),
                Some(ChunkKind::Paged) => {
                    if let Some(purpose) = self.purpose(chunk) {
                        self.side.roomy(purpose).set(chunk.0);
                        self.side.hint(chunk).store(u32::MAX, Relaxed);
                    }
                }
                _ => {}
            }
        }
    }

    /// Checks a cell's own tables; gives the cells in its span.
    pub(crate) fn check_cell(&self, cell: CellIndex, mapped_cells: u32) -> Result<u32, CellDamage> {
        let span = self.check_header(cell, mapped_cells)?;
        self.check_chunks(cell, span)?;
        Ok(span)
    }

    /// Checks the entries of a cell's chunks, or of a span's.
    fn check_chunks(&self, cell: CellIndex, span: u32) -> Result<(), CellDamage> {
        let mut chunks = Self::data_chunks(cell);
        if span > 1 {
            chunks.try_for_each(|chunk| self.check_span_chunk(chunk, span))
        } else {
            chunks.try_for_each(|chunk| self.check_chunk(chunk))
        }
    }

    /// Checks the header of a cell whose tables are in place; gives the cells in its span.
    fn check_header(&self, cell: CellIndex, mapped_cells: u32) -> Result<u32, CellDamage> {
        let (number, header) = (cell.0, self.header_at(cell));
        let found = header.magic.load(Relaxed);
        if found != CELL_MAGIC {
            return Err(CellDamage::Magic { cell: number, found });
        }
        let found = header.cell.load(Relaxed);
        if found != number {
            return Err(CellDamage::Misplaced { cell: number, found });
        }
        let span = header.span.load(Relaxed);
        let main = number < self.main_cells().end;
        let area_end = self.config().area(main, self.kind_of_cell(cell)).end;
        if span == 0 || span > mapped_cells || span > area_end - number {
            return Err(CellDamage::Span { cell: number, span });
        }
        Ok(span)
    }

    fn check_span_chunk(&self, chunk: ChunkIndex, span: u32) -> Result<(), CellDamage> {
        let head = chunk.within_cell() == 1;
        let wanted = if head { ChunkKind::LargeHead } else { ChunkKind::LargeBody };
        let kind = self.checked_kind(chunk)?;
        self.check_unpaged(chunk)?;
        if kind != wanted {
            return Err(damage(chunk, "a span holds one large block only", kind as u64));
        }
        let Some(slot) = self.slot_unchecked(chunk) else { return Ok(()) };
        let offset = slot.entry.offset.load(Relaxed);
        if !head {
            return match offset == chunk.within_cell() - 1 {
                true => Ok(()),
                false => Err(damage(chunk, "wrong distance to its block's head", offset.into())),
            };
        }
        let room = u64::from(span) * u64::from(PAGES_PER_CELL) - u64::from(PAGES_PER_CHUNK);
        let pages = slot.entry.run_pages.load(Relaxed);
        if pages == 0 || u64::from(offset) + u64::from(pages) > room {
            return Err(damage(chunk, "a large block leaves its span", pages.into()));
        }
        Ok(())
    }

    fn check_chunk(&self, chunk: ChunkIndex) -> Result<(), CellDamage> {
        match self.checked_kind(chunk)? {
            ChunkKind::Free => self.check_unpaged(chunk),
            ChunkKind::Paged => self.check_paged(chunk),
            ChunkKind::LargeHead => {
                self.check_unpaged(chunk)?;
                self.check_large(chunk)
            }
            ChunkKind::LargeBody => {
                self.check_unpaged(chunk)?;
                let Some(slot) = self.slot_unchecked(chunk) else { return Ok(()) };
                let back = slot.entry.offset.load(Relaxed);
                let head = chunk.within_cell().checked_sub(back).filter(|&head| head >= 1);
                let covered = head.is_some_and(|head| {
                    let head = ChunkIndex(chunk.cell().first_chunk().0 + head);
                    let full = self
                        .slot_unchecked(head)
                        .map(|s| s.entry.run_pages.load(Relaxed) / PAGES_PER_CHUNK);
                    back > 0
                        && self.kind_unchecked(head) == Some(ChunkKind::LargeHead)
                        && full.is_some_and(|full| back < full)
                });
                match covered {
                    true => Ok(()),
                    false => Err(damage(chunk, "belongs to no large block", back.into())),
                }
            }
        }
    }

    /// A chunk that holds no runs of pages has no pages marked as used or as belonging to one.
    fn check_unpaged(&self, chunk: ChunkIndex) -> Result<(), CellDamage> {
        let Some(slot) = self.slot_unchecked(chunk) else { return Ok(()) };
        if !base::all(&slot.entry.used, 0, PAGES_PER_CHUNK, false) {
            return Err(damage(chunk, "pages in use in a chunk without runs of pages", 0));
        }
        match slot.pages.iter().map(|page| page.load(Relaxed)).find(|&page| page != 0) {
            None => Ok(()),
            Some(found) => Err(damage(
                chunk,
                "entries of pages in a chunk without runs of pages",
                found.into(),
            )),
        }
    }

    fn kind_unchecked(&self, chunk: ChunkIndex) -> Option<ChunkKind> {
        ChunkKind::decode(self.slot_unchecked(chunk)?.entry.kind.load(Relaxed))
    }

    fn checked_kind(&self, chunk: ChunkIndex) -> Result<ChunkKind, CellDamage> {
        let Some(slot) = self.slot_unchecked(chunk) else { return Ok(ChunkKind::Free) };
        let kind = slot.entry.kind.load(Relaxed);
        let purpose = slot.entry.purpose.load(Relaxed);
        let decoded =
            ChunkKind::decode(kind).ok_or_else(|| damage(chunk, "unknown kind", kind.into()))?;
        let of = Purpose::decode(purpose)
            .ok_or_else(|| damage(chunk, "unknown purpose", purpose.into()))?;
        if decoded != ChunkKind::Free && of.kind() != self.kind_of_cell(chunk.cell()) {
            return Err(damage(chunk, "its purpose has no place in that area", purpose.into()));
        }
        Ok(decoded)
    }

    fn check_large(&self, head: ChunkIndex) -> Result<(), CellDamage> {
        let Some(slot) = self.slot_unchecked(head) else { return Ok(()) };
        let pages = slot.entry.run_pages.load(Relaxed);
        let offset = slot.entry.offset.load(Relaxed);
        let room = (CHUNKS_PER_CELL - head.within_cell()) * PAGES_PER_CHUNK;
        if pages < PAGES_PER_CHUNK || pages > room || offset != 0 {
            return Err(damage(head, "a large block leaves its cell", pages.into()));
        }
        for back in 1..pages / PAGES_PER_CHUNK {
            let chunk = ChunkIndex(head.0 + back);
            let kind = self.checked_kind(chunk)?;
            if kind != ChunkKind::LargeBody {
                return Err(damage(chunk, "is not the body of the block before it", kind as u64));
            }
        }
        let tail = pages % PAGES_PER_CHUNK;
        let last = ChunkIndex(head.0 + pages / PAGES_PER_CHUNK);
        if tail > 0 && self.checked_kind(last)? != ChunkKind::Paged {
            return Err(damage(last, "does not hold the tail of the block before it", tail.into()));
        }
        Ok(())
    }

    /// The used map and the entries agree, and large tails belong to the block before.
    fn check_paged(&self, chunk: ChunkIndex) -> Result<(), CellDamage> {
        let Some(slot) = self.slot_unchecked(chunk) else { return Ok(()) };
        let tail = self.tail_before(chunk);
        // By words first: an arena has millions of pages, and who restarts waits for this.
        let mut words = slot.entry.used.iter().zip(slot.pages.as_chunks::<64>().0).zip(0..);
        let agree = words.all(|((used, entries), word)| {
            let tail = tail.saturating_sub(64 * word).min(64);
            let tails = u64::MAX.checked_shr(64 - tail).unwrap_or(0);
            marks_of(entries) == Some((used.load(Relaxed), tails))
        });
        if agree { Ok(()) } else { find_wrong_page(slot, chunk, tail) }
    }

    /// Pages at the chunk's start that are the tail of a large block.
    fn tail_before(&self, chunk: ChunkIndex) -> u32 {
        let mut before = chunk;
        while before.within_cell() > 1 {
            before = ChunkIndex(before.0 - 1);
            match self.kind_unchecked(before) {
                Some(ChunkKind::LargeBody) => {}
                Some(ChunkKind::LargeHead) => {
                    let Some(slot) = self.slot_unchecked(before) else { return 0 };
                    let end =
                        before.first_page().0.saturating_add(slot.entry.run_pages.load(Relaxed));
                    return end.saturating_sub(chunk.first_page().0).min(PAGES_PER_CHUNK);
                }
                _ => return 0,
            }
        }
        0
    }
}

/// Which of these pages are in use, and which are tails of large blocks; `None`: there are unknown
/// tags.
fn marks_of(entries: &[AtomicU32; 64]) -> Option<(u64, u64)> {
    let (mut used, mut tails, mut known) = (0, 0, true);
    for (place, entry) in entries.iter().enumerate() {
        let tag = PageEntry::decode(entry.load(Relaxed)).map(|entry| entry.tag);
        used |= u64::from(tag != Some(PageTag::None)) << place;
        tails |= u64::from(tag == Some(PageTag::LargeTail)) << place;
        known &= tag.is_some();
    }
    known.then_some((used, tails))
}

/// What is wrong with the first page whose entry does not fit.
fn find_wrong_page(slot: &Slot, chunk: ChunkIndex, tail: u32) -> Result<(), CellDamage> {
    for page in 0..PAGES_PER_CHUNK {
        let bits = slot.pages[page as usize].load(Relaxed);
        let wrong = |what| CellDamage::Page {
            cell: chunk.cell().0,
            chunk: chunk.within_cell(),
            page,
            what,
            found: bits,
        };
        let entry = PageEntry::decode(bits).ok_or_else(|| wrong("unknown tag"))?;
        let used = base::all(&slot.entry.used, page, 1, true);
        if used != (entry.tag != PageTag::None) {
            return Err(wrong("the chunk's map of used pages says otherwise"));
        }
        if (page < tail) != (entry.tag == PageTag::LargeTail) {
            return Err(wrong("the large block before it ends elsewhere"));
        }
    }
    Ok(())
}

fn damage(chunk: ChunkIndex, what: &'static str, found: u64) -> CellDamage {
    CellDamage::Chunk { cell: chunk.cell().0, chunk: chunk.within_cell(), what, found }
}
