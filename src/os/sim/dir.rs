//! The simulated directory, and what a test does to it behind the program's back.

use super::{
    disk::{Disk, Fault, lock},
    file::SimFile,
    state::{Op, State},
};
use crate::os::{Dir, File, PublishError, TEMPORARY_PREFIX};
use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
};

/// A directory in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct SimDir {
    disk: Arc<Mutex<Disk>>,
}

impl SimDir {
    /// An empty directory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A directory with these files, all durable.
    pub fn with_files<N: Into<String>>(files: impl IntoIterator<Item = (N, Vec<u8>)>) -> Self {
        let dir = Self::new();
        for (name, bytes) in files {
            dir.put(&name.into(), bytes);
        }
        dir.settle();
        dir
    }

    /// Sets a file's bytes behind the log's back, as damage does.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut disk = self.lock();
        let id = match disk.state.names.get(name) {
            Some(&id) => id,
            None => disk.new_id(),
        };
        disk.state.names.insert(name.to_owned(), id);
        disk.state.files.insert(id, Arc::new(bytes));
    }

    /// Changes a file's bytes in place, behind the log's back; `false` if there is none.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut disk = self.lock();
        let Some(&id) = disk.state.names.get(name) else { return false };
        change(Arc::make_mut(disk.state.files.entry(id).or_default()));
        true
    }

    /// A file's bytes.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        let disk = self.lock();
        let id = disk.state.names.get(name)?;
        disk.state.files.get(id).map(|bytes| bytes.to_vec())
    }

    /// Makes all that is here durable, and starts the log and the count of calls anew.
    pub fn settle(&self) {
        let mut disk = self.lock();
        disk.start = disk.state.clone();
        disk.log = Arc::default();
        disk.calls = 0;
    }

    /// Injects a failure, or none; counted from now.
    pub fn fail(&self, fault: Option<Fault>) {
        let mut disk = self.lock();
        disk.calls = 0;
        disk.fault = fault;
    }

    /// Calls since the last [`SimDir::settle`] or [`SimDir::fail`].
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// What was done since the last [`SimDir::settle`].
    #[must_use]
    pub fn log(&self) -> Vec<Op> {
        self.lock().log.to_vec()
    }

    /// A directory that is in this state, all of it durable.
    pub(super) fn with_state(state: State, files_made: u64) -> Self {
        let disk = Disk { start: state.clone(), state, files_made, ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(disk)) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Disk> {
        lock(&self.disk)
    }
}

impl Dir for SimDir {
    type File = SimFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut disk = self.lock();
        disk.call()?;
        Ok(disk.state.names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let mut disk = self.lock();
        disk.call()?;
        let id = *disk.state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(SimFile { disk: Arc::clone(&self.disk), id, writable: false })
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut disk = self.lock();
        disk.call()?;
        if disk.state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = disk.new_id();
        disk.make(Op::Create(id, name.to_owned()));
        Ok(SimFile { disk: Arc::clone(&self.disk), id, writable: true })
    }

    fn publish(&self, name: &str, bytes: &[u8]) -> Result<(), PublishError> {
        self.replace(name, bytes).map_err(|source| PublishError::NotPublished { source })?;
        self.sync().map_err(|source| PublishError::NotDurable { source })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.lock();
        disk.call()?;
        let has = |name| disk.state.names.contains_key(name);
        match (has(from), has(to)) {
            (false, _) => return Err(io::ErrorKind::NotFound.into()),
            (true, true) => return Err(io::ErrorKind::AlreadyExists.into()),
            (true, false) => disk.make(Op::Rename(from.to_owned(), to.to_owned())),
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = self.lock();
        disk.call()?;
        if !disk.state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.make(Op::Remove(name.to_owned()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.lock();
        disk.call()?;
        disk.make(Op::SyncDir);
        Ok(())
    }

    fn path_of(&self, name: &str) -> PathBuf {
        Path::new("sim:").join(name)
    }
}

impl SimDir {
    /// Like the real one: on a failure before the rename, the temporary file goes.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = format!("{TEMPORARY_PREFIX}{}", self.lock().files_made);
        let file = self.create(&temporary)?;
        let written = file.write_at(0, bytes).and_then(|()| file.sync());
        let mut disk = self.lock();
        match written.and_then(|()| disk.call()) {
            Ok(()) => disk.make(Op::Rename(temporary, name.to_owned())),
            Err(error) => {
                disk.make(Op::Remove(temporary));
                return Err(error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publish_is_all_or_nothing_at_every_fault() {
        let mut in_place = Vec::new();
        for after in 0..6 {
            let dir = SimDir::with_files([("name", b"old".to_vec())]);
            dir.fail(Some(Fault { after, errno: libc::EIO, lasting: false }));
            let result = dir.publish("name", b"new");
            dir.fail(None);
            let old = dir.get("name") == Some(b"old".to_vec());
            assert!(old || dir.get("name") == Some(b"new".to_vec()));
            assert_eq!(old, result.as_ref().is_err_and(PublishError::old_in_force));
            assert_eq!(dir.list().unwrap(), ["name"]);
            in_place.push(old);
        }
        assert_eq!(in_place, [true, true, true, true, false, false]);
    }
}
