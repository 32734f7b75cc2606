//! File names, and what the names in a directory say about it.
//!
//! Invariant: a directory counts as new only if nothing in it could be part of a heap;
//! whatever is damaged, lost or foreign is an error, never an empty heap.

use super::manifest::Manifest;
use crate::os::{Dir, LOCK_NAME, TEMPORARY_PREFIX};
use std::{collections::BTreeSet, fmt, io, path::PathBuf};

/// The manifest's file name.
pub const MANIFEST_NAME: &str = "MANIFEST";

/// A segment's number: unique in its heap, rising, and the digits of its file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(u64);

/// What a segment holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SegmentKind {
    /// The whole heap.
    Full,
    /// What changed since the segment before it in the chain.
    Delta,
}

/// What a directory holds, by its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    /// Nothing but a lock and unfinished temporary files: a heap may be created here.
    New,
    /// A heap.
    Heap,
}

/// Why a directory can be neither opened as a heap nor taken for a new one.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It could not be read.
    #[error("cannot read the directory {}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds something else.
    #[error(
        "{} is not a heap: it holds '{found}' and no {MANIFEST_NAME}; \
         name an empty directory or one that does not exist yet",
        path.display()
    )]
    NotAHeap {
        /// The directory.
        path: PathBuf,
        /// The first name that is no part of a heap.
        found: String,
    },
    /// It holds segments that nothing names any more.
    #[error(
        "the heap in {} has lost its {MANIFEST_NAME}: '{found}' is there, and nothing tells \
         which snapshot it belongs to; put {MANIFEST_NAME} back from a copy \
         (the files were left as they are)",
        path.display()
    )]
    ManifestLost {
        /// The directory.
        path: PathBuf,
        /// The first segment's name.
        found: String,
    },
}

/// Tells a heap from a new directory and from everything else, by names alone. To be asked
/// before a lock is made in the directory.
///
/// # Errors
/// [`InspectError`].
pub fn inspect<D: Dir>(dir: &D) -> Result<Contents, InspectError> {
    let path = dir.path_of("");
    let names = match dir.list() {
        Ok(names) => names,
        Err(source) => return Err(InspectError::Io { path, source }),
    };
    if names.iter().any(|name| name == MANIFEST_NAME) {
        return Ok(Contents::Heap);
    }
    if let Some(found) = names.iter().find(|name| is_segment(name)) {
        return Err(InspectError::ManifestLost { path, found: found.clone() });
    }
    let foreign = |name: &&String| *name != LOCK_NAME && !name.starts_with(TEMPORARY_PREFIX);
    match names.iter().find(foreign) {
        Some(found) => Err(InspectError::NotAHeap { path, found: found.clone() }),
        None => Ok(Contents::New),
    }
}

/// The names of unfinished or unnamed files, which may be removed by whoever holds the lock:
/// segments that the manifest does not name, and temporary files.
///
/// # Errors
/// Those of reading the directory.
pub fn leftovers<D: Dir>(dir: &D, manifest: &Manifest) -> io::Result<Vec<String>> {
    let named: BTreeSet<String> =
        manifest.segments.iter().map(|segment| segment.file_name()).collect();
    let mut names = dir.list()?;
    names.retain(|name| {
        name.starts_with(TEMPORARY_PREFIX) || (is_segment(name) && !named.contains(name))
    });
    Ok(names)
}

/// Ten digits, a dot, and the kind.
fn is_segment(name: &str) -> bool {
    let Some((digits, kind)) = name.split_once('.') else { return false };
    digits.len() == 10
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && [SegmentKind::Full, SegmentKind::Delta].iter().any(|known| known.suffix() == kind)
}

impl SegmentNumber {
    /// The first segment of a heap.
    pub const FIRST: Self = Self(1);
    const MAX: u64 = 9_999_999_999;

    /// `number`, if it is one that a segment can have: 1 to 9,999,999,999.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        (1..=Self::MAX).contains(&number).then_some(Self(number))
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }

    /// The next one, or `None` when they are used up.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }

    /// The name of the segment's file.
    #[must_use]
    pub fn file_name(self, kind: SegmentKind) -> String {
        format!("{:010}.{}", self.0, kind.suffix())
    }
}

impl fmt::Display for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SegmentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.suffix())
    }
}

impl SegmentKind {
    pub(super) fn to_tag(self) -> u32 {
        match self {
            Self::Full => 1,
            Self::Delta => 2,
        }
    }

    pub(super) fn from_tag(tag: u32) -> Option<Self> {
        match tag {
            1 => Some(Self::Full),
            2 => Some(Self::Delta),
            _ => None,
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Delta => "delta",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::sim::SimDir;

    fn contents(names: &[&str]) -> Result<Contents, InspectError> {
        inspect(&SimDir::with_files(names.iter().map(|name| (*name, Vec::new()))))
    }

    #[test]
    fn only_an_empty_directory_is_new() {
        assert_eq!(contents(&[]).unwrap(), Contents::New);
        assert_eq!(contents(&["LOCK", ".tmp12"]).unwrap(), Contents::New);
        assert_eq!(contents(&["MANIFEST", "photo.jpg"]).unwrap(), Contents::Heap);
        assert!(matches!(
            contents(&["LOCK", "0000000001.full"]),
            Err(InspectError::ManifestLost { .. })
        ));
        assert!(matches!(contents(&["photo.jpg"]), Err(InspectError::NotAHeap { .. })));
        assert!(matches!(contents(&["1.full"]), Err(InspectError::NotAHeap { .. })));
    }

    #[test]
    fn names_have_ten_digits() {
        let number = SegmentNumber::new(42).unwrap();
        assert_eq!(number.file_name(SegmentKind::Full), "0000000042.full");
        assert_eq!(number.file_name(SegmentKind::Delta), "0000000042.delta");
        assert!(is_segment("0000000042.delta"));
        assert!(!is_segment("0000000042.full.bak"));
        assert!(!is_segment("00000000+2.full"));
        assert_eq!(SegmentNumber::new(0), None);
        assert_eq!(SegmentNumber::new(9_999_999_999).unwrap().next(), None);
    }
}
