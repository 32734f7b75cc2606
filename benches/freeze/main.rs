//! What a snapshot costs a program that goes on writing: stillheap beside `fork` and beside
//! stopping for a copy.
//!
//! `cargo bench --bench freeze` takes heaps of 256 MiB, 1, 4 and 8 GiB (20 GiB of memory and
//! of disk in `$TMPDIR`); `-- --quick` the first two. `--load NAME` (tracked, uniform, zipf),
//! `--size MIB`, `--way NAME` (ours, fork, fork_huge, stopcopy) and `--snapshots N` choose;
//! `--stage MIB` gives our stage another bound than its default.
//!
//! Each load, size and way is a process of its own with one writer at full speed. The ways:
//! - `ours`: stillheap's snapshots;
//! - `fork`: the writer is stopped for `fork()`, the child writes all memory to a file, with
//!   pages of 4 KiB, as Redis asks for;
//! - `fork_huge`: the same with huge pages; the kernel splits each that is written to while the
//!   child lives, so that `first_pause_us` is the only one over huge pages alone;
//! - `stopcopy`: the writer is stopped while all memory is protected, copied and unprotected.
//!
//! Prints `metric freeze.<load>.<size>.<what> VALUE UNIT`, with the way before `<what>` if it
//! is not ours, over all snapshots but the first: the median of pauses, windows, throughputs
//! and faults, and the longest pause, drain and operation. `in_window_throughput` is inside
//! over outside, and 1 is best. `ratio freeze.<load>.<size>.<way>_pause_over_ours`: above 1,
//! ours is shorter. First of all, `freeze.gate.scope_ns` is the cost of the gate without a freeze.
#![allow(clippy::cast_possible_truncation, reason = "durations and sizes of a bench are small")]

mod dice;
mod entry;
mod gate;
#[path = "../shared/histogram.rs"]
#[allow(dead_code, reason = "this bench has one thread that measures, and nothing to add up")]
mod histogram;
mod loads;
mod memory;
mod ours;
mod peers;
mod plan;
mod report;
mod timeline;
mod writer;

use plan::{Job, Kind, Way};
use stillheap::ProcessHeap;
use timeline::Timeline;

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match Job::from_arguments(&arguments) {
        Some(job) => measure(&job),
        None => plan::run_all(&arguments),
    }
}

fn measure(job: &Job) -> Result<(), Error> {
    match job.kind {
        Kind::Tracked => measure_load::<loads::Moving>(job),
        Kind::Uniform => measure_load::<loads::Uniform>(job),
        Kind::Zipf => measure_load::<loads::Skewed>(job),
    }
}

fn measure_load<L: loads::Load>(job: &Job) -> Result<(), Error> {
    let timeline = Timeline::new()?;
    match job.way {
        Way::Ours => ours::run::<L>(job, &timeline),
        _ => peers::run::<L>(job, &timeline),
    }
}
