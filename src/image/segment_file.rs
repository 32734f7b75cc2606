//! A segment's file: what of it is looked at through a mapping, and what is read.
//!
//! Bytes that the disk does not give, or that somebody has cut off, end the process (SIGBUS) if
//! they are looked at through a mapping. So what is looked at is fetched first, which fails
//! instead. A mapping is taken where there is much to look at, as it saves a copy: pages are
//! verified in 0.7 of the time.

use super::{codec, segment_error::SegmentError};
use crate::os::{Dir, File, FileBytes};
use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
};

/// An open file of a segment.
#[derive(Debug)]
pub(super) struct SegmentFile<F> {
    file: F,
    bytes: FileBytes,
    path: PathBuf,
}

impl<F: File> SegmentFile<F> {
    /// Opens and maps a file.
    pub(super) fn open<D: Dir<File = F>>(dir: &D, name: &str) -> Result<Self, SegmentError> {
        let path = dir.path_of(name);
        match dir.open(name).and_then(|file| Ok((file.view()?, file))) {
            Ok((bytes, file)) => Ok(Self { file, bytes, path }),
            Err(source) => Err(SegmentError::Io { path, source }),
        }
    }

    pub(super) fn file(&self) -> &F {
        &self.file
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file's length when it was opened, in bytes.
    pub(super) fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Mapped bytes, which have been [fetched](Self::fetch); none, if the range does not lie in
    /// the file.
    pub(super) fn part(&self, range: &Range<u64>) -> &[u8] {
        codec::part(&self.bytes, range.start, range.end - range.start).unwrap_or_default()
    }

    /// Reads a part of the file in, as far as there is one, to be looked at through the mapping. A
    /// kernel before 5.14 leaves that to the looks, and to luck.
    ///
    /// # Errors
    /// If the system cannot give it.
    pub(super) fn fetch(&self, range: &Range<u64>) -> Result<(), SegmentError> {
        match self.bytes.fetch(range) {
            Ok(()) => Ok(()),
            Err(source) => Err(self.unread(range, source)),
        }
    }

    /// As [`fetch`](Self::fetch): whether the part can be looked at. If not, it may still be read.
    pub(super) fn is_fetched(&self, range: &Range<u64>) -> bool {
        self.bytes.fetch(range).is_ok()
    }

    /// A part's bytes: mapped or, where that does not work, read into `buffer`.
    ///
    /// # Errors
    /// If the system cannot give them.
    pub(super) fn bytes<'a>(
        &'a self,
        range: &Range<u64>,
        buffer: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], SegmentError> {
        if self.is_fetched(range) {
            return Ok(self.part(range));
        }
        self.bytes_read(range, buffer)?;
        Ok(buffer)
    }

    /// Reads a part's bytes into `buffer`, which becomes as long.
    ///
    /// # Errors
    /// If the system cannot give them.
    pub(super) fn bytes_read(
        &self,
        range: &Range<u64>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), SegmentError> {
        buffer.resize(usize::try_from(range.end - range.start).unwrap_or(usize::MAX), 0);
        self.read(range.start, buffer)
    }

    /// Fills `target` with the bytes from `offset` on.
    ///
    /// # Errors
    /// If the system cannot give them.
    pub(super) fn read(&self, offset: u64, target: &mut [u8]) -> Result<(), SegmentError> {
        let end = offset.saturating_add(target.len() as u64);
        self.file.read_at(offset, target).map_err(|source| self.unread(&(offset..end), source))
    }

    /// Why a part cannot be read: asks for it page by page, since `source` does not say where.
    fn unread(&self, range: &Range<u64>, source: io::Error) -> SegmentError {
        let path = self.path.clone();
        let expected = self.len();
        if let Ok(found) = self.file.len()
            && found < expected
        {
            return SegmentError::Length { path, expected, found };
        }
        let (offset, source) = self
            .file
            .first_unread(&(range.start..range.end.min(expected)))
            .unwrap_or((range.start, source));
        SegmentError::Unread { path, offset, source }
    }
}
