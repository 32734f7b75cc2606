//! The engine: the clock, the ledgers and the stage of one arena, and the barrier for pages.
//!
//! Before its first write to a page in an epoch, a writer comes through here. What then has to
//! be done is a load and a compare on the fast path; on the slow one the page is noted as dirty
//! and, within a window, copied to the stage first.

#![allow(unsafe_code, reason = "copies pages of the arena")]

use crate::base::sync::Ordering::{Acquire, Relaxed, SeqCst};
use crate::base::sync::{AtomicBool, AtomicU32, AtomicU64, fence};
use crate::base::{
    CELL_SIZE, CHUNK_SIZE, CHUNKS_PER_CELL, ChunkIndex, PAGE_SIZE, PAGES_PER_CELL, PAGES_PER_CHUNK,
    PageIndex, SLOT_PAGES,
};
use crate::cow::bell::Bell;
use crate::cow::cells::{CellKind, Cells};
use crate::cow::counters::Counters;
use crate::cow::epoch::{self, Clock, Turn};
use crate::cow::gate_wait;
use crate::cow::latch::{Inside, Latch};
use crate::cow::pages::{self, PageLedger};
use crate::cow::promote::Promotion;
use crate::cow::stage::{Stage, Unit};
use crate::os::map::ForkMark;
use crate::os::{self, ErrnoKept, SignalsBlocked};
use std::io;

/// The copy-on-write engine of one arena.
#[derive(Debug)]
pub struct Engine {
    pub(super) base: usize,
    pub(super) cell_count: u32,
    pub(super) clock: Clock,
    pub(super) latch: Latch,
    pub(super) cells: Cells,
    pub(super) tables: PageLedger,
    pub(super) tracked: PageLedger,
    pub(super) stage: Stage,
    pub(super) promotion: Promotion,
    pub(super) bell: Bell,
    pub(super) counters: Counters,
    /// Bytes dirtied since the last freeze, and how many of them ring the bell (0: none).
    pub(super) dirtied: AtomicU64,
    pub(super) ring_at: AtomicU64,
    /// Goes up before chunks are protected, and again afterwards.
    pub(super) closings: AtomicU64,
    /// Whether undeclared writes to tables and tracked pages are looked for.
    pub(super) checked: AtomicBool,
    /// Whether the window is for what the epoch before it changed, and nothing else: then the rest
    /// needs no copies. Set before the epoch begins.
    pub(super) changed_only: AtomicBool,
    /// Whether chunks of an image are made writable as they are.
    pub(super) in_haste: AtomicBool,
    /// The thread that saves, which must not wait for itself; 0: none.
    saver: AtomicU32,
    /// A fork of the process that this engine works for is on its own.
    process: ForkMark,
}

/// Which ledger a page is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum PageKind {
    Table,
    Tracked,
}

impl Engine {
    /// An engine for an arena of `cells` cells at `base`, whose tables lie at `tables`, a chunk's
    /// size for each cell. In its first epoch, 0, nothing needs to be announced.
    ///
    /// # Errors
    /// What the system says when it refuses address space.
    pub fn new(base: usize, cells: u32, tables: usize) -> io::Result<Self> {
        Ok(Self {
            base,
            cell_count: cells,
            clock: Clock::new(),
            latch: Latch::new(),
            cells: Cells::new(cells)?,
            tables: PageLedger::new(cells, PAGES_PER_CHUNK, tables)?,
            tracked: PageLedger::new(cells, PAGES_PER_CELL, base)?,
            stage: Stage::new()?,
            promotion: Promotion::new(cells as usize * CELL_SIZE)?,
            bell: Bell::default(),
            counters: Counters::default(),
            dirtied: AtomicU64::new(0),
            ring_at: AtomicU64::new(0),
            closings: AtomicU64::new(0),
            checked: AtomicBool::new(false),
            changed_only: AtomicBool::new(false),
            in_haste: AtomicBool::new(false),
            saver: AtomicU32::new(0),
            process: ForkMark::new()?,
        })
    }

    /// To be called before the first write to a page of tables in an allocator call, a scope, or
    /// whatever else a freeze waits for.
    #[inline]
    pub fn announce_table(&self, table: u32) {
        if self.tables.word(table).load(Acquire) != self.clock.now() {
            self.announce_slow(PageKind::Table, table);
        }
    }

    /// To be called before the first write to a page of tracked memory, and, where a freeze may
    /// have come in between, after the last one.
    #[inline]
    pub fn announce_tracked(&self, page: PageIndex) {
        if self.tracked.word(page.0).load(Acquire) != self.clock.now() {
            self.announce_slow(PageKind::Tracked, page.0);
        }
    }

    /// As [`Engine::announce_tracked`], after a write that no freeze waits for: it is either
    /// before a freeze, whose saver sees it, or is announced in the epoch after that.
    pub fn announce_tracked_after(&self, page: PageIndex) {
        // With the one in `freeze`: of the two, writer and freezing thread, at least one sees what
        // the other did before.
        fence(SeqCst);
        self.announce_tracked(page);
    }

