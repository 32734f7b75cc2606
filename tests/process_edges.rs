//! Where threads, locks, forks, panics and callbacks meet: nothing hangs, nothing is lost
//! without a word, nothing is shared that must not be. Each was once a defect.

mod support;

use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use stillheap::{Event, Heap, Options, ProcessHeap, Root, RootError, Scope};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

type Numbers = Vec<u64>;

fn open(dir: &Path) -> Heap {
    HEAP.open(dir, Options::new()).expect("a heap")
}

fn numbers(heap: &Heap) -> Root<Numbers> {
    heap.root("numbers").expect("a root")
}

/// Ends the process if it does not end by itself: a hang is a failure, not a wait.
fn not_for_ever() {
    #[allow(unsafe_code, reason = "sets an alarm")]
    // SAFETY: SIGALRM ends the process unless it has ended by then.
    unsafe {
        libc::alarm(300)
    };
}

/// Two local roots share an `Rc`; in the next run two threads want one each.
fn shared_rc(dir: &Path) {
    let heap = open(dir);
    let first: Root<Rc<u64>> = heap.local_root("first", || Rc::new(5)).expect("a root");
    let shared = first.read(Rc::clone);
    let second: Root<Rc<u64>> = heap.local_root("second", || shared).expect("a root");
    assert_eq!(second.read(Rc::strong_count), 2);
}

fn shared_rc_by_two_threads(dir: &Path) {
    let heap = open(dir);
    let first: Root<Rc<u64>> = heap.local_root("first", Rc::default).expect("this thread's");
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            let second = heap.local_root::<Rc<u64>>("second", Rc::default);
            assert!(matches!(second, Err(RootError::LocalRootsElsewhere { .. })));
        });
        other.join().expect("no panic");
    });
    let second: Root<Rc<u64>> = heap.local_root("second", Rc::default).expect("this thread's");
    assert_eq!((first.read(|rc| **rc), second.read(Rc::strong_count)), (5, 2));
}

#[allow(unsafe_code, reason = "forks")]
fn in_fork(child: impl FnOnce()) -> i32 {
    // SAFETY: the child uses the heap, whose locks are held across the fork, and ends.
    let process = unsafe { libc::fork() };
    if process == 0 {
        child();
        // SAFETY: ends the child without running what its parent will run.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    unsafe { libc::waitpid(process, &raw mut status, 0) };
    status
}

/// A daemon forks first, and opens its heap then.
fn fork_then_open(dir: &Path) {
    let status = in_fork(|| {
        let heap = open(dir);
        numbers(&heap).write(|numbers| numbers.push(7));
        heap.snapshot().expect("a freeze").wait_durable().expect("durable");
        numbers(&heap).write(|numbers| numbers.push(8));
        heap.close().expect("a last snapshot");
    });
    assert_eq!(status, 0);
}

fn after_fork_then_open(dir: &Path) {
    assert_eq!(numbers(&open(dir)).read(Clone::clone), [7, 8]);
}

/// Forks while snapshots are being taken: the child allocates, writes and ends.
fn fork_in_freeze(dir: &Path) {
    let heap = open(dir);
    let numbers = numbers(&heap);
    numbers.write(|numbers| numbers.resize(1 << 20, 3));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                heap.snapshot().expect("a freeze");
            }
        });
        for _ in 0..30 {
            let status = in_fork(|| {
                not_for_ever();
                drop(std::hint::black_box(vec![1_u8; 100_000]));
                numbers.write(|numbers| numbers.push(4));
                assert!(heap.snapshot().is_err());
            });
            assert_eq!(status, 0);
        }
        stop.store(true, Relaxed);
    });
}

/// A failed snapshot's end is not told of the next one.
fn outcomes(dir: &Path) {
    let failed = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&failed);
    let options = Options::new().snapshot_every_ops(2).on_event(move |event| {
        if let Event::SnapshotFailed(error) = event {
            assert!(error.is_poisoned());
            seen.store(true, Relaxed);
        }
    });
    let heap = HEAP.open(dir, options).expect("a heap");
    let numbers = numbers(&heap);
    numbers.write(|numbers| numbers.push(1));
    // The trigger rings inside this operation, which then panics.
    let half_done = support::quietly(|| numbers.write(|_| panic!("half done")));
    assert!(half_done.is_err());
    while !failed.load(Relaxed) {
        thread::yield_now();
    }
    numbers.write_poisoned(|_| ()).expect("it was poisoned");
    let still = heap.snapshot().expect("a freeze");
    let info = still.wait_durable().expect("durable, whatever came before");
    assert_eq!((still.number(), info.number), (1, 1));
    let first = still;
    for _ in 0..1_100 {
        heap.snapshot().expect("a freeze");
    }
    assert_eq!(first.wait_durable().expect("long ago").number, 1);
    assert!(heap.close().expect("no failure").is_some());
}

