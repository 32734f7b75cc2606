//! Who waits for whom at roots while snapshots are taken, and writes to tracked memory that outlive
//! their scopes. Each test is a process of its own.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};
use stillheap::{Heap, Options, ProcessHeap, Root, Scope, StillInfo, Tracked};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

/// How long a test goes on if all is well.
const TIME: Duration = Duration::from_secs(3);

fn open(dir: &Path) -> Heap {
    HEAP.open(dir, Options::new()).expect("a heap")
}

fn durable(heap: &Heap) -> StillInfo {
    heap.snapshot().expect("a freeze").wait_durable().expect("durable")
}

type Values = Vec<Tracked<u64>>;

/// Two guards that begin in a scope and outlive it: one is leaked, one is dropped.
fn outlive(dir: &Path) {
    let heap = open(dir);
    let root: Root<Values> = heap.root("values").expect("a root");
    // So many that what follows are deltas.
    root.write(|values| values.extend((0..2000).map(Tracked::new)));
    let (mut leaked, mut dropped) = (Tracked::new(1), Tracked::new(1));
    durable(&heap);
    let (mut first, mut second) = root.write(|_| (leaked.write(), dropped.write()));
    durable(&heap);
    (*first, *second) = (7, 8);
    std::mem::forget(first);
    drop(second);
    durable(&heap);
    root.write(|values| values.extend([leaked, dropped]));
    assert!(durable(&heap).is_delta);
    support::die();
}

/// More guards at once than a thread keeps in mind, in a scope.
fn many(dir: &Path) {
    let heap = open(dir);
    let root: Root<Values> = heap.root("values").expect("a root");
    // What a run begins with may be more than half of this heap; what follows is not.
    root.write(|values| *values[0].write() = 0);
    durable(&heap);
    root.write(|values| {
        let mut guards: Vec<_> = values.iter_mut().rev().take(40).map(Tracked::write).collect();
        guards.iter_mut().for_each(|value| **value += 1);
        // In the order of their making, which is not the one of a stack.
        guards.into_iter().for_each(drop);
    });
    assert!(durable(&heap).is_delta);
    support::die();
}

fn look(dir: &Path) {
    let heap = open(dir);
    let root: Root<Values> = heap.root("values").expect("a root");
    let sum: u64 = root.read(|values| values.iter().map(|value| **value).sum());
    println!("{sum} {:?}", root.read(|values| values.last().map(|value| **value)));
}

fn writes_that_outlive_their_scope_are_saved() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    let all = 2000 * 1999 / 2 + 7 + 8;
    support::run_until_killed("outlive", &dir);
    assert_eq!(support::run("look", &dir).trim(), format!("{all} Some(8)"));
    support::run_until_killed("many", &dir);
    assert_eq!(support::run("look", &dir).trim(), format!("{} Some(9)", all + 40));
}

/// A reader that goes on until two more snapshots have been taken, beside a writer.
fn patient(dir: &Path) {
    let heap = open(dir);
    let root: Root<u64> = heap.root("count").expect("a root");
    let (stop, taken) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                root.write(|count| *count += 1);
            }
        });
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                root.read(|_| {
                    let seen = taken.load(SeqCst);
                    while taken.load(SeqCst) < seen + 2 && !stop.load(SeqCst) {
                        thread::sleep(Duration::from_micros(50));
                    }
                });
            }
        });
        let begun = Instant::now();
        while begun.elapsed() < TIME || taken.load(SeqCst) < 20 {
            durable(&heap);
            taken.fetch_add(1, SeqCst);
        }
        stop.store(true, SeqCst);
    });
}

/// Writers that are refused since the root was poisoned while they waited for a freeze.
fn refused(dir: &Path) {
    let heap = open(dir);
    let root: Root<u64> = heap.root("count").expect("a root");
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    std::panic::set_hook(Box::new(|_| ()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(SeqCst) {
                    done.fetch_add(root.try_write(|count| *count += 1).is_ok().into(), SeqCst);
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(SeqCst) {
                let _ = heap.snapshot();
            }
        });
        let begun = Instant::now();
        while begun.elapsed() < TIME {
            let panicking = AssertUnwindSafe(|| {
                let _scope = Scope::enter();
                thread::sleep(Duration::from_micros(1500));
                root.write(|_| panic!("half done"));
            });
            assert!(catch_unwind(panicking).is_err());
            thread::sleep(Duration::from_micros(500));
            assert!(root.write_poisoned(|_| ()).is_some());
            done.fetch_add(2, SeqCst);
        }
        stop.store(true, SeqCst);
    });
    assert_eq!(durable(&heap).operations, done.load(SeqCst));
}

/// A root of this thread's is repaired by no other.
fn local(dir: &Path) {
    let heap = open(dir);
    let root: Root<u64> = heap.local_root("number", u64::default).expect("a root");
    assert!(support::quietly(|| root.write(|_| panic!("half done"))).is_err());
    let other = root.clone();
    let repaired =
        thread::spawn(move || support::quietly(|| other.write_poisoned(|number| *number = 5)));
    assert!(repaired.join().expect("no panic").is_err());
    assert_eq!(root.write_poisoned(|number| *number), Some(0));
}

const ROLES: &[support::Role] = &[
    ("outlive", outlive),
    ("many", many),
    ("look", look),
    ("patient", patient),
    ("refused", refused),
    ("local", local),
];

fn run(role: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    support::run(role, &folder.path().join("heap"));
}

fn main() {
    if support::plays(ROLES) {
        return;
    }
    support::run_all(&[
        ("writes_that_outlive_their_scope_are_saved", writes_that_outlive_their_scope_are_saved),
        ("a_reader_may_wait_for_snapshots_beside_a_writer", || run("patient")),
        ("only_operations_that_happen_are_counted", || run("refused")),
        ("a_local_root_is_repaired_by_its_thread", || run("local")),
    ]);
}
