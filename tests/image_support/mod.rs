//! A small heap's directory for the tests and the fuzzer of the file format: made by the same
//! steps, in the same order, as a real commit.
#![allow(dead_code, reason = "each test uses a part of it")]

use stillheap::{
    base::{PAGE_SIZE, PageIndex, PageRun},
    image::{
        CommitError, Compression, Host, Identity, Machine, Manifest, SegmentInfo, SegmentKind,
        SegmentSummary, SegmentWriter, SnapshotRecord, WriteError,
    },
    os::{Dir, sim::SimDir},
};

/// A page's number, and the byte that it is full of.
pub(crate) type Page = (u32, u8);

/// What a snapshot of the small heap holds: runs of pages as (first, count), and pages.
pub(crate) struct Contents {
    pub(crate) runs: &'static [(u32, u32)],
    pub(crate) pages: &'static [Page],
    /// Whether it is a delta on the snapshot before it.
    pub(crate) delta: bool,
    pub(crate) compression: Compression,
}

/// The first snapshot: one page.
pub(crate) const FIRST: Contents =
    Contents { runs: &[(5, 1)], pages: &[(5, 0xa5)], delta: false, compression: Compression::None };
/// The second: another run, with a page that is zero.
pub(crate) const SECOND: Contents =
    Contents { runs: &[(5, 1), (7, 2)], pages: &[(5, 0x5a), (8, 0xff)], ..FIRST };

/// A third, on request: page 7 is no longer zero, and page 8 is; page 5 is as it was.
pub(crate) const DELTA: Contents = Contents {
    runs: &[(5, 1), (7, 2)],
    pages: &[(7, 0x77), (8, 0)],
    delta: true,
    compression: Compression::None,
};

/// A fourth, compressed: three pages, two of which are the same.
pub(crate) const SMALL: Contents = Contents {
    runs: &[(5, 1), (7, 3)],
    pages: &[(7, 0x11), (8, 0x22), (9, 0x11)],
    delta: true,
    compression: Compression::Lz4,
};

/// Why a commit failed.
#[derive(Debug)]
pub(crate) enum Failure {
    Write(WriteError),
    Commit(CommitError),
}

pub(crate) fn identity() -> Identity {
    Identity {
        heap_id: 0x5711_11ea_9000_0000_0000_0000_0000_0001,
        base: 0x2000_0000_0000,
        arena_len: 16 << 40,
        page_size: 4096,
        machine: Machine::X86_64,
    }
}

pub(crate) fn host() -> Host {
    identity().host()
}

/// A directory with an empty heap, then the first snapshot, then the second.
pub(crate) fn heap() -> SimDir {
    let dir = SimDir::new();
    let mut manifest = Manifest::new(identity());
    manifest.publish(&dir).expect("the simulated disk works");
    for contents in [FIRST, SECOND] {
        manifest = commit(&dir, &manifest, &contents).expect("the simulated disk works");
    }
    dir.settle();
    dir
}

/// Adds a snapshot: segment, sync, manifest. What failed before the manifest was replaced is
/// removed, as a store does it.
pub(crate) fn commit<D: Dir>(
    dir: &D,
    manifest: &Manifest,
    contents: &Contents,
) -> Result<Manifest, Failure> {
    let mut next = manifest.clone();
    let (frozen_at, operations) = (manifest.next_snapshot * 1000, manifest.next_snapshot * 10);
    let before = manifest.newest().filter(|_| contents.delta);
    let mut chain = before.map_or_else(Vec::new, |before| before.chain.clone());
    let info = SegmentInfo {
        identity: manifest.identity,
        number: manifest.next_segment,
        parent: before.map(|before| before.number),
        snapshot: manifest.next_snapshot,
        frozen_at,
        operations,
        compression: contents.compression,
    };
    chain.push(info.number);
    let result = write_segment(dir, &info, contents).map_err(Failure::Write).and_then(|summary| {
        let snapshot = SnapshotRecord {
            number: info.snapshot,
            frozen_at,
            operations,
            pages: summary.pages,
            bytes: summary.bytes,
            set_aside: false,
            chain,
        };
        next.add(snapshot, summary.record);
        next.publish(dir).map_err(Failure::Commit)
    });
    match result {
        Ok(()) => Ok(next),
        Err(failure) => {
            let old_in_force = match &failure {
                Failure::Write(_) => true,
                Failure::Commit(error) => error.old_in_force(),
            };
            if old_in_force {
                let kind = if contents.delta { SegmentKind::Delta } else { SegmentKind::Full };
                let _ = dir.remove(&info.number.file_name(kind));
            }
            Err(failure)
        }
    }
}

/// Writes a segment and makes its bytes durable.
pub(crate) fn write_segment<D: Dir>(
    dir: &D,
    info: &SegmentInfo,
    contents: &Contents,
) -> Result<SegmentSummary, WriteError> {
    let runs: Vec<PageRun> = contents
        .runs
        .iter()
        .map(|&(first, count)| PageRun::new(PageIndex(first), count).expect("a run"))
        .collect();
    let mut writer = SegmentWriter::create(dir, info, &runs)?;
    for &(page, fill) in contents.pages {
        writer.write_pages(PageIndex(page), &[fill; PAGE_SIZE])?;
    }
    writer.finish(b"notes")?.sync()
}
