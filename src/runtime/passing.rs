//! The calls of the allocator that are not done with what a thread has at hand: each passes the
//! gate.
#![allow(unsafe_code, reason = "frees and resizes blocks")]

use crate::arena::Purpose;
use crate::heap::{Allocation, BadFree, Lane};
use crate::os;
use crate::runtime::process::Process;
use crate::runtime::thread;
use std::alloc::Layout;
use std::ptr::NonNull;

/// A block from the heap. `None`: it is the system's turn (see `fall_back`).
pub(super) fn allocate(
    process: Option<&'static Process>,
    layout: Layout,
    purpose: Option<Purpose>,
) -> Option<Allocation> {
    let process = process?;
    thread::with(|state| {
        if state.is_transient() {
            return None;
        }
        let scoped = state.is_scoped();
        let ambient = if scoped { Purpose::Scoped } else { Purpose::Ambient };
        let purpose = purpose.unwrap_or(ambient);
        let call = |lane: &Lane| {
            passing(process, lane, scoped, || {
                // SAFETY: the lane is this thread's.
                unsafe { process.heap.allocate(lane, layout.size(), layout.align(), purpose) }
            })
        };
        state.with_lane(process, call).flatten()
    })
}

/// Frees a block of the arena.
///
/// # Safety
/// Nothing refers to the block any more.
#[inline]
pub(super) unsafe fn free(process: &'static Process, address: usize) {
    // SAFETY: passed on from the caller.
    if let Err(error) = unsafe { try_free(process, address) } {
        refuse(error, address);
    }
}

/// The same; what cannot be freed is an error.
///
/// # Safety
/// Nothing refers to the block any more.
#[inline]
pub(super) unsafe fn try_free(process: &'static Process, address: usize) -> Result<(), BadFree> {
    if let Some(defence) = &process.defence {
        // SAFETY: passed on from the caller.
        return unsafe { defence.free(process, address) };
    }
    thread::with(|state| {
        let scoped = state.is_scoped();
        let call = |lane: &Lane| {
            // SAFETY: the lane is this thread's; the rest says the caller.
            if unsafe { process.heap.free_of_other_lane(lane, address) } {
                return Ok(());
            }
            passing(process, lane, scoped, || {
                // SAFETY: as above.
                unsafe { process.heap.free(lane, address) }
            })
        };
        state.with_lane(process, call).unwrap_or(Ok(()))
    })
}

/// Calls that with the thread's lane, behind the gate. `None`: there is no lane left.
pub(super) fn behind_gate<R>(process: &'static Process, call: impl Fn(&Lane) -> R) -> Option<R> {
    thread::with(|state| {
        let pass = |lane: &Lane| passing(process, lane, state.is_scoped(), || call(lane));
        state.with_lane(process, pass)
    })
}

/// Resizes a block of the arena. `Ok(None)`: out of capacity, and the block is as it was.
///
/// # Safety
/// As for `realloc`.
pub(super) unsafe fn try_resize(
    process: &'static Process,
    block: NonNull<u8>,
    layout: Layout,
    new_size: usize,
) -> Result<Option<NonNull<u8>>, BadFree> {
    if process.defence.is_some() {
        // SAFETY: passed on from the caller.
        return unsafe { resize_defended(process, block, layout, new_size) };
    }
    thread::with(|state| {
        let scoped = state.is_scoped();
        let purpose = if scoped { Purpose::Scoped } else { Purpose::Ambient };
        let (old, align) = (layout.size(), layout.align());
        let call = |lane: &Lane| {
            passing(process, lane, scoped, || {
                // SAFETY: the lane is this thread's; the block was allocated with that layout.
                unsafe { process.heap.resize(lane, block, old, new_size, align, purpose) }
            })
        };
        state.with_lane(process, call).unwrap_or(Ok(None))
    })
}

/// As `try_resize`, by moving whatever is not of about the right size: what is left is freed in the
/// way of a process with defences.
///
/// # Safety
/// As for `realloc`.
#[cold]
unsafe fn resize_defended(
    process: &'static Process,
    block: NonNull<u8>,
    layout: Layout,
    new_size: usize,
) -> Result<Option<NonNull<u8>>, BadFree> {
    let (address, old_size) = (block.addr().get(), layout.size());
    let room = process.heap.usable_size(address)?;
    if new_size <= room && new_size > room / 2 {
        if let Some(defence) = process.defence.as_ref().filter(|_| new_size < old_size) {
            behind_gate(process, |_| {
                defence.erase(process, address + new_size, old_size - new_size);
            });
        }
        return Ok(Some(block));
    }
    let wanted = Layout::from_size_align(new_size, layout.align()).ok();
    let Some(moved) = wanted.and_then(|wanted| allocate(Some(process), wanted, None)) else {
        return Ok(None);
    };
    // SAFETY: both blocks hold the shorter length, and a new block overlaps no old one.
    unsafe { moved.block.copy_from_nonoverlapping(block, layout.size().min(new_size)) };
    // SAFETY: the old block is the caller's and is not used any more.
    unsafe { try_free(process, block.addr().get())? };
    Ok(Some(moved.block))
}

/// Runs an allocator call, outside scopes behind the gate; a scope is behind it already.
#[inline]
pub(super) fn passing<R>(
    process: &Process,
    lane: &Lane,
    scoped: bool,
    call: impl FnOnce() -> R,
) -> R {
    if scoped {
        return call();
    }
    process.gate.enter_call(lane.pass());
    let result = call();
    process.gate.leave_call(lane.pass());
    result
}

/// Ends the process: what is to be freed cannot be.
#[cold]
pub(super) fn refuse(error: BadFree, address: usize) -> ! {
    let what = match error {
        BadFree::Foreign => "the address does not lie in the heap",
        BadFree::NoBlock => "no block starts there",
        BadFree::Free => "the block is free already (a double free)",
    };
    let mut digits = [0; 16];
    os::fatal(&["stillheap: cannot free 0x", os::hex(address, &mut digits), ": ", what, "\n"])
}
