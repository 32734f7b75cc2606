//! The allocator by itself beside mimalloc, jemalloc and the system's: throughput and memory.
//!
//! `cargo run --release --manifest-path benches/alloc/Cargo.toml`; `-- --quick` for a first look
//! (one round, 1 and 2 threads, a quarter of the work), `--shape NAME`, `--threads N`,
//! `--rounds N`, `--only ours,mimalloc` (of ours, mimalloc, jemalloc, system). The programs
//! `on_ours` and so on are built first; two of them need a C compiler.
//!
//! The shapes are in `shapes/`. Each of them runs with 1, 2, 4 and 8 threads, in a process of its
//! own, with a fixed amount of work; the allocators take turns, forwards and backwards. Ours has no
//! heap opened. Neither the start of the process nor what a shape prepares is timed.
//!
//! Prints medians over the rounds:
//! - `metric alloc.<shape>.<threads>.<allocator> VALUE Mops/s`, and
//!   `ratio alloc.<shape>.<threads>.ours_over_<other> VALUE`, where above 1 is better;
//! - `metric alloc.<shape>.<threads>.rss_peak.<allocator> VALUE MiB`, the most that was resident,
//!   and `rss_after`, what is a second (in the quick form, a quarter of one) after all but `shrink`
//!   have freed everything; `ratio alloc.<shape>.rss_over_<other>` and `rss_after_over_<other>` are
//!   medians over the numbers of threads, where below 1 is better. Huge pages count as they are:
//!   ours asks for them;
//! - `ratio alloc.all.<threads>.ours_over_<other>`, the geometric mean over the shapes.

#[path = "../../shared/arguments.rs"]
#[allow(dead_code, reason = "benches that write files use the rest")]
mod arguments;
#[path = "../../shared/figures.rs"]
#[allow(dead_code, reason = "benches that measure times use the rest")]
mod figures;
mod programs;
mod report;

use arguments::Arguments;
use programs::{ALLOCATORS, Programs};
use report::Report;
use stillheap_alloc::{Error, SHAPES};

fn main() -> Result<(), Error> {
    let arguments = Arguments::of_process();
    let threads: Vec<usize> = match arguments.after("--threads") {
        Some(threads) => vec![threads.parse()?],
        None if arguments.is_quick() => vec![1, 2],
        None => vec![1, 2, 4, 8],
    };
    let rounds = arguments.number("--rounds", 1, 5)?;
    let wanted = arguments.after("--shape");
    let shapes: Vec<&str> = SHAPES.iter().map(|shape| shape.name).collect();
    if let Some(unknown) = wanted.filter(|wanted| !shapes.contains(wanted)) {
        return Err(format!("--shape {unknown}: there are {}", shapes.join(", ")).into());
    }
    let allocators: Vec<&str> =
        ALLOCATORS.into_iter().filter(|allocator| arguments.wants(allocator)).collect();
    let programs = Programs::build(&allocators)?;
    let (effort, pause) = if arguments.is_quick() { ("0.25", "250") } else { ("1", "1000") };
    let mut report = Report::new(&allocators, &threads);
    for shape in shapes.into_iter().filter(|shape| wanted.is_none_or(|wanted| wanted == *shape)) {
        for &threads in &threads {
            let mut cell = vec![Vec::new(); allocators.len()];
            for round in 0..rounds {
                // There and back again, so that a machine that gets slower slows all.
                let forwards = 0..allocators.len();
                let order: Vec<usize> =
                    if round % 2 == 0 { forwards.collect() } else { forwards.rev().collect() };
                for number in order {
                    let task = [shape, &threads.to_string(), effort, pause];
                    cell[number].push(programs.run(allocators[number], &task)?);
                }
            }
            report.note(shape, threads, &cell);
        }
        report.memory(shape);
    }
    report.all();
    Ok(())
}
