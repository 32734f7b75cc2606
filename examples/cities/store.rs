//! The heap that keeps the state, and what it tells about itself.

use super::db::Db;
use super::wire::{Back, StillLine};
use super::{HEAP, Outcome};
use std::path::{Path, PathBuf};
use stillheap::{Event, Heap, Options, Root, StillInfo};

/// An open heap with its state.
pub(crate) struct Store {
    heap: Heap,
    pub(crate) db: Root<Db>,
}

impl Store {
    /// Opens the heap that is in `dir`.
    pub(crate) fn existing(dir: &Path, options: Options) -> Outcome<Self> {
        if !dir.exists() {
            return Err(
                format!("there is no heap in {}: run the story first", dir.display()).into()
            );
        }
        Self::open(dir, options.create(false))
    }

    /// Opens the heap in `dir`, or makes a new one there.
    pub(crate) fn open(dir: &Path, options: Options) -> Outcome<Self> {
        let heap = HEAP.open(dir, options.keep(2).restart_on_collision(true))?;
        let db = heap.root("db")?;
        Ok(Self { heap, db })
    }

    /// What came back when the heap was opened.
    pub(crate) fn restored(&self) -> Option<Back> {
        self.heap.restored().map(|restored| Back {
            snapshot: restored.number,
            operations: restored.operations,
            elapsed: restored.elapsed,
        })
    }

    /// Takes a last snapshot, and waits until it is durable.
    pub(crate) fn close(self) -> Outcome<Option<StillLine>> {
        let Self { heap, db } = self;
        drop(db);
        Ok(heap.close()?.as_ref().map(line))
    }
}

/// Options for a heap that reports its snapshots to `report`, taken every `operations`
/// operations and on closing.
pub(crate) fn reporting(
    operations: u64,
    report: impl Fn(StillLine) + Send + Sync + 'static,
) -> Options {
    Options::new().snapshot_every_ops(operations).on_event(move |event| match event {
        Event::Durable(info) => report(line(info)),
        other => eprintln!("cities: {other}"),
    })
}

/// Where the heap lies if nobody says: beside the folder of the program, which is the
/// profile's folder in cargo's target directory, so that each build keeps its own.
pub(crate) fn default_dir() -> Outcome<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.ancestors().nth(2).unwrap_or(Path::new("."));
    Ok(folder.join("cities.heap"))
}

/// Removes the heap of an earlier run, file by file: whatever is not a heap's stays, and is
/// an error.
pub(crate) fn remove(dir: &Path) -> Outcome<bool> {
    if !dir.exists() {
        return Ok(false);
    }
    let lock = dir.join("LOCK");
    if let Ok(lock) = std::fs::File::open(&lock) {
        lock.try_lock().map_err(|_| format!("{} is in use by another process", dir.display()))?;
    }
    let entries: Vec<_> = std::fs::read_dir(dir)?.collect::<Result<_, _>>()?;
    if let Some(other) = entries.iter().find(|entry| !is_a_heaps(&entry.path())) {
        let (other, dir) = (other.file_name(), dir.display());
        return Err(format!("{dir} holds {other:?}, so it is left alone: name another").into());
    }
    for entry in entries {
        std::fs::remove_file(entry.path())?;
    }
    std::fs::remove_dir(dir)?;
    Ok(true)
}

fn is_a_heaps(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let is_segment = file.extension().is_some_and(|kind| kind == "full" || kind == "delta");
    matches!(&*name, "LOCK" | "MANIFEST") || is_segment || name.starts_with(".tmp")
}

fn line(info: &StillInfo) -> StillLine {
    StillLine {
        number: info.number,
        operations: info.operations,
        pause: info.pause,
        drain: info.drain,
        saving: info.saving,
        bytes: info.bytes,
    }
}
