//! How many pages a snapshot after every so many operations would have to save.

mod aside;
mod kernel;
mod maps;
mod mixes;
mod watch;

use crate::Error;
use mixes::Mix;
use std::ops::Range;
use watch::{Counts, Watch};

pub use kernel::set_huge_pages;

/// The mixes of operations.
pub const MIXES: [&str; 6] =
    ["replace", "free_only", "tree", "lifetimes", "lifetimes_in_root", "lifetimes_apart"];
/// Operations between two snapshots, and how many of those there are.
pub const INTERVALS: [(usize, usize); 2] = [(1_000, 20), (100_000, 4)];

/// What a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// What a snapshot saves.
    Saved,
    /// That, and it is known to be the allocator's tables.
    Tables,
    /// What is known not to be saved: it is derived again.
    Transient,
}

/// Says what the page at an address in a mapping belongs to.
pub type PartOf = fn(usize, &Range<usize>) -> Part;

/// Calls what it is given.
pub type RootChange = fn(&mut dyn FnMut());

/// Runs one mix and prints what was written, or `unavailable 1`.
pub(crate) fn run(mix: &str, part_of: PartOf, change_root: RootChange) -> Result<(), Error> {
    if !kernel::has_small_pages_only() {
        return Err("pages of 4 KiB can be counted only where there are no huge ones".into());
    }
    let mut mix = Mix::prepare(mix, change_root)?;
    let Some(mut watch) = Watch::open()? else {
        println!("unavailable 1");
        return Ok(());
    };
    let mut sums = [Counts::default(); INTERVALS.len()];
    for ((operations, count), sum) in INTERVALS.into_iter().zip(&mut sums) {
        watch.count(part_of)?;
        for _ in 0..count {
            (0..operations).for_each(|_| mix.step());
            let counts = watch.count(part_of)?;
            sum.saved += counts.saved;
            sum.saved_chunks += counts.saved_chunks;
            sum.tables += counts.tables;
            sum.transient += counts.transient;
        }
    }
    for ((operations, count), sum) in INTERVALS.into_iter().zip(sums) {
        let thousands = (operations * count) as f64 / 1000.0;
        let tell = |name, value: u64| println!("{name}_{operations} {}", value as f64 / thousands);
        tell("dirty_pages", sum.saved);
        tell("dirty_chunks", sum.saved_chunks);
        tell("dirty_tables", sum.tables);
        tell("dirty_side", sum.transient);
    }
    Ok(())
}
