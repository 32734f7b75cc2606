//! The threads: one that writes, if it does, and those that read.

use crate::hours::Hours;
use crate::random::Random;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) const POINTS: usize = 1_000_000;

/// A tree that threads share.
pub(crate) trait Shared: Sync {
    fn insert(&self, at: [f64; 2], value: u64);
    fn relocate(&self, from: [f64; 2], value: u64, to: [f64; 2]);
    fn window(&self, min: [f64; 2], max: [f64; 2]) -> u64;
    fn nearest(&self, at: [f64; 2]) -> u64;
}

/// All calls of either kind.
pub(crate) struct Outcome {
    pub(crate) reads: Hours,
    pub(crate) writes: Hours,
}

/// Where point `number` is before it has been moved.
fn place(number: usize) -> [f64; 2] {
    let mut random = Random::new(number as u64);
    [random.unit(), random.unit()]
}

pub(crate) fn fill(tree: &impl Shared) {
    (0..POINTS).for_each(|number| tree.insert(place(number), number as u64));
}

pub(crate) fn run(tree: &impl Shared, readers: u64, writes: bool, time: Duration) -> Outcome {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| if writes { write(tree, &done) } else { Hours::new() });
        let readers: Vec<_> = (0..readers)
            .map(|reader| {
                let done = &done;
                scope.spawn(move || read(tree, reader, done))
            })
            .collect();
        thread::sleep(time);
        done.store(true, Ordering::Relaxed);
        let mut reads = Hours::new();
        for reader in readers {
            reads.add(&reader.join().expect("no reader panics"));
        }
        Outcome { reads, writes: writer.join().expect("the writer does not panic") }
    })
}

/// Moves points a short way out, and back.
fn write(tree: &impl Shared, done: &AtomicBool) -> Hours {
    let mut hours = Hours::new();
    let mut random = Random::new(1);
    let way = 1.0 / (POINTS as f64).sqrt();
    while !done.load(Ordering::Relaxed) {
        let number = random.below(POINTS);
        let home = place(number);
        let away = home.map(|at| at + (random.unit() - 0.5) * way);
        for (from, to) in [(home, away), (away, home)] {
            let start = Instant::now();
            tree.relocate(from, number as u64, to);
            hours.note(start.elapsed());
        }
    }
    hours
}

fn read(tree: &impl Shared, reader: u64, done: &AtomicBool) -> Hours {
    let mut hours = Hours::new();
    let mut random = Random::new(100 + reader);
    let reach = (10.0 / POINTS as f64).sqrt() / 2.0;
    let mut sum = 0;
    while !done.load(Ordering::Relaxed) {
        let at = [random.unit(), random.unit()];
        let start = Instant::now();
        sum ^= if hours.calls().is_multiple_of(2) {
            tree.window(at.map(|at| at - reach), at.map(|at| at + reach))
        } else {
            tree.nearest(at)
        };
        hours.note(start.elapsed());
    }
    std::hint::black_box(sum);
    hours
}
