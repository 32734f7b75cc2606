//! What a program with an allocator of its own does: one shape, or one mix of operations, once, in
//! a process of its own.
//!
//! It prints a line `NAME VALUE` for each figure.

use crate::dirty::{self, PartOf, RootChange};
use crate::plan::Plan;
use crate::{Error, SHAPES, memory};
use std::thread;
use std::time::Duration;

/// Does what this process's arguments say: `SHAPE THREADS EFFORT PAUSE`, the last in milliseconds,
/// or `dirty MIX`. `part_of` says what of the allocator's memory a snapshot saves; `change_root`
/// calls what it is given, in a change to a heap's root where there is one.
///
/// # Errors
/// If they say something else, or the system does not tell how much memory there is.
pub fn run(part_of: PartOf, change_root: RootChange) -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (shape, threads, effort, pause) = match &arguments[..] {
        [dirty, mix] if dirty == "dirty" => return dirty::run(mix, part_of, change_root),
        [shape, threads, effort, pause] => (shape, threads, effort, pause),
        _ => return Err("started by `alloc` only".into()),
    };
    let shape = SHAPES.iter().find(|known| known.name == shape).ok_or("there is no such shape")?;
    let plan = Plan { threads: threads.parse()?, effort: effort.parse()? };
    let done = (shape.run)(&plan);
    println!("mops {}", done.operations as f64 / done.elapsed.as_secs_f64() / 1e6);
    println!("seconds {}", done.elapsed.as_secs_f64());
    println!("rss_peak {}", memory::peak_mib()?);
    thread::sleep(Duration::from_millis(pause.parse()?));
    println!("rss_after {}", memory::resident_mib()?);
    drop(done.kept);
    Ok(())
}
