//! What a segment is to be, what was written of it, and why it could not be.

use super::{
    compression::Compression,
    identity::Identity,
    manifest::SegmentRecord,
    names::{SegmentKind, SegmentNumber},
    segment_error::SegmentError,
};
use crate::base::{PageIndex, PageRun};
use std::{
    io,
    path::{Path, PathBuf},
};

/// What a segment is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The heap that it belongs to.
    pub identity: Identity,
    /// Its number.
    pub number: SegmentNumber,
    /// The snapshot that it applies to, if it is a delta; `None` makes it a full one.
    pub parent: Option<u64>,
    /// The snapshot that it completes.
    pub snapshot: u64,
    /// When the heap was frozen: nanoseconds since 1970.
    pub frozen_at: u64,
    /// Operations that the heap had seen by then.
    pub operations: u64,
    /// How its pages are compressed.
    pub compression: Compression,
}

impl SegmentInfo {
    /// A delta, if it applies to something.
    #[must_use]
    pub fn kind(&self) -> SegmentKind {
        if self.parent.is_some() { SegmentKind::Delta } else { SegmentKind::Full }
    }

    /// The name of its file in a heap's directory.
    #[must_use]
    pub fn file_name(&self) -> String {
        self.number.file_name(self.kind())
    }
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSummary {
    /// What a manifest has to know.
    pub record: SegmentRecord,
    /// Pages saved.
    pub pages: u64,
    /// Bytes written: pages, and everything around them.
    pub bytes: u64,
}

/// What one call wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Pages that were saved.
    pub pages: u64,
    /// Pages that were all zero.
    pub zero_pages: u64,
}

/// Why a segment could not be written. It is to be abandoned: never retried, but removed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The disk is full.
    #[error(
        "the disk is full: cannot {action} {}, which has {written} bytes so far and needs at \
         least {needed}: {source}",
        path.display()
    )]
    Full {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Bytes of it that had been written.
        written: u64,
        /// Bytes with those that were to be written next.
        needed: u64,
        /// What the system said.
        source: io::Error,
    },
    /// This build cannot compress as asked.
    #[error("{}: this build cannot compress with zstd: build stillheap with the feature `zstd`",
        path.display())]
    Compression {
        /// The file.
        path: PathBuf,
    },
    /// The runs overlap, fall, are empty, too many, or pass the arena's end.
    #[error("{}: run of {} pages from {} on: expected {expected}", path.display(),
        found.count, found.first.0)]
    Runs {
        /// The file.
        path: PathBuf,
        /// What was asked of the run.
        expected: String,
        /// The run.
        found: PageRun,
    },
    /// Pages that lie in no run, or bytes that are no whole pages.
    #[error("{}: {len} bytes from page {} on are not whole pages of one run",
        path.display(), first.0)]
    Misplaced {
        /// The file.
        path: PathBuf,
        /// The first page.
        first: PageIndex,
        /// The bytes' length.
        len: usize,
    },
    /// A page was written twice.
    #[error("{}: page {} was written twice", path.display(), page.0)]
    Twice {
        /// The file.
        path: PathBuf,
        /// The page.
        page: PageIndex,
    },
    /// A segment that is to be copied from is damaged.
    #[error(transparent)]
    Source(#[from] Box<SegmentError>),
}

impl Written {
    /// What both calls wrote.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let Self { pages, zero_pages } = self;
        Self { pages: pages + other.pages, zero_pages: zero_pages + other.zero_pages }
    }
}

pub(super) fn io_error(path: &Path, action: &'static str, source: io::Error) -> WriteError {
    full_or(path, action, 0, 0, source)
}

/// A full disk is told apart: how far the file had come, and what it needed at least.
pub(super) fn full_or(
    path: &Path,
    action: &'static str,
    written: u64,
    more: u64,
    source: io::Error,
) -> WriteError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            WriteError::Full { path, action, written, needed: written + more, source }
        }
        _ => WriteError::Io { path, action, source },
    }
}
