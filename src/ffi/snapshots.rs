//! Taking snapshots, and waiting until they are durable.
#![allow(unsafe_code, reason = "functions for C read and write where it says")]

use crate::Still;
use crate::ffi::calls::coded;
use crate::ffi::codes::Code;
use crate::ffi::failure::Failure;
use crate::ffi::structs::CStill;
use crate::ffi::{events, open_heap, scopes, text};
use std::collections::VecDeque;
use std::ffi::c_int;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The snapshots that were asked for here, which can still be waited for; the newest last.
static TAKEN: Mutex<VecDeque<Still>> = Mutex::new(VecDeque::new());
/// How many there are at most.
const KEPT: usize = 1024;

/// What is told of no snapshot.
pub(super) const NO_STILL: CStill = CStill {
    number: 0,
    is_delta: 0,
    pause_ns: 0,
    drain_ns: 0,
    window_ns: 0,
    saving_ns: 0,
    dirty_pages: 0,
    dirty_chunks: 0,
    faults: 0,
    pages_copied: 0,
    stage_high_water: 0,
    stalls: 0,
    pages: 0,
    bytes: 0,
    operations: 0,
    frozen_at_ns: 0,
};

fn taken() -> MutexGuard<'static, VecDeque<Still>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a snapshot: waits for its freeze, not for the disk.
///
/// # Safety
/// `number` is null or a place for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_snapshot(number: *mut u64) -> c_int {
    coded(|| {
        events::outside()?;
        scopes::outside("a snapshot cannot be taken")?;
        let still = open_heap::with(|heap| Ok(heap.snapshot()?))?;
        // SAFETY: says the caller.
        unsafe { text::put(number, still.number()) };
        let mut taken = taken();
        // Several who ask together get the same one; and a number that has failed is given again.
        taken.retain(|known| known.number() != still.number());
        if taken.len() == KEPT {
            taken.pop_front();
        }
        taken.push_back(still);
        Ok(())
    })
}

/// Waits until a snapshot of this run is durable.
///
/// # Safety
/// `still` is null or a place for the answer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_wait_durable(number: u64, still: *mut CStill) -> c_int {
    coded(|| {
        events::outside()?;
        let known = taken().iter().rfind(|known| known.number() == number).cloned();
        let info = match known {
            Some(known) => CStill::from(&known.wait_durable()?),
            // A trigger has asked for it.
            None => open_heap::with(|heap| {
                let found = heap.taken().into_iter().find(|info| info.number == number);
                found.as_ref().map(CStill::from).ok_or_else(|| unknown(number))
            })?,
        };
        // SAFETY: says the caller.
        unsafe { text::put(still, info) };
        Ok(())
    })
}

fn unknown(number: u64) -> Failure {
    Failure::new(
        Code::NotFound,
        format_args!(
            "stillheap_snapshot has given no number {number} in this run, or more than {KEPT} \
             snapshots ago"
        ),
    )
}
