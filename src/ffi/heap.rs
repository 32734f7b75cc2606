//! Opening and closing, and what an open heap tells of itself.
#![allow(unsafe_code, reason = "functions for C read and write where it says")]

use crate::ProcessHeap;
use crate::ffi::calls::coded;
use crate::ffi::codes::Code;
use crate::ffi::failure::Failure;
use crate::ffi::options::COptions;
use crate::ffi::structs::{CRestored, CStats, CStill};
use crate::ffi::{events, open_heap, root_values, scopes, snapshots, text};
use crate::runtime::{blocks, let_faults_through};
use std::ffi::{c_char, c_int};

/// Called by the loader, before there are other threads: those that are started later inherit the
/// mask, and may be there when the heap is opened. Here, so that a static library's user, who has
/// to open, links it.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = at_start;

extern "C" fn at_start() {
    let_faults_through();
}

/// Opens the heap in a directory.
///
/// # Safety
/// `directory` is null or ends with a zero byte; `options` are null or from
/// `stillheap_options_new`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_open(
    directory: *const c_char,
    options: *const COptions,
) -> c_int {
    coded(|| {
        // SAFETY: says the caller.
        let path = unsafe { text::path(directory)? };
        // SAFETY: as above.
        let COptions { options, base } = unsafe { options.as_ref() }.cloned().unwrap_or_default();
        events::outside()?;
        scopes::outside("a heap cannot be opened")?;
        let opened = heap_at(base)?.open_beside(&path, options)?;
        root_values::note(|| opened.foreign_roots());
        open_heap::put(opened);
        Ok(())
    })
}

/// The process's heap at an address, or where it is.
fn heap_at(wanted: Option<usize>) -> Result<ProcessHeap, Failure> {
    match (wanted, blocks::base()) {
        (Some(wanted), Some(is)) if wanted != is => Err(Failure::new(
            Code::NoRange,
            format_args!(
                "this process's heap is at 0x{is:x}, since it was used or opened there before, and \
                 cannot be at 0x{wanted:x} any more: give one address in all attempts"
            ),
        )),
        (Some(address), _) | (None, Some(address)) => Ok(ProcessHeap::at(address)),
        (None, None) => Ok(ProcessHeap::new()),
    }
}

/// Whether a heap is open through this interface: 1 or 0.
#[unsafe(no_mangle)]
pub extern "C" fn stillheap_is_open() -> c_int {
    open_heap::is_open().into()
}

/// Takes a last snapshot, if anything has changed, and closes the heap.
///
/// # Safety
/// `last` is null or a place for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_close(last: *mut CStill) -> c_int {
    coded(|| {
        events::outside()?;
        scopes::outside("a heap cannot be closed")?;
        let info = open_heap::take()?.close()?;
        let info = info.as_ref().map_or(snapshots::NO_STILL, CStill::from);
        // SAFETY: says the caller.
        unsafe { text::put(last, info) };
        Ok(())
    })
}

/// What opening has restored.
///
/// # Safety
/// `restored` is null or a place for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_get_restored(restored: *mut CRestored) -> c_int {
    coded(|| {
        let place = text::wanted("`restored`", restored)?;
        let found = open_heap::with(|heap| Ok(heap.restored().map(CRestored::from)))?;
        let nothing = || Failure::new(Code::NotFound, "nothing was restored: the heap was empty");
        // SAFETY: says the caller.
        unsafe { text::put(place, found.ok_or_else(nothing)?) };
        Ok(())
    })
}

/// What the heap holds and has done.
///
/// # Safety
/// `stats` is null or a place for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_get_stats(stats: *mut CStats) -> c_int {
    coded(|| {
        let place = text::wanted("`stats`", stats)?;
        let found = open_heap::with(|heap| Ok(CStats::of(&heap.stats(), heap.is_saving())))?;
        // SAFETY: says the caller.
        unsafe { text::put(place, found) };
        Ok(())
    })
}

/// Checks the allocator's tables.
#[unsafe(no_mangle)]
pub extern "C" fn stillheap_validate() -> c_int {
    coded(|| {
        events::outside()?;
        scopes::outside("tables cannot be checked")?;
        let damage = |damage| Failure::new(Code::Damaged, format_args!("{damage}"));
        open_heap::with(|heap| heap.validate().map_err(damage))
    })
}
