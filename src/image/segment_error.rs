//! Why a segment is not used: which file, where, what was expected and what found.

use super::{codec::Defect, identity::Mismatch};
use crate::base::PageIndex;
use std::{io, path::PathBuf};

/// Why a segment is not used.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A part of the file could not be read.
    #[error("cannot read {} at offset {offset}: {source}", path.display())]
    Unread {
        /// The file.
        path: PathBuf,
        /// The page's, or the part's, in the file.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// It is shorter or longer than it was.
    #[error("{}: length: expected {expected} bytes, found {found}", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// The length that the manifest knows, in bytes.
        expected: u64,
        /// The file's.
        found: u64,
    },
    /// A part's bytes are not those that were written.
    #[error(
        "{}: {part} at offset {offset}: expected CRC-32 {expected:#010x}, found {found:#010x}",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Which part.
        part: &'static str,
        /// Where it begins.
        offset: u64,
        /// The checksum it should have.
        expected: u32,
        /// The one it has.
        found: u32,
    },
    /// A field has a value that it cannot have.
    #[error("{}: {defect}", path.display())]
    Defect {
        /// The file.
        path: PathBuf,
        /// Which field, and what of it.
        defect: Defect,
    },
    /// The file is sound, but not of this heap or not for this build.
    #[error("{}: {mismatch}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// In what it differs.
        mismatch: Mismatch,
    },
    /// A page's bytes are not those that were written.
    #[error(
        "{}: page {} at offset {offset}: expected CRC-32 {expected:#010x}, found {found:#010x}",
        path.display(), page.0
    )]
    Page {
        /// The file.
        path: PathBuf,
        /// Which page.
        page: PageIndex,
        /// Where it begins.
        offset: u64,
        /// The checksum it should have.
        expected: u32,
        /// The one it has.
        found: u32,
    },
    /// Compressed pages cannot be decoded.
    #[error("{}: {pages} compressed pages at offset {offset}: {reason}", path.display())]
    Frame {
        /// The file.
        path: PathBuf,
        /// How many pages.
        pages: u32,
        /// Where they begin.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A page that was zero when it was saved no longer is.
    #[error("{}: page {} at offset {offset}: expected 0, found {found}", path.display(), page.0)]
    Hole {
        /// The file.
        path: PathBuf,
        /// Which page.
        page: PageIndex,
        /// Where the first byte that is not zero lies.
        offset: u64,
        /// That byte.
        found: u8,
    },
}

impl SegmentError {
    /// The system did not let it be read, so that it may be sound. A file that is not there is
    /// lost.
    #[must_use]
    pub fn is_unread(&self) -> bool {
        match self {
            Self::Io { source, .. } => source.kind() != io::ErrorKind::NotFound,
            Self::Unread { .. } => true,
            _ => false,
        }
    }
}
