//! A heap's directory, looked at while a program may be writing to it.
//!
//! Reading takes no lock. A segment that is gone when it is to be opened was merged or pruned
//! meanwhile: then the manifest is another one by now, and is read again. What is open stays
//! readable, whatever becomes of its name.

use crate::failure::{Failure, NOT_FOUND, SYSTEM, code_of_segment};
use std::{io, path::Path};
use stillheap::{
    image::{Chain, Contents, Manifest, SegmentError, SnapshotRecord, inspect},
    os::{Dir, DirLock, DiskDir, DiskFile},
};

/// How often a manifest that changes is read again.
const TRIES: usize = 16;

/// A heap's directory.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) dir: DiskDir,
}

/// A snapshot, and the manifest that it was found in.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) manifest: Manifest,
    pub(crate) snapshot: SnapshotRecord,
    pub(crate) chain: Chain<DiskFile>,
}

impl Folder {
    /// The heap at that path.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let dir = DiskDir::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                let what = "is not there, or no directory: give a heap's directory";
                Failure::new(NOT_FOUND, format!("{} {what}", path.display()))
            }
            _ => Failure::io("open", path, &error),
        })?;
        match inspect(&dir)? {
            Contents::Heap => Ok(Self { dir }),
            Contents::New => {
                let what = "is empty: there is no heap in it";
                Err(Failure::new(NOT_FOUND, format!("{} {what}", path.display())))
            }
        }
    }

    /// The same, for a command that changes it.
    pub(crate) fn lock(path: &Path) -> Result<(Self, DirLock), Failure> {
        let folder = Self::open(path)?;
        let lock = DirLock::acquire(folder.dir.path())?;
        Ok((folder, lock))
    }

    pub(crate) fn path(&self) -> String {
        self.dir.path().display().to_string()
    }

    pub(crate) fn manifest(&self) -> Result<Manifest, Failure> {
        Manifest::load(&self.dir).map_err(|error| {
            let failure = Failure::from(error);
            Failure::new(failure.code, format!("{}: {}", self.path(), failure.message))
        })
    }

    /// A snapshot; without a number the newest that counts.
    pub(crate) fn snapshot(&self, number: Option<u64>) -> Result<Opened, Failure> {
        for _ in 0..TRIES {
            let manifest = self.manifest()?;
            let snapshot = self.pick(&manifest, number)?.clone();
            match Chain::open(&self.dir, &manifest, &snapshot) {
                Ok(chain) => return Ok(Opened { manifest, snapshot, chain }),
                Err(error) if is_gone(&error) && self.manifest()? != manifest => {}
                Err(error) => return Err(self.damaged(&manifest, snapshot.number, &error)),
            }
        }
        Err(Failure::new(SYSTEM, format!("the heap in {} changes too fast", self.path())))
    }

    /// The snapshot with that number, or the newest that counts.
    pub(crate) fn pick<'a>(
        &self,
        manifest: &'a Manifest,
        number: Option<u64>,
    ) -> Result<&'a SnapshotRecord, Failure> {
        let found = match number {
            Some(number) => manifest.snapshot(number),
            None => manifest.newest(),
        };
        found.ok_or_else(|| {
            let there: Vec<u64> = manifest.snapshots.iter().map(|one| one.number).collect();
            let message = match (number, numbers(&there)) {
                (None, _) => format!("the heap in {} has no snapshot yet", self.path()),
                (Some(number), there) => {
                    format!("{} has no snapshot {number}; it has {there}", self.path())
                }
            };
            Failure::new(NOT_FOUND, message)
        })
    }

    /// A snapshot cannot be opened: the ones that can are named.
    pub(crate) fn damaged(
        &self,
        manifest: &Manifest,
        number: u64,
        error: &SegmentError,
    ) -> Failure {
        let others = manifest.snapshots.iter().filter(|other| other.number != number);
        let sound = others.filter(|other| Chain::open(&self.dir, manifest, other).is_ok());
        let openable: Vec<u64> = sound.map(|other| other.number).collect();
        let way_out = match openable.is_empty() {
            true => "no other can be opened; put the file back from a copy".to_owned(),
            false => format!(
                "can still be opened: {}; or put the file back from a copy",
                numbers(&openable)
            ),
        };
        let message = format!("snapshot {number} is damaged: {error}\n{way_out}");
        Failure::new(code_of_segment(error), message)
    }
}

/// Whether the file is not there.
pub(crate) fn is_gone(error: &SegmentError) -> bool {
    matches!(error, SegmentError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// `1, 2, 5`; or "none".
pub(crate) fn numbers(numbers: &[u64]) -> String {
    match numbers {
        [] => "none".to_owned(),
        _ => numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// A folder that files are read from or written to, and the file's name in it.
pub(crate) fn split(path: &Path) -> Result<(DiskDir, String), Failure> {
    let name = path.file_name().and_then(|name| name.to_str());
    let Some(name) = name else {
        let what = "is not the name of a file in UTF-8";
        return Err(Failure::new(crate::failure::USAGE, format!("{} {what}", path.display())));
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let dir = DiskDir::open(folder).map_err(|error| Failure::io("open", folder, &error))?;
    Ok((dir, name.to_owned()))
}

/// Whether something has that name.
pub(crate) fn is_taken(dir: &DiskDir, name: &str) -> bool {
    std::fs::symlink_metadata(dir.path_of(name)).is_ok()
}
