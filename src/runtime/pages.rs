//! Tracked blocks: whole pages whose writes are announced by software.
#![allow(unsafe_code, reason = "hands out and takes back memory")]

use crate::arena::Purpose;
use crate::base::{PAGE_SIZE, PageIndex, PageRun};
use crate::cow::Engine;
use crate::runtime::process::{self, Process};
use crate::runtime::thread::ThreadState;
use crate::runtime::{passing, thread};
use std::alloc::{Layout, handle_alloc_error};
use std::ptr::NonNull;

/// A block of `bytes` bytes, all zero, that starts at a page, announced for its first writes. In a
/// process without a heap it comes from the program's allocator.
///
/// Out of memory ends the process, as for `Box`.
///
/// # Panics
/// If `bytes` is not a multiple of the page size, or zero.
#[must_use]
pub(crate) fn alloc(bytes: usize) -> (NonNull<u8>, Announced) {
    let layout = layout(bytes);
    try_alloc(layout).unwrap_or_else(|| {
        // SAFETY: the layout's size is not zero.
        let block = unsafe { std::alloc::alloc_zeroed(layout) };
        let block = NonNull::new(block).unwrap_or_else(|| handle_alloc_error(layout));
        if in_arena(block).is_some() {
            // There is room left, but none whose writes could be announced.
            handle_alloc_error(layout);
        }
        (block, Announced::begin(block, bytes))
    })
}

/// Such a block from the heap. `None`: there is no heap, or no room in it.
pub(super) fn try_alloc(layout: Layout) -> Option<(NonNull<u8>, Announced)> {
    let allocation = passing::allocate(process::get(), layout, Some(Purpose::Tracked))?;
    let announced = Announced::begin(allocation.block, layout.size());
    if !allocation.zeroed {
        // SAFETY: a fresh block of that many bytes.
        unsafe { allocation.block.write_bytes(0, layout.size()) };
    }
    Some((allocation.block, announced))
}

/// Gives back a block.
///
/// # Safety
/// The block came from [`alloc`] with the same number of bytes, and is not used any more.
pub(crate) unsafe fn free(block: NonNull<u8>, bytes: usize) {
    let address = block.addr().get();
    match in_arena(block) {
        // SAFETY: says the caller.
        Some(process) => unsafe { passing::free(process, address) },
        // SAFETY: outside the arena it came from the program's allocator, with this layout.
        None => unsafe { std::alloc::dealloc(block.as_ptr(), layout(bytes)) },
    }
}

/// A write to a block that has been announced. Dropping it announces the block once more: outside
/// a scope a freeze may have come in between, and what was written then is in the new epoch.
///
/// Outside a scope the pages are held meanwhile; a write that began in a scope and has not ended
/// with it, or has ended on another thread, is held from then on. So one that is leaked leaves its
/// pages held: they count as dirty in every epoch.
#[derive(Debug)]
pub(crate) struct Announced {
    /// The block's pages, if it lies in the arena.
    pages: Option<(&'static Engine, PageRun)>,
    /// Whether the pages were held from the beginning. If not, the thread's state has them, until
    /// the scope ends.
    held: bool,
}

impl Announced {
    /// The barrier of tracked memory: to be called before the block's first write.
    #[inline]
    pub(crate) fn begin(block: NonNull<u8>, bytes: usize) -> Self {
        let pages = process::get().and_then(|process| {
            let arena = process.heap.arena();
            let first = arena.page_of(block.addr().get())?;
            let count = u32::try_from(bytes / PAGE_SIZE).ok()?;
            Some((arena.cow(), PageRun { first, count }))
        });
        let held = pages.is_some_and(|(engine, run)| {
            // Freezes wait for scopes; so what is written in one needs no hold as long as it lasts.
            let in_scope = |state: &ThreadState| {
                state.scopes.get() > 0 && !engine.is_checked() && state.unended.add(run)
            };
            !thread::with(in_scope)
        });
        let announced = Self { pages, held };
        if held {
            announced.for_pages(Engine::hold);
        }
        announced.announce(Engine::announce_tracked);
        announced
    }

    #[inline]
    fn announce(&self, how: fn(&'static Engine, PageIndex)) {
        #[cfg(test)]
        tests::ANNOUNCED.with(|count| count.set(count.get() + 1));
        self.for_pages(how);
    }

    #[inline]
    fn for_pages(&self, visit: impl Fn(&'static Engine, PageIndex)) {
        if let Some((engine, run)) = self.pages {
            run.indexes().for_each(|page| visit(engine, page));
        }
    }
}

impl Drop for Announced {
    #[inline]
    fn drop(&mut self) {
        let is_in_its_scope = !self.held
            && self.pages.is_none_or(|(_, run)| thread::with(|state| state.unended.end(run)));
        if is_in_its_scope {
            return self.announce(Engine::announce_tracked);
        }
        self.announce(Engine::announce_tracked_after);
        self.for_pages(Engine::let_go);
    }
}

/// Holds the pages of writes that began in a thread's scope, which is about to end, and go on.
#[cold]
pub(super) fn hold_unended(process: &'static Process, state: &ThreadState) {
    let engine = process.heap.arena().cow();
    state.unended.take_all(|run| run.indexes().for_each(|page| engine.hold(page)));
}

/// The process, if the block lies in its arena.
fn in_arena(block: NonNull<u8>) -> Option<&'static Process> {
    process::get().filter(|process| process.heap.arena().page_of(block.addr().get()).is_some())
}

fn layout(bytes: usize) -> Layout {
    assert!(bytes > 0 && bytes.is_multiple_of(PAGE_SIZE), "tracked blocks are whole pages");
    match Layout::from_size_align(bytes, PAGE_SIZE) {
        Ok(layout) => layout,
        Err(_) => handle_alloc_error(Layout::new::<u8>()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    thread_local! {
        /// How often this thread called the barrier.
        pub(super) static ANNOUNCED: Cell<usize> = const { Cell::new(0) };
    }

    pub(crate) fn announced() -> usize {
        ANNOUNCED.with(Cell::get)
    }
}
