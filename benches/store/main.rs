//! What snapshots cost on their way to the disk: whole ones beside writing as many bytes, those
//! of what has changed, compressed ones, and merging.
//!
//! `cargo bench --bench store`, with `-- --quick` for a heap of 256 MiB rather than 1 GiB;
//! `--size MIB`, `--rounds N`, `--only full,delta,compress,merge`, and `--dir FOLDER`, on whose
//! file system everything is written (by default the target folder's). Nobody writes to the heap
//! while it is saved. Times are medians; all that was saved is opened once more and compared.
//!
//! - `ratio store.full.throughput_over_raw`: a whole snapshot made durable (`StillInfo::saving`)
//!   beside `write`s of 2 MiB of the same number of bytes, with the same contents, from memory of
//!   its own, fsync and fsync of the folder; with or without `fallocate` first, whichever is
//!   faster (`metric store.full.{ours,raw,raw_reserved}_ms`). Higher is better.
//! - `metric store.delta.<kind>.<percent>.{bytes,saving_ms,window_ms,pages,changed}`: one word
//!   changed in that part of all pages. `scattered`: pages of vectors, anywhere, so that every
//!   chunk is dirty; `clustered`: consecutive ones; `tracked`: `Tracked` nodes of a page,
//!   anywhere. `changed` are the pages that have been written to, `pages` those that were saved:
//!   also those of the allocator's tables, and whatever else the process has written to.
//! - `ratio store.delta.<kind>.<percent>.bytes_over_changed`: all bytes of the segment over 4096
//!   for each of `changed`; `.time_over_full`: its `saving` over a whole snapshot's of the same
//!   heap (`metric store.delta.<kind>.full_saving_ms`). Lower is better.
//!   `store.delta.bytes_over_changed` and `store.delta.time_over_full` are the worst of 1 %.
//! - `metric store.compress.<heap>.<codec>.{ratio,write_mib_s,load_mib_s}`: pages' bytes over the
//!   file's, and the pages' MiB a second while a snapshot is saved, and opened by
//!   `Restore::Load`. `cities` is the state of the example of that name, `xtree` a million points.
//! - `ratio store.merge.time_over_full`: `Heap::compact` of a whole snapshot and eight deltas of
//!   1 % over the time of a whole snapshot. Lower is better.
#![allow(clippy::cast_possible_truncation, reason = "durations and sizes of a bench are small")]

#[path = "../../examples/cities/data.rs"]
#[allow(dead_code, unused_imports, reason = "an example's file, of which a part is used")]
mod data;
#[path = "../../examples/cities/db.rs"]
#[allow(dead_code, unused_imports, reason = "an example's file, of which a part is used")]
mod db;

mod compress;
mod delta;
mod full;
mod merge;
mod pages;
#[path = "../shared/mod.rs"]
mod shared;

use shared::{Arguments, Error, Folder};
use stillheap::ProcessHeap;

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

fn main() -> Result<(), Error> {
    if let Some(arguments) = shared::arguments_of_child() {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        return child(&arguments);
    }
    let arguments = Arguments::of_process();
    let size = arguments.number("--size", 256, 1024)?;
    let rounds = arguments.number("--rounds", 3, 5)?;
    let folder = Folder::new(&arguments.dir()?)?;
    if arguments.wants("full") {
        full::run(&folder, size, rounds)?;
    }
    let mut fulls = delta::Fulls::new(size);
    if arguments.wants("delta") {
        delta::run(&folder, size, rounds, &mut fulls)?;
    }
    if arguments.wants("merge") {
        merge::run(&folder, size, &mut fulls)?;
    }
    if arguments.wants("compress") {
        compress::run(&folder, rounds)?;
    }
    Ok(())
}

fn child(arguments: &[&str]) -> Result<(), Error> {
    match arguments {
        ["full", dir, mib, rounds] => full::child(dir.as_ref(), mib.parse()?, rounds.parse()?),
        ["delta", dir, mib, kind, rounds] => {
            delta::child(dir.as_ref(), mib.parse()?, kind, rounds.parse()?)
        }
        ["whole", dir, mib, kind] => delta::child_whole(dir.as_ref(), mib.parse()?, kind),
        ["merge", dir, mib] => merge::child(dir.as_ref(), mib.parse()?),
        ["check", dir, kind] => pages::child_check(dir.as_ref(), kind),
        ["compress", dir, heap, codec, rounds] => {
            compress::child_save(dir.as_ref(), heap, codec, rounds.parse()?)
        }
        ["load", dir, heap] => compress::child_load(dir.as_ref(), heap),
        other => Err(format!("no such task: {}", other.join(" ")).into()),
    }
}
