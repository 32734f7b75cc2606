//! Scopes, and memory that is none of the heap's.
#![allow(unsafe_code, reason = "`transient` hands the duty of care to its caller")]

use crate::heap::Lane;
use crate::os;
use crate::runtime::process::{self, Process};
use crate::runtime::{pages, thread};
use std::marker::PhantomData;

/// The time in which a thread may change durable state; it ends when this is dropped.
///
/// Roots enter scopes by themselves. To enter one by hand makes several changes of several
/// roots one: no snapshot is taken between them. A snapshot waits for scopes to end, so keep
/// them short. If a panic ends a scope between two such changes, the first one stays, and
/// may be saved: only a root that panics while it is changed is poisoned.
#[derive(Debug)]
pub struct Scope {
    /// A scope ends on the thread where it began.
    not_send: PhantomData<*const ()>,
}

impl Scope {
    /// Enters a scope, after a freeze that is under way. Scopes nest; only the outermost waits.
    #[inline]
    #[must_use]
    pub fn enter() -> Self {
        Self::begin(|_, lane| lane.begun().note_change())
    }

    /// As [`Scope::enter`], for what need not be saved: a heap that saw nothing else is not
    /// saved again when it is closed.
    #[inline]
    pub(crate) fn enter_unchanging() -> Self {
        Self::begin(|_, _| ())
    }

    /// Waits for a freeze that is under way.
    #[cold]
    pub(crate) fn wait_for_freeze() {
        drop(Self::enter_unchanging());
    }

    /// As [`Scope::enter`], and counts as an operation; unless it would have to wait for a freeze.
    #[inline]
    pub(crate) fn try_enter_operation() -> Option<Self> {
        let enter = |process: &Process, lane: &Lane| process.gate.try_enter_scope(lane.pass());
        Self::begin_if(enter, count_operation)
    }

    /// As [`Scope::enter`], and counts as an operation.
    #[cfg(feature = "capi")]
    #[inline]
    pub(crate) fn enter_operation() -> Self {
        Self::begin(count_operation)
    }

    /// Ends a scope of the calling thread that was forgotten (`mem::forget`) to last until now.
    #[cfg(feature = "capi")]
    #[inline]
    pub(crate) fn end_forgotten() {
        drop(Self { not_send: PhantomData });
    }

    #[inline]
    fn begin(count: impl FnOnce(&Process, &Lane)) -> Self {
        let enter = |process: &Process, lane: &Lane| {
            process.gate.enter_scope(lane.pass());
            true
        };
        match Self::begin_if(enter, count) {
            Some(scope) => scope,
            None => unreachable!("the gate was entered"),
        }
    }

    /// `enter` is for the outermost scope; `count` runs inside the scope, if the process has a
    /// heap: no freeze misses what it counts.
    #[inline]
    fn begin_if(
        enter: impl FnOnce(&Process, &Lane) -> bool,
        count: impl FnOnce(&Process, &Lane),
    ) -> Option<Self> {
        thread::with(|state| {
            let scopes = state.scopes.get();
            let heap = heap_of(state);
            if scopes == 0
                && let Some((process, lane)) = heap
                && !enter(process, lane)
            {
                return None;
            }
            state.scopes.set(scopes + 1);
            if let Some((process, lane)) = heap {
                count(process, lane);
            }
            Some(Self { not_send: PhantomData })
        })
    }

    /// Whether the calling thread is in a scope.
    #[must_use]
    pub fn is_entered() -> bool {
        thread::with(|state| state.scopes.get() > 0)
    }
}

impl Drop for Scope {
    #[inline]
    fn drop(&mut self) {
        thread::with(|state| {
            let scopes = state.scopes.get();
            if scopes == 1 {
                // Not by arithmetic: so nothing waits for the number to be read.
                state.scopes.set(0);
                if let Some((process, lane)) = heap_of(state) {
                    if !state.unended.is_empty() {
                        pages::hold_unended(process, state);
                    }
                    process.gate.leave_scope(lane.pass());
                }
            } else {
                state.scopes.set(scopes.saturating_sub(1));
            }
        });
    }
}

#[inline]
fn count_operation(process: &Process, lane: &Lane) {
    lane.begun().note_operation();
    process.opened.trigger(process.heap.arena().cow().bell());
}

#[inline]
fn heap_of(state: &thread::ThreadState) -> Option<(&'static Process, &'static Lane)> {
    let process = process::get()?;
    match state.lane(process) {
        Some(lane) => Some((process, lane)),
        // Going on would be a scope that snapshots do not see.
        None => {
            os::fatal(&["stillheap: 65,535 threads have blocks or scopes, one more wants to\n"])
        }
    }
}

/// Counts a root that the calling thread holds, as long as it exists: meanwhile the thread must
/// not wait for a freeze, which may wait for a thread that wants the root.
#[derive(Debug)]
pub(crate) struct Holding {
    /// It ends on the thread where it began.
    not_send: PhantomData<*const ()>,
}

impl Holding {
    #[inline]
    pub(crate) fn begin() -> Self {
        thread::with(|state| state.holds.set(state.holds.get() + 1));
        Self { not_send: PhantomData }
    }
}

impl Drop for Holding {
    #[inline]
    fn drop(&mut self) {
        thread::with(|state| state.holds.set(state.holds.get().saturating_sub(1)));
    }
}

/// Runs `f` with the calling thread's allocations coming from the system's allocator, not
/// from the heap: for caches and buffers that no snapshot needs to hold.
///
/// Such memory may be freed anywhere and at any time. Memory that is resized outside of
/// `transient` moves into the heap.
///
/// # Safety
/// Nothing that `f` allocates may ever be reachable from a root: after a restart it would
/// dangle. This concerns every value that leaves `f`, and what other values it is moved into.
pub unsafe fn transient<R>(f: impl FnOnce() -> R) -> R {
    struct Leave(bool);
    impl Drop for Leave {
        fn drop(&mut self) {
            thread::with(|state| state.set_transient(self.0));
        }
    }
    let _leave = Leave(thread::with(|state| state.set_transient(true)));
    f()
}

/// Runs `f` with allocations coming from the heap again, inside `transient`.
pub(super) fn not_transient<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            thread::with(|state| state.set_transient(self.0));
        }
    }
    let _restore = Restore(thread::with(|state| state.set_transient(false)));
    f()
}
