//! What a process with an open heap may rely on, one rule a test, each in processes of its own.

mod support;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, mpsc};
use std::{fs, thread};
use stillheap::image::Manifest;
use stillheap::os::DiskDir;
use stillheap::{Event, Options, ProcessHeap, Root, RootError, Scope};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

fn open(dir: &Path) -> stillheap::Heap {
    HEAP.open(dir, Options::new()).expect("a heap")
}

fn durable(heap: &stillheap::Heap) -> stillheap::StillInfo {
    heap.snapshot().expect("a freeze").wait_durable().expect("durable")
}

type Counts = BTreeMap<String, u64>;

/// A panic inside `write` poisons: no snapshot of the half-done change, until it is repaired.
fn poisoning(dir: &Path) {
    let heap = open(dir);
    let counts: Root<Counts> = heap.root("counts").expect("a root");
    counts.write(|counts| counts.insert("good".to_owned(), 1));
    let good = durable(&heap).number;
    let half_done = support::quietly(|| {
        counts.write(|counts| {
            counts.insert("bad".to_owned(), 2);
            panic!("half done");
        })
    });
    assert!(half_done.is_err());
    assert!(heap.snapshot().expect_err("poisoned").is_poisoned());
    assert!(counts.try_write(|_| ()).is_err());
    assert!(support::quietly(|| counts.read(|counts| counts.len())).is_err());
    assert!(!Scope::is_entered(), "the panic left the scope");
    // Another root cannot be saved either: a snapshot holds the whole heap.
    let other: Root<u64> = heap.root("other").expect("a root");
    other.write(|number| *number = 5);
    assert!(heap.snapshot().is_err());
    let dropped = counts.write_poisoned(|counts| counts.remove("bad"));
    assert_eq!(dropped, Some(Some(2)));
    assert_eq!(counts.write_poisoned(|_| ()), None, "nothing to repair any more");
    assert_eq!(durable(&heap).number, good + 1);
    // Poisoned once more, and closed so: the last good snapshot stays.
    let _ = support::quietly(|| {
        counts.write(|counts| {
            counts.clear();
            panic!("half done");
        })
    });
    assert!(heap.close().expect_err("no last snapshot").is_poisoned());
}

fn after_poisoning(dir: &Path) {
    let heap = open(dir);
    let counts: Root<Counts> = heap.root("counts").expect("a root");
    assert_eq!(counts.read(Clone::clone), BTreeMap::from([("good".to_owned(), 1)]));
}

/// Thread-locals whose destructors allocate and free, threads that come and go, channels.
fn threads(dir: &Path) {
    struct Late(RefCell<Vec<String>>);
    impl Drop for Late {
        fn drop(&mut self) {
            self.0.borrow_mut().push("allocated at the thread's end".repeat(100));
        }
    }
    thread_local! {
        static LATE: Late = const { Late(RefCell::new(Vec::new())) };
    }
    let heap = open(dir);
    let lists: Root<Vec<Vec<String>>> = heap.root("lists").expect("a root");
    for round in 0..30 {
        let (send, receive) = mpsc::channel();
        thread::scope(|scope| {
            for number in 0..4 {
                let (send, lists) = (send.clone(), &lists);
                scope.spawn(move || {
                    LATE.with(|late| late.0.borrow_mut().push(format!("thread {number}")));
                    send.send(vec![format!("round {round}"); number]).expect("a receiver");
                    lists.write(|lists| lists.push(vec![format!("direct {number}")]));
                });
            }
        });
        drop(send);
        let received: Vec<_> = receive.iter().collect();
        lists.write(|lists| lists.extend(received));
        heap.validate().expect("a sound heap");
    }
    assert_eq!(lists.read(Vec::len), 240);
    durable(&heap);
    support::die();
}

fn after_threads(dir: &Path) {
    let heap = open(dir);
    let lists: Root<Vec<Vec<String>>> = heap.root("lists").expect("a root");
    assert_eq!(lists.read(Vec::len), 240);
    assert_eq!(lists.read(|lists| lists.iter().flatten().count()), 30 * 10);
    heap.validate().expect("a sound heap");
}

