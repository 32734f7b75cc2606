//! The folder for everything that is written, and what of its files is in the page cache.
//!
//! A run that is killed cannot remove its folder, so the next one does: a folder whose lock can
//! be had is nobody's.

use rustix::fs::{Advice, fadvise, statfs};
use std::fs::{self, File};
use std::io;
use std::path::Path;
use stillheap_peers::Error;
use tempfile::TempDir;

const PREFIX: &str = "peers-data-";
const LOCK: &str = "LOCK";
/// As statfs(2) names file systems in memory.
const TMPFS: i64 = 0x0102_1994;

/// A folder that is removed when it is dropped.
pub(crate) struct Folder {
    dir: TempDir,
    /// Held as long as the folder is in use.
    _lock: File,
}

impl Folder {
    /// In `parent`, from which folders that killed runs have left are removed.
    pub(crate) fn new(parent: &Path) -> Result<Self, Error> {
        fs::create_dir_all(parent)?;
        remove_leftovers(parent)?;
        if statfs(parent)?.f_type == TMPFS {
            eprintln!("{} lies in memory: this says nothing of a disk", parent.display());
        }
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
        let lock = File::create(dir.path().join(LOCK))?;
        lock.try_lock()?;
        Ok(Self { dir, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A folder in it.
    pub(crate) fn part(&self, name: &str) -> io::Result<TempDir> {
        tempfile::Builder::new().prefix(name).tempdir_in(&self.dir)
    }
}

fn remove_leftovers(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let is_nobodys =
            File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
        if is_nobodys {
            eprintln!("removing {}, which an earlier run has left", entry.path().display());
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Bytes that the files in `dir` take.
pub(crate) fn bytes(dir: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut blocks = 0;
    each_file(dir, |path| {
        blocks += fs::metadata(path)?.blocks();
        Ok(())
    })?;
    Ok(blocks * 512)
}

/// Reads all files, so that they are in the page cache.
pub(crate) fn warm(dir: &Path) -> io::Result<()> {
    each_file(dir, |path| io::copy(&mut File::open(path)?, &mut io::sink()).map(|_| ()))
}

/// Takes all files out of the page cache.
pub(crate) fn cool(dir: &Path) -> io::Result<()> {
    each_file(dir, |path| {
        let file = File::open(path)?;
        // What is dirty would stay.
        file.sync_all()?;
        Ok(fadvise(&file, 0, None, Advice::DontNeed)?)
    })
}

fn each_file(dir: &Path, mut visit: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        visit(&entry?.path())?;
    }
    Ok(())
}
