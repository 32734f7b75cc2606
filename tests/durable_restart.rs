//! Relinking for real: a value built in a fixed address range by one process is mapped at the same
//! address by the next, whose executable the system has put elsewhere, and so on.
//!
//! The heap is a toy: memory in the range is handed out in order, never reused, and only while
//! `BUILDING` is set.
#![allow(unsafe_code, reason = "a toy allocator, and mapping of its memory")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "a test; the facts are in the header")]
#![allow(clippy::unwrap_used, reason = "a test and its helpers")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use stillheap::os::exe::ExecutableIdentity;
use stillheap::typed::{Durable, Relinker};

const BASE: usize = 0x3100_0000_0000;
const SIZE: usize = 8 << 20;
const RESTARTS: usize = 20;
const FILE: &str = "STILLHEAP_TEST_IMAGE";

static BUILDING: AtomicBool = AtomicBool::new(false);
static NEXT: AtomicUsize = AtomicUsize::new(BASE);

struct Toy;

#[global_allocator]
static TOY: Toy = Toy;

unsafe impl GlobalAlloc for Toy {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !BUILDING.load(Ordering::Relaxed) {
            return unsafe { System.alloc(layout) };
        }
        let at = NEXT.load(Ordering::Relaxed).next_multiple_of(layout.align());
        assert!(at + layout.size() <= BASE + SIZE, "the toy is full");
        NEXT.store(at + layout.size(), Ordering::Relaxed);
        std::ptr::with_exposed_provenance_mut(at)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if !(BASE..BASE + SIZE).contains(&at.addr()) {
            unsafe { System.dealloc(at, layout) };
        }
    }
}

#[derive(Durable, Default)]
struct Db {
    runs: Vec<Run>,
    by_word: HashMap<Cow<'static, str>, usize>,
    ordered: BTreeMap<Cow<'static, str>, Arc<Run>>,
    empty: HashSet<u32>,
    nothing: Arc<str>,
}

#[derive(Durable, Default)]
struct Run {
    number: usize,
    word: Cow<'static, str>,
    tags: HashMap<String, u64>,
}

/// What lies at `BASE`: enough to find the rest, and then the root.
struct Superblock {
    executable: ExecutableIdentity,
    next: usize,
    db: Db,
}

#[test]
fn maps_and_texts_are_right_after_each_restart() {
    if let Ok(file) = std::env::var(FILE) {
        return run(Path::new(&file));
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("image");
    for number in 0..RESTARTS {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "maps_and_texts_are_right_after_each_restart"]);
        let output = command.env(FILE, &file).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "run {number}: {}\n{errors}", output.status);
    }
}

/// One run: opens the image, checks it, adds to it, writes it back.
fn run(file: &Path) {
    let image = fs::read(file).unwrap_or_default();
    let block = map(&image);
    let executable = ExecutableIdentity::current();
    if image.is_empty() {
        let db = Db::default();
        unsafe { block.write(Superblock { executable, next: BASE + 4096, db }) };
    }
    let block = unsafe { &mut *block };
    NEXT.store(block.next, Ordering::Relaxed);
    BUILDING.store(true, Ordering::Relaxed);
    let mut relinker = Relinker::new(executable, BASE as u64..(BASE + SIZE) as u64);
    unsafe { relinker.relink(&mut block.db, &block.executable) }.unwrap();
    BUILDING.store(false, Ordering::Relaxed);
    check(&block.db);
    BUILDING.store(true, Ordering::Relaxed);
    extend(&mut block.db);
    BUILDING.store(false, Ordering::Relaxed);
    check(&block.db);
    block.next = NEXT.load(Ordering::Relaxed);
    block.executable = executable;
    let bytes = std::ptr::with_exposed_provenance::<u8>(BASE);
    fs::write(file, unsafe { std::slice::from_raw_parts(bytes, SIZE) }).unwrap();
}

fn map(image: &[u8]) -> *mut Superblock {
    let at = std::ptr::with_exposed_provenance_mut::<libc::c_void>(BASE);
    let read_write = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let mapped = unsafe { libc::mmap(at, SIZE, read_write, flags, -1, 0) };
    assert_eq!(mapped, at);
    unsafe { at.cast::<u8>().copy_from_nonoverlapping(image.as_ptr(), image.len()) };
    at.cast()
}

fn word(number: usize) -> &'static str {
    ["zero", "one", "two", "three", "four", "five", "six"][number % 7]
}

fn extend(db: &mut Db) {
    let number = db.runs.len();
    let text = || Cow::Borrowed(word(number));
    db.runs.push(Run { number, word: text(), tags: HashMap::new() });
    db.by_word.insert(text(), number);
    db.ordered.insert(text(), Arc::new(Run { number, word: text(), ..Run::default() }));
    db.runs[number / 2].tags.insert(number.to_string(), number as u64);
}

fn check(db: &Db) {
    assert!(db.empty.is_empty() && db.empty.iter().next().is_none() && db.nothing.is_empty());
    for (number, run) in db.runs.iter().enumerate() {
        assert_eq!((run.number, &*run.word), (number, word(number)));
        assert_eq!(db.by_word[word(number)] % 7, number % 7);
        assert_eq!(db.ordered[word(number)].word, word(number));
        assert_eq!(db.runs[number / 2].tags[&number.to_string()], number as u64);
        assert!(
            run.tags.keys().all(|key| db.runs[key.parse::<usize>().unwrap() / 2].number == number)
        );
    }
}
