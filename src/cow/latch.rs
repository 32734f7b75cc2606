//! The latch between those who open guarded chunks and those who protect them.
//!
//! Opening happens in many threads at once, also inside the fault handler; protecting is one
//! thread's, and must not meet an opening half way: a chunk would stay writable unseen.
//!
//! **Invariant:** while a holder is exclusive nobody is inside, and nobody comes in. Openers
//! hold the latch for microseconds, and never while they wait for anything else.

use crate::base::sync::{AtomicU32, Ordering};
use crate::cow::gate_wait;

const EXCLUSIVE: u32 = 1 << 31;

/// A counter of those inside, and a bit that keeps others out.
#[derive(Debug)]
pub(super) struct Latch(AtomicU32);

/// Nobody is inside until this is dropped.
#[derive(Debug)]
pub(super) struct Exclusive<'a>(&'a Latch);

/// The holder is inside until this is dropped.
#[derive(Debug)]
pub(super) struct Inside<'a>(&'a Latch);

impl Latch {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Goes in, unless there is an exclusive holder.
    pub(super) fn try_enter(&self) -> Option<Inside<'_>> {
        let before = self.0.fetch_add(1, Ordering::Acquire);
        let inside = Inside(self);
        if before & EXCLUSIVE == 0 { Some(inside) } else { None }
    }

    /// Keeps everybody out, if those inside leave in time and nobody else does so already.
    pub(super) fn try_exclude(&self) -> Option<Exclusive<'_>> {
        if self.0.fetch_or(EXCLUSIVE, Ordering::Acquire) & EXCLUSIVE != 0 {
            return None;
        }
        let exclusive = Exclusive(self);
        let empty = gate_wait::until_left(|| self.0.load(Ordering::Acquire) == EXCLUSIVE);
        empty.then_some(exclusive)
    }

    /// In the child of a fork nobody is inside.
    pub(super) fn reset_in_fork(&self) {
        self.0.store(0, Ordering::Release);
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Release);
    }
}

impl Drop for Exclusive<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_and(!EXCLUSIVE, Ordering::Release);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;

    /// Two openers, one protector: they never meet.
    #[test]
    fn nobody_is_inside_beside_an_exclusive_holder() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let world = Arc::new((Latch::new(), [UnsafeCell::new(0), UnsafeCell::new(0)]));
            let openers: Vec<_> = (0..2_usize)
                .map(|place| {
                    let world = Arc::clone(&world);
                    loom::thread::spawn(move || {
                        if let Some(_inside) = world.0.try_enter() {
                            world.1[place].with_mut(|_| ());
                        }
                    })
                })
                .collect();
            if let Some(_exclusive) = world.0.try_exclude() {
                for place in &world.1 {
                    place.with(|_| ());
                }
            }
            for opener in openers {
                opener.join().unwrap();
            }
        });
    }
}