/// Snapshots and scopes; closing; what works afterwards.
fn lifecycle(dir: &Path) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let options = Options::new().snapshot_every_ops(100).keep(3).on_event(move |event| {
        if let Event::Durable(info) = event {
            seen.lock().expect("no panic").push(info.operations);
        }
    });
    let heap = HEAP.open(dir, options).expect("a heap");
    assert!(heap.restored().is_none());
    let again = HEAP.open(dir, Options::new()).expect_err("one heap a process").to_string();
    assert!(again.contains("already opened"), "{again}");
    let counts: Root<Counts> = heap.root("counts").expect("a root");
    let inside = counts.write(|_| heap.snapshot().expect_err("inside a scope").to_string());
    assert!(inside.contains("inside"), "{inside}");
    for number in 0..1000_u64 {
        counts.write(|counts| counts.insert(number.to_string(), number));
    }
    // The trigger has rung; how soon the thread comes to it is the system's affair.
    while events.lock().expect("no panic").is_empty() {
        thread::yield_now();
    }
    let before = durable(&heap);
    let info = durable(&heap);
    assert_eq!((before.operations, info.operations), (1001, 1001));
    assert_eq!(info.number, before.number + 1);
    assert!(info.pages > 0 && info.bytes > info.pages * 4096);
    assert_eq!(heap.taken().last(), Some(&info));
    assert!(heap.stats().heap.scoped > 0);
    // What the upkeep thread does in time: another full segment, so that damage to one is no loss.
    heap.compact().expect("room");
    counts.write(|counts| counts.insert("the last".to_owned(), 1));
    let last = heap.close().expect("a last snapshot").expect("its figures");
    assert_eq!((last.number, last.operations), (info.number + 1, 1002));
    // The memory stays, as an ordinary heap.
    counts.write(|counts| counts.insert("after closing".to_owned(), 1));
    let manifest = Manifest::load(&DiskDir::open(dir).expect("a folder")).expect("a manifest");
    let kept = manifest.snapshots.len();
    assert!((3..=4).contains(&kept), "{kept}: as many as are kept, and a spare one");
}

fn after_lifecycle(dir: &Path) {
    let heap = open(dir);
    assert_eq!(heap.restored().expect("a snapshot").operations, 1002);
    let counts: Root<Counts> = heap.root("counts").expect("a root");
    assert_eq!(counts.read(BTreeMap::len), 1001);
    // Operations go on counting.
    counts.write(|_| ());
    assert_eq!(durable(&heap).operations, 1003);
}

/// Who only looks writes nothing.
fn only_looking(dir: &Path) {
    let before = segments(dir);
    let heap = open(dir);
    let counts: Root<Counts> = heap.root("counts").expect("a root");
    assert_eq!(counts.read(BTreeMap::len), 1001);
    assert_eq!(heap.close().expect("nothing to save"), None);
    assert_eq!(segments(dir), before);
}

/// Holds the heap, says so, and waits to be killed.
fn holder(dir: &Path) {
    let _heap = open(dir);
    println!("holding");
    loop {
        thread::park();
    }
}

fn one_owner_at_a_time() {
    use std::io::{BufRead, BufReader};
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    let mut command = support::child("holder", &dir);
    let mut holder = command.stdout(std::process::Stdio::piped()).spawn().expect("a process");
    let mut line = String::new();
    let mut out = BufReader::new(holder.stdout.take().expect("its output"));
    out.read_line(&mut line).expect("a line");
    assert_eq!(line, "holding\n");
    let refused = support::run_failing("open_only", &dir);
    assert!(refused.contains(&holder.id().to_string()), "names the owner: {refused}");
    holder.kill().expect("it lives");
    holder.wait().expect("its end");
    support::run("open_only", &dir);
}

fn open_only(dir: &Path) {
    if let Err(error) = HEAP.open(dir, Options::new()) {
        println!("refused: {error}");
        std::process::exit(1);
    }
}

fn open_existing(dir: &Path) {
    if let Err(error) = HEAP.open(dir, Options::new().create(false)) {
        println!("refused: {error}");
        std::process::exit(1);
    }
}

/// Directories that are no heap are refused and left as they are.
fn no_heap_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path();
    let says = |role: &str, dir: &Path, wanted: &str| {
        let text = support::run_failing(role, dir);
        assert!(text.contains(wanted), "{wanted} is not in: {text}");
    };
    fs::write(dir.join("letter.txt"), "dear reader").expect("a file");
    says("open_only", dir, "letter.txt");
    assert_eq!(fs::read_dir(dir).expect("the folder").count(), 1, "left as it was");
    says("open_only", &dir.join("letter.txt"), "letter.txt");
    says("open_existing", &dir.join("nothing"), "nothing");
    assert!(!dir.join("nothing").exists());
    says("open_only", &dir.join("no/such/parent"), "parent");
    says("open_only", Path::new("/proc/stillheap"), "/proc/stillheap");
    let heap = dir.join("heap");
    support::run("lifecycle", &heap);
    fs::remove_file(heap.join("MANIFEST")).expect("the manifest");
    says("open_only", &heap, "MANIFEST");
    fs::write(heap.join("MANIFEST"), "stillheap?").expect("a manifest");
    says("open_only", &heap, "MANIFEST");
    assert!(fs::read_dir(&heap).expect("the folder").count() > 3, "the segments are left");
}

