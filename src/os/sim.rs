//! A directory in memory, for tests and fuzzing: it counts calls, fails the one it is told
//! to fail, and keeps a log of what was done, so that a crash can be replayed at any point.
//!
//! Invariant: `state = start + log`. Every change of state is one [`Op`] of the log, appended
//! as it is made, so what a crash may leave is computed from the log alone. Failed calls are
//! in the log with what they did before they failed (half a write, no sync).

use super::dir::{Dir, File, FileBytes, PublishError, TEMPORARY_PREFIX};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A directory in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct SimDir {
    disk: Arc<Mutex<Disk>>,
}

/// A file of a [`SimDir`]; lives on when its name is removed.
#[derive(Debug)]
pub struct SimFile {
    disk: Arc<Mutex<Disk>>,
    id: FileId,
    writable: bool,
}

/// A file's number, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId(u64);

/// A change to the directory, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A new, empty file.
    Create(FileId, String),
    /// Bytes written at an offset.
    Write(FileId, u64, Vec<u8>),
    /// A new length.
    SetLen(FileId, u64),
    /// The file's bytes are durable.
    SyncFile(FileId),
    /// A file took another name, and whoever had it lost it.
    Rename(String, String),
    /// A name is gone.
    Remove(String),
    /// The names are durable.
    SyncDir,
}

/// What a crash leaves of the operations before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survives {
    /// All of them, as when the process is killed.
    Everything,
    /// Only what a sync made durable: the worst power cut.
    Synced,
}

/// A failure to be injected.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// How many calls succeed before the one that fails.
    pub after: u64,
    /// The error, as in `errno.h`.
    pub errno: i32,
    /// Whether every later call fails as well.
    pub lasting: bool,
}

/// Files longer than this are refused with EFBIG, to spare the host.
const LEN_MAX: u64 = 1 << 30;
/// What the simulated disk finds holes by.
const BLOCK: usize = 4096;

#[derive(Debug, Clone, Default)]
struct Disk {
    state: State,
    start: State,
    log: Vec<Op>,
    calls: u64,
    fault: Option<Fault>,
    files_made: u64,
}

#[derive(Debug, Clone, Default)]
struct State {
    names: BTreeMap<String, FileId>,
    files: BTreeMap<FileId, Arc<Vec<u8>>>,
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
        disk.log.clear();
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
        self.lock().log.clone()
    }

    /// The directory as a crash after the first `count` operations of the log leaves it.
    #[must_use]
    pub fn after_crash(&self, count: usize, survives: Survives) -> Self {
        let disk = self.lock();
        let mut now = disk.start.clone();
        let mut durable = disk.start.clone();
        for op in disk.log.iter().take(count) {
            now.apply(op);
            match op {
                Op::SyncFile(id) => durable.keep_file(&now, *id),
                Op::SyncDir => durable.names.clone_from(&now.names),
                _ => {}
            }
        }
        let state = if survives == Survives::Everything { now } else { durable };
        let left =
            Disk { start: state.clone(), state, files_made: disk.files_made, ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(left)) }
    }

    fn lock(&self) -> MutexGuard<'_, Disk> {
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

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        let mut disk = lock(&self.disk);
        disk.call()?;
        Ok(disk.state.bytes(self.id).len() as u64)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        self.check_change(offset.saturating_add(bytes.len() as u64))?;
        let called = disk.call();
        let count = if called.is_ok() { bytes.len() } else { bytes.len() / 2 };
        disk.make(Op::Write(self.id, offset, bytes[..count].to_vec()));
        called
    }

    fn copy_from(
        &self,
        offset: u64,
        source: &Self,
        source_offset: u64,
        len: u64,
    ) -> io::Result<()> {
        // Taken before this disk's lock: it may be the same one.
        let bytes = lock(&source.disk).state.bytes(source.id);
        let (start, end) = (index(source_offset), index(source_offset.saturating_add(len)));
        match bytes.get(start..end) {
            Some(part) => self.write_at(offset, part),
            None if len == 0 => self.write_at(offset, &[]),
            None => lock(&self.disk).call().and(Err(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        self.check_change(len)?;
        disk.call()?;
        disk.make(Op::SetLen(self.id, len));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = lock(&self.disk);
        disk.call()?;
        disk.make(Op::SyncFile(self.id));
        Ok(())
    }

    fn view(&self) -> io::Result<FileBytes> {
        let mut disk = lock(&self.disk);
        disk.call()?;
        Ok(FileBytes::shared(disk.state.bytes(self.id)))
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        let mut disk = lock(&self.disk);
        disk.call()?;
        let bytes = disk.state.bytes(self.id);
        let Ok(offset) = usize::try_from(offset) else { return Ok(None) };
        let Some(rest) = bytes.get(offset..) else { return Ok(None) };
        let zeros = rest.chunks(BLOCK).take_while(|block| **block == [0; BLOCK][..block.len()]);
        let found = offset + zeros.count() * BLOCK;
        Ok((found < bytes.len()).then_some(found as u64))
    }
}

impl SimFile {
    fn check_change(&self, len: u64) -> io::Result<()> {
        match (self.writable, len <= LEN_MAX) {
            (false, _) => Err(io::Error::from_raw_os_error(libc::EBADF)),
            (_, false) => Err(io::Error::from_raw_os_error(libc::EFBIG)),
            (true, true) => Ok(()),
        }
    }
}

impl Disk {
    /// Counts a call, and fails it if it is the one.
    fn call(&mut self) -> io::Result<()> {
        let number = self.calls;
        self.calls += 1;
        match self.fault {
            Some(fault) if number == fault.after || (fault.lasting && number > fault.after) => {
                Err(io::Error::from_raw_os_error(fault.errno))
            }
            _ => Ok(()),
        }
    }

    fn make(&mut self, op: Op) {
        self.state.apply(&op);
        self.log.push(op);
    }

    fn new_id(&mut self) -> FileId {
        self.files_made += 1;
        FileId(self.files_made)
    }
}

impl State {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Create(id, name) => {
                self.names.insert(name.clone(), *id);
                self.files.insert(*id, Arc::default());
            }
            Op::Write(id, offset, bytes) => self.write(*id, *offset, bytes),
            Op::SetLen(id, len) => set_len(self.bytes_mut(*id), index(*len)),
            Op::Rename(from, to) => {
                if let Some(id) = self.names.remove(from) {
                    self.names.insert(to.clone(), id);
                }
            }
            Op::Remove(name) => {
                self.names.remove(name);
            }
            Op::SyncFile(_) | Op::SyncDir => {}
        }
    }

    fn write(&mut self, id: FileId, offset: u64, bytes: &[u8]) {
        let (start, end) = (index(offset), index(offset) + bytes.len());
        let file = self.bytes_mut(id);
        if file.len() < end {
            set_len(file, end);
        }
        file[start..end].copy_from_slice(bytes);
    }

    fn keep_file(&mut self, now: &Self, id: FileId) {
        self.files.insert(id, now.bytes(id));
    }

    fn bytes(&self, id: FileId) -> Arc<Vec<u8>> {
        self.files.get(&id).cloned().unwrap_or_default()
    }

    fn bytes_mut(&mut self, id: FileId) -> &mut Vec<u8> {
        Arc::make_mut(self.files.entry(id).or_default())
    }
}

