//! The peers' gate: as stillheap's, for one writer.
//!
//! Its words are statics and its sleep is a futex, so that a writer can wait at it while the
//! heap is protected.

use crate::loads::Load;
use crate::writer::Home;
use std::hint;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use stillheap::os::{futex_wait, futex_wake_all};

const OPEN: u32 = 0;
const CLOSED: u32 = 1;

static GATE: AtomicU32 = AtomicU32::new(OPEN);
static INSIDE: AtomicBool = AtomicBool::new(false);

/// A load in the heap's memory, without a root.
pub(crate) struct Held<L>(pub(crate) Box<L>);

impl<L: Load> Home<L> for Held<L> {
    fn write<R>(&mut self, change: impl FnOnce(&mut L) -> R) -> R {
        INSIDE.store(true, SeqCst);
        while GATE.load(SeqCst) == CLOSED {
            INSIDE.store(false, SeqCst);
            futex_wait(&GATE, CLOSED);
            INSIDE.store(true, SeqCst);
        }
        let result = change(&mut self.0);
        INSIDE.store(false, SeqCst);
        result
    }
}

/// Returns when the writer has stopped.
pub(crate) fn close() {
    GATE.store(CLOSED, SeqCst);
    while INSIDE.load(SeqCst) {
        hint::spin_loop();
    }
}

/// Lets the writer go on.
pub(crate) fn open() {
    GATE.store(OPEN, SeqCst);
    futex_wake_all(&GATE);
}
