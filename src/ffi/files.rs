//! What the heap's directory has: earlier snapshots.
#![allow(unsafe_code, reason = "functions for C read and write where it says")]

use crate::SnapshotInfo;
use crate::ffi::calls::coded;
use crate::ffi::structs::CSnapshot;
use crate::ffi::{events, open_heap, scopes, text};
use std::ffi::c_int;

/// The snapshots that there are, oldest first.
///
/// # Safety
/// `list` is null or has room for `room` of them; `count` is null or a place for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_list_snapshots(
    list: *mut CSnapshot,
    room: usize,
    count: *mut usize,
) -> c_int {
    coded(|| {
        let found: Vec<SnapshotInfo> = open_heap::with(|heap| Ok(heap.snapshots()))?;
        // SAFETY: says the caller.
        unsafe { text::put_list(found.iter().map(CSnapshot::from), list, room, count) }
    })
}

/// Reads and verifies every page of a snapshot.
///
/// # Safety
/// `pages` is null or a place for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_verify(number: u64, pages: *mut u64) -> c_int {
    coded(|| {
        events::outside()?;
        let verified = open_heap::with(|heap| Ok(heap.verify(number)?))?;
        // SAFETY: says the caller.
        unsafe { text::put(pages, verified) };
        Ok(())
    })
}

/// Merges the newest snapshot's files into one.
#[unsafe(no_mangle)]
pub extern "C" fn stillheap_compact() -> c_int {
    coded(|| {
        events::outside()?;
        open_heap::with(|heap| Ok(heap.compact().map(|_| ())?))
    })
}

/// Closes the heap without a last snapshot, and makes an older one the next that is opened.
#[unsafe(no_mangle)]
pub extern "C" fn stillheap_revert(number: u64) -> c_int {
    coded(|| {
        events::outside()?;
        scopes::outside("a heap cannot be reverted")?;
        Ok(open_heap::take()?.revert(number)?)
    })
}
