//! How long it takes to find what a snapshot's roots lead to, from its files; and mistakes.
//!
//! `cargo bench --bench trace`, with `-- --quick` for a heap of 1 M entries rather than 8 M (some
//! 1.2 GiB); `--entries N`, `--rounds N`, and `--dir FOLDER`, on whose file system everything is
//! written (by default the target folder's). The heap: a `BTreeMap<String, Vec<u64>>`, made in
//! random order, and temporary memory to which no root leads, a sixteenth as many strings. The
//! files are in the page cache. Each round is a process of its own; times are medians.
//!
//! - `metric trace.tables_ms`, `trace.run_ms`: reading the tables, and following all words; beside
//!   them `trace.blocks`, how many blocks there are.
//! - `metric trace.audit_ms`, `trace.leaks_ms`: an audit, with what this process has mapped, and a
//!   search for leaks, each with reading the tables.
//! - `metric trace.<what>_mib`: the process's largest size, for each of the three.
#![allow(clippy::cast_possible_truncation, reason = "durations and sizes of a bench are small")]
#![allow(clippy::cast_precision_loss, reason = "figures are printed with few digits")]

#[path = "../shared/mod.rs"]
#[allow(dead_code, unused_imports, reason = "other benches need more of it")]
mod shared;

use shared::{Arguments, Error, Folder, Random, in_child, median, metric, milliseconds, tell};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use stillheap::image::{Chain, Manifest};
use stillheap::os::{DiskDir, DiskFile};
use stillheap::trace::{ChainSource, Leaks, Targets, Trace, Visit};
use stillheap::{Options, ProcessHeap, Root};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

type Entries = BTreeMap<String, Vec<u64>>;

fn main() -> Result<(), Error> {
    if let Some(arguments) = shared::arguments_of_child() {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        return match arguments[..] {
            ["save", dir, entries] => save(dir.as_ref(), entries.parse()?),
            ["run", dir] => trace(dir.as_ref(), run),
            ["audit", dir] => trace(dir.as_ref(), audit),
            ["leaks", dir] => trace(dir.as_ref(), leaks),
            _ => Err("no such task".into()),
        };
    }
    let arguments = Arguments::of_process();
    let entries = arguments.number("--entries", 1_000_000, 8_000_000)?;
    let rounds = arguments.number("--rounds", 3, 5)?;
    let folder = Folder::new(&arguments.dir()?)?;
    let part = folder.part()?;
    let dir = part.path().to_str().ok_or("the folder's name is not text")?;
    let told = in_child(&["save", dir, &entries.to_string()])?;
    metric("trace.mib_on_disk", told.last::<f64>("bytes")? / f64::from(1 << 20), "MiB");
    for (what, names) in
        [("run", &["tables_ms", "run_ms"][..]), ("audit", &["audit_ms"]), ("leaks", &["leaks_ms"])]
    {
        let told = (0..rounds).map(|_| in_child(&[what, dir])).collect::<Result<Vec<_>, _>>()?;
        for name in names {
            let times = told.iter().map(|told| told.last(name)).collect::<Result<Vec<_>, _>>()?;
            metric(&format!("trace.{name}"), median(times), "ms");
        }
        metric(&format!("trace.{what}_mib"), told[0].last("peak_mib")?, "MiB");
        if what == "run" {
            metric("trace.blocks", told[0].last("blocks")?, "blocks");
        }
    }
    Ok(())
}

fn save(dir: &Path, entries: usize) -> Result<(), Error> {
    let heap = HEAP.open(dir, Options::new())?;
    let root: Root<Entries> = heap.root("entries")?;
    let mut random = Random::new(1);
    for number in 0..entries {
        let (key, len) = (format!("{:x} {number}", random.word() >> 24), random.below(12));
        root.write(|entries| entries.insert(key, vec![number as u64; len]));
    }
    let temporary: Vec<String> = (0..entries / 16).map(|number| format!("{number:40}")).collect();
    tell("bytes", heap.snapshot()?.wait_durable()?.bytes);
    drop(temporary);
    // Closing would take one more snapshot.
    std::mem::forget(heap);
    Ok(())
}

fn chain(dir: &Path) -> Result<(Chain<DiskFile>, std::ops::Range<u64>), Error> {
    let dir = DiskDir::open(dir)?;
    let manifest = Manifest::load(&dir)?;
    let newest = manifest.newest().ok_or("no snapshot")?;
    let identity = manifest.identity;
    let arena = identity.base..identity.base + identity.arena_len;
    Ok((Chain::open(&dir, &manifest, newest)?, arena))
}

type OwnTrace<'a> = Trace<ChainSource<'a, DiskFile>>;

/// Reads a snapshot's tables, and has `work` go on with that.
fn trace(
    dir: &Path,
    work: impl FnOnce(&mut OwnTrace<'_>, Instant) -> Result<(), Error>,
) -> Result<(), Error> {
    let (chain, arena) = chain(dir)?;
    let begun = Instant::now();
    let mut trace = Trace::read(ChainSource::new(&chain)?, arena, chain.runs().iter().copied())?;
    work(&mut trace, begun)?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|rest| rest.split_whitespace().next()).ok_or("no peak")?;
    tell("peak_mib", kib.parse::<f64>()? / 1024.0);
    Ok(())
}

fn run(trace: &mut OwnTrace<'_>, begun: Instant) -> Result<(), Error> {
    tell("tables_ms", milliseconds(begun.elapsed()));
    let begun = Instant::now();
    let ended = trace.run(&mut Silent)?;
    tell("run_ms", milliseconds(begun.elapsed()));
    ended.map_err(|_| "the trace has ended itself")?;
    tell("blocks", trace.all().all().blocks);
    Ok(())
}

fn audit(trace: &mut OwnTrace<'_>, begun: Instant) -> Result<(), Error> {
    let targets = Targets::of_process(trace.arena())?;
    let audit = stillheap::typed::audit(trace, 1, &targets)?;
    tell("audit_ms", milliseconds(begun.elapsed()));
    assert!(audit.reached.all().blocks < trace.all().all().blocks, "{audit}");
    Ok(())
}

fn leaks(trace: &mut OwnTrace<'_>, begun: Instant) -> Result<(), Error> {
    let leaks = Leaks::find(trace, 1)?;
    tell("leaks_ms", milliseconds(begun.elapsed()));
    assert!(leaks.lost.ambient.blocks > leaks.found.ambient.blocks / 32, "{leaks}");
    Ok(())
}

struct Silent;

impl Visit for Silent {}
