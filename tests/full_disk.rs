//! A heap on a file system that fills up: the snapshot that does not fit is refused with the
//! reason and how much was needed, the older ones stay, and the heap goes on when there is room.
//! Where no small file system can be mounted, this is not run.

mod support;

use std::fs;
use std::path::Path;
use stillheap::{Heap, Options, ProcessHeap, Root};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

type Blobs = Vec<Vec<u8>>;

/// What the file system holds.
const SIZE: &std::ffi::CStr = c"size=16m";
/// More than it does.
const TOO_MUCH: usize = 32 << 20;

fn blobs(heap: &Heap) -> Root<Blobs> {
    heap.root("blobs").expect("a root")
}

fn options() -> Options {
    Options::new().restart_on_collision(true)
}

/// Takes a snapshot that is too large, and one for which something has to be removed.
fn fills_up(dir: &Path) {
    let heap = HEAP.open(dir, options()).expect("a heap");
    let blobs = blobs(&heap);
    blobs.write(|blobs| blobs.push(vec![1; 1 << 20]));
    let good = heap.snapshot().expect("a freeze").wait_durable().expect("room");
    blobs.write(|blobs| blobs.push(vec![2; TOO_MUCH]));
    refused(&heap, TOO_MUCH / 8);
    blobs.write(Vec::pop).expect("what was pushed");
    // Others have taken the room.
    let filler = dir.with_file_name("filler");
    fill(&filler);
    blobs.write(|blobs| blobs.push(vec![3; 2 << 20]));
    refused(&heap, 0);
    let there: Vec<u64> = heap.snapshots().iter().map(|snapshot| snapshot.number).collect();
    assert_eq!(there, [good.number]);
    // Such a file system wants memory for a hole that is looked at through a mapping, and sends
    // SIGBUS if there is none.
    heap.verify(good.number).expect("it is whole while there is no room, too");
    fs::remove_file(filler).expect("the filler");
    let next = heap.snapshot().expect("a freeze").wait_durable().expect("room again");
    assert_eq!(next.number, good.number + 1);
    heap.verify(good.number).expect("the older one is whole");
    support::die();
}

/// A snapshot fails, and says that the disk is full, and how many bytes it needs at least.
fn refused(heap: &Heap, at_least: usize) {
    let error = match heap.snapshot() {
        Ok(still) => still.wait_durable().expect_err("no room"),
        Err(error) => error,
    };
    let text = error.to_string();
    println!("{text}");
    assert!(text.contains("the disk is full"), "{text}");
    let needed = text.split("needs at least ").nth(1).and_then(|rest| rest.split(':').next());
    let needed: usize = needed.and_then(|number| number.parse().ok()).expect("a number");
    assert!(needed > at_least, "{text}");
}

/// Writes until there is no room.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(path).expect("a file");
    let mut len = 1 << 20;
    while len >= 512 {
        match file.write_all(&vec![7; len]) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
                len /= 2;
            }
        }
    }
}

fn goes_on(dir: &Path) {
    let heap = HEAP.open(dir, options()).expect("the heap");
    let lens = blobs(&heap).read(|blobs| blobs.iter().map(Vec::len).collect::<Vec<_>>());
    assert_eq!(lens, [1 << 20, 2 << 20]);
    heap.validate().expect("a sound heap");
    heap.close().expect("a last snapshot");
}

/// A file system of its own, as long as this lives.
struct Mounted {
    folder: tempfile::TempDir,
    place: std::ffi::CString,
}

impl Mounted {
    /// `None`: that is not permitted here.
    #[allow(unsafe_code, reason = "mounts a small file system")]
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let bytes = folder.path().as_os_str().as_encoded_bytes();
        let place = std::ffi::CString::new(bytes).expect("no zeros");
        let (kind, size) = (c"tmpfs".as_ptr(), SIZE.as_ptr().cast());
        // SAFETY: texts that end in zero.
        let mounted = unsafe { libc::mount(kind, place.as_ptr(), kind, 0, size) };
        (mounted == 0).then_some(Self { folder, place })
    }
}

impl Drop for Mounted {
    #[allow(unsafe_code, reason = "takes the file system away")]
    fn drop(&mut self) {
        // SAFETY: a text that ends in zero.
        unsafe { libc::umount2(self.place.as_ptr(), libc::MNT_DETACH) };
    }
}

fn a_disk_that_fills_up_loses_nothing() {
    let Some(mounted) = Mounted::new() else {
        let reason = std::io::Error::last_os_error();
        println!("not run, since no file system can be mounted here: {reason}");
        return;
    };
    let dir = mounted.folder.path().join("heap");
    print!("{}", support::run_until_killed("fills_up", &dir));
    support::run("goes_on", &dir);
}

fn main() {
    if support::plays(&[("fills_up", fills_up), ("goes_on", goes_on)]) {
        return;
    }
    support::run_all(&[("a_disk_that_fills_up_loses_nothing", a_disk_that_fills_up_loses_nothing)]);
}
