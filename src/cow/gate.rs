//! The gate: what scopes and allocator calls pass, and what a freeze closes in two steps.
//!
//! ```text
//! open --> scopes closed --> all closed (`Closed` exists) --> open
//!              \---- bound passed ----\--------------------/
//! ```
//! Step 1: new scopes wait until those under way have ended (the drain); allocator calls
//! outside scopes go on, so a thread in a scope may wait for one that allocates. Step 2:
//! those calls wait, too. Each step has a bound of a millisecond, after which the gate opens
//! again and the freeze is tried later: so a scope that lasts, or that waits for a lock whose
//! holder waits here, delays the freeze and nobody else. (Threads with scopes of many
//! milliseconds each, one after the other, can delay it for long: all have to end in the bound.)
//!
//! **Invariant:** while `Closed` exists no pass is in a scope or a call. It rests on this: a
//! thread announces itself in its pass, then looks at the gate's word; a freeze sets the
//! word, then looks at the passes. With a full fence between the two on both sides one of
//! them sees the other (Dekker). The thread's fence is the expensive one, so where the system
//! has `membarrier` the freeze executes it on the threads' behalf.
//!
//! Entering and leaving allocates nothing and never panics: it happens inside `alloc`.

use crate::base::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use crate::cow::gate_wait;
use std::time::{Duration, Instant};

/// Bits of the gate's word.
const SCOPES_CLOSED: u32 = 1;
const CALLS_CLOSED: u32 = 2;

/// States of a pass.
const OUTSIDE: u32 = 0;
const IN_CALL: u32 = 1;
const IN_SCOPE: u32 = 2;

/// What scopes and allocator calls pass.
#[derive(Debug)]
pub struct Gate {
    word: AtomicU32,
    /// Whether freezes execute the threads' fences.
    asymmetric: bool,
    retries: AtomicU64,
    /// Whether somebody is closing it, or has.
    closing: AtomicBool,
}

/// A thread's way through the gate. All zero: the thread is outside.
#[derive(Debug)]
pub struct Pass(AtomicU32);

/// The gate, closed: nobody is in a scope or an allocator call. It opens when this is dropped.
#[derive(Debug)]
pub struct Closed<'a> {
    gate: &'a Gate,
    drain: Duration,
    since: Instant,
    _closing: Closing<'a>,
}

/// The right to close the gate.
#[derive(Debug)]
struct Closing<'a>(&'a Gate);

