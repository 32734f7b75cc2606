//! `list`: the snapshots of a heap, and what its files take.

use crate::{Outcome, args::Heap, failure::Failure, folder::Folder, text, text::Table};
use serde::Serialize;
use std::{fmt, os::unix::fs::MetadataExt};
use stillheap::{
    image::{Codec, Manifest, SegmentKind, SnapshotRecord},
    os::{Dir, DiskDir},
};

#[derive(Serialize)]
struct Report {
    heap: String,
    heap_id: String,
    snapshots: Vec<Snapshot>,
    files: usize,
    bytes: u64,
    bytes_on_disk: u64,
}

/// A snapshot, as reports have it.
#[derive(Serialize)]
pub(crate) struct Snapshot {
    pub(crate) number: u64,
    pub(crate) frozen_at: u64,
    pub(crate) time: String,
    pub(crate) operations: u64,
    pub(crate) pages: u64,
    pub(crate) bytes: u64,
    pub(crate) set_aside: bool,
    /// Whether it is the one that is opened next.
    pub(crate) newest: bool,
    /// Of the last file.
    pub(crate) kind: &'static str,
    pub(crate) compression: Vec<&'static str>,
    pub(crate) files: Vec<FileSize>,
}

/// A file's length, and what its blocks take.
#[derive(Serialize)]
pub(crate) struct FileSize {
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) on_disk: u64,
}

pub(crate) fn run(args: &Heap) -> Result<Outcome, Failure> {
    let folder = Folder::open(&args.heap)?;
    let manifest = folder.manifest()?;
    let sizes = sizes(&folder.dir)?;
    let snapshots = manifest.snapshots.iter();
    Outcome::of(&Report {
        heap: folder.path(),
        heap_id: format!("{:032x}", manifest.identity.heap_id),
        snapshots: snapshots.map(|one| Snapshot::of(&folder.dir, &manifest, one)).collect(),
        files: sizes.len(),
        bytes: sizes.iter().map(|size| size.bytes).sum(),
        bytes_on_disk: sizes.iter().map(|size| size.on_disk).sum(),
    })
}

impl Snapshot {
    pub(crate) fn of(dir: &DiskDir, manifest: &Manifest, snapshot: &SnapshotRecord) -> Self {
        let chain: Vec<_> =
            snapshot.chain.iter().filter_map(|&number| manifest.segment(number)).collect();
        let mut compression: Vec<_> = chain.iter().map(|one| codec_name(one.codec)).collect();
        compression.dedup();
        let is_delta = chain.last().is_some_and(|last| last.kind == SegmentKind::Delta);
        let file = |name: String, bytes| {
            let on_disk = size(dir, &name).map_or(0, |size| size.on_disk);
            FileSize { name, bytes, on_disk }
        };
        Self {
            number: snapshot.number,
            frozen_at: snapshot.frozen_at,
            time: text::time(snapshot.frozen_at),
            operations: snapshot.operations,
            pages: snapshot.pages,
            bytes: snapshot.bytes,
            set_aside: snapshot.set_aside,
            newest: manifest.newest().is_some_and(|newest| newest.number == snapshot.number),
            kind: if is_delta { "delta" } else { "full" },
            compression,
            files: chain.iter().map(|one| file(one.file_name(), one.file_len)).collect(),
        }
    }
}

pub(crate) fn codec_name(codec: Codec) -> &'static str {
    match codec {
        Codec::Raw => "none",
        Codec::Lz4 => "lz4",
        Codec::Zstd => "zstd",
    }
}

/// All files of a directory; those that go meanwhile are left out.
pub(crate) fn sizes(dir: &DiskDir) -> Result<Vec<FileSize>, Failure> {
    let names = dir.list().map_err(|error| Failure::io("list", dir.path(), &error))?;
    Ok(names.iter().filter_map(|name| size(dir, name)).collect())
}

fn size(dir: &DiskDir, name: &str) -> Option<FileSize> {
    let metadata = std::fs::symlink_metadata(dir.path_of(name)).ok()?;
    if !metadata.is_file() {
        return None;
    }
    let (bytes, on_disk) = (metadata.len(), metadata.blocks() * 512);
    Some(FileSize { name: name.to_owned(), bytes, on_disk })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "heap {} in {}", self.heap_id, self.heap)?;
        let headline = [
            "",
            "time",
            "kind",
            "compression",
            "snapshot",
            "operations",
            "pages",
            "bytes",
            "files",
        ];
        let mut table = Table::new(4, &headline);
        for one in &self.snapshots {
            let mark = match (one.newest, one.set_aside) {
                (true, _) => "*",
                (_, true) => "set aside",
                _ => "",
            };
            let words = [mark, &one.time, one.kind, &one.compression.join("+")];
            let numbers = [one.number, one.operations, one.pages].map(text::count);
            let sizes = [text::bytes(one.bytes), one.files.len().to_string()];
            table.row(words.map(str::to_owned).into_iter().chain(numbers).chain(sizes));
        }
        match self.snapshots.is_empty() {
            true => writeln!(f, "no snapshot yet")?,
            false => f.write_str(&table.lines(""))?,
        }
        let (bytes, on_disk) = (text::bytes(self.bytes), text::bytes(self.bytes_on_disk));
        writeln!(f, "{} files of {bytes}, {on_disk} on the disk", self.files)
    }
}
