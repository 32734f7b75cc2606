//! Works the process's heap for an hour, and checks it each minute: blocks of all sizes, one in
//! four of them freed by another thread, by threads that end and leave their blocks to others.
//!
//! `cargo run --release --manifest-path benches/alloc/Cargo.toml --bin soak`; `-- --minutes M`
//! (60), `--every SECONDS` between two checks (60), `--threads N` (8). `--snapshots SECONDS` has
//! snapshots taken meanwhile, each so long after the one before is durable; else there are none.
//!
//! At each check all threads wait, and the heap checks its tables against each other; each block is
//! checked for foreign writes when it is freed. A line tells what is allocated, by the program and
//! in blocks, what the arena has in use for it, and what is resident. In the end it is looked at
//! how much memory in use and resident there was for each live byte: the median of the last quarter
//! of all checks, over that of the first quarter behind a tenth for warming up. The exit code is 1
//! after an error, or if that is more than 1.05.
//!
//! The heap's files lie beside this program, or in `--dir DIR`, and are removed.

#[path = "../../../shared/arguments.rs"]
#[allow(dead_code, reason = "benches that write files use the rest")]
mod arguments;
mod checked;
mod control;
#[path = "../../../shared/figures.rs"]
#[allow(dead_code, reason = "benches that measure times use the rest")]
mod figures;
#[path = "../../../shared/folder.rs"]
mod folder;
#[path = "../memory.rs"]
#[allow(dead_code, reason = "the shapes use the rest")]
mod memory;
#[path = "../../../shared/random.rs"]
mod random;
#[path = "../sizes.rs"]
mod sizes;
mod worker;

use arguments::Arguments;
use control::Control;
use folder::Folder;
use std::process::{self, ExitCode};
use std::thread;
use std::time::{Duration, Instant};
use stillheap::{Heap, Options, ProcessHeap};
use worker::Worker;

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

/// Checks after which the threads end, and others take their places.
const GENERATION: usize = 5;
/// How much more memory is too much.
const GROWTH: f64 = 1.05;
const MIB: f64 = 1_048_576.0;

type Error = Box<dyn std::error::Error>;

/// What a check found, for each live byte.
struct Found {
    used: f64,
    resident: f64,
}

/// Time between two checks, and between the end of one snapshot and the next.
struct Pace {
    check: Duration,
    snapshot: Option<Duration>,
}

impl Pace {
    /// Waits until the next check is due. Snapshots are asked for: no root is written to, so no
    /// trigger would take any.
    fn wait(&self, heap: &Heap) -> Result<(), Error> {
        let due = Instant::now() + self.check;
        while let Some(left) = due.checked_duration_since(Instant::now()) {
            thread::sleep(self.snapshot.map_or(left, |period| left.min(period)));
            if self.snapshot.is_some() {
                heap.snapshot()?.wait_durable()?;
            }
        }
        Ok(())
    }
}

fn main() -> Result<ExitCode, Error> {
    let arguments = Arguments::of_process();
    let minutes: f64 = arguments.number("--minutes", 60.0, 60.0)?;
    let every: f64 = arguments.number("--every", 60.0, 60.0)?;
    let threads: usize = arguments.number("--threads", 8, 8)?;
    let checks = (minutes * 60.0 / every).round() as usize;
    if checks < 4 || threads == 0 {
        return Err("at least four checks and one thread are needed".into());
    }
    let snapshots = arguments.after("--snapshots").map(str::parse).transpose()?;
    let pace = Pace {
        check: Duration::from_secs_f64(every),
        snapshot: snapshots.map(Duration::from_secs_f64),
    };
    let folder = Folder::new(&arguments.dir()?)?;
    let dir = folder.part()?;
    // Leaked: closing would take a snapshot, which nobody wants.
    let heap: &Heap = Box::leak(Box::new(HEAP.open(dir.path(), Options::new())?));
    let found = soak(heap, threads, checks, &pace);
    Ok(judge(&found))
}

fn soak(heap: &Heap, threads: usize, checks: usize, pace: &Pace) -> Vec<Found> {
    let control = Control::new(threads);
    let mut workers: Vec<Worker> = (0..threads).map(Worker::new).collect();
    let mut found = Vec::with_capacity(checks);
    while found.len() < checks {
        let count = GENERATION.min(checks - found.len());
        thread::scope(|scope| {
            for worker in &mut workers {
                scope.spawn(|| worker.work(&control, count));
            }
            for _ in 0..count {
                let number = found.len() + 1;
                let checked = pace.wait(heap).and_then(|()| {
                    control.stop_for(|live, steps| check(heap, number, live, steps))
                });
                found.push(checked.unwrap_or_else(|error| {
                    eprintln!("error: check {number}: {error}");
                    process::exit(1)
                }));
            }
        });
    }
    found
}

/// Everybody else waits.
fn check(heap: &Heap, number: usize, live: u64, steps: u64) -> Result<Found, Error> {
    heap.validate()?;
    let stats = heap.stats();
    let blocks = stats.heap.ambient + stats.heap.scoped;
    if blocks < live {
        return Err(format!("{live} bytes in use, the heap says {blocks}").into());
    }
    let (used, resident) = (stats.heap.committed as f64 / MIB, memory::resident_mib()?);
    println!(
        "check {number}: sound; {:.1} MiB live, {:.1} in {} blocks, {used:.1} of the arena in use, \
         {resident:.1} resident; {steps} steps, {} snapshots so far",
        live as f64 / MIB,
        blocks as f64 / MIB,
        stats.heap.blocks,
        stats.freezes.freezes,
    );
    let live = live as f64 / MIB;
    Ok(Found { used: used / live, resident: resident / live })
}

/// Whether memory has grown.
fn judge(found: &[Found]) -> ExitCode {
    let settled = &found[found.len().div_ceil(10)..];
    let quarter = (settled.len() / 4).max(1);
    let growth = |of: fn(&Found) -> f64| {
        let middle = |part: &[Found]| figures::median(part.iter().map(of).collect());
        middle(&settled[settled.len() - quarter..]) / middle(&settled[..quarter])
    };
    let (used, resident) = (growth(|found| found.used), growth(|found| found.resident));
    figures::ratio("soak.used_per_live_byte.end_over_begin", used);
    figures::ratio("soak.resident_per_live_byte.end_over_begin", resident);
    if used > GROWTH || resident > GROWTH {
        eprintln!("error: memory grows");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
