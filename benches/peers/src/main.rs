//! Ways to have a program's state again after a restart: stillheap beside serialisers,
//! databases and building it anew.
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml`; `-- --quick` for a first
//! look, `--size MIB` for a state of another size than 64 MiB and 1 GiB, `--only NAME,NAME` for
//! some of the ways, `--rounds N`, `--dir DIR` for where the files lie (a folder of their own
//! beside the programs). The programs `plain` and `ours` are built first; SQLite needs a C
//! compiler. 1 GiB takes 5 GiB of memory and 2 GiB of disk.
//!
//! The state is a `BTreeMap` of records by number and a `HashMap` of numbers by name. The ways:
//! - `ours`: stillheap, opened as `rows.rs` says; a name for each row;
//! - `bincode`, `postcard`: serialised into a file, and back;
//! - `rkyv_mapped`: rkyv's archive, mapped, validated, and asked where it lies; the state is
//!   read-only then. `rkyv_trusted`: without the validation, so a damaged file is undefined
//!   behaviour. `rkyv_loaded`: validated, and turned into ordinary collections;
//! - `redb`: two tables, filled and committed in one transaction, and closed;
//!   `redb_killed`: not closed, so that each start looks through the file first;
//! - `sqlite`: a database in memory, saved into a file by the online backup, asked there;
//! - `rebuild`: a text file with the records is parsed, and the state built as at first.
//!
//! Each step is a process of its own. In `plain`, which runs all ways but ours with the system's
//! allocator, nothing of stillheap is linked. Prints medians over the rounds,
//! `metric peers.<way>.<mib>.<what> VALUE UNIT`:
//! - `save_ms`: from the state in memory to a durable (fsync'ed) file;
//! - `pause_ms`: how long nobody can write to the state meanwhile. Serialisers: the whole
//!   serialisation; redb: the commit; SQLite: the longest of the backup's steps of 4 MiB; ours:
//!   the snapshot's pause. `longest_write_ms`, ours alone: the longest that one write took
//!   while another snapshot was taken and saved, since writers copy what they overwrite;
//! - `first_query_warm_ms`, `first_query_cold_ms`: from the beginning of `main` to a record
//!   found by name and by number, with the files in the page cache, and after fsync and
//!   `posix_fadvise(DONTNEED)` (the host's caches and the disk's are not emptied);
//! - `loaded_ms`, `loaded_cold_ms`: until all records have been looked at once;
//! - `bytes`: on disk; `resident_mib`: of the process that holds the state, before it saves.
//!
//! `metric peers.start.<plain|ours>_ms` is a process of that program that does nothing: ours has
//! its address range before `main` begins.
//!
//! And ratios, theirs over ours, where above 1 is better for us:
//! `ratio restore.rebuild_over_<ours>.<mib>` (the first query, warm), and
//! `ratio peers.<way>_over_<ours>.<mib>.<what>`, where `pause_over_longest_write` is their pause
//! over our longest write: what the one who writes notes.
//! After each restart a checksum over all that was saved is compared.

mod children;
mod folder;
mod report;
mod ways;

use children::{Program, Programs};
use folder::Folder;
use report::Results;
use std::path::Path;
use stillheap_peers::Error;
use ways::{Family, Round};

/// Bytes of memory that a record takes, indexes included, with the system's allocator.
const RECORD: u64 = 470;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let sizes = match option(&arguments, "--size") {
        Some(mib) => vec![mib.parse()?],
        None if is_quick => vec![16, 64],
        None => vec![64, 1024],
    };
    let rounds = match option(&arguments, "--rounds") {
        Some(rounds) => rounds.parse()?,
        None if is_quick => 1,
        None => 3,
    };
    let families = ways::chosen(option(&arguments, "--only"))?;
    let programs = Programs::build()?;
    let folder = match option(&arguments, "--dir") {
        Some(dir) => Folder::new(Path::new(dir))?,
        None => Folder::new(programs.target())?,
    };
    for program in [Program::Plain, Program::Ours] {
        let time = programs.start(program, folder.path())?.as_secs_f64() * 1000.0;
        println!("metric peers.start.{}_ms {time:.2} ms", program.name());
    }
    for mib in sizes {
        // The state, its serialised form, and what a database keeps of it in its caches.
        if available_mib() < 4 * mib + 512 {
            eprintln!("{mib} MiB four times do not fit in memory, left out");
            continue;
        }
        let results = measure(&programs, &families, mib, rounds, &folder)?;
        results.report(mib, &families);
    }
    Ok(())
}

/// All rounds of all ways with a state of one size.
fn measure(
    programs: &Programs,
    families: &[Family],
    mib: u64,
    rounds: usize,
    folder: &Folder,
) -> Result<Results, Error> {
    let records = (mib << 20) / RECORD;
    eprintln!("{mib} MiB: writing {records} records as text, to build from");
    let source = folder.part("source")?;
    let digest = programs.write_source(records, source.path())?;
    let mut results = Results::new(records);
    for round in 0..rounds {
        // There and back again, so that a machine that gets slower slows all.
        let mut order: Vec<&Family> = families.iter().collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for family in order {
            let name = format!("{mib} MiB, round {} of {rounds}", round + 1);
            let (source, digest) = (source.path(), digest.as_str());
            let round = Round { name, programs, folder, records, source, digest };
            family.run(&round, &mut results)?;
        }
    }
    Ok(results)
}

/// MiB of memory that can be had without swapping; all there are if nobody tells.
fn available_mib() -> u64 {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.map_or(u64::MAX, |kib| kib >> 10)
}

/// What follows the argument `name`.
fn option<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let place = arguments.iter().position(|argument| argument == name)?;
    arguments.get(place + 1).map(String::as_str)
}