/// The newest segment damaged: the one before it, and loudly; all damaged: an error.
fn damaged_segments() {
    let folder = tempfile::tempdir().expect("a folder");
    let heap = folder.path().join("heap");
    support::run("lifecycle", &heap);
    let newest = segments(&heap).pop().expect("a segment");
    damage(&newest, 4096 + 0x1000);
    let text = support::run("open_only", &heap);
    assert!(text.contains("NOT restored"), "said loudly: {text}");
    for segment in segments(&heap) {
        damage(&segment, 100);
    }
    let text = support::run_failing("open_only", &heap);
    assert!(text.contains("no snapshot") && text.contains(".full"), "{text}");
}

/// The heap's segments, oldest first.
fn segments(heap: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(heap).expect("the heap's folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut segments: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|kind| kind == "full")).collect();
    segments.sort();
    segments
}

fn damage(path: &Path, offset: u64) {
    use std::os::unix::fs::FileExt;
    let file = fs::File::options().read(true).write(true).open(path).expect("a segment");
    // A page in use somewhere behind the offset: change its first byte that is not zero.
    let mut bytes = vec![0; 1 << 20];
    let len = file.read_at(&mut bytes, offset).expect("bytes");
    let place = bytes[..len].iter().position(|&byte| byte != 0).unwrap_or(0);
    let changed = [bytes[place] ^ 0x40];
    file.write_all_at(&changed, offset + place as u64).expect("a changed byte");
}

/// Two good snapshots, and one of a heap whose superblock something has written into: its pages
/// are as they were written, and yet it is not sound.
#[allow(unsafe_code, reason = "writes where nobody may")]
fn spoil_tables(dir: &Path) {
    // An increment would not have what nobody has announced.
    let heap = HEAP.open(dir, Options::new().increments(false)).expect("a heap");
    let counts: Root<Counts> = heap.root("counts").expect("a root");
    for number in 0..2 {
        counts.write(|counts| counts.insert("good".to_owned(), number));
        durable(&heap);
    }
    let version: *mut u64 = std::ptr::with_exposed_provenance_mut(superblock() + 8);
    // SAFETY: mapped and writable; that it is the allocator's own is the point.
    unsafe { version.write(99) };
    counts.write(|counts| counts.insert("bad".to_owned(), 1));
    durable(&heap);
    support::die();
}

/// Where the allocator's superblock lies: it begins a page of some writable mapping.
#[allow(unsafe_code, reason = "reads what is mapped")]
fn superblock() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").expect("the mappings");
    let writable = maps.lines().filter(|line| line.contains(" rw-p 00000000 00:00 0"));
    let ranges = writable.filter_map(|line| {
        let (start, end) = line.split_once(' ')?.0.split_once('-')?;
        let number = |digits| usize::from_str_radix(digits, 16).ok();
        Some(number(start)?..number(end)?)
    });
    let mut pages = ranges.filter(|range| range.len() <= 64 << 20).flat_map(|r| r.step_by(4096));
    let is_it = |page: &usize| {
        let first: *const u64 = std::ptr::with_exposed_provenance(*page);
        // SAFETY: a page of a readable mapping.
        unsafe { first.read_volatile() == u64::from_le_bytes(*b"stillsup") }
    };
    pages.find(is_it).expect("a superblock")
}

fn after_spoiling(dir: &Path) {
    let heap = open(dir);
    let restored = heap.restored().expect("a snapshot");
    assert_eq!((restored.number, restored.skipped.len()), (2, 1));
    assert!(restored.skipped[0].reason.contains("version"), "{}", restored.skipped[0].reason);
    let counts: Root<Counts> = heap.root("counts").expect("a root");
    assert_eq!(counts.read(Clone::clone), BTreeMap::from([("good".to_owned(), 1)]));
    heap.validate().expect("a sound heap");
    counts.write(|counts| counts.insert("on".to_owned(), 2));
    assert_eq!(durable(&heap).number, 4);
}

/// `transient` memory is the system's: it is in no snapshot, and may be freed anywhere.
#[allow(unsafe_code, reason = "calls `transient`")]
fn transient(dir: &Path) {
    let arena = ProcessHeap::DEFAULT_BASE..ProcessHeap::DEFAULT_BASE + (16 << 40);
    let address = |bytes: &Vec<u8>| bytes.as_ptr().addr();
    let heap = open(dir);
    // SAFETY: the buffer is not reachable from a root.
    let mut buffer = unsafe { stillheap::transient(|| vec![1_u8; 100_000]) };
    assert!(!arena.contains(&address(&buffer)));
    let ordinary = vec![1_u8; 100_000];
    assert!(arena.contains(&address(&ordinary)));
    buffer.resize(1_000_000, 2);
    assert!(arena.contains(&address(&buffer)), "grown outside, it moved into the heap");
    // SAFETY: as above.
    let moved = unsafe {
        stillheap::transient(|| {
            let mut moved = ordinary;
            moved.resize(200_000, 3);
            moved
        })
    };
    assert!(!arena.contains(&address(&moved)));
    assert!(moved[..100_000].iter().all(|&byte| byte == 1));
    thread::spawn(move || drop((buffer, moved))).join().expect("no panic");
    // SAFETY: the root is refused, which is the point.
    let root = unsafe { stillheap::transient(|| heap.root::<Vec<u8>>("bytes")) };
    assert!(matches!(root, Err(RootError::Transient { .. })));
    heap.validate().expect("a sound heap");
}

