//! [`Dir`] and [`File`] on a real directory.
//!
//! Invariants: the path is absolute, so a later `chdir` of the program changes nothing;
//! descriptors are closed on exec; files are readable by their owner alone, since an image
//! holds whatever the program had in memory.
#![allow(unsafe_code, reason = "mapping files, lseek(SEEK_DATA), renameat2, which std lacks")]

use super::{
    behind::{Behind, WriteBehind},
    copy::copy,
    dir::{Dir, File, FileBytes, PublishError, TEMPORARY_PREFIX},
    room::{Room, make_room},
};
use std::{
    ffi::CString,
    fs, io,
    io::Write,
    ops::Range,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::{
            ffi::OsStringExt,
            fs::{DirBuilderExt, FileExt, OpenOptionsExt},
        },
    },
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Writes from this length on have their blocks reserved first: on ext4 a write into the page cache
/// then takes half the time, and seldom long.
const LARGE: usize = 64 << 10;

/// While it grows, a file is written to the disk after each so many bytes.
const BEHIND: u64 = 32 << 20;

/// Its first [`BEHIND`] bytes are written after each so many.
const EARLY: u64 = 4 << 20;

/// A directory of the file system.
#[derive(Debug, Clone)]
pub struct DiskDir {
    path: PathBuf,
}

/// A file of a [`DiskDir`].
#[derive(Debug)]
pub struct DiskFile {
    file: Arc<fs::File>,
    /// That it was given ahead.
    room: Room,
    /// Bytes that were written.
    written: AtomicU64,
    /// Once they are many; `None`: the system gave no thread.
    behind: OnceLock<Option<WriteBehind>>,
}

impl DiskDir {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, and what else the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path)?;
        if !fs::metadata(&path)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(Self { path })
    }

    /// Creates the directory at `path`, durably; its parent has to exist.
    ///
    /// # Errors
    /// `AlreadyExists`, `NotFound` for the parent, and what else the system says.
    pub fn create(path: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().mode(0o700).create(path)?;
        let dir = Self::open(path)?;
        match dir.path.parent() {
            Some(parent) => fs::File::open(parent)?.sync_all()?,
            None => dir.sync()?,
        }
        Ok(dir)
    }

    /// The directory's absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Dir for DiskDir {
    type File = DiskFile;

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, name: &str) -> io::Result<DiskFile> {
        // Without O_NONBLOCK a named pipe in a file's place would hold us for ever.
        let file = fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(self.path_of(name))?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(DiskFile::new(file))
    }

    fn create(&self, name: &str) -> io::Result<DiskFile> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.path_of(name))?;
        Ok(DiskFile::new(file))
    }

    fn publish(&self, name: &str, bytes: &[u8]) -> Result<(), PublishError> {
        self.replace(name, bytes).map_err(|source| PublishError::NotPublished { source })?;
        self.sync().map_err(|source| PublishError::NotDurable { source })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let c_path = |name| CString::new(self.path_of(name).into_os_string().into_vec());
        let (old, new) = (c_path(from)?, c_path(to)?);
        let (at, flags) = (libc::AT_FDCWD, libc::RENAME_NOREPLACE);
        let call = libc::SYS_renameat2;
        // By number, since not every C library has the function.
        // SAFETY: both names end with a zero and outlive the call.
        if unsafe { libc::syscall(call, at, old.as_ptr(), at, new.as_ptr(), flags) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // Not all file systems can refuse to replace.
            Some(libc::EINVAL | libc::ENOSYS) => {
                if fs::symlink_metadata(self.path_of(to)).is_ok() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                fs::rename(self.path_of(from), self.path_of(to))
            }
            _ => Err(error),
        }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path_of(name))
    }

    fn sync(&self) -> io::Result<()> {
        fs::File::open(&self.path)?.sync_all()
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl DiskFile {
    fn new(file: fs::File) -> Self {
        let (written, behind) = (AtomicU64::new(0), OnceLock::new());
        Self { file: Arc::new(file), room: Room::default(), written, behind }
    }

    /// Counts what has been written, and now and then has the disk begin with it.
    fn count(&self, bytes: u64, how: Behind) {
        let before = self.written.fetch_add(bytes, Relaxed);
        let step = if before < BEHIND { EARLY } else { BEHIND };
        if before / step != (before + bytes) / step {
            let start = || WriteBehind::start(Arc::clone(&self.file)).ok();
            self.behind.get_or_init(start).iter().for_each(|behind| behind.ask(how));
        }
    }
}

impl DiskDir {
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut temporary =
            tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(&self.path)?;
        temporary.write_all(bytes)?;
        temporary.as_file().sync_all()?;
        temporary.persist(self.path_of(name)).map_err(|failed| failed.error)?;
        Ok(())
    }
}

