//! The manifest: which segments make up which snapshots. Replacing it is the commit.
//!
//! Invariants, held by `decode` and so by `publish`, which decodes what it writes:
//! - segments and snapshots rise by number; every number is below the next one to be given
//! - a snapshot's chain is one full segment and then deltas, none twice, all in the table
//! - every segment in the table is named by a snapshot
//! - if there are snapshots, one of them is not set aside
//! - a heap without snapshots has never had one: the next number is 1

use super::{
    codec::Defect,
    compression::Codec,
    identity::{Identity, Mismatch},
    names::{MANIFEST_NAME, SegmentKind, SegmentNumber},
};
use crate::{
    base::PAGE_SIZE,
    os::{Dir, File, PublishError},
};
use std::{collections::BTreeSet, io, path::PathBuf};

/// What a heap's directory holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Which heap.
    pub identity: Identity,
    /// The number that the next snapshot gets.
    pub next_snapshot: u64,
    /// The number that the next segment gets.
    pub next_segment: SegmentNumber,
    /// The segments that the snapshots need, by rising number.
    pub segments: Vec<SegmentRecord>,
    /// The retained snapshots, oldest first.
    pub snapshots: Vec<SnapshotRecord>,
}

/// A segment, as the manifest knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SegmentRecord {
    /// Its number.
    pub number: SegmentNumber,
    /// What it holds.
    pub kind: SegmentKind,
    /// What its frames that shrank were compressed with.
    pub codec: Codec,
    /// Its file's length in bytes.
    pub file_len: u64,
    /// The CRC-32 of its header, which holds those of its other parts.
    pub header_crc: u32,
}

/// A retained snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SnapshotRecord {
    /// Its number; they start at 1.
    pub number: u64,
    /// When the heap was as the snapshot has it: nanoseconds since 1970.
    pub frozen_at: u64,
    /// Operations that the heap had seen by then.
    pub operations: u64,
    /// Pages that were written for it.
    pub pages: u64,
    /// Bytes that were written for it.
    pub bytes: u64,
    /// Whether it counts no longer: an older one was made the newest in its place, or it was found
    /// to be damaged. It can still be asked for by its number.
    pub set_aside: bool,
    /// Its segments: a full one, then deltas in the order in which they apply.
    pub chain: Vec<SegmentNumber>,
}

