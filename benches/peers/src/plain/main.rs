//! The state as programs keep it today, with the system's allocator and without stillheap.

mod files;
mod relations;
mod rkyv_files;
mod tables;

use std::time::Instant;
use stillheap_peers::{Digest, Error, Job, Task, build, built, parse, restart, write_source};
use tables::{End, Tables};

fn main() -> Result<(), Error> {
    let begun = Instant::now();
    let job = Job::from_arguments()?;
    match job.task {
        Task::Nothing => Ok(()),
        Task::Source => source(&job),
        Task::Save => save(&job),
        Task::Restart => come_back(begun, &job),
    }
}

/// Writes the source, and tells what the state has to be like, whoever keeps it.
fn source(job: &Job) -> Result<(), Error> {
    write_source(job.records, &job.dir)?;
    println!("digest {}", Digest::of(&build(job.records))?.text());
    Ok(())
}

fn save(job: &Job) -> Result<(), Error> {
    let state = build(job.records);
    built();
    match job.way.as_str() {
        "bincode" => files::save(&state, &job.dir, files::to_bincode),
        "postcard" => files::save(&state, &job.dir, files::to_postcard),
        "rkyv" => files::save(&state, &job.dir, rkyv_files::to_bytes),
        "redb" => tables::save(&state, &job.dir, End::Closed),
        "redb_killed" => tables::save(&state, &job.dir, End::Killed),
        "sqlite" => relations::save(state, &job.dir),
        other => Err(format!("no such way to save: {other}").into()),
    }
}

fn come_back(begun: Instant, job: &Job) -> Result<(), Error> {
    let dir = &job.dir;
    match job.way.as_str() {
        "bincode" => restart(begun, job, || files::from_bincode(dir)),
        "postcard" => restart(begun, job, || files::from_postcard(dir)),
        "rkyv_mapped" => restart(begun, job, || rkyv_files::Mapped::open(dir)),
        "rkyv_trusted" => restart(begun, job, || rkyv_files::Mapped::open_trusting(dir)),
        "rkyv_loaded" => restart(begun, job, || rkyv_files::load(dir)),
        "redb" => restart(begun, job, || Tables::open(dir, End::Closed)),
        "redb_killed" => restart(begun, job, || Tables::open(dir, End::Killed)),
        "sqlite" => restart(begun, job, || relations::Relations::open(dir)),
        "rebuild" => restart(begun, job, || parse(dir)),
        other => Err(format!("no such way to come back: {other}").into()),
    }
}