impl Gate {
    /// An open gate. Registers the process for `membarrier`, if the system has it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
            asymmetric: can_fence_others(),
            retries: AtomicU64::new(0),
            closing: AtomicBool::new(false),
        }
    }

    /// Enters a thread's outermost scope, after a freeze that is under way.
    #[inline]
    pub fn enter_scope(&self, pass: &Pass) {
        self.enter(pass, IN_SCOPE, SCOPES_CLOSED | CALLS_CLOSED);
    }

    /// As [`Gate::enter_scope`], if no freeze is under way; else the thread stays outside.
    #[inline]
    pub fn try_enter_scope(&self, pass: &Pass) -> bool {
        self.try_enter(pass, IN_SCOPE, SCOPES_CLOSED | CALLS_CLOSED)
    }

    /// Leaves a thread's outermost scope.
    #[inline]
    pub fn leave_scope(&self, pass: &Pass) {
        pass.0.store(OUTSIDE, Ordering::Release);
    }

    /// Enters an allocator call outside scopes. (Inside a scope there is nothing to enter.)
    #[inline]
    pub fn enter_call(&self, pass: &Pass) {
        self.enter(pass, IN_CALL, CALLS_CLOSED);
    }

    /// Leaves an allocator call.
    #[inline]
    pub fn leave_call(&self, pass: &Pass) {
        pass.0.store(OUTSIDE, Ordering::Release);
    }

    #[inline]
    fn enter(&self, pass: &Pass, state: u32, closed: u32) {
        if !self.try_enter(pass, state, closed) {
            self.enter_later(pass, state, closed);
        }
    }

    /// Apart, so that entering an open gate needs no registers to be saved.
    #[cold]
    #[inline(never)]
    fn enter_later(&self, pass: &Pass, state: u32, closed: u32) {
        loop {
            gate_wait::until_open(&self.word, closed);
            if self.try_enter(pass, state, closed) {
                return;
            }
        }
    }

    #[inline]
    fn try_enter(&self, pass: &Pass, state: u32, closed: u32) -> bool {
        pass.0.store(state, Ordering::Relaxed);
        self.fence_of_thread();
        let open = self.word.load(Ordering::Acquire) & closed == 0;
        if !open {
            pass.0.store(OUTSIDE, Ordering::Release);
        }
        open
    }

    /// Closes the gate, trying again until scopes and calls end in time. `passes` gives the
    /// passes of all threads, those included that came while the gate was closing. One freeze
    /// at a time; others wait. The calling thread is in no scope.
    pub fn close<'p, P>(&self, passes: impl Fn() -> P) -> Closed<'_>
    where
        P: Iterator<Item = &'p Pass>,
    {
        let closing = self.begin_closing();
        let begun = Instant::now();
        let mut attempts = 0;
        let since = loop {
            if let Some(since) = self.try_close(&passes) {
                break since;
            }
            self.retries.fetch_add(1, Ordering::Relaxed);
            gate_wait::retreat(attempts);
            attempts += 1;
        };
        Closed { gate: self, drain: since - begun, since, _closing: closing }
    }

    /// Not a lock of std's: in a fork it is free again.
    fn begin_closing(&self) -> Closing<'_> {
        let mut attempts = 0;
        while self.closing.swap(true, Ordering::Acquire) {
            gate_wait::retreat(attempts);
            attempts += 1;
        }
        Closing(self)
    }

    /// One attempt. Gives when step 2 began; otherwise the gate is open again.
    fn try_close<'p, P>(&self, passes: &impl Fn() -> P) -> Option<Instant>
    where
        P: Iterator<Item = &'p Pass>,
    {
        let drained = self.set_word(SCOPES_CLOSED)
            && gate_wait::until_left(|| passes().all(|pass| pass.state() != IN_SCOPE));
        let since = Instant::now();
        let closed = drained
            && self.set_word(SCOPES_CLOSED | CALLS_CLOSED)
            && gate_wait::until_left(|| passes().all(|pass| pass.state() == OUTSIDE));
        if !closed {
            self.open();
        }
        closed.then_some(since)
    }

    /// Opens the gate in the child of a fork, which has one thread: the passes of all others
    /// are outside, and nobody is closing it. `own` is that thread's pass.
    pub fn reset_in_fork<'p>(&self, passes: impl Iterator<Item = &'p Pass>, own: Option<&'p Pass>) {
        passes
            .filter(|pass| !own.is_some_and(|own| std::ptr::eq(*pass, own)))
            .for_each(|pass| pass.0.store(OUTSIDE, Ordering::Relaxed));
        self.word.store(0, Ordering::Release);
        self.closing.store(false, Ordering::Release);
    }

    /// Attempts to freeze that were given up because somebody did not leave in time.
    #[must_use]
    pub fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    /// Sets the word, with a full fence for this thread and the others. `false`: the system
    /// refused the others' fence, and nothing can be said of them.
    fn set_word(&self, word: u32) -> bool {
        self.word.store(word, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        !self.asymmetric || fence_others()
    }

    fn open(&self) {
        self.word.store(0, Ordering::Release);
        gate_wait::wake_all(&self.word);
    }

    #[inline]
    fn fence_of_thread(&self) {
        if self.asymmetric {
            std::sync::atomic::compiler_fence(Ordering::SeqCst);
        } else {
            fence(Ordering::SeqCst);
        }
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Pass {
    /// The pass of a thread that is outside.
    #[must_use]
    pub fn new() -> Self {
        Self(AtomicU32::new(OUTSIDE))
    }

    fn state(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }
}

impl Default for Pass {
    fn default() -> Self {
        Self::new()
    }
}

impl Closed<'_> {
    /// Opens the gate. Gives how long allocator calls have been waiting for it.
    pub fn open(self) -> Duration {
        let since = self.since;
        drop(self);
        since.elapsed()
    }

    /// How long the freeze waited for scopes to end, in all attempts and between them.
    #[must_use]
    pub fn drain(&self) -> Duration {
        self.drain
    }
}

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.closing.store(false, Ordering::Release);
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.gate.open();
    }
}

#[cfg(not(loom))]
fn can_fence_others() -> bool {
    crate::os::membarrier_register()
}

#[cfg(not(loom))]
fn fence_others() -> bool {
    crate::os::membarrier()
}

#[cfg(loom)]
fn can_fence_others() -> bool {
    false
}

#[cfg(loom)]
fn fence_others() -> bool {
    true
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;

    /// What scopes and calls change, and a freeze reads: loom reports any race on it.
    struct World {
        gate: Gate,
        passes: [Pass; 2],
        written: [UnsafeCell<u32>; 2],
    }

    fn world() -> Arc<World> {
        Arc::new(World {
            gate: Gate::new(),
            passes: [Pass::new(), Pass::new()],
            written: [UnsafeCell::new(0), UnsafeCell::new(0)],
        })
    }

    /// Waiting has no end that loom could reach: so each side makes one attempt.
    fn explore(state: u32, bits: u32) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(4);
        model.check(move || {
            let world = world();
            let threads: Vec<_> = (0..2)
                .map(|thread| {
                    let world = Arc::clone(&world);
                    loom::thread::spawn(move || {
                        let pass = &world.passes[thread];
                        if world.gate.try_enter(pass, state, bits) {
                            world.written[thread].with_mut(|_| ());
                            world.gate.leave_call(pass);
                        }
                    })
                })
                .collect();
            if world.gate.try_close(&|| world.passes.iter()).is_some() {
                for written in &world.written {
                    written.with(|_| ());
                }
                world.gate.open();
            }
            for thread in threads {
                thread.join().unwrap();
            }
        });
    }

    #[test]
    fn no_scope_runs_while_closed() {
        explore(IN_SCOPE, SCOPES_CLOSED | CALLS_CLOSED);
    }

    #[test]
    fn no_call_runs_while_closed() {
        explore(IN_CALL, CALLS_CLOSED);
    }
}
