//! Openings that are refused, or fail half way: what is said, and what can be done afterwards.

mod support;

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use stillheap::{Event, OpenError, Options, ProcessHeap, Restore, Root, Scope};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

/// A signal that cannot ask for snapshots is refused before anything is done.
fn unfit_signals(dir: &Path) {
    use libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGKILL, SIGSEGV, SIGSTOP, SIGSYS, SIGTRAP};
    let faults = [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT];
    let others = [SIGKILL, SIGSTOP, 32, 33, 0, -1, 65];
    for unfit in faults.into_iter().chain(others) {
        let options = Options::new().snapshot_on_signal(unfit);
        let error = HEAP.open(dir, options).expect_err("unfit");
        let is_it = matches!(error, OpenError::Signal { signal, .. } if signal == unfit);
        let text = error.to_string();
        assert!(is_it && text.starts_with(&format!("signal {unfit} ")), "{text}");
        assert!(text.contains("SIGUSR1") && !dir.exists(), "{text}");
    }
    let options = Options::new().snapshot_on_signal(libc::SIGRTMIN());
    HEAP.open(dir, options).expect("a heap").close().expect("closed");
}

/// Makes a heap with three snapshots, the newest of which is damaged.
fn damaged(dir: &Path) {
    let heap = HEAP.open(dir, Options::new().increments(false).spare(false)).expect("a heap");
    let number: Root<u64> = heap.root("number").expect("a root");
    for value in 1..=3 {
        number.write(|number| *number = value);
        heap.snapshot().expect("a freeze").wait_durable().expect("room");
    }
    heap.close().expect("closed");
    let files = fs::read_dir(dir).expect("the heap").map(|file| file.expect("a file").path());
    let newest = files.filter(|file| file.extension().is_some_and(|end| end == "full")).max();
    let newest = newest.expect("a segment");
    let mut bytes = fs::read(&newest).expect("a file");
    let in_use = (8192..bytes.len()).find(|&at| bytes[at] != 0).expect("a page in use");
    bytes[in_use] ^= 1;
    fs::write(&newest, bytes).expect("a file");
}

/// Callbacks run inside the opening, which waits for them: one that opens is refused.
fn opening_in_callbacks(dir: &Path) {
    static REFUSED: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];
    let within = |which: usize, dir: &Path| {
        let error = HEAP.open(dir, Options::new()).expect_err("there is one under way");
        assert!(matches!(error, OpenError::UnderWay), "{error}");
        let error = HEAP.attach(dir, None).expect_err("there is one under way");
        assert!(matches!(error, OpenError::UnderWay), "{error}");
        REFUSED[which].fetch_add(1, Relaxed);
    };
    let (for_events, for_progress) = (dir.to_owned(), dir.to_owned());
    let options = Options::new()
        .restore(Restore::Load)
        .on_progress(move |_, _| within(0, &for_progress))
        .on_event(move |event| {
            if let Event::SnapshotSkipped { .. } = event {
                within(1, &for_events);
            }
        });
    let heap = HEAP.open(dir, options).expect("an older snapshot");
    assert_eq!(heap.restored().map(|restored| restored.number), Some(2));
    assert!(REFUSED.iter().all(|count| count.load(Relaxed) > 0), "{REFUSED:?}");
    let error = HEAP.open(dir, Options::new()).expect_err("it is open");
    assert!(matches!(error, OpenError::AlreadyOpen { .. }), "{error}");
}

/// There are no threads: when that is noticed, the image has been taken in.
fn no_thread(dir: &Path) {
    for _ in 0..2 {
        let error = HEAP.open(dir, Options::new()).expect_err("no threads");
        let is_it = matches!(&error, OpenError::Unfinished { path, .. } if path == dir);
        assert!(is_it && error.to_string().contains("start the program again"), "{error}");
        let scope = Scope::enter();
        let memory = vec![1_u8; 1 << 22];
        assert!(memory.iter().all(|&byte| byte == 1));
        drop(scope);
    }
    assert!(matches!(HEAP.attach(dir, None), Err(OpenError::Unfinished { .. })));
}

fn counted(dir: &Path) {
    let heap = HEAP.open(dir, Options::new()).expect("a heap");
    let number: Root<u64> = heap.root("number").expect("a root");
    println!("{}", number.write(|number| std::mem::replace(number, *number + 1)));
    heap.close().expect("closed");
}

fn without_threads_it_fails_for_good() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    for count in 0..2 {
        let mut refused = support::child("no_thread", &dir);
        let output = support::output(refused.env(support::STACK, support::TOO_MUCH));
        assert!(output.status.success(), "{}", support::text_of(&output));
        assert_eq!(support::run("counted", &dir), format!("{count}\n"));
    }
}

const ROLES: &[support::Role] = &[
    ("unfit_signals", unfit_signals),
    ("damaged", damaged),
    ("opening_in_callbacks", opening_in_callbacks),
    ("no_thread", no_thread),
    ("counted", counted),
];

fn main() {
    if support::plays(ROLES) {
        return;
    }
    support::run_all(&[
        ("without_threads_it_fails_for_good", without_threads_it_fails_for_good),
        ("unfit_signals_are_refused", || support::run_in_turn(&["unfit_signals"])),
        ("callbacks_open_no_heap", || support::run_in_turn(&["damaged", "opening_in_callbacks"])),
    ]);
}