impl File for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let len = bytes.len() as u64;
        let place = offset..offset.saturating_add(len);
        let how = if self.room.take(&place) { Behind::Medium } else { Behind::Queue };
        if bytes.len() >= LARGE && how == Behind::Queue {
            make_room(&self.file, &place)?;
        }
        self.file.write_all_at(bytes, offset)?;
        self.count(len, how);
        Ok(())
    }

    fn reserve(&self, parts: &[Range<u64>]) {
        self.room.reserve(&self.file, parts);
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    fn copy_from(
        &self,
        offset: u64,
        source: &Self,
        source_offset: u64,
        len: u64,
    ) -> io::Result<()> {
        self.room.take(&(offset..offset.saturating_add(len)));
        copy(&self.file, offset, &source.file, source_offset, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.room.close(&self.file);
        // Whoever is at it now may be told what went wrong in this one's place.
        if let Some(Some(behind)) = self.behind.get() {
            behind.outcome()?;
        }
        self.file.sync_all()
    }

    fn view(&self) -> io::Result<FileBytes> {
        if self.len()? == 0 {
            return Ok(FileBytes::empty());
        }
        // SAFETY: heap files are written once, before anybody maps them, and only removed
        // afterwards (FORMAT.md, M5). Limit: another program that cuts a file short under
        // the map makes reads raise SIGBUS.
        let map = unsafe { memmap2::Mmap::map(&self.file) }?;
        Ok(FileBytes::mapped(map))
    }

    fn next_data(&self, offset: u64) -> io::Result<Option<u64>> {
        let offset = i64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: a system call on an open descriptor that writes to no memory. It moves the
        // file position, which nothing here uses.
        let found = unsafe { libc::lseek(self.file.as_raw_fd(), offset, libc::SEEK_DATA) };
        match u64::try_from(found) {
            Ok(found) => Ok(Some(found)),
            Err(_) => no_data_or_unknown(io::Error::last_os_error(), offset.cast_unsigned()),
        }
    }
}

/// ENXIO says that no data follow; a file system without SEEK_DATA says EINVAL.
fn no_data_or_unknown(error: io::Error, offset: u64) -> io::Result<Option<u64>> {
    match error.raw_os_error() {
        Some(libc::ENXIO) => Ok(None),
        Some(libc::EINVAL | libc::EOPNOTSUPP) => Ok(Some(offset)),
        _ => Err(error),
    }
}

impl AsFd for DiskFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch() -> (tempfile::TempDir, DiskDir) {
        let holder = tempfile::tempdir().unwrap();
        let dir = DiskDir::create(&holder.path().join("heap")).unwrap();
        (holder, dir)
    }

    #[test]
    fn publish_replaces_and_leaves_no_temporary_file() {
        let (_holder, dir) = scratch();
        dir.publish("MANIFEST", b"old").unwrap();
        dir.publish("MANIFEST", b"new!").unwrap();
        assert_eq!(&*dir.open("MANIFEST").unwrap().view().unwrap(), b"new!");
        assert_eq!(dir.list().unwrap(), ["MANIFEST"]);
    }

    #[test]
    fn create_refuses_a_taken_name() {
        let (_holder, dir) = scratch();
        dir.create("a").unwrap();
        assert_eq!(dir.create("a").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn rename_refuses_a_taken_name() {
        let (_holder, dir) = scratch();
        dir.create("a").unwrap().write_at(0, b"one").unwrap();
        dir.rename("a", "b").unwrap();
        dir.create("a").unwrap();
        assert_eq!(dir.rename("a", "b").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(dir.rename("c", "d").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(&*dir.open("b").unwrap().view().unwrap(), b"one");
        assert_eq!(dir.list().unwrap(), ["a", "b"]);
    }

    #[test]
    fn only_regular_files_open() {
        let (_holder, dir) = scratch();
        fs::create_dir(dir.path_of("MANIFEST")).unwrap();
        assert_eq!(dir.open("MANIFEST").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(dir.open("none").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn empty_files_have_an_empty_view() {
        let (_holder, dir) = scratch();
        let file = dir.create("a").unwrap();
        assert!(file.view().unwrap().is_empty());
        assert_eq!(file.next_data(0).unwrap(), None);
    }

    #[test]
    fn files_are_copied_in_part_and_files_opened_for_reading_are_not_changed() {
        let (_holder, dir) = scratch();
        let (from, to) = (dir.create("from").unwrap(), dir.create("to").unwrap());
        from.write_at(0, b"0123456789").unwrap();
        to.write_at(0, b"abcdef").unwrap();
        to.copy_from(4, &from, 2, 5).unwrap();
        assert_eq!(&*to.view().unwrap(), b"abcd23456");
        assert_eq!(to.copy_from(0, &from, 8, 3).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(dir.open("to").unwrap().copy_from(0, &from, 0, 1).is_err());
    }

    #[test]
    fn a_part_is_read_and_no_more_than_there_is() {
        let (_holder, dir) = scratch();
        let file = dir.create("a").unwrap();
        file.write_at(0, b"0123456789").unwrap();
        let mut bytes = [0; 4];
        file.read_at(6, &mut bytes).unwrap();
        assert_eq!(&bytes, b"6789");
        let beyond = file.read_at(7, &mut bytes).unwrap_err();
        assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn holes_are_found() {
        let (_holder, dir) = scratch();
        let file = dir.create("a").unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_at(32 << 20, b"here").unwrap();
        // A file system that knows no holes may say that everything is data.
        let first = file.next_data(0).unwrap().unwrap();
        assert!(first <= 32 << 20);
        assert_eq!(file.next_data(64 << 20).unwrap(), None);
    }

    #[test]
    fn the_path_does_not_depend_on_the_working_directory() {
        let (_holder, dir) = scratch();
        assert!(dir.path().is_absolute());
        assert!(DiskDir::open(&dir.path().join("none")).is_err());
    }
}
