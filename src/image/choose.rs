//! The newest sound snapshot of a directory.
//!
//! Invariant: the answer is a snapshot whose every byte was checked, or that there is none yet
//! because there never was one, or an error. What is damaged is never taken for new, and what
//! was passed over is named with its reason. Nothing in the directory is changed.

use super::{
    chain::Chain,
    identity::{Host, Mismatch},
    manifest::{Manifest, ManifestError, SnapshotRecord},
    names::{Contents, InspectError, MANIFEST_NAME, inspect},
    segment_error::SegmentError,
    verify::VerifyReport,
};
use crate::os::Dir;
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
    /// Every snapshot that could have been chosen is damaged.
    #[error(
        "no snapshot in {} is sound; the files were left as they are, put damaged ones back \
         from a copy:{}{}",
        path.display(),
        list(skipped),
        also(openable)
    )]
    NoneSound {
        /// The directory.
        path: PathBuf,
        /// These snapshots, newest first, with what is wrong with each.
        skipped: Vec<Skipped>,
        /// Others, which have to be asked for by number.
        openable: Vec<u64>,
    },
    /// A snapshot that may be sound could not be read.
    #[error(
        "{}: snapshot {} could not be read, and may be sound: {}; nothing was changed: open again \
         when the cause is removed{}",
        path.display(), unread.number, unread.reason,
        also(openable)
    )]
    Unread {
        /// The directory.
        path: PathBuf,
        /// The snapshot, and what the system said.
        unread: Box<Skipped>,
        /// Others, which have to be asked for by number.
        openable: Vec<u64>,
    },
    /// There is no snapshot with the number that was asked for.
    #[error("{} has no snapshot {number}; it has {}", path.display(), numbers(there))]
    NoSuch {
        /// The directory.
        path: PathBuf,
        /// The number.
        number: u64,
        /// The numbers that there are.
        there: Vec<u64>,
    },
}

impl ChooseError {
    /// There is no snapshot with that number.
    pub(crate) fn no_such<D: Dir>(dir: &D, manifest: &Manifest, number: u64) -> Self {
        let there = manifest.snapshots.iter().map(|snapshot| snapshot.number).collect();
        Self::NoSuch { path: dir.path_of(""), number, there }
    }
}

/// Which snapshot is looked for, and what is checked of it.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// The one with this number, or none; not given, the newest sound one that is not set aside.
    pub number: Option<u64>,
    /// Of those with numbers below this alone: for who finds that a snapshot's pages are not what
    /// they should be, though each is as it was written.
    pub before: u64,
    /// Whether its pages are verified before it is called sound. Its structure always is.
    pub verify: bool,
}

impl Default for Wish {
    fn default() -> Self {
        Self { number: None, before: u64::MAX, verify: true }
    }
}

/// Chooses the newest snapshot whose whole chain verifies. A tool that wants to read any
/// image passes the [`Host`] of the image's own identity.
///
/// # Errors
/// [`ChooseError`]; never [`Choice::New`] in place of something damaged.
pub fn choose<D: Dir>(dir: &D, host: &Host) -> Result<Choice<D::File>, ChooseError> {
    choose_as(dir, host, Wish::default())
}

/// As [`choose`], with a wish.
///
/// # Errors
/// [`ChooseError`], also if there is no such snapshot.
pub fn choose_as<D: Dir>(dir: &D, host: &Host, wish: Wish) -> Result<Choice<D::File>, ChooseError> {
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
    let is_wanted = |snapshot: &&SnapshotRecord| match wish.number {
        Some(number) => snapshot.number == number,
        None => !snapshot.set_aside && snapshot.number < wish.before,
    };
    if let Some(number) = wish.number
        && manifest.snapshot(number).is_none()
    {
        return Err(ChooseError::no_such(dir, &manifest, number));
    }
    if manifest.snapshots.is_empty() {
        return Ok(Choice::Empty(manifest));
    }
    let mut skipped = Vec::new();
    for snapshot in manifest.snapshots.iter().rev().filter(is_wanted) {
        let opened = Chain::open(dir, &manifest, snapshot);
        let verified = opened.and_then(|chain| {
            let report = if wish.verify { chain.verify()? } else { VerifyReport::default() };
            Ok((chain, report))
        });
        match verified {
            Ok((chain, report)) => {
                let snapshot = snapshot.clone();
                return Ok(Choice::Sound(Sound { manifest, snapshot, chain, report, skipped }));
            }
            Err(reason) => {
                let SnapshotRecord { number, frozen_at, .. } = *snapshot;
                let is_unread = reason.is_unread();
                skipped.push(Skipped { number, frozen_at, reason });
                if is_unread {
                    return Err(none_of(dir, &manifest, skipped));
                }
            }
        }
    }
    Err(none_of(dir, &manifest, skipped))
}

/// Why it is none of these, newest first. What could not be read is not passed over: who went on
/// from an older one would replace a sound one.
fn none_of<D: Dir>(dir: &D, manifest: &Manifest, mut skipped: Vec<Skipped>) -> ChooseError {
    let openable = openable(dir, manifest, &skipped);
    let path = dir.path_of("");
    match skipped.pop_if(|last| last.reason.is_unread()) {
        Some(unread) => ChooseError::Unread { path, unread: Box::new(unread), openable },
        None => ChooseError::NoneSound { path, skipped, openable },
    }
}

/// The snapshots that can be asked for by number instead: their chains are there and of sound
/// structure.
fn openable<D: Dir>(dir: &D, manifest: &Manifest, skipped: &[Skipped]) -> Vec<u64> {
    let is_skipped = |number| skipped.iter().any(|skipped| skipped.number == number);
    manifest
        .snapshots
        .iter()
        .filter(|snapshot| !is_skipped(snapshot.number))
        .filter(|snapshot| Chain::open(dir, manifest, snapshot).is_ok())
        .map(|snapshot| snapshot.number)
        .collect()
}

/// One line for each.
fn list(skipped: &[Skipped]) -> String {
    skipped.iter().map(|skipped| format!("\n  {skipped}")).collect()
}

/// What else can be opened, as a sentence.
fn also(openable: &[u64]) -> String {
    match openable {
        [] => String::new(),
        _ => format!("\nThese can be opened by number (Options::open_at): {}", numbers(openable)),
    }
}

fn numbers(numbers: &[u64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
    numbers.join(", ")
}
