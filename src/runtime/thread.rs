//! What each thread has: its lane, and whether it is in a scope or allocates transiently.
//!
//! The state has no destructor, so it can be used at any time of a thread's life, also by
//! destructors of other thread-locals. The lane is given back by an exit hook, which runs
//! after those; if a later destructor allocates again, the thread takes a lane again.
#![allow(unsafe_code, reason = "lanes belong to threads, which no type can show")]

use crate::heap::Lane;
use crate::runtime::process::{self, Process};
use std::cell::Cell;
use std::ptr::NonNull;

/// A thread's state.
pub(super) struct ThreadState {
    lane: Cell<Option<&'static Lane>>,
    /// How many scopes the thread is in.
    pub(super) scopes: Cell<u32>,
    /// How many `transient` calls the thread is in.
    pub(super) transient: Cell<u32>,
    /// How many roots the thread holds, for reading or writing.
    pub(super) holds: Cell<u32>,
    /// How much of its buffer for system calls is in use.
    pub(super) bounced: Cell<usize>,
    /// Where that buffer lies; 0: not asked for yet.
    pub(super) bounce: Cell<usize>,
    /// How many uses of blocks to pass over before the next one that is looked at.
    pub(super) uses_left: Cell<u32>,
    /// Decides how many there are; 0: nothing has yet.
    pub(super) chance: Cell<u32>,
}

thread_local! {
    static STATE: ThreadState = const {
        ThreadState {
            lane: Cell::new(None),
            scopes: Cell::new(0),
            transient: Cell::new(0),
            holds: Cell::new(0),
            bounced: Cell::new(0),
            bounce: Cell::new(0),
            uses_left: Cell::new(0),
            chance: Cell::new(0),
        }
    };
}

/// Calls `f` with the calling thread's state.
#[inline]
pub(super) fn with<R>(f: impl FnOnce(&ThreadState) -> R) -> R {
    STATE.with(f)
}

impl ThreadState {
    /// The thread's lane. `None`: there are too many threads.
    #[inline]
    pub(super) fn lane(&self, process: &'static Process) -> Option<&'static Lane> {
        match self.lane.get() {
            Some(lane) => Some(lane),
            None => self.attach(process),
        }
    }

    /// The thread's lane, if it has one.
    pub(super) fn lane_if_any(&self) -> Option<&'static Lane> {
        self.lane.get()
    }

    /// Whether others may have to wait for this thread: it is in a scope, or holds a root.
    pub(super) fn is_inside(&self) -> bool {
        self.scopes.get() > 0 || self.holds.get() > 0
    }

    #[cold]
    fn attach(&self, process: &'static Process) -> Option<&'static Lane> {
        let lane = process.heap.attach()?;
        self.lane.set(Some(lane));
        process.exit_hook.arm(NonNull::from(lane).cast());
        Some(lane)
    }
}

/// The exit hook. Giving a lane back is an allocator call like others: it passes the gate.
pub(super) extern "C" fn give_back(_: *mut std::ffi::c_void) {
    let Some(process) = process::get() else { return };
    with(|state| {
        let Some(lane) = state.lane.take() else { return };
        state.bounce.set(0);
        // A scope that was leaked ends with its thread.
        state.scopes.set(0);
        process.gate.enter_call(&lane.pass);
        // SAFETY: the lane was this thread's, and its state no longer names it.
        unsafe { process.heap.retire(lane) };
        process.gate.leave_call(&lane.pass);
        // Only now: whoever takes the lane takes its pass.
        // SAFETY: as above, and it has been retired.
        unsafe { process.heap.make_idle(lane) };
    });
}
