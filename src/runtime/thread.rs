//! What each thread has: its lane, and whether it is in a scope or allocates transiently.
//!
//! The state has no destructor, so it can be used at any time of a thread's life, also by
//! destructors of other thread-locals. The lane is given back by an exit hook, which runs
//! after those. What the thread allocates and frees after that, in destructors that the C library
//! calls later, borrows a lane for each call: the hook might not be called again.
#![allow(unsafe_code, reason = "lanes belong to threads, which no type can show")]

use crate::base::{PageIndex, PageRun};
use crate::heap::Lane;
use crate::runtime::pages;
use crate::runtime::process::{self, Process};
use std::cell::Cell;
use std::ptr::{self, NonNull};

/// A thread's state.
pub(super) struct ThreadState {
    /// The thread's lane, unless it allocates transiently.
    at_hand: Cell<Option<&'static Lane>>,
    lane: Cell<Option<&'static Lane>>,
    /// Nothing is at hand: each call looks at the defences.
    is_defended: Cell<bool>,
    /// Its exit hook has run.
    is_ending: Cell<bool>,
    /// How many scopes the thread is in.
    pub(super) scopes: Cell<u32>,
    /// Writes to tracked blocks that began in the thread's scopes.
    pub(super) unended: Unended,
    /// Whether the thread is in a `transient` call.
    transient: Cell<bool>,
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
            at_hand: Cell::new(None),
            lane: Cell::new(None),
            is_defended: Cell::new(false),
            is_ending: Cell::new(false),
            scopes: Cell::new(0),
            unended: Unended::new(),
            transient: Cell::new(false),
            holds: Cell::new(0),
            bounced: Cell::new(0),
            bounce: Cell::new(0),
            uses_left: Cell::new(0),
            chance: Cell::new(0),
        }
    };
}

/// Runs of pages whose writes have begun and not ended, the newest last.
pub(super) struct Unended {
    len: Cell<usize>,
    /// The first `len` count.
    runs: [Cell<PageRun>; UNENDED],
}

/// As many as there is room for: guards are hardly ever held by the dozen.
const UNENDED: usize = 16;

impl Unended {
    const fn new() -> Self {
        const NO_RUN: PageRun = PageRun { first: PageIndex(0), count: 0 };
        Self { len: Cell::new(0), runs: [const { Cell::new(NO_RUN) }; UNENDED] }
    }

    /// Notes that a write has begun. `false`: there is no room for one more.
    #[inline]
    pub(super) fn add(&self, run: PageRun) -> bool {
        let len = self.len.get();
        let Some(place) = self.runs.get(len) else { return false };
        place.set(run);
        self.len.set(len + 1);
        true
    }

    /// Notes that a write has ended. `false`: it is not known here.
    #[inline]
    pub(super) fn end(&self, run: PageRun) -> bool {
        let len = self.len.get();
        let Some(place) = self.runs[..len].iter().rposition(|known| known.get() == run) else {
            return false;
        };
        self.runs[place].set(self.runs[len - 1].get());
        self.len.set(len - 1);
        true
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    /// Takes them all out.
    pub(super) fn take_all(&self, take: impl FnMut(PageRun)) {
        let len = self.len.replace(0);
        self.runs[..len].iter().map(Cell::get).for_each(take);
    }
}

const _: () = assert!(!std::mem::needs_drop::<ThreadState>(), "it lasts as long as its thread");

/// Calls `f` with the calling thread's state.
#[inline]
pub(super) fn with<R>(f: impl FnOnce(&ThreadState) -> R) -> R {
    // So little is done in `LocalKey::with` that the compiler puts it in place, and then `f`.
    let state = STATE.with(ptr::from_ref);
    // SAFETY: of this thread, which goes on; nothing drops it.
    f(unsafe { &*state })
}

impl ThreadState {
    /// The thread's lane, if it has one and does not allocate transiently.
    #[inline]
    pub(super) fn lane_at_hand(&self) -> Option<&'static Lane> {
        self.at_hand.get()
    }

