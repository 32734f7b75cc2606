//! What each thread has: its lane.
//!
//! A lane is given back by an exit hook. What the thread allocates and frees after that, in
//! destructors that come later and in the C library, borrows a lane for each call: no hook would
//! give back another.
#![allow(unsafe_code, reason = "lanes belong to threads, which no type can show")]

use crate::process::{self, Process};
use crate::tls;
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use stillheap::heap::{Heap, Lane};

/// A thread's state. It has no destructor, so it can be used at any time of the thread's life.
/// All zero, it is that of a thread that has allocated nothing.
struct ThreadState {
    /// Both, or none.
    heap: Cell<Option<&'static Heap>>,
    lane: Cell<Option<&'static Lane>>,
    phase: Cell<Phase>,
}

const _: () = assert!(size_of::<ThreadState>() <= tls::SIZE);
const _: () = assert!(align_of::<ThreadState>() <= tls::ALIGN);

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Phase {
    Running = 0,
    /// It is making the heap.
    Starting,
    /// It has given its lane back.
    Ending,
}

#[inline(always)]
fn with<R>(f: impl FnOnce(&ThreadState) -> R) -> R {
    // SAFETY: the calling thread's own, used by nobody else, and zero at first, which is a state.
    f(unsafe { &*tls::place().cast() })
}

/// Calls `f` with the heap and the calling thread's lane. `None`: there is no heap, or it is being
/// made by this thread, or there are too many threads.
#[inline]
pub(crate) fn call<R>(f: impl FnOnce(&'static Heap, &Lane) -> R) -> Option<R> {
    with(|state| match (state.lane.get(), state.heap.get()) {
        (Some(lane), Some(heap)) => Some(f(heap, lane)),
        _ => call_without_lane(state, f),
    })
}

#[cold]
#[inline(never)]
fn call_without_lane<R>(
    state: &ThreadState,
    f: impl FnOnce(&'static Heap, &Lane) -> R,
) -> Option<R> {
    match state.phase.get() {
        Phase::Starting => None,
        Phase::Running => {
            let (heap, lane) = attach(state)?;
            Some(f(heap, lane))
        }
        Phase::Ending => {
            let heap = &process::get()?.heap;
            let lane = heap.attach()?;
            let result = f(heap, lane);
            // SAFETY: the lane was taken for this call alone.
            unsafe { heap.detach(lane) };
            Some(result)
        }
    }
}

fn attach(state: &ThreadState) -> Option<(&'static Heap, &'static Lane)> {
    state.phase.set(Phase::Starting);
    let process = process::get_or_start();
    state.phase.set(Phase::Running);
    let Process { heap, exit_hook } = process?;
    let lane = heap.attach()?;
    // First: arming the hook may allocate.
    state.heap.set(Some(heap));
    state.lane.set(Some(lane));
    exit_hook.arm(NonNull::from(lane).cast());
    Some((heap, lane))
}

/// The exit hook.
pub(crate) extern "C" fn give_back(_: *mut c_void) {
    with(|state| {
        let (Some(heap), Some(lane)) = (state.heap.take(), state.lane.take()) else { return };
        state.phase.set(Phase::Ending);
        // SAFETY: the lane was this thread's, and its state no longer names it.
        unsafe { heap.detach(lane) };
    });
}

/// Says something on standard error, without allocating.
pub(crate) fn report(message: &[&str]) {
    for part in message {
        // SAFETY: writes bytes of a string; whether it succeeds matters not.
        let _ = unsafe { libc::write(libc::STDERR_FILENO, part.as_ptr().cast(), part.len()) };
    }
}

/// Sets the calling thread's `errno`.
#[cold]
pub(crate) fn set_errno(error: c_int) {
    // SAFETY: has no conditions.
    let place = unsafe { libc::__errno_location() };
    // SAFETY: points to this thread's `errno`.
    unsafe { place.write(error) };
}
