//! What stillheap costs a program, beside mimalloc: the same workloads, with and without
//! snapshots.
//!
//! `cargo run --release --manifest-path benches/overhead/Cargo.toml`; `-- --quick` for a first
//! look, `--workload NAME` (xtree_mixed, xtree_insert, std) for one of them, `--rounds N`.
//! The programs `plain` and `ours` are built first; mimalloc needs a C compiler.
//!
//! The ways take turns, forwards and backwards, each in a process of its own, with data of some
//! hundred MiB that is filled before the clock starts:
//! - `plain`: mimalloc, data in a plain value;
//! - `without_snapshots`: stillheap, nothing opened, data in a plain value;
//! - `every_10s`, `every_1s`: stillheap, data in a root, one operation a scope, and a snapshot
//!   in the middle of each ten seconds, or one.
//!
//! Prints medians over the rounds: `metric overhead.<workload>.<way>.throughput VALUE ops/s`, and
//! `ratio overhead.<workload>.<way>.throughput_over_plain VALUE`, where above 1 is better.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use stillheap_overhead::Error;

const WORKLOADS: [&str; 3] = ["xtree_mixed", "xtree_insert", "std"];

/// A way to run a workload.
struct Way {
    name: &'static str,
    program: &'static str,
    /// Measured, in seconds: a whole number of periods between snapshots.
    seconds: u32,
    quick_seconds: u32,
}

const WAYS: [Way; 4] = [
    Way { name: "plain", program: "plain", seconds: 10, quick_seconds: 4 },
    Way { name: "without_snapshots", program: "ours", seconds: 10, quick_seconds: 4 },
    Way { name: "every_10s", program: "ours", seconds: 20, quick_seconds: 10 },
    Way { name: "every_1s", program: "ours", seconds: 10, quick_seconds: 4 },
];

/// What a run printed: names and numbers.
type Results = Vec<(String, f64)>;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let rounds = match option(&arguments, "--rounds") {
        Some(rounds) => rounds.parse()?,
        None if is_quick => 2,
        None => 4,
    };
    build()?;
    let wanted = option(&arguments, "--workload");
    for workload in WORKLOADS.iter().filter(|name| wanted.is_none_or(|wanted| wanted == **name)) {
        let mut results = [const { Vec::new() }; WAYS.len()];
        for round in 0..rounds {
            // There and back again, so that a machine that gets slower slows all.
            let forwards = 0..WAYS.len();
            let order: Vec<usize> =
                if round % 2 == 0 { forwards.collect() } else { forwards.rev().collect() };
            for way in order {
                let run = run(workload, &WAYS[way], is_quick)?;
                eprintln!("{workload} {} {run:?}", WAYS[way].name);
                results[way].push(run);
            }
        }
        report(workload, &results);
    }
    Ok(())
}

fn report(workload: &str, results: &[Vec<Results>; WAYS.len()]) {
    let throughput = |way: usize| median(&results[way], "throughput").unwrap_or(f64::NAN);
    for (number, way) in WAYS.iter().enumerate() {
        let name = format!("overhead.{workload}.{}", way.name);
        println!("metric {name}.throughput {:.0} ops/s", throughput(number));
        for (what, unit) in [("resident", "MiB"), ("snapshots", "snapshots")] {
            if let Some(value) = median(&results[number], what) {
                println!("metric {name}.{what} {value:.0} {unit}");
            }
        }
        if let Some(pause) = median(&results[number], "longest_pause_us") {
            println!("metric {name}.longest_pause_us {pause:.0} us");
        }
    }
    for (number, way) in WAYS.iter().enumerate().skip(1) {
        let name = format!("overhead.{workload}.{}", way.name);
        let ratio = throughput(number) / throughput(0);
        println!("ratio {name}.throughput_over_plain {ratio:.3}");
        if way.name.starts_with("every") {
            let ratio = throughput(number) / throughput(1);
            println!("ratio {name}.throughput_over_without_snapshots {ratio:.3}");
        }
    }
}

/// Builds the two other programs beside this one.
fn build() -> Result<(), Error> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--bin", "plain", "--bin", "ours"])
        .args(["--manifest-path", manifest, "--target-dir"])
        .arg(target_dir()?)
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("cargo build: {status}").into()) }
}

/// This program lies in a folder `release` of it.
fn target_dir() -> Result<PathBuf, Error> {
    let program = std::env::current_exe()?;
    let folder = program.parent().and_then(Path::parent);
    Ok(folder.ok_or("this program lies in no target folder")?.to_owned())
}

fn run(workload: &str, way: &Way, is_quick: bool) -> Result<Results, Error> {
    let folder = tempfile::tempdir()?;
    let seconds = if is_quick { way.quick_seconds } else { way.seconds };
    let output = Command::new(target_dir()?.join("release").join(way.program))
        .args([workload, way.name, &seconds.to_string()])
        .arg(folder.path())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{workload} {}: {}", way.name, output.status).into());
    }
    let parse = |line: &str| {
        let (name, value) = line.split_once(' ').ok_or("a child printed something else")?;
        Ok((name.to_owned(), value.parse()?))
    };
    String::from_utf8(output.stdout)?.lines().map(parse).collect()
}

/// The median of what all runs say of `what`.
fn median(runs: &[Results], what: &str) -> Option<f64> {
    let found = runs.iter().flatten().filter(|(name, _)| name == what);
    let mut values: Vec<f64> = found.map(|(_, value)| *value).collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// What follows the argument `name`.
fn option<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let place = arguments.iter().position(|argument| argument == name)?;
    arguments.get(place + 1).map(String::as_str)
}
