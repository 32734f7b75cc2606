//! The allocator by itself beside mimalloc, jemalloc and the system's: throughput, memory, and how
//! much of it changes.
//!
//! `cargo run --release --manifest-path benches/alloc/Cargo.toml`; `-- --quick` for a first look
//! (one round, 1 and 2 threads, a quarter of the work), `--shape NAME`, `--threads N`,
//! `--rounds N`, `--only ours,mimalloc` (of ours, mimalloc, jemalloc, system). The programs
//! `on_ours` and so on are built first; two of them need a C compiler.
//!
//! *Shapes* (`shapes/`) run with 1, 2, 4 and 8 threads, in a process of their own, with a fixed
//! amount of work; the allocators take turns, forwards and backwards. Ours has no heap opened.
//! Neither the start of the process nor what a shape prepares is timed. Medians over the rounds:
//! - `metric alloc.<shape>.<threads>.<allocator> VALUE Mops/s`, and
//!   `ratio alloc.<shape>.<threads>.ours_over_<other> VALUE`, where above 1 is better;
//! - `metric alloc.<shape>.<threads>.rss_peak.<allocator> VALUE MiB`, the most that was resident,
//!   and `rss_after`, what is a second (in the quick form, a quarter of one) after all but `shrink`
//!   have freed everything; `ratio alloc.<shape>.rss_over_<other>` and `rss_after_over_<other>` are
//!   medians over the numbers of threads, where below 1 is better. Huge pages count as they are:
//!   ours asks for them;
//! - `ratio alloc.all.<threads>.ours_over_<other>`, the geometric mean over the shapes.
//!
//! *Mixes* (`dirty/`; `--shape replace`, `free_only`, `tree`, `lifetimes`; the last also as
//! `lifetimes_in_root`, where what lasts is allocated in changes to a root, and `lifetimes_apart`,
//! where what passes does not come from the allocator, and lies as densely as it can) tell how
//! many pages of 4 KiB change between two snapshots, which are 1,000 or 100,000 operations apart.
//! The kernel catches the writes, in all writable private memory but stacks and the bench's own
//! bookkeeping; there are no huge pages. Pages that an allocator has given back to the system
//! meanwhile do not count. One
//! thread, and one run: it is the same each time, but for where chance puts memory.
//! - `metric alloc.<mix>.every_<operations>.dirty_pages_per_kop.<allocator> VALUE pages` for each
//!   thousand operations, `dirty_chunks_per_kop` the chunks of 2 MiB that they lie in, and
//!   `ratio alloc.<mix>.every_<operations>.dirty_pages.ours_over_<other>`, where below 1 is better;
//! - of ours these are what a snapshot saves: the arena, and its tables, which are given once more
//!   as `dirty_tables_per_kop`. What it does not save, and derives again, is `dirty_side_per_kop`.
//!   A snapshot of the others would need all their memory, so all of it counts.

#[path = "../../shared/arguments.rs"]
#[allow(dead_code, reason = "benches that write files use the rest")]
mod arguments;
#[path = "../../shared/figures.rs"]
#[allow(dead_code, reason = "benches that measure times use the rest")]
mod figures;
mod pages;
mod programs;
mod report;

use arguments::Arguments;
use programs::{ALLOCATORS, Figures, Programs};
use report::Report;
use stillheap_alloc::{Error, MIXES, SHAPES};

fn main() -> Result<(), Error> {
    let arguments = Arguments::of_process();
    let threads: Vec<usize> = match arguments.after("--threads") {
        Some(threads) => vec![threads.parse()?],
        None if arguments.is_quick() => vec![1, 2],
        None => vec![1, 2, 4, 8],
    };
    let rounds = arguments.number("--rounds", 1, 5)?;
    let wanted = arguments.after("--shape");
    let known: Vec<&str> = SHAPES.iter().map(|shape| shape.name).chain(MIXES).collect();
    if let Some(unknown) = wanted.filter(|wanted| !known.contains(wanted)) {
        return Err(format!("--shape {unknown}: there are {}", known.join(", ")).into());
    }
    let is_wanted = |name: &str| wanted.is_none_or(|wanted| wanted == name);
    let allocators: Vec<&str> =
        ALLOCATORS.into_iter().filter(|allocator| arguments.wants(allocator)).collect();
    let programs = Programs::build(&allocators)?;
    let (effort, pause) = if arguments.is_quick() { ("0.25", "250") } else { ("1", "1000") };
    let mut report = Report::new(&allocators, &threads);
    for shape in SHAPES.iter().map(|shape| shape.name).filter(|shape| is_wanted(shape)) {
        for &threads in &threads {
            let task = [shape, &threads.to_string(), effort, pause];
            report.note(shape, threads, &measure(&programs, &allocators, rounds, &task)?);
        }
        report.memory(shape);
    }
    report.all();
    pages::run(&programs, &allocators, is_wanted)
}

/// Each allocator's rounds.
fn measure(
    programs: &Programs,
    allocators: &[&str],
    rounds: usize,
    task: &[&str],
) -> Result<Vec<Vec<Figures>>, Error> {
    let mut results = vec![Vec::new(); allocators.len()];
    for round in 0..rounds {
        // There and back again, so that a machine that gets slower slows all.
        let forwards = 0..allocators.len();
        let order: Vec<usize> =
            if round % 2 == 0 { forwards.collect() } else { forwards.rev().collect() };
        for number in order {
            results[number].push(programs.run(allocators[number], task)?);
        }
    }
    Ok(results)
}
