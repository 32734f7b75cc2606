//! Early memory of a process lies where the image wants to be: an error that says "start again",
//! or starting again by itself, once.

mod support;

use std::fs;
use std::path::Path;
use stillheap::{Heap, OpenError, Options, ProcessHeap, Root};

/// The seed makes the early memory of all runs want the same place.
#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new().with_boot_seed(42);

fn blobs(heap: &Heap) -> Root<Vec<Vec<u8>>> {
    heap.root("blobs").expect("a root")
}

/// Leaves early memory that lives on in the image.
fn early_memory(dir: &Path) {
    let early = vec![7_u8; 1000];
    let heap = HEAP.open(dir, Options::new()).expect("a heap");
    blobs(&heap).write(|blobs| blobs.push(early));
    heap.close().expect("a last snapshot");
}

fn collides(dir: &Path) {
    // A line for each start.
    let starts = dir.with_extension("starts");
    let before = fs::read_to_string(&starts).unwrap_or_default();
    fs::write(&starts, before + "started\n").expect("a file");
    let again = fs::metadata(dir.with_extension("again")).is_ok();
    let options = Options::new().restart_on_collision(again);
    let error = HEAP.open(dir, options).expect_err("the same early memory");
    assert!(matches!(error, OpenError::Collision { .. }), "{error}");
    println!("{error}");
}

fn a_collision_says_start_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    support::run("early_memory", &dir);
    let starts =
        || fs::read_to_string(dir.with_extension("starts")).expect("a file").lines().count();
    let text = support::run("collides", &dir);
    assert!(text.contains("again") && text.contains(&*dir.to_string_lossy()), "{text}");
    assert_eq!(starts(), 1);
    fs::write(dir.with_extension("again"), "").expect("a file");
    support::run("collides", &dir);
    assert_eq!(starts(), 3, "executed again, once");
}

fn main() {
    match support::role() {
        Some((role, dir)) if role == "early_memory" => early_memory(&dir),
        Some((_, dir)) => collides(&dir),
        None => support::run_all(&[("a_collision_says_start_again", a_collision_says_start_again)]),
    }
}
