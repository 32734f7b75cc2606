//! Which blocks programs read: what the figures say of it, and that the next run, and the one
//! after that, know where to begin. Each run is a process of its own.
#![allow(unsafe_code, reason = "makes a block outside the heap")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::Path;
use stillheap::base::crc32;
use stillheap::image::{Chain, Manifest};
use stillheap::os::DiskDir;
use stillheap::snapshot::{ChunkUse, hottest_first, uses_in};
use stillheap::{Heap, Options, ProcessHeap, Restore, Root, Rows, Stats, UseStats, transient};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

type Block = Rows<f64, u64>;

/// Together they take some 60 MiB.
const BLOCKS: usize = 3800;
const PAGES: usize = 4;
/// What is read of them: less than there are places for.
const FIRST: Range<usize> = 2500..3000;
const LATER: Range<usize> = 300..500;

fn open(dir: &Path) -> (Heap, Root<Vec<Block>>) {
    let options = Options::new().restore(Restore::Background).restart_on_collision(true);
    let heap = HEAP.open(dir, options.spare(false)).expect("a heap");
    let root = heap.root("blocks").expect("a root");
    (heap, root)
}

fn block(number: usize) -> Block {
    let mut block = Block::new(2, PAGES);
    block.write().push(&[1.0, 2.0], number as u64);
    block
}

/// Reads some blocks so often, and gives the figures. Prints in which chunks they lie.
fn read(heap: &Heap, root: &Root<Vec<Block>>, which: Range<usize>, times: u64) -> Stats {
    root.read(|blocks| {
        for _ in 0..times {
            blocks[which.clone()].iter().for_each(Rows::note_use);
        }
        for block in &blocks[which.clone()] {
            let offset = block.values().as_ptr().addr() - ProcessHeap::DEFAULT_BASE;
            println!("chunk {}", offset >> 21);
        }
    });
    heap.stats()
}

fn fill(dir: &Path) {
    // Before there is a heap, nothing is noted.
    let early = block(0);
    (0..1000).for_each(|_| early.note_use());
    let (heap, root) = open(dir);
    assert_eq!(heap.stats().uses, UseStats::default());
    assert_eq!(heap.stats().uses.hit_rate(), None);
    // SAFETY: it is dropped before this function ends.
    let outside = unsafe { transient(|| block(0)) };
    (0..1000).for_each(|_| outside.note_use());
    assert_eq!(heap.stats().uses, UseStats::default(), "a block that is none of the heap's");
    // SAFETY: it was allocated so.
    unsafe { transient(|| drop(outside)) };

    root.write(|blocks| blocks.extend((0..BLOCKS).map(block)));
    let times = 25 * UseStats::SAMPLING;
    let stats = read(&heap, &root, FIRST, times).uses;
    let calls = times * FIRST.len() as u64;
    let expected = calls / UseStats::SAMPLING;
    assert!(stats.noted.abs_diff(expected) < expected / 5, "{stats:?} of {calls}");
    assert!(stats.kept > 450 && stats.kept <= 500, "{stats:?}");
    assert_eq!(stats.hits, stats.noted - stats.kept, "there is room for all");
    assert!(stats.hit_rate() > Some(0.9), "{stats:?}");
    heap.close().expect("room");
}

/// Writes a little, and reads nothing.
fn idle(dir: &Path) {
    let (heap, root) = open(dir);
    root.write(|blocks| assert_eq!(blocks[7].values(), [7]));
    assert_eq!(heap.stats().uses, UseStats::default());
    heap.close().expect("room");
}

/// Reads other blocks, more than enough.
fn turn(dir: &Path) {
    let (heap, root) = open(dir);
    let stats = read(&heap, &root, LATER, 60 * UseStats::SAMPLING).uses;
    assert!(stats.noted > UseStats::PLACES && stats.kept <= 200, "{stats:?}");
    root.write(|blocks| assert_eq!(blocks[7].values(), [7]));
    heap.close().expect("room");
}

/// What the newest snapshot's notes say, as the next run would fetch it.
fn notes(dir: &Path) -> Vec<ChunkUse> {
    let dir = DiskDir::open(dir).expect("a directory");
    let manifest = Manifest::load(&dir).expect("a manifest");
    let newest = manifest.newest().expect("a snapshot");
    let chain = Chain::open(&dir, &manifest, newest).expect("its files");
    let last = chain.segments().last().expect("a file");
    let mut uses: Vec<_> = uses_in(last.notes()).collect();
    hottest_first(&mut uses);
    uses
}

