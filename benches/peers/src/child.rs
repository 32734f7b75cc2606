//! What a child does and tells: a line for each figure, `NAME VALUE`.

use crate::Error;
use crate::state::Record;
use crate::store::{Digest, Glance, Store};
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What a child is asked to do, on its command line: task, way, records, folder.
pub struct Job {
    /// What.
    pub task: Task,
    /// In which way.
    pub way: String,
    /// Records of the state.
    pub records: u64,
    /// Where its files lie.
    pub dir: PathBuf,
}

/// What a child can do.
pub enum Task {
    /// Nothing, to see how long that takes.
    Nothing,
    /// Writes the source that states can be built from.
    Source,
    /// Builds the state and saves it.
    Save,
    /// Comes back and answers.
    Restart,
}

impl Job {
    /// From this process's arguments.
    ///
    /// # Errors
    /// If they are not as above.
    pub fn from_arguments() -> Result<Self, Error> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let [task, way, records, dir] = &arguments[..] else {
            return Err("started by `peers` only".into());
        };
        let task = match task.as_str() {
            "nothing" => Task::Nothing,
            "source" => Task::Source,
            "save" => Task::Save,
            "restart" => Task::Restart,
            other => return Err(format!("no such task: {other}").into()),
        };
        Ok(Self { task, way: way.clone(), records: records.parse()?, dir: dir.into() })
    }
}

/// What saving took.
pub struct Saved {
    /// For how long nobody could write to the state.
    pub pause: Duration,
    /// Until it was durable.
    pub whole: Duration,
}

/// Tells it.
pub fn saved(saved: &Saved) {
    tell("pause_ms", saved.pause);
    tell("save_ms", saved.whole);
}

/// Tells how much memory the process has, when the state is built and nothing else.
pub fn built() {
    println!("resident_mib {}", resident_mib());
}

/// Opens what was saved, answers a question, reads everything once, and tells when that was
/// done, since `begun`. Then, the clock stopped, a digest of all.
///
/// # Errors
/// Those of the store, and if its answer is wrong.
pub fn restart<S: Store>(
    begun: Instant,
    job: &Job,
    open: impl FnOnce() -> Result<S, Error>,
) -> Result<(), Error> {
    let asked = Record::nth(job.records / 3 * 2);
    let store = open()?;
    let id = store.id_of(&asked.name)?;
    let by_id = store.record(id.ok_or("the name was not found")?)?;
    let answered = begun.elapsed();
    let mut glance = Glance::default();
    store.records(&mut glance)?;
    let loaded = begun.elapsed();
    black_box(glance.0);
    if by_id.as_ref() != Some(&asked) {
        return Err(format!("asked for {asked:?}, got {by_id:?}").into());
    }
    tell("first_query_ms", answered);
    tell("loaded_ms", loaded);
    if let Some(bytes) = bytes_from_disk() {
        println!("from_disk {bytes}");
    }
    println!("digest {}", Digest::of(&store)?.text());
    store.close();
    Ok(())
}

/// Tells how long something took.
pub fn tell(name: &str, time: Duration) {
    println!("{name} {:.4}", time.as_secs_f64() * 1000.0);
}

/// What the system has fetched from storage for this process, if it tells.
fn bytes_from_disk() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("read_bytes: "))?.parse().ok()
}

/// MiB of this process in memory.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) >> 8
}
