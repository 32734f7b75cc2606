//! How long it takes until a state is there again after a restart.
//!
//! `cargo bench --bench restore`, with `-- --quick` for 64 and 256 MiB rather than 64 MiB, 1 and
//! 4 GiB; `--size MIB`, `--rounds N`, `--only load,sizes,chains,rebuild`, and `--dir FOLDER`, on
//! whose file system everything is written (by default the target folder's). The state: records
//! by number, and their numbers by name. Each opening is a process of its own. Times are medians;
//! whatever comes back is asked for a record, and then compared with what had been saved.
//!
//! - `metric restore.<way>.<mib>.{first_query_ms,loaded_ms}`, with `verified`, `background` and
//!   `load` for the way: from the beginning of `main` until a record has been found by its name
//!   and by its number; and until all is there and has been verified (`FreezeStats::loaded`).
//!   The files are in the page cache. `cold_first_query_ms` and `cold_loaded_ms`: they have been
//!   synced and taken out of it (`posix_fadvise`); the program itself stays there, and what caches
//!   the host and the disk have, nobody empties.
//! - the same as `restore.<way>.<mib>.chain<n>.…` for a whole snapshot and `n` deltas on it, with
//!   changes to records anywhere, as many as a percent of the heap's pages for each.
//! - `ratio restore.load.throughput_over_read`: opening with `Restore::Load`, beside reading the
//!   file by `pread`s of 2 MiB or 256 KiB, whichever is faster, in two threads into fresh memory
//!   in huge pages, and a CRC-32 of each of its pages, in a process of its own by turns. Higher
//!   is better. `metric restore.load.read_reused_ms` is the same with one buffer for each thread:
//!   nothing is there afterwards.
//! - `ratio restore.rebuild_over_ours.<mib>`: building the state from a text file with the
//!   records, up to the same answer, over the first query with `Restore::Background`.
#![allow(clippy::cast_possible_truncation, reason = "durations and sizes of a bench are small")]

mod cache;
mod read;
mod save;
mod source;
mod start;
mod state;

#[path = "../shared/mod.rs"]
mod shared;

use shared::{Arguments, Error, Folder};
use std::time::Instant;
use stillheap::ProcessHeap;

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

/// Deltas in the chains that are measured.
const CHAINS: [usize; 3] = [1, 8, 30];

fn main() -> Result<(), Error> {
    let begun = Instant::now();
    if let Some(arguments) = shared::arguments_of_child() {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        return child(begun, &arguments);
    }
    let arguments = Arguments::of_process();
    let sizes: &[usize] = if arguments.is_quick() { &[64, 256] } else { &[64, 1024, 4096] };
    let sizes = match arguments.number("--size", 0, 0)? {
        0 => sizes.to_vec(),
        size => vec![size],
    };
    // For what is measured with one size.
    let size = arguments.number("--size", 256, 1024)?;
    let rounds = arguments.number("--rounds", 3, 5)?;
    let folder = Folder::new(&arguments.dir()?)?;
    if arguments.wants("load") {
        read::run(&folder, size, rounds)?;
    }
    for mib in sizes {
        if available_mib() < 2 * mib + 1024 {
            eprintln!("{mib} MiB twice do not fit in memory, left out");
        } else {
            start::run(&folder, mib, rounds, &arguments)?;
        }
    }
    if arguments.wants("chains") {
        CHAINS.iter().try_for_each(|&deltas| start::run_chain(&folder, size, deltas, rounds))?;
    }
    Ok(())
}

fn child(begun: Instant, arguments: &[&str]) -> Result<(), Error> {
    match arguments {
        ["save", dir, records, deltas] => {
            save::child(dir.as_ref(), records.parse()?, deltas.parse()?)
        }
        ["source", file, records] => source::write(file.as_ref(), records.parse()?),
        ["open", dir, records, way] => start::child(begun, dir.as_ref(), records.parse()?, way),
        ["rebuild", file, records] => start::child_rebuild(begun, file.as_ref(), records.parse()?),
        ["read", file] => read::child(file.as_ref()),
        other => Err(format!("no such task: {}", other.join(" ")).into()),
    }
}

/// MiB of memory that can be had without swapping; all there are if nobody tells.
fn available_mib() -> usize {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    number.map_or(usize::MAX, |kib| kib >> 10)
}
