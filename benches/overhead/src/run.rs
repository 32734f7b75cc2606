//! Running a workload for a while.

use crate::Error;
use crate::dice::Dice;
use std::hint::black_box;
use std::time::{Duration, Instant};
use stillheap::{Durable, Root};

/// Operations between two looks at the clock.
const BATCH: u64 = 64;

/// Where the data lives.
pub trait Home<T> {
    /// Changes it.
    fn write<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R;
    /// Looks at it.
    fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R;
}

/// A plain value.
#[derive(Default)]
pub struct Local<T>(T);

impl<T> Home<T> for Local<T> {
    fn write<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut self.0)
    }

    fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.0)
    }
}

/// The value of a root.
pub struct Kept<T>(pub Root<T>);

impl<T: Durable> Home<T> for Kept<T> {
    fn write<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        self.0.write(change)
    }

    fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        self.0.read(look)
    }
}

/// Data and what is done to it.
pub trait Workload: Durable + Default + Send + Sync {
    /// Fills it to its steady size.
    fn fill(home: &mut impl Home<Self>, dice: &mut Dice);
    /// One operation; gives something that depends on what was found.
    fn step(home: &mut impl Home<Self>, dice: &mut Dice) -> u64;
}

/// How long things take.
#[derive(Clone, Copy)]
pub struct Durations {
    /// Steps that are not counted.
    pub warm_up: Duration,
    /// Steps that are.
    pub measured: Duration,
}

/// The command line of the programs that the parent starts: workload, way, seconds measured,
/// folder.
pub struct Settings {
    /// Which workload.
    pub workload: String,
    /// Under which conditions.
    pub way: String,
    /// For how long.
    pub durations: Durations,
    /// For the heap's files.
    pub dir: String,
}

impl Settings {
    /// From this process's arguments.
    ///
    /// # Errors
    /// If they are not as above.
    pub fn from_arguments() -> Result<Self, Error> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [workload, way, seconds, dir] = &arguments[..] else {
            return Err("started by `overhead` only".into());
        };
        let measured = Duration::from_secs_f64(seconds.parse()?);
        Ok(Self {
            workload: workload.clone(),
            way: way.clone(),
            durations: Durations { warm_up: Duration::from_secs(1), measured },
            dir: dir.clone(),
        })
    }
}

/// Fills the data, warms up, calls `begin`, measures, calls `end`, and prints operations a second.
///
/// # Errors
/// Those of `begin` and `end`.
pub fn measure<T: Workload, S>(
    home: &mut impl Home<T>,
    durations: Durations,
    begin: impl FnOnce() -> Result<S, Error>,
    end: impl FnOnce(S) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut dice = Dice::new();
    T::fill(home, &mut dice);
    steps(home, &mut dice, durations.warm_up);
    let begun = begin()?;
    let rate = steps(home, &mut dice, durations.measured);
    println!("throughput {rate:.0}");
    println!("resident {}", resident_mib());
    end(begun)
}

fn steps<T: Workload>(home: &mut impl Home<T>, dice: &mut Dice, wanted: Duration) -> f64 {
    let start = Instant::now();
    let mut operations = 0;
    loop {
        for _ in 0..BATCH {
            black_box(T::step(home, dice));
        }
        operations += BATCH;
        let elapsed = start.elapsed();
        if elapsed >= wanted {
            return operations as f64 / elapsed.as_secs_f64();
        }
    }
}

/// MiB of this process in memory.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) >> 8
}
