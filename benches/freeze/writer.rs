//! The writer: one thread that runs steps of a load at full speed.
//!
//! Invariant: between steps it touches its stack and the timeline only, never the heap.

use crate::dice::{Dice, Zipf};
use crate::histogram::Histogram;
use crate::loads::Load;
use crate::timeline::Timeline;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use stillheap::Root;

/// Set while a snapshot is under way, by who asks for it.
pub(crate) static DURING: AtomicBool = AtomicBool::new(false);
static STOP: AtomicBool = AtomicBool::new(false);

/// Where a load lives, and how a scope on it is entered.
pub(crate) trait Home<L>: Send {
    fn write<R>(&mut self, change: impl FnOnce(&mut L) -> R) -> R;
}

impl<L: Load> Home<L> for Root<L> {
    fn write<R>(&mut self, change: impl FnOnce(&mut L) -> R) -> R {
        Root::write(self, change)
    }
}

/// Fills the heap.
pub(crate) fn build<L: Load>(home: &mut impl Home<L>, target: usize) {
    let mut dice = Dice::new();
    while home.write(|load| load.grow(target, &mut dice)) {}
}

/// Runs steps until [`stop`]. Gives how long they took, outside and during snapshots.
pub(crate) fn run<L: Load>(
    mut home: impl Home<L>,
    zipf: Option<&Zipf>,
    timeline: &Timeline,
) -> [Histogram; 2] {
    let mut dice = Dice::new();
    let mut histograms = [Histogram::new(), Histogram::new()];
    let mut last = timeline.now();
    while !STOP.load(Relaxed) {
        home.write(|load| load.step(&mut dice, zipf));
        let now = timeline.now();
        timeline.note(now, now - last);
        histograms[usize::from(DURING.load(Relaxed))].note(now - last);
        last = now;
    }
    histograms
}

/// Ends [`run`].
pub(crate) fn stop() {
    STOP.store(true, Relaxed);
}
