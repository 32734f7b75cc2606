//! The newest sound snapshot of a directory.
//!
//! Invariant: the answer is a snapshot whose every byte was checked, or that there is none yet
//! because there never was one, or an error. What is damaged is never taken for new, and what
//! was passed over is named with its reason. Nothing in the directory is changed.

use super::{
    codec::{Defect, check},
    identity::{Host, Mismatch},
    manifest::{Manifest, ManifestError, SnapshotRecord},
    names::{Contents, InspectError, MANIFEST_NAME, inspect},
    segment_reader::{SegmentError, SegmentReader},
    verify::VerifyReport,
};
use crate::os::{Dir, File};
use std::path::PathBuf;

/// What a directory offers to a program that opens it.
#[derive(Debug)]
pub enum Choice<F> {
    /// It is empty: a heap may be created in it.
    New,
    /// It is a heap that has never completed a snapshot.
    Empty(Manifest),
    /// It is a heap with a sound snapshot.
    Sound(Sound<F>),
}

/// A snapshot that has been verified.
#[derive(Debug)]
pub struct Sound<F> {
    /// The heap's manifest.
    pub manifest: Manifest,
    /// The snapshot.
    pub snapshot: SnapshotRecord,
    /// Its segments.
    pub chain: Chain<F>,
    /// What was checked of its pages.
    pub report: VerifyReport,
    /// The newer snapshots that are damaged, newest first: to be said loudly.
    pub skipped: Vec<Skipped>,
}

/// A snapshot's segments: a full one, then the deltas in the order in which they apply.
pub type Chain<F> = Vec<SegmentReader<F>>;

/// A snapshot that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("snapshot {number} is damaged: {reason}")]
pub struct Skipped {
    /// Its number.
    pub number: u64,
    /// When it was taken: nanoseconds since 1970.
    pub frozen_at: u64,
    /// What is wrong with it.
    pub reason: SegmentError,
}

/// Why a directory offers nothing.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// It is not a heap, or has lost its manifest.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// Its manifest is damaged, or of another format.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// The manifest's path.
        path: PathBuf,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// It is sound, but not for this process.
    #[error("{}: {source}", path.display())]
    Mismatch {
        /// The manifest's path.
        path: PathBuf,
        /// In what it differs.
        source: Mismatch,
    },
    /// Every snapshot is damaged.
    #[error(
        "no snapshot in {} is sound; the files were left as they are, put damaged ones back \
         from a copy:{}",
        path.display(),
        list(skipped)
    )]
    NoneSound {
        /// The directory.
        path: PathBuf,
        /// All snapshots, newest first, with what is wrong with each.
        skipped: Vec<Skipped>,
    },
}

/// Chooses the newest snapshot whose whole chain verifies. A tool that wants to read any
/// image passes the [`Host`] of the image's own identity.
///
/// # Errors
/// [`ChooseError`]; never [`Choice::New`] in place of something damaged.
pub fn choose<D: Dir>(dir: &D, host: &Host) -> Result<Choice<D::File>, ChooseError> {
    choose_before(dir, host, u64::MAX)
}

/// As [`choose`], among the snapshots with numbers below `before`: for who finds that a
/// snapshot's pages are not what they should be, though each is as it was written.
///
/// # Errors
/// [`ChooseError`], also if there are no such snapshots.
pub fn choose_before<D: Dir>(
    dir: &D,
    host: &Host,
    before: u64,
) -> Result<Choice<D::File>, ChooseError> {
    if inspect(dir)? == Contents::New {
        return Ok(Choice::New);
    }
    let path = dir.path_of(MANIFEST_NAME);
    let manifest = match Manifest::load(dir) {
        Ok(manifest) => manifest,
        Err(source) => return Err(ChooseError::Manifest { path, source }),
    };
    if let Err(source) = manifest.identity.check(host) {
        return Err(ChooseError::Mismatch { path, source });
    }
    if manifest.snapshots.is_empty() {
        return Ok(Choice::Empty(manifest));
    }
    let mut skipped = Vec::new();
    for snapshot in manifest.snapshots.iter().rev().filter(|snapshot| snapshot.number < before) {
        match open_chain(dir, &manifest, snapshot) {
            Ok((chain, report)) => {
                let snapshot = snapshot.clone();
                return Ok(Choice::Sound(Sound { manifest, snapshot, chain, report, skipped }));
            }
            Err(reason) => {
                let SnapshotRecord { number, frozen_at, .. } = *snapshot;
                skipped.push(Skipped { number, frozen_at, reason });
            }
        }
    }
    Err(ChooseError::NoneSound { path: dir.path_of(""), skipped })
}

/// Opens and verifies the segments of a snapshot.
fn open_chain<D: Dir>(
    dir: &D,
    manifest: &Manifest,
    snapshot: &SnapshotRecord,
) -> Result<(Chain<D::File>, VerifyReport), SegmentError> {
    let mut chain: Chain<D::File> = Vec::new();
    // A decoded manifest has every segment of its chains in its table.
    for record in snapshot.chain.iter().filter_map(|&number| manifest.segment(number)) {
        let reader = SegmentReader::open(dir, record, &manifest.identity)?;
        check_link(chain.last(), &reader)
            .map_err(|defect| SegmentError::Defect { path: reader.path().to_owned(), defect })?;
        chain.push(reader);
    }
    if let Some(last) = chain.last() {
        check_snapshot(snapshot, last)
            .map_err(|defect| SegmentError::Defect { path: last.path().to_owned(), defect })?;
    }
    let mut report = VerifyReport::default();
    for reader in &chain {
        report.add(reader.verify()?);
    }
    Ok((chain, report))
}

/// A delta has to follow the segment that it was made on.
fn check_link<F: File>(
    before: Option<&SegmentReader<F>>,
    reader: &SegmentReader<F>,
) -> Result<(), Defect> {
    let Some(before) = before.map(SegmentReader::header) else { return Ok(()) };
    let header = reader.header();
    let (expected, found) = (before.number.get(), header.parent.map_or(0, |parent| parent.get()));
    check(expected == found, "parent segment", 72, expected, found)?;
    let rising = header.snapshot > before.snapshot;
    let above = before.snapshot;
    check(rising, "snapshot number", 64, format_args!("above {above}"), header.snapshot)
}

/// The last segment of a chain has to be the one that completed the snapshot.
fn check_snapshot<F: File>(
    snapshot: &SnapshotRecord,
    last: &SegmentReader<F>,
) -> Result<(), Defect> {
    let header = last.header();
    let (expected, found) = (snapshot.number, header.snapshot);
    check(expected == found, "snapshot number", 64, expected, found)?;
    let (expected, found) = (snapshot.frozen_at, header.frozen_at);
    check(expected == found, "time of freeze", 80, expected, found)?;
    let (expected, found) = (snapshot.operations, header.operations);
    check(expected == found, "operations", 88, expected, found)
}

/// One line for each.
fn list(skipped: &[Skipped]) -> String {
    skipped.iter().map(|skipped| format!("\n  {skipped}")).collect()
}