/// Why a manifest could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Its bytes are not those that were written.
    #[error(
        "the manifest is damaged: CRC-32 over {offset} bytes: expected {expected:#010x}, found \
         {found:#010x}; put it back from a copy"
    )]
    Checksum {
        /// Where the checksum lies, and how many bytes it covers.
        offset: u64,
        /// The stored checksum.
        expected: u32,
        /// The one that its bytes have.
        found: u32,
    },
    /// A field has a value that it cannot have.
    #[error("the manifest is damaged: {0}; put it back from a copy")]
    Defect(#[from] Defect),
    /// It is sound, but not for this build.
    #[error("the manifest cannot be used: {0}")]
    Mismatch(#[from] Mismatch),
}

/// Why a manifest could not be published.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// It breaks the format's rules: a mistake in the program, found before anything changed.
    #[error("the new manifest is wrong, and was not written: {0}")]
    Invalid(ManifestError),
    /// The names of new segments could not be made durable; the manifest was not touched.
    #[error("cannot sync the directory {}: {source}; the old manifest is in force", path.display())]
    Sync {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Replacing the manifest failed.
    #[error("cannot replace {}: {source}", path.display())]
    Publish {
        /// The manifest's path.
        path: PathBuf,
        /// What happened, and which manifest is in force.
        source: PublishError,
    },
}

impl CommitError {
    /// Whether the old manifest is in force, so that a segment that only the new one names may
    /// be removed. If not, everything that either names has to be kept.
    #[must_use]
    pub fn old_in_force(&self) -> bool {
        match self {
            Self::Invalid(_) | Self::Sync { .. } => true,
            Self::Publish { source, .. } => source.old_in_force(),
        }
    }
}

impl Manifest {
    /// The manifest of a heap that has no snapshot yet.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            next_snapshot: 1,
            next_segment: SegmentNumber::FIRST,
            segments: Vec::new(),
            snapshots: Vec::new(),
        }
    }

    /// Reads a directory's manifest.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn load<D: Dir>(dir: &D) -> Result<Self, ManifestError> {
        let unread = |source| ManifestError::Io { path: dir.path_of(MANIFEST_NAME), source };
        let file = dir.open(MANIFEST_NAME).map_err(unread)?;
        let bytes = file.view().map_err(unread)?;
        let fetch = |end: u64| {
            let part = 0..end.min(bytes.len() as u64);
            let why = |error| file.first_unread(&part).map_or(error, |(_, error)| error);
            bytes.fetch(&part).map_err(why).map_err(unread)
        };
        // The length first: a file of another one may be of any length.
        fetch(PAGE_SIZE as u64)?;
        Self::check_start(&bytes)?;
        fetch(u64::MAX)?;
        Self::decode(&bytes)
    }

    /// Makes this the directory's manifest: the commit. All segments that it names must have
    /// been synced before; their names are synced here.
    ///
    /// # Errors
    /// [`CommitError`]; ask it which manifest is in force before removing anything.
    pub fn publish<D: Dir>(&self, dir: &D) -> Result<(), CommitError> {
        let bytes = self.encode();
        Self::decode(&bytes).map_err(CommitError::Invalid)?;
        dir.sync().map_err(|source| CommitError::Sync { path: dir.path_of(""), source })?;
        dir.publish(MANIFEST_NAME, &bytes)
            .map_err(|source| CommitError::Publish { path: dir.path_of(MANIFEST_NAME), source })
    }

    /// Adds the newest snapshot and the segment that was written for it.
    pub fn add(&mut self, snapshot: SnapshotRecord, segment: SegmentRecord) {
        self.next_snapshot = snapshot.number.saturating_add(1);
        if self.next_segment <= segment.number {
            self.next_segment = segment.number.next().unwrap_or(segment.number);
        }
        let after = self.segments.partition_point(|known| known.number < segment.number);
        self.segments.insert(after, segment);
        self.snapshots.push(snapshot);
    }

    /// Forgets all snapshots that `keep` does not want; the newest that counts is kept in any
    /// case. Returns the segments that no snapshot needs any more: to be removed once this
    /// manifest is published.
    pub fn retain(&mut self, keep: impl Fn(&SnapshotRecord) -> bool) -> Vec<SegmentRecord> {
        let newest = self.newest().map(|snapshot| snapshot.number);
        self.snapshots.retain(|snapshot| Some(snapshot.number) == newest || keep(snapshot));
        self.take_unnamed()
    }

    /// Forgets all snapshots but the `count` newest that count (at least one), and those newer
    /// than the last of these. As [`Manifest::retain`].
    pub fn keep_newest(&mut self, count: usize) -> Vec<SegmentRecord> {
        let oldest = self.oldest_of(count);
        self.retain(|snapshot| snapshot.number >= oldest)
    }

    /// The number of the oldest of the `count` newest snapshots that count (at least one); 0
    /// without any.
    #[must_use]
    pub fn oldest_of(&self, count: usize) -> u64 {
        self.counting().take(count.max(1)).last().map_or(0, |snapshot| snapshot.number)
    }

    /// The snapshots that count, newest first.
    pub fn counting(&self) -> impl Iterator<Item = &SnapshotRecord> {
        self.snapshots.iter().rev().filter(|snapshot| !snapshot.set_aside)
    }

    /// The newest snapshot that counts.
    #[must_use]
    pub fn newest(&self) -> Option<&SnapshotRecord> {
        self.counting().next()
    }

    /// The snapshot with that number.
    #[must_use]
    pub fn snapshot(&self, number: u64) -> Option<&SnapshotRecord> {
        let place =
            self.snapshots.binary_search_by_key(&number, |snapshot| snapshot.number).ok()?;
        self.snapshots.get(place)
    }

    /// Makes a snapshot the newest that counts: those after it are set aside. `false`: there is
    /// none with that number.
    pub fn revert(&mut self, number: u64) -> bool {
        let found = self.snapshot(number).is_some();
        if found {
            let later = self.snapshots.iter_mut().filter(|snapshot| snapshot.number >= number);
            later.for_each(|snapshot| snapshot.set_aside = snapshot.number > number);
        }
        found
    }

    /// Has a segment take the place of several in a row, in all chains that have these: it makes
    /// the same of what comes before them. `spare`: a snapshot that these alone make up keeps them,
    /// if it is not the newest. Returns the segments that are not needed any more.
    pub fn replace(
        &mut self,
        merged: &[SegmentNumber],
        segment: SegmentRecord,
        spare: bool,
    ) -> Vec<SegmentRecord> {
        let newest = self.newest().map(|newest| newest.number);
        for snapshot in &mut self.snapshots {
            if spare && snapshot.chain == merged && Some(snapshot.number) != newest {
                continue;
            }
            let windows = snapshot.chain.windows(merged.len().max(1));
            if let Some(at) = windows.enumerate().find(|(_, part)| *part == merged) {
                let range = at.0..at.0 + merged.len();
                snapshot.chain.splice(range, [segment.number]);
            }
        }
        let after = self.segments.partition_point(|known| known.number < segment.number);
        self.segments.insert(after, segment);
        if self.next_segment <= segment.number {
            self.next_segment = segment.number.next().unwrap_or(segment.number);
        }
        self.take_unnamed()
    }

    /// Takes out the segments that no snapshot needs.
    pub fn take_unnamed(&mut self) -> Vec<SegmentRecord> {
        let needed: BTreeSet<SegmentNumber> =
            self.snapshots.iter().flat_map(|snapshot| snapshot.chain.iter().copied()).collect();
        self.segments.extract_if(.., |segment| !needed.contains(&segment.number)).collect()
    }

    /// The segment with that number.
    #[must_use]
    pub fn segment(&self, number: SegmentNumber) -> Option<&SegmentRecord> {
        let place = self.segments.binary_search_by_key(&number, |segment| segment.number).ok()?;
        self.segments.get(place)
    }
}

impl SegmentRecord {
    /// The name of its file.
    #[must_use]
    pub fn file_name(&self) -> String {
        self.number.file_name(self.kind)
    }
}
