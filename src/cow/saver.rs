//! The saver's side of a window: it copies what nobody has written to yet, and takes from the
//! stage what writers have copied.
//!
//! It copies first and asks afterwards whether a writer came in between (see `epoch`); so no
//! writer ever waits for it, however long its disk takes.

use crate::base::{CellIndex, ChunkIndex, PAGE_SIZE, PageIndex};
use crate::cow::cells::CellKind;
use crate::cow::copy::copy_memory;
use crate::cow::engine::{Engine, PageKind};
use crate::cow::epoch;
use crate::cow::pages::table_of_image_page;
use crate::cow::stage::Staged;

/// An open window, in the hands of the saver. Dropping it closes it: what has not been saved
/// by then is not wanted any more.
#[derive(Debug)]
pub struct Window<'a> {
    engine: &'a Engine,
    now: u64,
}

impl Engine {
    /// The window that the last freeze has opened. The calling thread saves it.
    #[must_use]
    pub fn window(&self) -> Window<'_> {
        self.become_saver();
        Window { engine: self, now: self.clock.now() }
    }
}

impl Window<'_> {
    /// Copies a page of tables, by its number in images. `false`: its frozen state is, or will
    /// soon be, in the stage.
    pub fn save_table(&self, page: PageIndex, buffer: &mut [u8]) -> bool {
        self.save_page(PageKind::Table, table_of_image_page(page), buffer)
    }

    /// Copies a tracked page; as [`Window::save_table`].
    pub fn save_tracked(&self, page: PageIndex, buffer: &mut [u8]) -> bool {
        self.save_page(PageKind::Tracked, page.0, buffer)
    }

    fn save_page(&self, kind: PageKind, page: u32, buffer: &mut [u8]) -> bool {
        let ledger = self.engine.ledger(kind);
        let word = ledger.word(page);
        // Again, if it was a writer's late mark of an epoch before.
        while let Some(found) = epoch::unwritten(word, self.now) {
            copy_memory(ledger.address(page), &mut buffer[..PAGE_SIZE]);
            if epoch::confirm(word, found, self.now) {
                return true;
            }
        }
        false
    }

    /// A guarded chunk that nobody has written to since the freeze. `None`: as `false` of
    /// [`Window::save_table`].
    #[must_use]
    pub fn frozen_chunk(&self, chunk: ChunkIndex) -> Option<FrozenChunk<'_>> {
        let found = epoch::unwritten(self.engine.cells.word(chunk), self.now)?;
        Some(FrozenChunk { window: self, chunk, found })
    }

    /// Whether this window saves a page of tables, by its number in images.
    #[must_use]
    pub fn saves_table(&self, page: PageIndex) -> bool {
        self.engine.is_page_saved(PageKind::Table, table_of_image_page(page), self.now)
    }

    /// Whether it saves a tracked page.
    #[must_use]
    pub fn saves_tracked(&self, page: PageIndex) -> bool {
        self.engine.is_page_saved(PageKind::Tracked, page.0, self.now)
    }

    /// Whether it saves a guarded chunk.
    #[must_use]
    pub fn saves_chunk(&self, chunk: ChunkIndex) -> bool {
        self.engine.is_chunk_saved(chunk, self.now)
    }

    /// The cells that were known at the freeze, in order.
    #[must_use]
    pub fn frozen_cells(&self) -> Vec<(CellIndex, CellKind)> {
        self.engine.frozen_cells()
    }

    /// What writers have copied to the stage since the last call.
    #[must_use]
    pub fn take_staged(&self) -> Vec<Staged> {
        self.engine.stage.take_queued(self.now)
    }

    /// Opens a chunk that has been saved, since it will soon be written again: its writer takes
    /// no fault then, and system calls find it writable.
    /// It then counts as written in this epoch. `false`: it stays closed.
    pub fn reopen(&self, chunk: ChunkIndex) -> bool {
        self.engine.reopen(chunk)
    }

    /// The stage, for giving slots back.
    #[must_use]
    pub fn stage(&self) -> &crate::cow::Stage {
        &self.engine.stage
    }
}

/// A chunk that is being copied, page by page.
#[derive(Debug)]
pub struct FrozenChunk<'a> {
    window: &'a Window<'a>,
    chunk: ChunkIndex,
    found: u64,
}

impl FrozenChunk<'_> {
    /// Copies one of its pages. What that is worth, [`FrozenChunk::confirm`] tells.
    ///
    /// # Panics
    /// If the page lies elsewhere, or the buffer is no page long.
    pub fn copy(&self, page: PageIndex, buffer: &mut [u8]) {
        assert!(page.chunk() == self.chunk && buffer.len() == PAGE_SIZE);
        copy_memory(self.window.engine.base + page.offset(), buffer);
    }

    /// Ends the copying. `false`: a writer came first, and the copies are worthless; the chunk's
    /// frozen state is, or will soon be, in the stage.
    #[must_use]
    pub fn confirm(self) -> bool {
        epoch::confirm(self.window.engine.cells.word(self.chunk), self.found, self.window.now)
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        let engine = self.engine;
        engine.clock.close_window();
        // Who was waiting for a slot needs none any more.
        engine.stage.wake();
        self.take_staged().into_iter().for_each(|staged| engine.stage.give(staged));
        engine.stage.release();
    }
}
