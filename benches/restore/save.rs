//! Making a heap's directory: a whole snapshot, and deltas on it.

use crate::HEAP;
use crate::shared::{Error, Folder, Random, in_child, tell};
use crate::state::{Record, State, records};
use std::path::Path;
use stillheap::{Options, Root};
use tempfile::TempDir;

/// A directory that has been made.
pub(crate) struct Saved {
    pub(crate) dir: TempDir,
    pub(crate) records: usize,
    /// Of the state.
    pub(crate) digest: u64,
    /// Bytes of the whole snapshot.
    pub(crate) bytes: f64,
}

impl Saved {
    pub(crate) fn new(folder: &Folder, mib: usize, deltas: usize) -> Result<Self, Error> {
        eprintln!("saving {mib} MiB, and {deltas} deltas");
        let (dir, records) = (folder.part()?, records(mib));
        let path = dir.path().to_str().ok_or("the folder's name is not text")?;
        let told = in_child(&["save", path, &records.to_string(), &deltas.to_string()])?;
        let (digest, bytes) = (told.last("digest")?, told.last("bytes")?);
        Ok(Self { dir, records, digest, bytes })
    }

    /// The folder's name.
    pub(crate) fn path(&self) -> Result<&str, Error> {
        self.dir.path().to_str().ok_or_else(|| "the folder's name is not text".into())
    }
}

pub(crate) fn child(dir: &Path, records: usize, deltas: usize) -> Result<(), Error> {
    // All are kept, so that nothing is merged.
    let heap = HEAP.open(dir, Options::new().keep(deltas + 1).spare(false))?;
    let root: Root<State> = heap.root("state")?;
    (0..records).map(Record::nth).for_each(|record| root.write(|state| state.insert(record)));
    let full = heap.snapshot()?.wait_durable()?;
    tell("bytes", full.bytes);
    eprintln!("{} bytes for each of {records} records", full.bytes / records as u64);
    let mut random = Random::new(3);
    for _ in 0..deltas {
        for _ in 0..full.pages / 100 {
            let place = random.below(records);
            root.write(|state| state.change(place));
        }
        if !heap.snapshot()?.wait_durable()?.is_delta {
            return Err("a percent changed, and all was saved".into());
        }
    }
    tell("digest", root.read(State::digest));
    // Closing would take one more snapshot.
    std::mem::forget(heap);
    Ok(())
}