    /// Whether the thread is in a `transient` call.
    #[inline]
    pub(super) fn is_transient(&self) -> bool {
        self.transient.get()
    }

    /// Sets whether the thread is in a `transient` call. Gives whether it was.
    pub(super) fn set_transient(&self, transient: bool) -> bool {
        let is_at_hand = !transient && !self.is_defended.get();
        self.at_hand.set(self.lane.get().filter(|_| is_at_hand));
        self.transient.replace(transient)
    }

    /// Whether the thread is in a scope.
    #[inline]
    pub(super) fn is_scoped(&self) -> bool {
        self.scopes.get() > 0
    }

    /// Calls `f` with a lane that is the thread's, at least for this call. `None`: there are too
    /// many threads.
    #[inline]
    pub(super) fn with_lane<R>(
        &self,
        process: &'static Process,
        f: impl FnOnce(&'static Lane) -> R,
    ) -> Option<R> {
        let lane = match self.lane.get() {
            Some(lane) => lane,
            None => self.lane_for_call(process)?,
        };
        let result = f(lane);
        if self.is_ending.get() {
            self.end_call(process, lane);
        }
        Some(result)
    }

    #[cold]
    #[inline(never)]
    fn lane_for_call(&self, process: &'static Process) -> Option<&'static Lane> {
        if self.is_ending.get() { process.heap.attach() } else { self.attach(process) }
    }

    #[cold]
    #[inline(never)]
    fn end_call(&self, process: &Process, lane: &Lane) {
        // A scope may have taken one to be kept.
        if self.lane.get().is_none() {
            // SAFETY: the lane was taken for this call alone.
            unsafe { detach(process, lane) };
        }
    }

    /// The thread's lane, to be kept. `None`: there are too many threads.
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
        self.is_defended.set(process.defence.is_some());
        self.set_transient(self.transient.get());
        process.exit_hook.arm(NonNull::from(lane).cast());
        Some(lane)
    }
}

/// The exit hook.
pub(super) extern "C" fn give_back(_: *mut std::ffi::c_void) {
    let Some(process) = process::get() else { return };
    with(|state| {
        let Some(lane) = state.lane.take() else { return };
        state.at_hand.set(None);
        state.is_ending.set(true);
        state.bounce.set(0);
        // A scope that was leaked ends with its thread.
        pages::hold_unended(process, state);
        state.scopes.set(0);
        // SAFETY: the lane was this thread's, and its state no longer names it.
        unsafe { detach(process, lane) };
    });
}

/// Gives a lane back. That is an allocator call like others: it passes the gate.
///
/// # Safety
/// The calling thread holds the lane, and does not use it any more.
unsafe fn detach(process: &Process, lane: &Lane) {
    process.gate.enter_call(lane.pass());
    // SAFETY: says the caller.
    unsafe { process.heap.retire(lane) };
    process.gate.leave_call(lane.pass());
    // Only now: whoever takes the lane takes its pass.
    // SAFETY: as above, and it has been retired.
    unsafe { process.heap.make_idle(lane) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_end_in_any_order() {
        let run = |first| PageRun { first: PageIndex(first), count: 2 };
        let room = u32::try_from(UNENDED).unwrap();
        let unended = Unended::new();
        assert!(!unended.end(run(1)));
        for first in 0..room {
            assert!(unended.add(run(first)));
        }
        assert!(!unended.add(run(99)), "there is no more room");
        assert!(unended.end(run(3)) && !unended.end(run(3)) && unended.end(run(0)));
        // Twice the same: the first guard was leaked.
        assert!(unended.add(run(5)) && unended.end(run(5)));
        let mut rest = Vec::new();
        unended.take_all(|run| rest.push(run.first.0));
        rest.sort_unstable();
        assert_eq!(rest, [&[1, 2][..], &(4..room).collect::<Vec<_>>()].concat());
        assert!(unended.is_empty());
    }
}
