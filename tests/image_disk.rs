//! The format on a real file system: sparse files, locks, and every answer that a directory
//! can get.

#![allow(clippy::unwrap_used, reason = "a test")]

mod image_support;

use image_support::{FIRST, SECOND, commit, host, identity};
use std::{
    fs,
    os::unix::fs::{FileExt, MetadataExt},
};
use stillheap::{
    base::{PAGE_SIZE, PageIndex, PageRun},
    image::{
        Choice, ChooseError, Compression, Host, Identity, Machine, Manifest, Mismatch,
        SegmentError, SegmentInfo, SegmentNumber, SegmentReader, SegmentWriter, Sound, choose,
    },
    os::{Dir, DirLock, DiskDir, DiskFile},
};

fn scratch() -> (tempfile::TempDir, DiskDir) {
    let holder = tempfile::tempdir().unwrap();
    let dir = DiskDir::create(&holder.path().join("heap")).unwrap();
    (holder, dir)
}

fn heap() -> (tempfile::TempDir, DiskDir) {
    let (holder, dir) = scratch();
    let mut manifest = Manifest::new(identity());
    manifest.publish(&dir).unwrap();
    for contents in [FIRST, SECOND] {
        manifest = commit(&dir, &manifest, &contents).unwrap();
    }
    (holder, dir)
}

