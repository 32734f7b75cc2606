//! Blocks of the heap one by one, for programs whose allocator is another one: what they put into
//! the heap they take from here. Nothing here is served by the system's memory.
#![allow(unsafe_code, reason = "hands out and takes back memory")]

use crate::base::{CellIndex, PAGE_SIZE, PageIndex};
use crate::cow::CellKind;
use crate::heap::BadFree;
use crate::runtime::process::{self, Process};
use crate::runtime::{Scope, pages, passing};
use std::alloc::Layout;
use std::ptr::NonNull;

/// Why a block is not given, taken back or written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum BlockError {
    /// The process has opened no heap.
    #[error("no heap has been opened")]
    NotOpen,
    /// There is no room, or no memory.
    #[error("the heap has no room for {bytes} bytes, or the system no memory")]
    NoRoom {
        /// So many were wanted.
        bytes: usize,
    },
    /// It is no block in use.
    #[error("0x{address:x}: {source}")]
    Bad {
        /// What was given.
        address: usize,
        /// What is wrong with it.
        source: BadFree,
    },
    /// It is a tracked one, which has its size for good.
    #[error("0x{address:x} is a tracked block, which keeps its size")]
    Tracked {
        /// Its address.
        address: usize,
    },
    /// Writes are announced within scopes.
    #[error("a write is announced in the scope in which it happens, and this thread is in none")]
    NoScope,
    /// The memory is not the heap's, or not one block's.
    #[error(
        "the {len} bytes from 0x{start:x} on do not all lie in memory of the heap that is in use, \
         or some in tracked memory and some not: announce each block by itself"
    )]
    Outside {
        /// The first byte.
        start: usize,
        /// How many.
        len: usize,
    },
}

/// The process, once it has opened a heap.
#[inline]
fn opened() -> Result<&'static Process, BlockError> {
    process::get().filter(|process| process.opened.has_been()).ok_or(BlockError::NotOpen)
}

/// Where the process's heap lies, if it has been started: there it stays.
pub(crate) fn base() -> Option<usize> {
    process::get().map(|process| process.heap.arena().base())
}

/// Whether there are blocks to be had.
pub(crate) fn is_opened() -> bool {
    opened().is_ok()
}

/// Whether an address is one of the heap's.
pub(crate) fn is_inside(address: usize) -> bool {
    opened().is_ok_and(|process| process.heap.arena().page_of(address).is_some())
}

/// A block of at least `layout.size()` bytes, which is not 0; all zero if `zeroed`.
#[inline]
pub(crate) fn alloc(layout: Layout, zeroed: bool) -> Result<NonNull<u8>, BlockError> {
    let allocation = passing::allocate(Some(opened()?), layout, None)
        .ok_or(BlockError::NoRoom { bytes: layout.size() })?;
    if zeroed && !allocation.zeroed {
        // SAFETY: a fresh block of at least this size.
        unsafe { allocation.block.write_bytes(0, layout.size()) };
    }
    Ok(allocation.block)
}

/// A block of whole pages, all zero, whose writes are to be announced.
pub(crate) fn alloc_tracked(bytes: usize) -> Result<NonNull<u8>, BlockError> {
    opened()?;
    let whole = bytes.max(1).checked_next_multiple_of(PAGE_SIZE);
    let layout = whole.and_then(|bytes| Layout::from_size_align(bytes, PAGE_SIZE).ok());
    let given = layout.and_then(pages::try_alloc).ok_or(BlockError::NoRoom { bytes })?;
    Ok(given.0)
}

/// Gives back a block of either kind.
///
/// # Errors
/// If it is none in use. Nothing has changed then.
///
/// # Safety
/// Nothing refers to the block any more.
#[inline]
pub(crate) unsafe fn free(address: usize) -> Result<(), BlockError> {
    // SAFETY: passed on from the caller.
    let freed = unsafe { passing::try_free(opened()?, address) };
    freed.map_err(|source| BlockError::Bad { address, source })
}

/// The bytes that a block can hold.
///
/// # Errors
/// If it is none in use.
pub(crate) fn usable_size(address: usize) -> Result<usize, BlockError> {
    let process = opened()?;
    let bad = |source| BlockError::Bad { address, source };
    let usable = process.heap.usable_size(address).map_err(bad)?;
    match process.heap.is_live_block(address) {
        true => Ok(usable),
        false => Err(bad(BadFree::Free)),
    }
}

/// Gives a block a size of `bytes` bytes, which is not 0; moves it if it must, to a multiple of
/// `align`.
///
/// # Errors
/// The block is as it was then.
///
/// # Safety
/// The block is the caller's alone.
pub(crate) unsafe fn resize(
    block: NonNull<u8>,
    bytes: usize,
    align: usize,
) -> Result<NonNull<u8>, BlockError> {
    let process = opened()?;
    let address = block.addr().get();
    let old = usable_size(address)?;
    if is_tracked(process, address) {
        return Err(BlockError::Tracked { address });
    }
    let no_room = BlockError::NoRoom { bytes };
    if Layout::from_size_align(bytes, align).is_err() {
        return Err(no_room);
    }
    let layout = Layout::from_size_align(old, align).map_err(|_| no_room)?;
    // SAFETY: the block is in use, and its size at least `old`; the rest says the caller.
    match unsafe { passing::try_resize(process, block, layout, bytes) } {
        Ok(Some(moved)) => Ok(moved),
        Ok(None) => Err(no_room),
        Err(source) => Err(BlockError::Bad { address, source }),
    }
}

/// Announces that `len` bytes from `start` on are written before the calling thread's scope ends:
/// by the program, where the memory is tracked, or by the kernel, which finds none of it protected.
///
/// # Errors
/// If the thread is in no scope, or not all of the bytes lie in cells in use, of one kind. Nothing
/// has been announced then.
pub(crate) fn announce(start: usize, len: usize) -> Result<(), BlockError> {
    let process = opened()?;
    if !Scope::is_entered() {
        return Err(BlockError::NoScope);
    }
    let Some(last) = len.checked_sub(1) else { return Ok(()) };
    let outside = BlockError::Outside { start, len };
    let arena = process.heap.arena();
    let end = start.checked_add(last).ok_or(outside)?;
    let first = arena.page_of(start).ok_or(outside)?;
    let last = arena.page_of(end).ok_or(outside)?;
    let kind = arena.kind_of_cell(first.chunk().cell());
    // As a block does. Where there is no memory, a saver would read what has been announced.
    let mut cells = (first.chunk().cell().0..=last.chunk().cell().0).map(CellIndex);
    if !cells.all(|cell| arena.head_of(cell).is_some() && arena.kind_of_cell(cell) == kind) {
        return Err(outside);
    }
    arena.cow().touch(start, len);
    if kind == CellKind::Tracked {
        (first.0..=last.0).for_each(|page| arena.cow().announce_tracked(PageIndex(page)));
    }
    Ok(())
}

fn is_tracked(process: &Process, address: usize) -> bool {
    let arena = process.heap.arena();
    let cell = arena.page_of(address).map(|page| page.chunk().cell());
    cell.is_some_and(|cell| arena.kind_of_cell(cell) == CellKind::Tracked)
}
