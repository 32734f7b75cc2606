//! Roots: several in a heap, of other types, confined to threads, opened twice, held twice.

mod support;

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::thread;
use stillheap::{Durable, Options, ProcessHeap, Root, RootError};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

fn open(dir: &Path) -> stillheap::Heap {
    HEAP.open(dir, Options::new()).expect("a heap")
}

#[derive(Durable, Default)]
#[durable(name = "Person")]
struct First {
    name: String,
    age: u32,
}

/// What `First` has become in a later version of the program.
#[derive(Durable, Default)]
#[durable(name = "Person")]
struct Second {
    name: String,
    age: u64,
    #[allow(dead_code, reason = "there to be missing in the stored type")]
    more: bool,
}

/// Roots: several, of other types, confined to threads, opened twice.
fn roots(dir: &Path) {
    let heap = open(dir);
    let first: Root<First> = heap.root("first").expect("a root");
    first.write(|first| (first.name, first.age) = ("Ada".to_owned(), 36));
    let clone: Root<First> = heap.root("first").expect("the same root again");
    assert_eq!(clone.read(|first| first.age), 36);
    let wrong = heap.root::<u64>("first").expect_err("another type");
    assert!(matches!(wrong, RootError::OpenAsAnotherType { .. }), "{wrong}");
    let local: Root<Rc<Cell2>> = heap.local_root("local", Rc::default).expect("a local root");
    local.write(|cell| Rc::get_mut(cell).expect("unshared").0 = 7);
    let elsewhere = thread::scope(|scope| {
        scope.spawn(|| heap.local_root::<Rc<Cell2>>("local", Rc::default).is_err()).join()
    });
    assert!(elsewhere.expect("no panic"), "a local root belongs to its thread");
    let cells: Root<Cell<u64>> = heap.local_root("cells", Cell::default).expect("a root");
    cells.share(|cell| cell.set(cell.get() + 1));
    cells.read(|cell| cell.set(cell.get() + 1));
    for name in ["", &"x".repeat(97)] {
        assert!(matches!(heap.root::<u64>(name), Err(RootError::Table(_))));
    }
    for number in 0..124 {
        let _: Root<u64> = heap.root(&format!("root {number}")).expect("there is room");
    }
    // "first", "local", "cells" and 124 more; one is left.
    let _: Root<u64> = heap.root("the last").expect("there is room");
    assert!(matches!(heap.root::<u64>("too many"), Err(RootError::Table(_))));
    let deadlock = support::quietly(|| first.read(|_| first.write(|_| ())));
    assert!(deadlock.is_err(), "a panic in place of a deadlock");
    assert_eq!(first.read(|outer| first.read(|inner| inner.age) + outer.age), 72);
    heap.snapshot().expect("a freeze").wait_durable().expect("durable");
    support::die();
}

#[derive(Durable, Default)]
struct Cell2(u64);

fn after_roots(dir: &Path) {
    let heap = open(dir);
    let wrong = heap.root::<Second>("first").expect_err("another layout").to_string();
    for part in ["first", "age", "u32", "u64", "more"] {
        assert!(wrong.contains(part), "{part} is not in:\n{wrong}");
    }
    let first: Root<First> = heap.root("first").expect("the right type");
    assert_eq!(first.read(|first| first.name.clone()), "Ada");
    let cells: Root<Cell<u64>> = heap.local_root("cells", Cell::default).expect("a root");
    assert_eq!(cells.read(Cell::get), 2);
    let local: Root<Rc<Cell2>> = heap.local_root("local", Rc::default).expect("a local root");
    assert_eq!(local.read(|cell| cell.0), 7);
    let _ = Second { name: String::new(), age: 0, more: true }.more;
}

fn roots_have_types_and_threads() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    support::run_until_killed("roots", &dir);
    support::run("after_roots", &dir);
}

fn main() {
    match support::role() {
        Some((role, dir)) if role == "roots" => roots(&dir),
        Some((_, dir)) => after_roots(&dir),
        None => support::run_all(&[("roots_have_types_and_threads", roots_have_types_and_threads)]),
    }
}