/// A double free ends the process with a message, before it does harm.
#[allow(unsafe_code, reason = "frees twice, on purpose")]
fn double_free(dir: &Path) {
    let _heap = open(dir);
    let layout = std::alloc::Layout::new::<[u64; 4]>();
    // SAFETY: the layout is not empty.
    let block = unsafe { std::alloc::alloc(layout) };
    let other = Box::new([0_u64; 4]);
    // SAFETY: the block is this function's.
    unsafe { std::alloc::dealloc(block, layout) };
    // SAFETY: it is not, any more; the allocator must notice.
    unsafe { std::alloc::dealloc(block, layout) };
    drop(other);
}

fn a_double_free_is_fatal() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = support::run_failing("double_free", &folder.path().join("heap"));
    assert!(text.contains("double free"), "{text}");
}

/// A process that never opens a heap has an ordinary allocator.
fn never_opened(_dir: &Path) {
    let mut large: Vec<Vec<u8>> = (0..40).map(|n| vec![1; (n + 1) << 20]).collect();
    large.push(vec![2; 300 << 20]);
    assert!(large.iter().flatten().step_by(4096).all(|&byte| byte > 0));
    drop(large);
}

/// A fork has the memory, and leaves snapshots and files to its parent.
#[allow(unsafe_code, reason = "forks")]
fn fork(dir: &Path) {
    let heap = open(dir);
    let counts: Root<Counts> = heap.root("counts").expect("a root");
    counts.write(|counts| counts.insert("before".to_owned(), 1));
    // SAFETY: the child uses the heap, whose locks are held across the fork, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mut lines: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
        lines.sort();
        counts.write(|counts| counts.insert("in the child".to_owned(), 2));
        let refused = heap.snapshot().is_err() && heap.close().is_ok_and(|last| last.is_none());
        // SAFETY: ends the child without running what its parent will run.
        unsafe { libc::_exit(if refused && lines.len() == 1000 { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((waited, status), (child, 0));
    assert_eq!(counts.read(BTreeMap::len), 1);
    durable(&heap);
    support::die();
}

fn after_fork(dir: &Path) {
    let heap = open(dir);
    let counts: Root<Counts> = heap.root("counts").expect("a root");
    assert_eq!(counts.read(BTreeMap::len), 1);
}

/// Runs a role that ends well, and one that looks at what is there then.
fn pair(first: &str, then: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    support::run(first, &dir);
    support::run(then, &dir);
}

/// The same with a role that ends by SIGKILL.
fn killed_pair(first: &str, then: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    support::run_until_killed(first, &dir);
    support::run(then, &dir);
}

fn alone(role: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    support::run(role, &folder.path().join("heap"));
}

const ROLES: &[support::Role] = &[
    ("poisoning", poisoning),
    ("after_poisoning", after_poisoning),
    ("threads", threads),
    ("after_threads", after_threads),
    ("lifecycle", lifecycle),
    ("after_lifecycle", after_lifecycle),
    ("only_looking", only_looking),
    ("holder", holder),
    ("open_only", open_only),
    ("open_existing", open_existing),
    ("spoil_tables", spoil_tables),
    ("after_spoiling", after_spoiling),
    ("transient", transient),
    ("double_free", double_free),
    ("never_opened", never_opened),
    ("fork", fork),
    ("after_fork", after_fork),
];

fn main() {
    if support::plays(ROLES) {
        return;
    }
    support::run_all(&[
        ("a_panic_in_write_poisons", || pair("poisoning", "after_poisoning")),
        ("threads_come_and_go", || killed_pair("threads", "after_threads")),
        ("snapshots_scopes_and_closing", || pair("lifecycle", "after_lifecycle")),
        ("who_only_looks_writes_nothing", || pair("lifecycle", "only_looking")),
        ("one_owner_at_a_time", one_owner_at_a_time),
        ("no_heap_there", no_heap_there),
        ("damaged_segments", damaged_segments),
        ("damaged_tables_are_passed_over", || killed_pair("spoil_tables", "after_spoiling")),
        ("transient_memory_is_the_systems", || alone("transient")),
        ("a_double_free_is_fatal", a_double_free_is_fatal),
        ("a_process_that_never_opens", || alone("never_opened")),
        ("a_fork_leaves_snapshots_to_its_parent", || killed_pair("fork", "after_fork")),
    ]);
}
