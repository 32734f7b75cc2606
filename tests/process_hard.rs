//! Hard conditions: the range is taken or refused, the disk is full, several processes want the
//! same directory.

mod support;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use stillheap::{Event, Heap, OpenError, Options, ProcessHeap, Root};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

type Blobs = Vec<Vec<u8>>;

/// Where the constructor below puts a page, if it is told to.
const OCCUPIED: usize = ProcessHeap::DEFAULT_BASE + (1 << 30);

/// Runs before the first allocation of the program.
#[used]
#[allow(unsafe_code, reason = "a constructor is a function in a section of its own")]
// SAFETY: the section holds addresses of functions that are called at the start.
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = occupy;

#[allow(unsafe_code, reason = "runs before Rust's own start")]
extern "C" fn occupy() {
    // SAFETY: a name that ends in zero; nobody changes the environment yet.
    if unsafe { libc::getenv(c"STILLHEAP_TEST_OCCUPY".as_ptr()) }.is_null() {
        return;
    }
    let address = std::ptr::without_provenance_mut(OCCUPIED);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    // SAFETY: replaces nothing.
    unsafe { libc::mmap(address, 4096, libc::PROT_READ, flags, -1, 0) };
}

fn blobs(heap: &Heap) -> Root<Blobs> {
    heap.root("blobs").expect("a root")
}

/// The program runs on the system's memory, and opening says why there is no heap.
fn unavailable(dir: &Path) {
    let ordinary: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
    assert_eq!(ordinary[9_999], "9999");
    let error = HEAP.open(dir, Options::new()).expect_err("no range");
    assert!(matches!(error, OpenError::Unavailable { .. }));
    println!("{error}");
    assert!(!dir.exists(), "nothing was made");
}

fn a_taken_range_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    let mut command = support::child("unavailable", &dir);
    let output = support::output(command.env("STILLHEAP_TEST_OCCUPY", "1"));
    let text = support::text_of(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains(&format!("{OCCUPIED:#x}")), "who lies there? {text}");
}

/// A command whose process has a limit.
#[allow(unsafe_code, reason = "sets a limit between fork and exec")]
fn limited(command: &mut Command, limit: libc::__rlimit_resource_t, value: u64) -> &mut Command {
    let set = move || {
        let limits = libc::rlimit { rlim_cur: value, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: reads the structure.
        match unsafe { libc::setrlimit(limit, &raw const limits) } {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: a system call and nothing else, so it may run after a fork.
    unsafe { command.pre_exec(set) }
}

fn a_limit_of_addresses_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = support::child("unavailable", &folder.path().join("heap"));
    let output = support::output(limited(&mut command, libc::RLIMIT_AS, 8 << 30));
    let text = support::text_of(&output);
    assert!(output.status.success() && text.contains("address space"), "{text}");
}

/// Grows beyond what a file may hold: an error, an event, everything older stays; and when
/// there is room again the next snapshot is good.
#[allow(unsafe_code, reason = "ignores the signal of the limit, and lifts the limit")]
fn full_disk(dir: &Path) {
    // SAFETY: from now on writes beyond the limit fail instead of ending the process.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    let failures = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&failures);
    let options = Options::new().on_event(move |event| {
        if let Event::SnapshotFailed(_) = event {
            *seen.lock().expect("no panic") += 1;
        }
    });
    let heap = HEAP.open(dir, options).expect("a heap");
    let blobs = blobs(&heap);
    blobs.write(|blobs| blobs.push(vec![1; 1 << 20]));
    let good = heap.snapshot().expect("a freeze").wait_durable().expect("room");
    for round in 2..4 {
        blobs.write(|blobs| blobs.push(vec![round; 200 << 20]));
        let error = match heap.snapshot() {
            Ok(still) => still.wait_durable().expect_err("no room"),
            Err(error) => error,
        };
        let text = error.to_string();
        assert!(text.contains(".full") && text.contains("File too large"), "{text}");
        blobs.write(Vec::pop).expect("what was pushed");
    }
    while *failures.lock().expect("no panic") < 2 {
        std::thread::yield_now();
    }
    let files = fs::read_dir(dir).expect("the folder").flatten();
    let segments = files.filter(|file| file.path().extension().is_some_and(|kind| kind == "full"));
    assert_eq!(segments.count(), 1, "what failed is gone");
    blobs.write(|blobs| blobs.push(vec![9; 100]));
    let next = heap.snapshot().expect("a freeze").wait_durable().expect("room again");
    assert_eq!(next.number, good.number + 1);
    blobs.write(|blobs| blobs.push(vec![5; 200 << 20]));
    heap.snapshot().expect("a freeze").wait_durable().expect_err("no room");
    support::die();
}

fn after_full_disk(dir: &Path) {
    let heap = HEAP.open(dir, Options::new().restart_on_collision(true)).expect("the heap");
    let lens = blobs(&heap).read(|blobs| blobs.iter().map(Vec::len).collect::<Vec<_>>());
    assert_eq!(lens, [1 << 20, 100]);
    heap.validate().expect("a sound heap");
}

fn a_full_disk_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    let mut command = support::child("full_disk", &dir);
    let output = support::output(limited(&mut command, libc::RLIMIT_FSIZE, 100 << 20));
    let text = support::text_of(&output);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(9), "{text}");
    support::run("after_full_disk", &dir);
}

