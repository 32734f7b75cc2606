//! What the crate asks of a directory and of the files in it, as traits, so that tests
//! and fuzzers can be the disk.
//!
//! Invariants that every implementation holds:
//! - a call either does the whole of what it says or returns an error; after an error
//!   what it was to write is undefined, and what it was not to write is untouched
//! - `publish` is the only way to replace a file: readers see the old or the new one
//! - nothing is durable before `sync` (a file's bytes) and `Dir::sync` (its name) returned

use crate::base::PAGE_SIZE;
use crate::os::map;
use std::ops::{Deref, Range};
use std::{fmt, io, path::PathBuf, sync::Arc};

/// Files that `publish` is still writing have names that start so.
pub const TEMPORARY_PREFIX: &str = ".tmp";

/// A directory of files, without subdirectories.
pub trait Dir: Send + Sync {
    /// A file of this directory.
    type File: File;

    /// The names of everything in it, sorted.
    ///
    /// # Errors
    /// Those of reading the directory.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// `NotFound` if there is none; `InvalidInput` if it is no regular file.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Creates an empty file, for reading and writing.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    /// Puts a file with these bytes in the place of `name`, atomically and durably.
    ///
    /// # Errors
    /// [`PublishError`], which tells whether the new file is in place.
    fn publish(&self, name: &str, bytes: &[u8]) -> Result<(), PublishError>;

    /// Gives a file of this directory another name, atomically.
    ///
    /// # Errors
    /// `AlreadyExists` if that is taken: nothing is replaced. `NotFound` if there is no such file.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file's name; views of it stay valid.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names durable: every file created, published or removed so far.
    ///
    /// # Errors
    /// After one, which of the names are durable is unknown.
    fn sync(&self) -> io::Result<()>;

    /// Where a file of that name lies, for messages.
    fn path_of(&self, name: &str) -> PathBuf;
}

/// An open file.
#[allow(clippy::len_without_is_empty, reason = "the length of a file is a system call")]
pub trait File: Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// Those of asking the system.
    fn len(&self) -> io::Result<u64>;

    /// Writes all of `bytes` at `offset`; a gap before it reads as zero and takes no space.
    ///
    /// # Errors
    /// A full disk, a broken one; some of the bytes may have been written.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Says that most of these bytes will be written, so that room can be made for them at once.
    /// Those that have not been when the file is synced read as zero and take no space. A hint,
    /// for a new file, once; it changes nothing else.
    fn reserve(&self, parts: &[Range<u64>]) {
        let _ = parts;
    }

    /// Fills `bytes` with what the file has at `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` if it ends before; those of reading.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let view = self.view()?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let part = view.get(start..start.saturating_add(bytes.len()));
        bytes.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    /// The first page of a part that cannot be read, and why; `None`: all could be, now.
    fn first_unread(&self, part: &Range<u64>) -> Option<(u64, io::Error)> {
        let (mut page, mut offset) = ([0; PAGE_SIZE], part.start);
        while offset < part.end {
            let next = (offset / PAGE_SIZE as u64 + 1) * PAGE_SIZE as u64;
            let count = usize::try_from(next.min(part.end) - offset).unwrap_or(PAGE_SIZE);
            if let Err(error) = self.read_at(offset, &mut page[..count]) {
                return Some((offset, error));
            }
            offset = next;
        }
        None
    }

    /// Copies `len` bytes at `source_offset` of another file to `offset` of this one, within
    /// the kernel where the file system can. Holes of the source may come out as zeros that
    /// take space.
    ///
    /// # Errors
    /// `UnexpectedEof` if the source ends before; those of `write_at`, and of reading. Some of
    /// the bytes may have been written.
    fn copy_from(&self, offset: u64, source: &Self, source_offset: u64, len: u64)
    -> io::Result<()>;

    /// Cuts the file, or extends it with zeros that take no space.
    ///
    /// # Errors
    /// Those of the system.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes the bytes and the length durable.
    ///
    /// # Errors
    /// After one the file is lost: a second `sync` that succeeds proves nothing.
    fn sync(&self) -> io::Result<()>;

    /// The bytes that the file has now.
    ///
    /// # Errors
    /// Those of mapping it.
    fn view(&self) -> io::Result<FileBytes>;

    /// The first offset, at or after `offset`, that may hold anything but zero;
    /// `None` if all is zero from there on.
    ///
    /// # Errors
    /// Those of the system.
    fn next_data(&self, offset: u64) -> io::Result<Option<u64>>;
}

/// A file's bytes: mapped, or shared memory of the simulated disk.
pub struct FileBytes(Holder);

enum Holder {
    Mapped(memmap2::Mmap),
    Shared(Arc<Vec<u8>>, Box<Fetched>),
}

/// What the simulated disk says when it is asked for a part.
type Fetched = dyn Fn() -> io::Result<()> + Send + Sync;

impl FileBytes {
    pub(super) fn mapped(map: memmap2::Mmap) -> Self {
        Self(Holder::Mapped(map))
    }

    pub(super) fn shared(bytes: Arc<Vec<u8>>, fetched: Box<Fetched>) -> Self {
        Self(Holder::Shared(bytes, fetched))
    }

    /// No bytes: an empty file cannot be mapped.
    pub(super) fn empty() -> Self {
        Self::shared(Arc::default(), Box::new(|| Ok(())))
    }

    /// Reads a part in ahead of its use, if it is mapped: with one call, and not page by page.
    ///
    /// # Errors
    /// If the system cannot give it: who looks at it gets SIGBUS.
    pub fn fetch(&self, part: &Range<u64>) -> io::Result<()> {
        let map = match &self.0 {
            Holder::Mapped(map) => map,
            Holder::Shared(_, fetched) => return fetched(),
        };
        let clamp = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(map.len());
        let start = clamp(part.start) / PAGE_SIZE * PAGE_SIZE;
        let len = clamp(part.end).saturating_sub(start).next_multiple_of(PAGE_SIZE);
        map::fetch(map.as_ptr().addr() + start, len)
    }
}

impl fmt::Debug for FileBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if matches!(self.0, Holder::Mapped(_)) { "mapped" } else { "shared" };
        write!(f, "FileBytes({} bytes, {kind})", self.len())
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Holder::Mapped(map) => map,
            Holder::Shared(bytes, _) => bytes,
        }
    }
}

/// Why [`Dir::publish`] failed, and which file is in place now.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Nothing changed.
    #[error("the new file was not put in place, the old one is in force: {source}")]
    NotPublished {
        /// What the system said.
        source: io::Error,
    },
    /// The new file is in place, but a power cut may bring the old one back: whatever
    /// either of the two refers to has to be kept.
    #[error("the new file is in place, but may not outlast a power cut: {source}")]
    NotDurable {
        /// What the system said.
        source: io::Error,
    },
}

impl PublishError {
    /// Whether the old file is still the one in place.
    #[must_use]
    pub fn old_in_force(&self) -> bool {
        matches!(self, Self::NotPublished { .. })
    }
}