/// Closing from within: no last snapshot, an error, no hang.
fn close_in_scope(dir: &Path) {
    not_for_ever();
    let heap = open(dir);
    let numbers = numbers(&heap);
    numbers.write(|numbers| numbers.push(1));
    heap.snapshot().expect("a freeze").wait_durable().expect("durable");
    let clone = numbers.clone();
    numbers.write(move |numbers| {
        numbers.push(2);
        let error = heap.close().expect_err("inside a scope");
        assert!(error.to_string().contains("inside"), "{error}");
    });
    assert_eq!(clone.read(Vec::len), 2, "the memory stays");
}

fn after_close_in_scope(dir: &Path) {
    assert_eq!(numbers(&open(dir)).read(Clone::clone), [1]);
}

/// Callbacks that panic, and that ask for what they cannot have.
fn callbacks(dir: &Path) {
    not_for_ever();
    static OPENED: OnceLock<Arc<Heap>> = OnceLock::new();
    static ANSWERS: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let options = Options::new().on_event(|_| {
        if let Some(heap) = OPENED.get() {
            let error = heap.snapshot().expect_err("on the snapshot thread");
            ANSWERS.lock().expect("no panic").push(error.to_string());
        }
        panic!("a callback's mistake");
    });
    let heap = Arc::new(HEAP.open(dir, options).expect("a heap"));
    assert!(OPENED.set(Arc::clone(&heap)).is_ok());
    let numbers = numbers(&heap);
    for number in 0..3 {
        numbers.write(|numbers| numbers.push(number));
        heap.snapshot().expect("a freeze").wait_durable().expect("durable");
    }
    while ANSWERS.lock().expect("no panic").len() < 3 {
        thread::yield_now();
    }
    assert!(ANSWERS.lock().expect("no panic").iter().all(|answer| answer.contains("callback")));
    let refused = numbers.read(|_| heap.snapshot().is_err());
    assert!(refused, "a thread that holds a root must not wait for others");
    support::die();
}

fn after_callbacks(dir: &Path) {
    assert_eq!(numbers(&open(dir)).read(Clone::clone), [0, 1, 2]);
}

/// Files are not changed in a fork, and nobody waits for threads that may be waiting for him.
fn refused_changes(dir: &Path) {
    not_for_ever();
    let heap = open(dir);
    let numbers = numbers(&heap);
    for number in 0..2 {
        numbers.write(|numbers| numbers.push(number));
        heap.snapshot().expect("a freeze").wait_durable().expect("durable");
    }
    let mut heap = Some(heap);
    let status = in_fork(|| {
        let heap = heap.take().expect("open");
        assert!(heap.compact().is_err_and(|error| error.to_string().contains("fork")));
        assert!(heap.revert(1).is_err_and(|error| error.to_string().contains("fork")));
    });
    assert_eq!(status, 0, "in the fork");
    let heap = heap.expect("the child's is another");
    let reverted = numbers.read(|_| heap.revert(1));
    assert!(reverted.is_err_and(|error| error.to_string().contains("inside a scope")));
}

fn after_refused_changes(dir: &Path) {
    let heap = open(dir);
    assert_eq!(numbers(&heap).read(Clone::clone), [0, 1]);
    assert!(heap.snapshots().iter().all(|snapshot| !snapshot.set_aside));
}

/// Closing when files have been merged, in the callback that says so.
fn close_when_merged(dir: &Path) {
    not_for_ever();
    static OPENED: Mutex<Option<Heap>> = Mutex::new(None);
    static ANSWER: Mutex<Option<String>> = Mutex::new(None);
    let options = Options::new().on_event(|event| {
        if matches!(event, Event::Compacted(_))
            && let Some(heap) = OPENED.lock().expect("no panic").take()
        {
            let error = heap.close().expect_err("its own thread cannot be waited for");
            *ANSWER.lock().expect("no panic") = Some(error.to_string());
        }
    });
    *OPENED.lock().expect("no panic") = Some(HEAP.open(dir, options).expect("a heap"));
    while ANSWER.lock().expect("no panic").is_none() {
        if let Some(heap) = &*OPENED.lock().expect("no panic") {
            numbers(heap).write(|numbers| numbers.push(1));
            heap.snapshot().expect("a freeze").wait_durable().expect("durable");
        }
        thread::sleep(std::time::Duration::from_millis(10));
    }
    let answer = ANSWER.lock().expect("no panic").clone();
    assert!(answer.is_some_and(|answer| answer.contains("callback")));
}

