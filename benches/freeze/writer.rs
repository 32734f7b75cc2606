//! The writer: one thread that runs steps of a load at full speed.
//!
//! Invariant: between steps it touches its stack and the timeline only, never the heap.

use crate::dice::{Dice, Zipf};
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

/// Counts of durations, in steps of an eighth of their size.
pub(crate) struct Histogram {
    counts: [u64; 8 * 64],
}

impl Histogram {
    fn new() -> Self {
        Self { counts: [0; 8 * 64] }
    }

    fn note(&mut self, nanoseconds: u64) {
        let power = (nanoseconds | 8).ilog2();
        let eighth = ((nanoseconds | 8) >> (power - 3)) & 7;
        self.counts[(power * 8) as usize + eighth as usize] += 1;
    }

    /// The duration that this part of all does not exceed, in microseconds.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let total: u64 = self.counts.iter().sum();
        let wanted = (total as f64 * part).ceil() as u64;
        let mut sum = 0;
        let reached = |&count: &u64| {
            sum += count;
            sum >= wanted
        };
        let place = self.counts.iter().position(reached).unwrap_or(0);
        let power = (place / 8) as f64;
        2_f64.powf(power) * (1.0 + (place % 8 + 1) as f64 / 8.0) / 1000.0
    }
}
