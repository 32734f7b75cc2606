//! The folder for everything that is written. It is removed in the end; what a run that was
//! killed has left, the next run removes: a folder whose lock can be had is nobody's.

use super::Error;
use std::fs::{self, File};
use std::path::Path;
use tempfile::TempDir;

const PREFIX: &str = "stillheap-bench-";
const LOCK: &str = "LOCK";

pub(crate) struct Folder {
    dir: TempDir,
    /// Held as long as the folder is in use.
    _lock: File,
}

impl Folder {
    pub(crate) fn new(parent: &Path) -> Result<Self, Error> {
        for entry in fs::read_dir(parent)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let lock = || File::open(path.join(LOCK)).and_then(|lock| Ok(lock.try_lock()?));
            if name.starts_with(PREFIX) && lock().is_ok() {
                eprintln!("removing {}, which an earlier run has left", path.display());
                fs::remove_dir_all(&path)?;
            }
        }
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::create(dir.path().join(LOCK))?;
        lock.try_lock()?;
        Ok(Self { dir, _lock: lock })
    }

    /// A folder in it, that is removed when it is dropped.
    pub(crate) fn part(&self) -> Result<TempDir, Error> {
        Ok(tempfile::tempdir_in(&self.dir)?)
    }
}