/// Cuts or extends with zeros; in one piece, for unoptimised tests have large files.
fn set_len(file: &mut Vec<u8>, len: usize) {
    if len > file.capacity() {
        let mut longer = vec![0; len];
        longer[..file.len()].copy_from_slice(file);
        *file = longer;
    }
    file.resize(len, 0);
}

/// Offsets are below [`LEN_MAX`], so they fit.
fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsynced_bytes_and_names_are_lost_in_the_worst_crash() {
        let dir = SimDir::with_files([("old", b"old".to_vec())]);
        let file = dir.create("new").unwrap();
        file.write_at(0, b"one").unwrap();
        file.sync().unwrap();
        dir.sync().unwrap();
        file.write_at(0, b"two").unwrap();
        dir.remove("old").unwrap();
        let count = dir.log().len();
        let killed = dir.after_crash(count, Survives::Everything);
        assert_eq!((killed.get("new"), killed.get("old")), (Some(b"two".to_vec()), None));
        let cut = dir.after_crash(count, Survives::Synced);
        assert_eq!(
            (cut.get("new"), cut.get("old")),
            (Some(b"one".to_vec()), Some(b"old".to_vec()))
        );
    }

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

    #[test]
    fn a_failed_write_leaves_half() {
        let dir = SimDir::new();
        let file = dir.create("a").unwrap();
        dir.fail(Some(Fault { after: 0, errno: libc::ENOSPC, lasting: true }));
        assert_eq!(file.write_at(0, b"abcd").unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(dir.get("a"), Some(b"ab".to_vec()));
        assert!(file.sync().is_err());
    }

    #[test]
    fn a_copy_is_one_write_of_the_bytes_and_fails_like_one() {
        let dir = SimDir::with_files([("from", b"0123456789".to_vec())]);
        let (from, to) = (dir.open("from").unwrap(), dir.create("to").unwrap());
        to.copy_from(1, &from, 2, 4).unwrap();
        assert_eq!(dir.get("to"), Some(b"\x002345".to_vec()));
        let Some(Op::Write(id, 1, bytes)) = dir.log().pop() else { panic!() };
        assert_eq!((id, bytes), (to.id, b"2345".to_vec()));
        for (offset, len) in [(8, 3), (11, 1), (u64::MAX, 1), (0, u64::MAX)] {
            let calls = dir.calls();
            let error = to.copy_from(0, &from, offset, len).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{len} bytes at {offset}");
            assert_eq!(dir.calls(), calls + 1);
        }
        to.copy_from(0, &from, 11, 0).unwrap();
        assert!(from.copy_from(0, &to, 0, 1).is_err());
        dir.fail(Some(Fault { after: 0, errno: libc::ENOSPC, lasting: false }));
        let error = to.copy_from(5, &from, 0, 4).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(dir.get("to"), Some(b"\x00234501".to_vec()));
    }

    #[test]
    fn holes_are_whole_blocks_of_zero() {
        let dir = SimDir::new();
        let file = dir.create("a").unwrap();
        file.set_len(3 * 4096).unwrap();
        assert_eq!(file.next_data(0).unwrap(), None);
        file.write_at(2 * 4096 + 5, b"x").unwrap();
        assert_eq!(file.next_data(0).unwrap(), Some(2 * 4096));
    }

    #[test]
    fn read_only_files_refuse_writes() {
        let dir = SimDir::with_files([("a", vec![1])]);
        let file = dir.open("a").unwrap();
        assert!(file.write_at(0, b"x").is_err());
        assert!(dir.create("b").unwrap().set_len(u64::MAX).is_err());
    }
}