fn sound(dir: &DiskDir, host: &Host) -> Sound<DiskFile> {
    match choose(dir, host).unwrap() {
        Choice::Sound(sound) => sound,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_heap_comes_back_from_the_disk() {
    let (_holder, dir) = heap();
    let _lock = DirLock::acquire(dir.path()).unwrap();
    let sound = sound(&dir, &host());
    assert_eq!((sound.snapshot.number, sound.snapshot.operations), (2, 20));
    assert_eq!(sound.report.pages, 2);
    assert_eq!(*sound.chain.page(PageIndex(8)).unwrap(), [0xff; PAGE_SIZE]);
    assert_eq!(*sound.chain.page(PageIndex(7)).unwrap(), [0; PAGE_SIZE]);
    assert!(sound.chain.segments()[0].page(PageIndex(6)).unwrap().is_none());
}

#[test]
fn images_are_for_their_owner_alone() {
    let (_holder, dir) = heap();
    for name in dir.list().unwrap() {
        assert_eq!(fs::metadata(dir.path_of(&name)).unwrap().mode() & 0o077, 0, "{name}");
    }
}

#[test]
fn every_kind_of_directory_gets_its_answer() {
    let (_holder, dir) = scratch();
    assert!(matches!(choose(&dir, &host()), Ok(Choice::New)));
    let lock = DirLock::acquire(dir.path()).unwrap();
    assert!(matches!(choose(&dir, &host()), Ok(Choice::New)));
    Manifest::new(identity()).publish(&dir).unwrap();
    assert!(matches!(choose(&dir, &host()), Ok(Choice::Empty(_))));
    drop(lock);

    let (_holder, other) = scratch();
    fs::write(other.path_of("holiday.jpg"), b"").unwrap();
    let message = choose(&other, &host()).unwrap_err().to_string();
    assert!(message.contains("not a heap") && message.contains("holiday.jpg"), "{message}");
    assert_eq!(other.list().unwrap(), ["holiday.jpg"]);

    let (_holder, lost) = heap();
    fs::remove_file(lost.path_of("MANIFEST")).unwrap();
    let message = choose(&lost, &host()).unwrap_err().to_string();
    assert!(message.contains("has lost its MANIFEST"), "{message}");

    let (_holder, odd) = heap();
    fs::remove_file(odd.path_of("MANIFEST")).unwrap();
    fs::create_dir(odd.path_of("MANIFEST")).unwrap();
    let message = choose(&odd, &host()).unwrap_err().to_string();
    assert!(message.contains("not a regular file"), "{message}");
}

#[test]
fn every_difference_is_named_with_both_sides() {
    let (_holder, dir) = heap();
    let refused = |host: Host| match choose(&dir, &host).unwrap_err() {
        ChooseError::Mismatch { source, .. } => source,
        other => panic!("{other}"),
    };
    let here = host();
    let base = refused(Host { base: 0x3000_0000_0000, ..here });
    assert!(base.to_string().contains("0x200000000000") && base.to_string().contains("0x3000"));
    assert!(matches!(
        refused(Host { machine: Machine::AARCH64, ..here }),
        Mismatch::OtherMachine { .. }
    ));
    assert!(matches!(refused(Host { page_size: 65536, ..here }), Mismatch::OtherPageSize { .. }));
    assert!(matches!(
        refused(Host { arena_len: 1 << 40, ..here }),
        Mismatch::OtherArenaLength { .. }
    ));
}

#[test]
fn another_heaps_segment_is_refused() {
    let (_holder, dir) = heap();
    let manifest = Manifest::load(&dir).unwrap();
    let stranger = Identity { heap_id: 2, ..identity() };
    let error = SegmentReader::open(&dir, &manifest.segments[0], &stranger).unwrap_err();
    assert!(matches!(error, SegmentError::Mismatch { mismatch: Mismatch::OtherHeap { .. }, .. }));
}

/// 1 GiB of extents with 20,000 pages in them, spread: holes cost neither space nor reading.
#[test]
fn a_sparse_segment_stays_sparse() {
    const PAGES: u32 = 1 << 18;
    let (_holder, dir) = scratch();
    let info = SegmentInfo {
        identity: identity(),
        number: SegmentNumber::FIRST,
        parent: None,
        snapshot: 1,
        frozen_at: 1,
        operations: 1,
        compression: Compression::None,
    };
    let runs = [(0, PAGES / 2), (PAGES, PAGES / 2)];
    let runs = runs.map(|(first, count)| PageRun::new(PageIndex(first), count).unwrap());
    let mut writer = SegmentWriter::create(&dir, &info, &runs).unwrap();
    let block = vec![7; 500 * PAGE_SIZE];
    for run in runs {
        for start in (0..run.count - 500).step_by(6553) {
            writer.write_pages(PageIndex(run.first.0 + start), &block).unwrap();
        }
    }
    let summary = writer.finish(b"").unwrap().sync().unwrap();
    let metadata = fs::metadata(dir.path_of("0000000001.full")).unwrap();
    assert_eq!(metadata.len(), summary.record.file_len);
    assert!(metadata.blocks() * 512 < metadata.len() / 8, "{} blocks", metadata.blocks());

    let reader = SegmentReader::open(&dir, &summary.record, &identity()).unwrap();
    let report = reader.verify().unwrap();
    assert_eq!(report.pages, summary.pages);
    assert!(report.pages > 16 << 10, "enough for two threads");
    assert_eq!(report.pages + report.zero_pages, u64::from(PAGES));
    assert!(report.zero_pages_read < PAGES.into());

    // Damage in the middle of a long hole, and in a saved page, in both threads' parts.
    let path = dir.path_of("0000000001.full");
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    let [first, second] = [0, 1].map(|place| reader.extents()[place].offset);
    drop(reader);
    let place = second + 5000 * PAGE_SIZE as u64 + 9;
    file.write_all_at(&[1], place).unwrap();
    let again = || SegmentReader::open(&dir, &summary.record, &identity()).unwrap();
    let error = again().verify().unwrap_err();
    assert!(
        matches!(error, SegmentError::Hole { offset, found: 1, .. } if offset == place),
        "{error}"
    );
    file.write_all_at(&[1], first + 5).unwrap();
    let error = again().verify().unwrap_err();
    assert!(matches!(error, SegmentError::Page { page: PageIndex(0), .. }), "{error}");
}

#[test]
fn a_file_that_is_cut_short_under_its_reader_is_told() {
    let (_holder, dir) = heap();
    let chain = sound(&dir, &host()).chain;
    let path = dir.path_of(&Manifest::load(&dir).unwrap().segments[1].file_name());
    let len = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(PAGE_SIZE as u64).unwrap();
    let error = chain.verify().unwrap_err();
    let SegmentError::Length { expected, found, .. } = error else { panic!("{error}") };
    assert_eq!((expected, found), (len, PAGE_SIZE as u64));
}
