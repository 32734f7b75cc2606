//! A disk that cannot give a page, here and there in all of a heap's files: however the heap is
//! opened, it is refused with an error that names the file and the place. Nobody ends by SIGBUS,
//! and no older snapshot is taken for it. Where nothing can be mounted, this is not run.

mod bad_disk_support;
mod support;

use bad_disk_support::{BadDisk, SERVES, serves};
use std::fs;
use std::path::Path;
use stillheap::base::PAGE_SIZE;
use stillheap::image::{Choice, ChooseError, Host, Manifest, ManifestError, SegmentError};
use stillheap::image::{Wish, choose_as};
use stillheap::os::DiskDir;
use stillheap::snapshot::{PlaceError, Prepared, Way};
use stillheap::{Compression, Options, ProcessHeap, Root};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

type Blobs = Vec<Vec<u8>>;

/// Blobs of a page each: so many that it is worth writing only those that have changed.
const BLOBS: usize = 3000;

/// Full snapshots lie as they are, deltas are compressed in the second heap.
fn options(dir: &Path) -> Options {
    let deltas = if dir.ends_with("packed") { Compression::Lz4 } else { Compression::None };
    Options::new().restart_on_collision(true).compression(Compression::None, deltas)
}

/// A page, no other is like it.
fn blob(number: usize) -> Vec<u8> {
    number.to_le_bytes().repeat(PAGE_SIZE / size_of::<usize>())
}

/// Makes a heap with a full segment and a delta, of pages here and there and of some in a row.
fn makes_a_heap(dir: &Path) {
    let heap = HEAP.open(dir, options(dir)).expect("a heap");
    let blobs: Root<Blobs> = heap.root("blobs").expect("a root");
    blobs.write(|blobs| blobs.extend((0..BLOBS).map(blob)));
    heap.snapshot().expect("a freeze").wait_durable().expect("a full one");
    blobs.write(|blobs| {
        for place in (0..40).chain((42..BLOBS / 4).step_by(30)) {
            blobs[place] = blob(BLOBS + place);
        }
    });
    heap.snapshot().expect("a freeze").wait_durable().expect("a delta");
    support::die();
}

/// How a heap comes back.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Verified,
    Mapped,
    Loaded,
}

/// Pages of a file that are spoiled, spread over it; and its last ones.
const TRIED: usize = 12;
const MANNERS: [Manner; 3] = [Manner::Verified, Manner::Mapped, Manner::Loaded];

/// What came of an opening: what could not be read, if it is that.
fn open(dir: &Path, manner: Manner) -> Result<(), String> {
    let dir = DiskDir::open(dir).expect("the folder");
    let host = host(&dir)?;
    let wish = Wish { verify: matches!(manner, Manner::Verified), ..Wish::default() };
    let sound = match choose_as(&dir, &host, wish) {
        Ok(Choice::Sound(sound)) => sound,
        Ok(other) => panic!("{other:?}"),
        Err(ChooseError::Unread { unread, .. }) => return Err(place_of(&unread.reason)),
        Err(other) => panic!("{other}"),
    };
    let way = if matches!(manner, Manner::Mapped) { Way::Map } else { Way::Load };
    match Prepared::new(sound.chain, way, &|_| {}) {
        Ok(_) => Ok(()),
        Err(PlaceError::Damage(error)) => Err(place_of(&error)),
        Err(other) => panic!("{other}"),
    }
}

fn host(dir: &DiskDir) -> Result<Host, String> {
    match Manifest::load(dir) {
        Ok(manifest) => Ok(manifest.identity.host()),
        Err(error @ ManifestError::Io { .. }) => Err(format!("MANIFEST 0: {error}")),
        Err(other) => panic!("{other}"),
    }
}

/// The file and its page, before what is said.
fn place_of(error: &SegmentError) -> String {
    let SegmentError::Unread { path, offset, source } = error else { panic!("{error}") };
    assert_eq!(source.raw_os_error(), Some(libc::EIO), "{error}");
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    format!("{name} {}: {error}", offset / PAGE_SIZE as u64)
}

/// Opens the heap with one page after the other spoiled.
fn is_told_of_pages(folder: &Path) {
    let Some(disk) = BadDisk::mount(folder) else {
        return println!("not run, since no file system can be mounted here");
    };
    for manner in MANNERS {
        open(disk.place(), manner).expect("all can be read");
    }
    let mut told = [0; 3];
    for entry in fs::read_dir(folder).expect("the folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name");
        let bytes = fs::read(entry.path()).expect("a file");
        let pages = bytes.len().div_ceil(PAGE_SIZE);
        let step = (pages / TRIED).max(1);
        let is_tried =
            |page: usize| name != "LOCK" && (page.is_multiple_of(step) || page + 2 > pages);
        for (page, bytes) in bytes.chunks(PAGE_SIZE).enumerate().filter(|(page, _)| is_tried(*page))
        {
            disk.spoil(&name, page);
            for (count, manner) in told.iter_mut().zip(MANNERS) {
                match open(disk.place(), manner) {
                    Err(text) => {
                        assert!(text.starts_with(&format!("{name} {page}:")), "{page}: {text}");
                        *count += 1;
                    }
                    // What is mapped or loaded is not all read; what is verified is.
                    Ok(()) if !matches!(manner, Manner::Verified) => {}
                    Ok(()) => assert!(bytes.iter().all(|&byte| byte == 0), "{name} {page}"),
                }
            }
        }
    }
    println!("{}: told of pages, verified, mapped and loaded: {told:?}", folder.display());
    assert!(told[0] > 12 && told[1] > 3 && told[2] > 8, "{told:?}");
}

/// Its file is cut short behind its back, which is what a disk that fails later comes to.
fn loses_its_file(dir: &Path) {
    let heap = HEAP.open(dir, options(dir)).expect("the heap");
    let blobs: Root<Blobs> = heap.root("blobs").expect("a root");
    let file = fs::OpenOptions::new().write(true).open(dir.join("0000000001.full"));
    file.and_then(|file| file.set_len(PAGE_SIZE as u64)).expect("a shorter file");
    let sum: usize =
        blobs.read(|blobs| blobs.iter().flatten().map(|&byte| usize::from(byte)).sum());
    panic!("{sum} was read");
}

fn what_is_lost_while_it_is_mapped_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("raw");
    print!("{}", support::run_until_killed("makes_a_heap", &dir));
    let text = support::run_failing("loses_its_file", &dir);
    // Whoever is the first to find out: the program, or the thread that reads the file's index.
    let told = ["the heap's memory at 0x", "a part of "]
        .map(|what| text.contains(&format!("stillheap: the system cannot give {what}")));
    assert!(told.contains(&true), "{text}");
    assert!(text.contains("stillheap verify"), "{text}");
}

fn an_unreadable_page_is_told_and_ends_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["raw", "packed"] {
        let dir = folder.path().join(name);
        print!("{}", support::run_until_killed("makes_a_heap", &dir));
        is_told_of_pages(&dir);
    }
}

fn main() {
    if support::plays(&[
        ("makes_a_heap", makes_a_heap),
        ("loses_its_file", loses_its_file),
        (SERVES, serves),
    ]) {
        return;
    }
    support::run_all(&[
        ("what_is_lost_while_it_is_mapped_is_told", what_is_lost_while_it_is_mapped_is_told),
        (
            "an_unreadable_page_is_told_and_ends_nothing",
            an_unreadable_page_is_told_and_ends_nothing,
        ),
    ]);
}