    /// A tracked page may be written in every epoch from now on, until it is let go: by somebody
    /// in no scope, whom a freeze does not wait for. To be called before it is announced.
    pub fn hold(&self, page: PageIndex) {
        self.tracked.set_held(page.0, true);
    }

    /// Ends that, after the last write has been announced once more.
    pub fn let_go(&self, page: PageIndex) {
        self.tracked.set_held(page.0, false);
    }

    /// Whether undeclared writes are looked for.
    #[inline]
    #[must_use]
    pub fn is_checked(&self) -> bool {
        self.checked.load(Relaxed)
    }

    /// What tells whether the epoch has changed since it was asked last.
    #[inline]
    #[must_use]
    pub fn epoch_word(&self) -> u64 {
        self.clock.now()
    }

    /// What tells whether chunks have been protected between two looks: they have not if both give
    /// the same even number. (The epoch goes up some time after that, or not at all.)
    #[must_use]
    pub fn closings(&self) -> u64 {
        self.closings.load(Acquire)
    }

    /// Whether frozen pages are still to be saved.
    #[must_use]
    pub fn is_window_open(&self) -> bool {
        self.clock.is_window_open(self.clock.now())
    }

    /// The bell that crossing the threshold of dirtied bytes rings.
    #[must_use]
    pub fn bell(&self) -> &Bell {
        &self.bell
    }

    /// Rings the bell when `bytes` bytes have been dirtied since a freeze; 0: never.
    pub fn set_dirty_threshold(&self, bytes: u64) {
        self.ring_at.store(bytes, Relaxed);
    }

    /// Bytes dirtied since the last freeze, in whole pages and chunks.
    #[must_use]
    pub fn dirtied_bytes(&self) -> u64 {
        self.dirtied.load(Relaxed)
    }

    /// The stage.
    #[must_use]
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// Whether chunks of an image stay mappings of its file when they are first written to, so that
    /// a program that has just been started does not wait for copies. The kernel then copies the
    /// pages that are written; after the next freeze the chunk gets memory of its own as others do.
    pub fn set_haste(&self, in_haste: bool) {
        self.in_haste.store(in_haste, Relaxed);
    }

    /// The calling thread is the one that saves.
    pub fn become_saver(&self) {
        self.saver.store(os::thread_id(), Relaxed);
    }

    /// In the child of a fork there is no saver, and whoever was half way is not there.
    pub fn reset_in_fork(&self) {
        self.process.renew();
        self.latch.reset_in_fork();
        // Nobody is there to end it.
        self.set_haste(false);
        // The thread that was protecting chunks may have been between memory and bit.
        let odd = self.closings.load(Relaxed) % 2;
        self.closings.fetch_add(odd, Relaxed);
        self.cells.iter(CellKind::Guarded).for_each(|cell| {
            self.cells.note(cell).open.store(0, Relaxed);
        });
        self.clock.close_window();
        self.clock.advance(false);
    }

    #[cold]
    #[inline(never)]
    fn announce_slow(&self, kind: PageKind, page: u32) {
        let _errno = ErrnoKept::new();
        // The saver waits for tables before it empties the stage: a handler that waits for the
        // stage must not interrupt a thread that is copying one.
        let is_table = kind == PageKind::Table;
        let _blocked = (is_table && self.is_window_open()).then(SignalsBlocked::new);
        let mut waited = 0;
        while !self.try_announce(kind, page) {
            self.stand_by(&mut waited);
        }
    }

    /// One attempt; `false`: the page is busy, or the stage was full.
    fn try_announce(&self, kind: PageKind, page: u32) -> bool {
        let ledger = self.ledger(kind);
        let (word, now, given) = (ledger.word(page), self.clock.now(), self.stage.given());
        let (found, copy) = match self.clock.turn(now, word.load(Acquire)) {
            Turn::Written => return true,
            Turn::Busy => return false,
            Turn::Mark(found) => (found, false),
            Turn::Copy(found) => {
                (found, !self.is_fresh(kind, page, now) && self.is_page_copied(kind, page, now))
            }
        };
        if !copy && !self.checked.load(Relaxed) {
            let marked = epoch::mark(word, found, now);
            if marked {
                self.note_dirty_page(kind, page, now);
            }
            return marked;
        }
        let slot = if copy { self.stage.take(false, self.is_saver()) } else { None };
        if copy && slot.is_none() {
            self.stall(given);
            return false;
        }
        if !epoch::claim(word, found, now) {
            slot.into_iter().for_each(|slot| self.stage.put_back(slot));
            return false;
        }
        if let Some(slot) = slot {
            // SAFETY: a page of a known cell is mapped and readable; nobody writes to it before its
            // word says that it is written, but for its owner outside scopes, whose writes are
            // reachable from no root and may be torn.
            unsafe { self.stage.fill(&slot, ledger.address(page)) };
            let unit = match kind {
                PageKind::Table => Unit::Table(image_page(kind, page)),
                PageKind::Tracked => Unit::Tracked(PageIndex(page)),
            };
            self.stage.queue(slot, unit, now);
            self.counters.staged_pages.fetch_add(1, Relaxed);
        }
        self.unprotect_checked(ledger.address(page));
        epoch::finish(word, now);
        self.note_dirty_page(kind, page, now);
        true
    }

