//! `verify`: every page of one snapshot, or of all.

use crate::{
    Outcome,
    args::Verify,
    failure::{DAMAGED, Failure, code_of_segment},
    folder::{Folder, is_gone},
    progress::Progress,
    text,
};
use serde::Serialize;
use std::fmt;
use stillheap::{
    image::{Chain, SegmentError, SnapshotRecord, VerifyReport},
    os::DiskFile,
};

#[derive(Serialize)]
struct Report {
    sound: bool,
    snapshots: Vec<Checked>,
}

/// A snapshot, and what is wrong with it.
#[derive(Serialize)]
struct Checked {
    number: u64,
    set_aside: bool,
    sound: bool,
    pages: u64,
    zero_pages: u64,
    #[serde(flatten)]
    damage: Option<Damage>,
    #[serde(skip)]
    code: u8,
}

#[derive(Serialize, Default)]
struct Damage {
    error: String,
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<String>,
}

pub(crate) fn run(args: &Verify) -> Result<Outcome, Failure> {
    let folder = Folder::open(&args.chosen.at.heap)?;
    let manifest = folder.manifest()?;
    let wanted: Vec<u64> = match args.all {
        true => manifest.snapshots.iter().map(|one| one.number).collect(),
        false => vec![folder.pick(&manifest, args.chosen.snapshot)?.number],
    };
    let mut snapshots = Vec::new();
    for number in wanted {
        // One that has been pruned meanwhile is nobody's any more.
        snapshots.extend(check(&folder, number, args.all)?);
    }
    let worst = snapshots.iter().map(|one| one.code);
    // Damage counts more than what could not be found out.
    let code = worst.filter(|&code| code > 0).min().unwrap_or(0);
    let sound = snapshots.iter().all(|one| one.sound);
    let damages = snapshots.iter().filter_map(|one| one.damage.as_ref());
    let errors = damages.map(|damage| damage.error.clone()).collect();
    Ok(Outcome::of(&Report { sound, snapshots })?.with_errors(code, errors))
}

/// Looks the snapshot up again and again, as long as its files change.
fn check(folder: &Folder, number: u64, may_go: bool) -> Result<Option<Checked>, Failure> {
    loop {
        let manifest = folder.manifest()?;
        let snapshot = match manifest.snapshot(number) {
            Some(snapshot) => snapshot,
            None if may_go => return Ok(None),
            None => folder.pick(&manifest, Some(number))?,
        };
        let opened = Chain::open(&folder.dir, &manifest, snapshot);
        match opened.and_then(|chain| verify(&chain)) {
            Ok(report) => return Ok(Some(Checked::sound(snapshot, report))),
            Err(error) if is_gone(&error) && folder.manifest()? != manifest => {}
            Err(error) => {
                let failure = folder.damaged(&manifest, number, &error);
                return Ok(Some(Checked::damaged(snapshot, &error, failure.message)));
            }
        }
    }
}

/// Verifies a chain, with a bar.
pub(crate) fn verify(chain: &Chain<DiskFile>) -> Result<VerifyReport, SegmentError> {
    let total = chain.segments().iter().map(|segment| segment.index().len() as u64).sum();
    let progress = Progress::new("verifying", total);
    chain.verify_watched(&progress.watch()).map(Option::unwrap_or_default)
}

impl Checked {
    fn sound(snapshot: &SnapshotRecord, report: VerifyReport) -> Self {
        let SnapshotRecord { number, set_aside, .. } = *snapshot;
        let VerifyReport { pages, zero_pages, .. } = report;
        Self { number, set_aside, sound: true, pages, zero_pages, damage: None, code: 0 }
    }

    fn damaged(snapshot: &SnapshotRecord, error: &SegmentError, message: String) -> Self {
        let SnapshotRecord { number, set_aside, .. } = *snapshot;
        let (damage, code) = (Some(Damage::of(error, message)), code_of_segment(error));
        Self { number, set_aside, sound: false, pages: 0, zero_pages: 0, damage, code }
    }
}

impl Damage {
    fn of(error: &SegmentError, message: String) -> Self {
        let crc = |crc: u32| Some(format!("{crc:#010x}"));
        let plain = Self { error: message, ..Self::default() };
        let (path, rest) = match error {
            SegmentError::Io { path, .. } | SegmentError::Mismatch { path, .. } => (path, plain),
            SegmentError::Length { path, expected, found } => {
                let (expected, found) = (Some(expected.to_string()), Some(found.to_string()));
                (path, Self { expected, found, ..plain })
            }
            SegmentError::Checksum { path, offset, expected, found, .. } => {
                let (offset, expected, found) = (Some(*offset), crc(*expected), crc(*found));
                (path, Self { offset, expected, found, ..plain })
            }
            SegmentError::Defect { path, defect } => {
                let (expected, found) = (defect.expected.clone(), defect.found.clone());
                let (offset, expected, found) = (Some(defect.offset), Some(expected), Some(found));
                (path, Self { offset, expected, found, ..plain })
            }
            SegmentError::Page { path, page, offset, expected, found } => {
                let (page, offset) = (Some(page.0), Some(*offset));
                (path, Self { page, offset, expected: crc(*expected), found: crc(*found), ..plain })
            }
            SegmentError::Frame { path, offset, .. }
            | SegmentError::Unread { path, offset, .. } => {
                (path, Self { offset: Some(*offset), ..plain })
            }
            SegmentError::Hole { path, page, offset, found } => {
                let (page, offset) = (Some(page.0), Some(*offset));
                let (expected, found) = (Some("0".to_owned()), Some(found.to_string()));
                (path, Self { page, offset, expected, found, ..plain })
            }
        };
        Self { file: Some(path.display().to_string()), ..rest }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for one in &self.snapshots {
            let (number, pages) = (one.number, text::count(one.pages));
            match one.sound {
                true => writeln!(f, "snapshot {number}: sound, {pages} pages")?,
                false => writeln!(f, "snapshot {number}: cannot be used")?,
            }
        }
        match (self.snapshots.len(), self.sound) {
            (0, _) => writeln!(f, "there is no snapshot"),
            (1, _) => Ok(()),
            (count, true) => writeln!(f, "all {count} snapshots are sound"),
            (count, false) => {
                let bad = self.snapshots.iter().filter(|one| !one.sound).count();
                writeln!(f, "{bad} of {count} snapshots cannot be used")
            }
        }
    }
}

const _: () = assert!(DAMAGED == 1, "damage is the least of the codes");
