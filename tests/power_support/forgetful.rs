//! A simulated directory that leaves a step of the commit out, so that a test can tell whether
//! the enumeration would notice.

use std::{io, path::PathBuf};
use stillheap::os::sim::{SimDir, SimFile};
use stillheap::os::{Dir, File, FileBytes, PublishError};

/// What is not done, though it is reported as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forgets {
    /// Syncing files, but for those that are published.
    Bytes,
    /// Syncing the directory, but for what is published.
    Names,
    /// Publishing in one step: the old file goes, and then the new one is made.
    Rename,
}

/// The directory.
#[derive(Clone)]
pub(crate) struct Forgetful {
    pub(crate) dir: SimDir,
    pub(crate) forgets: Forgets,
}

/// A file of it.
pub(crate) struct ForgetfulFile {
    file: SimFile,
    forgets: Forgets,
}

impl Dir for Forgetful {
    type File = ForgetfulFile;

    fn list(&self) -> io::Result<Vec<String>> {
        self.dir.list()
    }

    fn open(&self, name: &str) -> io::Result<ForgetfulFile> {
        Ok(ForgetfulFile { file: self.dir.open(name)?, forgets: self.forgets })
    }

    fn create(&self, name: &str) -> io::Result<ForgetfulFile> {
        Ok(ForgetfulFile { file: self.dir.create(name)?, forgets: self.forgets })
    }

    fn publish(&self, name: &str, bytes: &[u8]) -> Result<(), PublishError> {
        if self.forgets == Forgets::Rename {
            return self.rewrite(name, bytes).map_err(|source| PublishError::NotDurable { source });
        }
        self.dir.publish(name, bytes)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.dir.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.dir.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        if self.forgets == Forgets::Names { Ok(()) } else { self.dir.sync() }
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.dir.path_of(name)
    }
}

impl Forgetful {
    fn rewrite(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let file = self.dir.create(name).or_else(|_| {
            self.dir.remove(name)?;
            self.dir.create(name)
        })?;
        file.write_at(0, bytes)?;
        file.sync()?;
        self.dir.sync()
    }
}

impl File for ForgetfulFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn copy_from(
        &self,
        offset: u64,
        source: &Self,
        source_offset: u64,
        len: u64,
    ) -> io::Result<()> {
        self.file.copy_from(offset, &source.file, source_offset, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        if self.forgets == Forgets::Bytes { Ok(()) } else { self.file.sync() }
    }

    fn view(&self) -> io::Result<FileBytes> {
        self.file.view()
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        self.file.next_data(offset)
    }
}
