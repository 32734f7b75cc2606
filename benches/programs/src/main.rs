//! Well-known programs on stillheap as their global allocator, with no heap opened, beside the
//! same programs on mimalloc: ripgrep, fd, bat and jaq.
//!
//! `cargo run --release --manifest-path benches/programs/Cargo.toml`; `-- --quick` for a first
//! look (three rounds, a quarter of the input), `--rounds N`, `--only ripgrep,fd,bat,jaq`,
//! `--dir DIR` for where the input goes. The first run fetches the programs from crates.io and
//! builds each twice (`builds`), which takes many minutes; it needs a C compiler.
//!
//! *Jobs* (`jobs`) run on generated input, the same in each run, which the page cache has. Output
//! goes to a file, and has to be the same with both allocators and in all rounds, but for the
//! order of lines where threads race. Processes run one at a time; in each round both allocators
//! have a turn, ours first in even rounds, last in odd ones. Medians over the rounds:
//! - `metric alloc.program.<name>.<job>.<allocator> VALUE ms`, from the start of the process until
//!   it has been waited for; `<job>.cpu.<allocator>`, the time of processors that the system
//!   counted for it and for processes it waited for, in user and system mode together;
//!   `<job>.rss.<allocator> VALUE MiB`, the most that was resident in one of them;
//! - `metric alloc.program.<name>.start.<allocator> VALUE ms`, what one of 100 starts with
//!   `--version` takes, one after the other.
//!
//! *Ratios* are ours over mimalloc's, so below 1 is better:
//! - `ratio alloc.program.<name>.time_over_mimalloc`, `cpu_over_mimalloc` and `rss_over_mimalloc`,
//!   geometric means over the jobs of the medians' quotients; `start` is no part of them. The first
//!   is of the time that passes, which on a machine with other work says less than the second;
//! - `ratio alloc.program.<name>.start_over_mimalloc`, likewise of the starts' time, and
//!   `start_cpu_over_mimalloc`;
//! - `ratio alloc.program.all.<what>_over_mimalloc`, geometric means over the programs.
//!
//! Before and after, the bench prints the machine's load: how many threads wanted a processor
//! in the last minute.

#[path = "../../shared/mod.rs"]
#[allow(dead_code, unused_imports, reason = "benches that measure otherwise use the rest")]
mod shared;

mod builds;
mod catalog;
mod input;
mod jobs;
mod output;
mod process;
mod report;
mod source;

use builds::{ALLOCATORS, Built};
use input::Input;
use jobs::Job;
use process::Run;
use report::Report;
use shared::{Arguments, Error, Folder};
use std::fs;

/// Starts of which one turn measures the mean.
const STARTS: u32 = 100;

fn main() -> Result<(), Error> {
    let arguments = Arguments::of_process();
    let rounds: usize = arguments.number("--rounds", 3, 9)?;
    let wanted = catalog::wanted(&arguments)?;
    let built: Vec<Built> = wanted.into_iter().map(builds::build).collect::<Result<_, _>>()?;
    let folder = Folder::new(&arguments.dir()?)?;
    let place = folder.part()?;
    let input = Input::make(place.path(), if arguments.is_quick() { 4 } else { 1 })?;
    load("before")?;
    let mut report = Report::new();
    for built in &built {
        for job in jobs::of(built.program.name) {
            report.job(built.program.name, job.name, &measure(built, &job, &input, rounds)?)?;
        }
        report.starts(built.program.name, &measure_starts(built, &input, rounds)?);
        report.program(built.program.name);
    }
    report.all();
    load("after")
}

/// Each allocator's rounds of a job. A turn before them, which is not counted, fetches the files
/// and says what the output has to be.
fn measure(built: &Built, job: &Job, input: &Input, rounds: usize) -> Result<[Vec<Run>; 2], Error> {
    let file = input.root.join("output");
    let run = |number: usize| -> Result<(Run, output::Digest), Error> {
        let run = process::run(&built.files[number], &job.arguments, &input.root, &file)
            .map_err(|error| format!("{} on {}: {error}", job.name, ALLOCATORS[number].name))?;
        let digest = output::digest(&file, job.order, job.without)?;
        Ok((run, digest))
    };
    let (_, expected) = run(0)?;
    if expected.lines == 0 {
        return Err(format!("{} {} found nothing", built.program.name, job.name).into());
    }
    let mut runs = [Vec::new(), Vec::new()];
    for number in turns(rounds) {
        let (run, digest) = run(number)?;
        if digest != expected {
            let name = format!("{} {}", built.program.name, job.name);
            return Err(format!("{name}: {digest:?}, and before it was {expected:?}").into());
        }
        runs[number].push(run);
    }
    Ok(runs)
}

/// The same for starts; what a turn took is divided by their number.
fn measure_starts(built: &Built, input: &Input, rounds: usize) -> Result<[Vec<Run>; 2], Error> {
    let file = input.root.join("output");
    let arguments = ["--version".to_owned()];
    let mut runs = [Vec::new(), Vec::new()];
    for number in turns(rounds) {
        let mut sum = Run::default();
        for _ in 0..STARTS {
            sum.add(&process::run(&built.files[number], &arguments, &input.root, &file)?);
        }
        runs[number].push(sum.over(STARTS));
    }
    Ok(runs)
}

/// Whose turn it is, in each round there and back again, so that a machine that gets slower slows
/// both.
fn turns(rounds: usize) -> impl Iterator<Item = usize> {
    (0..rounds).flat_map(|round| if round % 2 == 0 { [0, 1] } else { [1, 0] })
}

fn load(when: &str) -> Result<(), Error> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let processors = std::thread::available_parallelism()?;
    let load = text.split(' ').next().ok_or("the system does not tell its load")?;
    println!("load {when}: {load}, on {processors} processors");
    Ok(())
}