/// On a device without room nothing is left half made.
fn create_fails(dir: &Path) {
    let error = HEAP.open(dir, Options::new()).expect_err("no room for a manifest");
    println!("{error}");
}

#[allow(unsafe_code, reason = "mounts a small file system, where that is allowed")]
fn a_full_file_system_takes_no_heap() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = format!("{}\0", folder.path().display());
    let (kind, options) = (c"tmpfs", c"size=64k");
    // SAFETY: texts that end in zero.
    let mounted = unsafe {
        libc::mount(kind.as_ptr(), place.as_ptr().cast(), kind.as_ptr(), 0, options.as_ptr().cast())
    };
    if mounted != 0 {
        println!("not run: mounting is not permitted here");
        return;
    }
    let dir = folder.path().join("heap");
    let fill = (0..).map(|number| fs::write(folder.path().join(format!("{number}")), [1; 4096]));
    fill.take_while(Result::is_ok).take(100).for_each(drop);
    let outcome = std::panic::catch_unwind(|| {
        let text = support::run("create_fails", &dir);
        assert!(text.contains("heap"), "{text}");
        // With room again the directory is a new heap's, or nothing.
        for number in 0..4 {
            fs::remove_file(folder.path().join(format!("{number}"))).expect("a file");
        }
        support::run("create", &dir);
    });
    // SAFETY: a text that ends in zero.
    unsafe { libc::umount2(place.as_ptr().cast(), libc::MNT_DETACH) };
    outcome.expect("as above");
}

fn create(dir: &Path) {
    let heap = HEAP.open(dir, Options::new()).expect("a new heap");
    assert!(heap.restored().is_none());
    drop(blobs(&heap));
    // There is no room for a snapshot, which is said.
    std::mem::forget(heap);
}

/// Opens, writes and closes, as one of several that try at once.
fn racer(dir: &Path) {
    match HEAP.open(dir, Options::new().restart_on_collision(true)) {
        Ok(heap) => {
            let blobs = blobs(&heap);
            blobs.write(|blobs| blobs.push(vec![1; 1000]));
            let count = blobs.read(Vec::len);
            heap.close().expect("a last snapshot");
            println!("won {count}");
        }
        Err(OpenError::Lock(error)) => println!("refused: {error}"),
        Err(OpenError::Collision { .. }) => {
            println!("refused: started again, and again in the way")
        }
        Err(error) => panic!("{error}"),
    }
}

fn several_processes_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    let start = |dir: &Path| {
        let mut command = support::child("racer", dir);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process")
    };
    let racing: Vec<_> = (0..6).map(|_| start(&dir)).collect();
    let alone: Vec<_> =
        (0..4).map(|number| start(&folder.path().join(number.to_string()))).collect();
    let mut won = 0;
    for racer in racing {
        let output = racer.wait_with_output().expect("its end");
        let text = support::text_of(&output);
        assert!(output.status.success(), "{text}");
        won += usize::from(text.contains("won"));
        assert!(text.contains("won") || text.contains("refused"), "{text}");
    }
    assert!(won >= 1);
    for racer in alone {
        let output = racer.wait_with_output().expect("its end");
        assert!(support::text_of(&output).contains("won 1"));
    }
}

/// More than a pipe holds, and then nothing more, for ever.
fn hangs(_: &Path) {
    (0..40_000).for_each(|line| println!("line {line}"));
    loop {
        std::thread::park();
    }
}

fn a_child_that_hangs_is_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = support::child("hangs", folder.path());
    let waiting = || support::output_within(&mut command, std::time::Duration::from_secs(2));
    let failure = support::quietly(waiting).expect_err("it does not end");
    let text = failure.downcast_ref::<String>().expect("a message");
    assert!(text.starts_with("killed after 2 s") && text.contains("line 39999"), "{text}");
}

const ROLES: &[support::Role] = &[
    ("unavailable", unavailable),
    ("full_disk", full_disk),
    ("after_full_disk", after_full_disk),
    ("create_fails", create_fails),
    ("create", create),
    ("racer", racer),
    ("hangs", hangs),
];

fn main() {
    if support::plays(ROLES) {
        return;
    }
    support::run_all(&[
        ("a_taken_range_is_named", a_taken_range_is_named),
        ("a_limit_of_addresses_is_named", a_limit_of_addresses_is_named),
        ("a_full_disk_loses_nothing", a_full_disk_loses_nothing),
        ("a_full_file_system_takes_no_heap", a_full_file_system_takes_no_heap),
        ("several_processes_at_once", several_processes_at_once),
        ("a_child_that_hangs_is_ended", a_child_that_hangs_is_ended),
    ]);
}