/// A scope that began before the process had a heap is not behind the gate: so none is opened.
fn open_in_scope(dir: &Path) {
    let scope = Scope::enter();
    let error = HEAP.open(dir, Options::new()).expect_err("inside a scope").to_string();
    assert!(error.contains("scope"), "{error}");
    drop(scope);
    drop(open(dir));
}

/// Many short threads, each a scope and an end, while snapshots are taken: every snapshot has
/// both halves of what a scope changes, whoever had the thread's lane before.
fn short_threads(dir: &Path) {
    not_for_ever();
    let heap = open(dir);
    let pairs: Root<[u64; 2]> = heap.root("pairs").expect("a root");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    let change = || {
                        pairs.write(|pairs| {
                            pairs[0] += 1;
                            thread::yield_now();
                            pairs[1] += 1;
                        });
                    };
                    thread::scope(|inner| drop(inner.spawn(change)));
                }
            });
        }
        for _ in 0..100 {
            heap.snapshot().expect("a freeze").wait_durable().expect("durable");
        }
        stop.store(true, Relaxed);
        support::die();
    });
}

fn after_short_threads(dir: &Path) {
    let pairs: Root<[u64; 2]> = open(dir).root("pairs").expect("a root");
    let [left, right] = pairs.read(|pairs| *pairs);
    assert!(left == right && left > 0, "{left} and {right}");
}

/// A child's name, what it does, and whether it ends by SIGKILL.
type Role = (&'static str, fn(&Path), bool);

const ROLES: &[Role] = &[
    ("shared_rc", shared_rc, false),
    ("shared_rc_by_two_threads", shared_rc_by_two_threads, false),
    ("fork_then_open", fork_then_open, false),
    ("after_fork_then_open", after_fork_then_open, false),
    ("fork_in_freeze", fork_in_freeze, false),
    ("outcomes", outcomes, false),
    ("close_in_scope", close_in_scope, false),
    ("after_close_in_scope", after_close_in_scope, false),
    ("callbacks", callbacks, true),
    ("after_callbacks", after_callbacks, false),
    ("refused_changes", refused_changes, false),
    ("after_refused_changes", after_refused_changes, false),
    ("close_when_merged", close_when_merged, false),
    ("open_in_scope", open_in_scope, false),
    ("short_threads", short_threads, true),
    ("after_short_threads", after_short_threads, false),
];

/// Runs children one after the other on one heap.
fn in_turn(roles: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    for wanted in roles {
        let role = ROLES.iter().find(|(name, ..)| name == wanted).expect("a known role");
        match role.2 {
            true => support::run_until_killed(role.0, &dir),
            false => support::run(role.0, &dir),
        };
    }
}

fn main() {
    if let Some((wanted, dir)) = support::role() {
        let role = ROLES.iter().find(|(name, ..)| *name == wanted).expect("a known role");
        return role.1(&dir);
    }
    support::run_all(&[
        ("local_roots_belong_to_one_thread", || {
            in_turn(&["shared_rc", "shared_rc_by_two_threads"]);
        }),
        ("a_fork_may_open_a_heap", || in_turn(&["fork_then_open", "after_fork_then_open"])),
        ("a_fork_during_a_freeze_goes_on", || in_turn(&["fork_in_freeze"])),
        ("outcomes_are_not_mixed_up", || in_turn(&["outcomes"])),
        ("closing_inside_a_scope", || in_turn(&["close_in_scope", "after_close_in_scope"])),
        ("callbacks_cannot_break_the_thread", || in_turn(&["callbacks", "after_callbacks"])),
        ("forks_and_scopes_change_no_files", || {
            in_turn(&["refused_changes", "after_refused_changes"]);
        }),
        ("closing_when_files_are_merged", || in_turn(&["close_when_merged"])),
        ("no_opening_inside_a_scope", || in_turn(&["open_in_scope"])),
        ("short_threads_are_behind_the_gate", || {
            in_turn(&["short_threads", "after_short_threads"]);
        }),
    ]);
}