    /// Whether a page's chunk was given out in this epoch, so that nothing of it is frozen.
    fn is_fresh(&self, kind: PageKind, page: u32, now: u64) -> bool {
        let chunk = image_page(kind, page).chunk();
        self.cells.word(chunk).load(Relaxed) == now
    }

    /// Whether the saver wants a page as it was frozen. The first page of each slot of tables tells
    /// it what there is to be saved, also if it is not saved itself.
    fn is_page_copied(&self, kind: PageKind, page: u32, now: u64) -> bool {
        let is_first = kind == PageKind::Table && page.is_multiple_of(SLOT_PAGES);
        is_first || self.is_page_saved(kind, page, now)
    }

    /// Whether the window of the epoch `now` saves a page.
    pub(super) fn is_page_saved(&self, kind: PageKind, page: u32, now: u64) -> bool {
        let ended = epoch::number(now).wrapping_sub(1);
        if !self.changed_only.load(Relaxed) || self.ledger(kind).is_dirty(page, ended) {
            return true;
        }
        if kind == PageKind::Tracked {
            return false;
        }
        // Tables of a chunk that was free, or of a cell that was not there or had no chunk in use,
        // may be as they were long ago, and in no snapshot. What tells of a chunk has changed then.
        let slot = page - page % SLOT_PAGES;
        let cell = image_page(kind, page).chunk().cell();
        let is_cells_own = slot.is_multiple_of(PAGES_PER_CHUNK);
        let slots = slot..slot + if is_cells_own { PAGES_PER_CHUNK } else { 1 };
        self.cells.note(cell).added.load(Relaxed) == ended
            || slots.step_by(SLOT_PAGES as usize).any(|slot| self.tables.is_dirty(slot, ended))
    }

    /// Whether it saves a guarded chunk.
    pub(super) fn is_chunk_saved(&self, chunk: ChunkIndex, now: u64) -> bool {
        let dirty = self.cells.note(chunk.cell()).dirty_in(epoch::number(now).wrapping_sub(1));
        !self.changed_only.load(Relaxed) || super::cells::is_set(dirty, chunk)
    }

    fn note_dirty_page(&self, kind: PageKind, page: u32, now: u64) {
        if self.ledger(kind).set_dirty(page, epoch::number(now)) {
            self.add_dirtied(PAGE_SIZE as u64);
        }
    }

    pub(super) fn note_dirty_chunk(&self, chunk: ChunkIndex, epoch: u64) {
        let note = self.cells.note(chunk.cell());
        if !super::cells::set(note.dirty_in(epoch), chunk) {
            self.add_dirtied(CHUNK_SIZE as u64);
        }
    }

    fn add_dirtied(&self, bytes: u64) {
        let before = self.dirtied.fetch_add(bytes, Relaxed);
        let ring_at = self.ring_at.load(Relaxed);
        if ring_at > 0 && before < ring_at && before + bytes >= ring_at {
            self.bell.ring();
        }
    }

    pub(super) fn ledger(&self, kind: PageKind) -> &PageLedger {
        match kind {
            PageKind::Table => &self.tables,
            PageKind::Tracked => &self.tracked,
        }
    }

    /// Goes into the latch, after an exclusive holder has gone.
    pub(super) fn enter_latch(&self) -> Inside<'_> {
        let mut waited = 0;
        loop {
            match self.latch.try_enter() {
                Some(inside) => return inside,
                None => self.stand_by(&mut waited),
            }
        }
    }

    /// Waits for another writer that has the unit busy.
    pub(super) fn stand_by(&self, waited: &mut u32) {
        self.notice_fork();
        gate_wait::be_patient(waited);
    }

    /// Waits for the saver to empty slots, or to save the very unit.
    pub(super) fn stall(&self, given: u32) {
        self.notice_fork();
        self.stage.count_stall();
        self.stage.wait(given);
    }

    /// Whoever forked without telling the C library has no saver either.
    fn notice_fork(&self) {
        if self.process.is_lost() {
            self.reset_in_fork();
        }
    }

    pub(super) fn is_saver(&self) -> bool {
        self.clock.is_window_open(self.clock.now()) && {
            let saver = self.saver.load(Relaxed);
            saver != 0 && saver == os::thread_id()
        }
    }

    /// The arena's chunk at an address.
    pub(super) fn chunk_of(&self, address: usize) -> Option<ChunkIndex> {
        let offset = address.wrapping_sub(self.base);
        let chunks = self.cell_count as usize * CHUNKS_PER_CELL as usize;
        let chunk = offset / CHUNK_SIZE;
        (chunk < chunks).then(|| ChunkIndex(u32::try_from(chunk).unwrap_or(0)))
    }
}

/// The number in images of a page.
pub(super) fn image_page(kind: PageKind, page: u32) -> PageIndex {
    match kind {
        PageKind::Table => pages::image_page_of_table(page),
        PageKind::Tracked => PageIndex(page),
    }
}
