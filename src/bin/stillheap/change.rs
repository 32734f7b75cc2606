//! `prune`, `compact`, `revert`: what a heap keeps. Under the lock, through the same store that
//! programs use; only that nothing is ever saved.

use crate::{
    Outcome,
    args::{Compact, Prune, Revert},
    failure::Failure,
    folder::{Folder, Opened, numbers},
    list::{FileSize, sizes},
    progress::Progress,
    text, verify,
};
use serde::Serialize;
use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};
use stillheap::{
    image::{Codec, Compression, Manifest, Wish},
    os::DiskDir,
    snapshot::{Policy, Store},
};

#[derive(Serialize)]
struct Pruned {
    dry_run: bool,
    forgotten: Vec<u64>,
    kept: Vec<u64>,
    files_removed: Vec<FileSize>,
    bytes_freed: u64,
}

#[derive(Serialize)]
struct Merged {
    merged: bool,
    segments: usize,
    pages: u64,
    bytes: u64,
    files_before: usize,
    files_after: usize,
    on_disk_before: u64,
    on_disk_after: u64,
}

#[derive(Serialize)]
struct Reverted {
    newest: u64,
    set_aside: Vec<u64>,
}

pub(crate) fn prune(args: &Prune) -> Result<Outcome, Failure> {
    let policy = Policy {
        keep: args.keep as usize,
        keep_for: args.keep_for,
        spare: !args.no_spare,
        ..Policy::default()
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    if args.dry_run {
        let folder = Folder::open(&args.at.heap)?;
        let before = folder.manifest()?;
        let mut after = before.clone();
        let _ = policy.retain(&mut after, now);
        return Outcome::of(&Pruned::of(true, &before, &after, sizes(&folder.dir)?));
    }
    let (folder, _lock) = Folder::lock(&args.at.heap)?;
    let opened = sound(&folder, None)?;
    let before = &opened.manifest;
    let files = sizes(&folder.dir)?;
    let store = store(&folder, &opened, policy)?;
    store.retain(now)?;
    store.prune();
    let after = folder.manifest()?;
    Outcome::of(&Pruned::of(false, before, &after, files))
}

pub(crate) fn compact(args: &Compact) -> Result<Outcome, Failure> {
    let (folder, _lock) = Folder::lock(&args.at.heap)?;
    let opened = folder.snapshot(None)?;
    let full = opened.chain.segments().first().map(|full| full.header().codec);
    let compression = args.compression.unwrap_or(match full {
        Some(Codec::Lz4) => Compression::Lz4,
        Some(Codec::Zstd) => Compression::Zstd(3),
        Some(Codec::Raw) | None => Compression::None,
    });
    let before = sizes(&folder.dir)?;
    let store = store(&folder, &opened, Policy { full: compression, ..Policy::default() })?;
    let total = opened.chain.segments().iter().map(|one| one.index().len() as u64).sum();
    let progress = Progress::new("merging", total);
    let merged = store.compact_fully(&progress.watch())?;
    store.prune();
    let after = sizes(&folder.dir)?;
    let on_disk = |files: &[FileSize]| files.iter().map(|file| file.on_disk).sum();
    Outcome::of(&Merged {
        merged: merged.is_some(),
        segments: merged.map_or(0, |merged| merged.segments),
        pages: merged.map_or(0, |merged| merged.pages),
        bytes: merged.map_or(0, |merged| merged.bytes),
        files_before: before.len(),
        files_after: after.len(),
        on_disk_before: on_disk(&before),
        on_disk_after: on_disk(&after),
    })
}

pub(crate) fn revert(args: &Revert) -> Result<Outcome, Failure> {
    let (folder, _lock) = Folder::lock(&args.at.heap)?;
    let opened = sound(&folder, Some(args.number))?;
    store(&folder, &opened, Policy::default())?.revert(args.number)?;
    let manifest = folder.manifest()?;
    let aside = manifest.snapshots.iter().filter(|one| one.set_aside);
    Outcome::of(&Reverted {
        newest: manifest.newest().map_or(0, |newest| newest.number),
        set_aside: aside.map(|one| one.number).collect(),
    })
}

/// A snapshot of which every page has been verified.
fn sound(folder: &Folder, number: Option<u64>) -> Result<Opened, Failure> {
    let opened = folder.snapshot(number)?;
    match verify::verify(&opened.chain) {
        Ok(_) => Ok(opened),
        Err(error) => Err(folder.damaged(&opened.manifest, opened.snapshot.number, &error)),
    }
}

/// The store of a heap whose lock is held. It is asked for this snapshot by its number: so it
/// passes over none, and forgets none of itself.
fn store(folder: &Folder, opened: &Opened, policy: Policy) -> Result<Store<DiskDir>, Failure> {
    let identity = opened.manifest.identity;
    let number = Some(opened.snapshot.number);
    let wish = Wish { number, verify: false, ..Wish::default() };
    let (host, dir) = (identity.host(), folder.dir.clone());
    Ok(Store::open(dir, &host, identity.heap_id, policy, false, wish)?.store)
}

impl Pruned {
    fn of(dry_run: bool, before: &Manifest, after: &Manifest, files: Vec<FileSize>) -> Self {
        let snapshots = before.snapshots.iter().map(|one| one.number);
        let (kept, forgotten) = snapshots.partition(|&number| after.snapshot(number).is_some());
        let needed = |name: &String| after.segments.iter().any(|one| one.file_name() == *name);
        let known = |name: &String| before.segments.iter().any(|one| one.file_name() == *name);
        let gone = files.into_iter().filter(|file| known(&file.name) && !needed(&file.name));
        let files_removed: Vec<FileSize> = gone.collect();
        let bytes_freed = files_removed.iter().map(|file| file.on_disk).sum();
        Self { dry_run, forgotten, kept, files_removed, bytes_freed }
    }
}

impl fmt::Display for Pruned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let would = if self.dry_run { "would be " } else { "" };
        writeln!(
            f,
            "{would}forgotten: {}; kept: {}",
            numbers(&self.forgotten),
            numbers(&self.kept)
        )?;
        for file in &self.files_removed {
            writeln!(f, "  {}, {} on the disk", file.name, text::bytes(file.on_disk))?;
        }
        let (files, bytes) = (self.files_removed.len(), text::bytes(self.bytes_freed));
        writeln!(f, "{files} files, {bytes} on the disk, {would}removed")
    }
}

impl fmt::Display for Merged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.merged {
            return writeln!(f, "the newest snapshot is one file already: nothing to merge");
        }
        let (pages, bytes) = (text::count(self.pages), text::bytes(self.bytes));
        writeln!(f, "{} files merged into one: {pages} pages, {bytes}", self.segments)?;
        let (before, after) = (text::bytes(self.on_disk_before), text::bytes(self.on_disk_after));
        writeln!(f, "the directory: {before} on the disk before, {after} now")
    }
}

impl fmt::Display for Reverted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (newest, aside) = (self.newest, numbers(&self.set_aside));
        writeln!(f, "snapshot {newest} is opened next; set aside: {aside}")
    }
}