/// The chunks that come first are those that a run has printed, and no other has been read.
fn check(uses: &[ChunkUse], printed: &str, blocks: usize) {
    let numbers = printed.lines().filter_map(|line| line.strip_prefix("chunk "));
    let chunks: BTreeSet<u32> = numbers.map(|number| number.parse().expect("a number")).collect();
    assert!(chunks.len() > 1 && uses.len() > chunks.len(), "{chunks:?} {uses:?}");
    let (first, others) = uses.split_at(chunks.len());
    assert_eq!(first.iter().map(|known| known.chunk.0).collect::<BTreeSet<_>>(), chunks);
    assert!(others.iter().all(|known| known.read == 0 && known.written > 0), "{others:?}");
    let read: u32 = first.iter().map(|known| known.read).sum();
    assert!(read as usize <= blocks && read as usize > blocks * 9 / 10, "{uses:?}");
}

fn what_was_read_comes_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    let printed = support::run("fill", &dir);
    let uses = notes(&dir);
    check(&uses, &printed, FIRST.len());
    let reads = |uses: Vec<ChunkUse>| -> Vec<_> {
        let read = uses.into_iter().filter(|known| known.read > 0);
        read.map(|known| (known.chunk, known.read)).collect()
    };
    let before = reads(uses);
    for life in 0..2 {
        support::run("idle", &dir);
        assert_eq!(reads(notes(&dir)), before, "life {life} forgets nothing");
    }
    let printed = support::run("turn", &dir);
    check(&notes(&dir), &printed, LATER.len());
}

/// Some blocks that were read, all in one chunk.
fn few(dir: &Path) {
    let (heap, root) = open(dir);
    root.write(|blocks| blocks.extend((0..20).map(block)));
    read(&heap, &root, 0..20, 25 * UseStats::SAMPLING);
    heap.snapshot().expect("a freeze").wait_durable().expect("durable");
    support::die();
}

/// Puts a number in a file where another is.
fn put(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

/// Makes the first note of the newest file one on `chunk`, with all checksums right: FORMAT.md.
fn forge(dir: &Path, chunk: u32) {
    const NOTES: usize = 136;
    const NOTES_CRC: usize = 160;
    const HEADER_CRC: usize = 252;
    let files = fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("a file").path());
    let mut files = files.filter(|path| path.extension().is_some_and(|kind| kind == "full"));
    let path = files.next().expect("a full segment");
    let mut bytes = fs::read(&path).expect("its bytes");
    let field = |at: usize| {
        let field = bytes[at..at + 8].try_into().expect("eight bytes");
        usize::try_from(u64::from_le_bytes(field)).expect("a length")
    };
    let notes = field(NOTES)..field(NOTES) + field(NOTES + 8);
    assert_eq!(bytes[notes.start..notes.start + 4], *b"uses");
    put(&mut bytes, notes.start + 4, chunk);
    let crc = crc32(&bytes[notes]);
    put(&mut bytes, NOTES_CRC, crc);
    let before = bytes[HEADER_CRC..HEADER_CRC + 4].to_vec();
    let crc = crc32(&bytes[..HEADER_CRC]);
    put(&mut bytes, HEADER_CRC, crc);
    fs::write(&path, bytes).expect("forged");
    // The manifest names the header by its checksum, and ends with its own.
    let path = dir.join("MANIFEST");
    let mut bytes = fs::read(&path).expect("a manifest");
    let at = bytes.windows(4).position(|four| four == before).expect("the header's checksum");
    put(&mut bytes, at, crc);
    let end = bytes.len() - 4;
    let crc = crc32(&bytes[..end]);
    put(&mut bytes, end, crc);
    fs::write(&path, bytes).expect("forged");
}

/// Notes that name a chunk behind the arena, or none that can be, are passed over.
fn notes_on_no_chunk_do_no_harm() {
    for chunk in [1 << 23, (1 << 23) + 1, u32::MAX] {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("heap");
        support::run_until_killed("few", &dir);
        forge(&dir, chunk);
        support::run("idle", &dir);
        assert!(notes(&dir).iter().all(|known| known.chunk.0 < 1 << 23));
    }
}

const ROLES: &[support::Role] = &[("fill", fill), ("idle", idle), ("turn", turn), ("few", few)];

fn main() {
    if support::plays(ROLES) {
        return;
    }
    support::run_all(&[
        ("what_was_read_comes_first", what_was_read_comes_first),
        ("notes_on_no_chunk_do_no_harm", notes_on_no_chunk_do_no_harm),
    ]);
}
