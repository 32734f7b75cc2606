//! Defences against mistakes with freed memory: what is written after it was freed is told, so is
//! what is freed twice; what was freed is in no snapshot; and programs without mistakes run as they
//! do elsewhere.
#![allow(unsafe_code, reason = "makes mistakes that safe code cannot make")]

mod support;

use std::alloc::{Layout, alloc, dealloc};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use stillheap::{Heap, Options, ProcessHeap, Root, Tracked};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new().zero_on_free().quarantine(1000);

fn open(dir: &Path) -> Heap {
    HEAP.open(dir, Options::new()).expect("a heap")
}

/// Frees that many other blocks, so that what was freed before leaves the quarantine.
fn free_others(count: usize) {
    (0..count).for_each(|n| drop(std::hint::black_box(vec![1_u8; 1 + n % 300])));
}

fn late_write(dir: &Path) {
    let heap = open(dir);
    let layout = Layout::new::<[u64; 20]>();
    // SAFETY: the layout is not empty.
    let block = unsafe { alloc(layout) };
    // SAFETY: the block is this function's.
    unsafe { dealloc(block, layout) };
    println!("wrote to 0x{:016x}", block.addr() + 33);
    // SAFETY: none: it is free.
    unsafe { block.wrapping_add(33).write_volatile(1) };
    free_others(900);
    heap.validate().expect("nothing has noticed");
    println!("still there");
    free_others(200);
}

/// With hundreds of others freed in between, and by another thread.
fn second_free(_dir: &Path) {
    let layout = Layout::new::<[u64; 20]>();
    // SAFETY: the layout is not empty.
    let block = unsafe { alloc(layout) }.expose_provenance();
    let free = move || {
        let block: *mut u8 = std::ptr::with_exposed_provenance_mut(block);
        // SAFETY: true for the first one.
        unsafe { dealloc(block, layout) };
    };
    free();
    free_others(500);
    println!("still there");
    thread::spawn(free).join().expect("not reached");
}

/// Freed twice, and written to in between, so that it does not begin as it was left.
fn second_free_written(_dir: &Path) {
    let layout = Layout::new::<[u64; 20]>();
    // SAFETY: the layout is not empty.
    let block = unsafe { alloc(layout) };
    // SAFETY: the block is this function's.
    unsafe { dealloc(block, layout) };
    // SAFETY: none: it is free.
    unsafe { block.write_volatile(1) };
    println!("freed 0x{:016x}", block.addr());
    // SAFETY: none: it is free.
    unsafe { dealloc(block, layout) };
}

const SECRET: &[u8; 32] = b"correct horse battery staple 471";

#[derive(Default, stillheap::Durable)]
#[durable(name = "Vault")]
struct Vault {
    texts: Vec<Vec<u8>>,
    large: Vec<u8>,
    pages: Vec<Tracked<[[u8; 32]; 300]>>,
}

/// In blocks of a slab, of pages, of chunks, and in tracked memory.
fn secrets(dir: &Path) {
    let heap = open(dir);
    let vault: Root<Vault> = heap.root("vault").expect("a root");
    vault.write(|vault| {
        vault.texts = (1..300).map(|n| SECRET.repeat(n)).collect();
        vault.large = SECRET.repeat(100_000);
        vault.pages.push(Tracked::new([*SECRET; 300]));
    });
    heap.snapshot().expect("a snapshot").wait_durable().expect("a disk");
    assert!(is_told(dir), "it is looked for in the wrong place");
    vault.write(|vault| *vault = Vault::default());
    free_others(1500);
    let last = heap.close().expect("an end").expect("a snapshot");
    remove_others(dir, last.number);
    assert!(!is_told(dir), "the secret is in the last snapshot");
}

/// Dies with secrets in memory that is no root's, but lies among a root's.
fn left_behind(dir: &Path) {
    let heap = open(dir);
    let vault: Root<Vault> = heap.root("vault").expect("a root");
    let mut texts: Vec<Vec<u8>> = (0..1000).map(|_| SECRET.to_vec()).collect();
    vault.write(|vault| {
        for text in texts.iter_mut().step_by(50) {
            text.fill(1);
            vault.texts.push(std::mem::take(text));
        }
    });
    heap.snapshot().expect("a snapshot").wait_durable().expect("a disk");
    assert!(is_told(dir));
    std::hint::black_box(texts);
    support::die();
}

/// What the run before left is swept: it is in no snapshot from then on.
fn swept(dir: &Path) {
    let heap = open(dir);
    support::until("nobody sweeps", || heap.stats().swept.is_some());
    // So much that all is saved again.
    let vault: Root<Vault> = heap.root("vault").expect("a root");
    vault.write(|vault| vault.large = vec![1; 32 << 20]);
    let last = heap.close().expect("an end").expect("a snapshot");
    assert!(!last.is_delta);
    remove_others(dir, last.number);
    assert!(!is_told(dir), "the secret is in the last snapshot");
}

/// What is cut off a block that stays where it is.
fn shortened(_dir: &Path) {
    for len in [64, 100_000, 5 << 20] {
        let kept = len / 4 * 3;
        let mut text = vec![7_u8; len];
        let first = text.as_ptr().expose_provenance();
        text.truncate(kept);
        text.shrink_to_fit();
        assert_eq!(text.as_ptr().expose_provenance(), first, "it is moved");
        for at in kept..len {
            let rest: *const u8 = std::ptr::with_exposed_provenance(first + at);
            // SAFETY: still memory of the block, which is initialised.
            assert_eq!(unsafe { rest.read() }, 0, "{at} of {len}");
        }
        assert!(text.iter().all(|&byte| byte == 7));
    }
}

/// More than is saved before the first of them is freed.
const NODES: usize = 20_000;

#[derive(Default, stillheap::Durable)]
#[durable(name = "Nodes")]
struct Nodes(Vec<Tracked<[u64; 512]>>);

/// Frees tracked memory while the snapshot that has it is saved.
fn freed_meanwhile(dir: &Path) {
    let heap = HEAP.open(dir, Options::new().check_tracked(true)).expect("a heap");
    let root: Root<Nodes> = heap.root("nodes").expect("a root");
    root.write(|Nodes(nodes)| {
        nodes.extend((0..NODES).map(|number| Tracked::new([number as u64; 512])));
    });
    let snapshot = heap.snapshot().expect("a snapshot");
    root.write(|Nodes(nodes)| while nodes.pop().is_some() {});
    snapshot.wait_durable().expect("a disk");
    support::die();
}

fn and_come_back(dir: &Path) {
    let heap = open(dir);
    let root: Root<Nodes> = heap.root("nodes").expect("a root");
    root.read(|Nodes(nodes)| {
        assert_eq!(nodes.len(), NODES);
        for (number, node) in nodes.iter().enumerate() {
            assert!(node.iter().all(|&word| word == number as u64), "{number}: {:x}", node[0]);
        }
    });
}

/// Looks for leaks while a thread frees.
fn busy_leaks(dir: &Path) {
    let heap = open(dir);
    let root: Root<Vec<Box<u64>>> = heap.root("boxes").expect("a root");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                root.write(|boxes| {
                    boxes.extend((0..50).map(Box::new));
                    boxes.truncate(100);
                });
            }
        });
        let found: Vec<_> = (0..10).map(|_| heap.leaks().expect("a look")).collect();
        done.store(true, Ordering::Relaxed);
        for leaks in found {
            // Of the quarantine's thousand.
            assert!(leaks.lost.scoped.blocks < 10, "{leaks}");
        }
    });
}

/// Removes all files but that snapshot's. Older ones may have the secret, which a compaction or a
/// full snapshot would replace.
fn remove_others(dir: &Path, number: u64) {
    for file in files(dir) {
        if !file.to_string_lossy().contains(&format!("{number:010}")) {
            std::fs::remove_file(file).expect("a file");
        }
    }
    assert!(!files(dir).is_empty(), "snapshot {number} has a file");
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).expect("a folder");
    entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()).collect()
}

fn is_told(dir: &Path) -> bool {
    let has = |bytes: Vec<u8>| bytes.windows(SECRET.len()).any(|window| window == SECRET);
    files(dir).iter().any(|file| has(std::fs::read(file).expect("a file")))
}

/// Threads that allocate, resize and free all sizes, under snapshots, and a root that comes back.
fn honest(dir: &Path) {
    let heap = open(dir);
    let root: Root<BTreeMap<u32, Vec<u32>>> = heap.root("map").expect("a root");
    let known = root.read(|map| map.len());
    root.read(|map| {
        for (&key, value) in map {
            assert!(value.iter().all(|&word| word == key) && value.len() == key as usize * 7);
        }
    });
    thread::scope(|scope| {
        for thread in 0..3_u32 {
            let root = &root;
            scope.spawn(move || {
                for round in 0..400_u32 {
                    let key = (round * 3 + thread) % 600;
                    root.write(|map| {
                        let mut value = Vec::new();
                        (0..key * 7).for_each(|_| value.push(key));
                        value.shrink_to_fit();
                        map.insert(key, value);
                        map.remove(&(key / 2 * 3));
                    });
                    let mut text = vec![7_u8; 100_000];
                    text.truncate(10 + round as usize);
                    text.shrink_to_fit();
                    assert!(text.iter().all(|&byte| byte == 7));
                    let zeros = vec![0_u8; 40 + round as usize * 50];
                    assert!(zeros.iter().all(|&byte| byte == 0));
                }
            });
        }
        for _ in 0..10 {
            heap.snapshot().expect("a snapshot").wait_durable().expect("a disk");
        }
    });
    heap.validate().expect("a sound heap");
    let leaks = heap.leaks().expect("a look");
    // What std has allocated for a thread inside a scope, and not hundreds from the quarantine.
    assert!(leaks.lost.scoped.blocks < 5, "{leaks}");
    println!("{known} then");
    heap.close().expect("an end");
}

fn what_is_written_after_it_was_freed_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = support::run_failing("late_write", &folder.path().join("heap"));
    let place = text.lines().find_map(|line| line.strip_prefix("wrote to ")).expect("a place");
    assert!(text.contains("still there"), "{text}");
    let told = format!("written to after it had been freed: {place}");
    assert!(text.contains(&told), "{text}");
}

fn what_is_freed_twice_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = support::run_failing("second_free", &folder.path().join("heap"));
    assert!(text.contains("still there") && text.contains("double free"), "{text}");
    let text = support::run_failing("second_free_written", &folder.path().join("heap"));
    let freed = text.lines().find_map(|line| line.strip_prefix("freed ")).expect("an address");
    assert!(text.contains(&format!("cannot free {freed}: ")), "{text}");
}

fn what_was_freed_is_in_no_snapshot() {
    support::run_in_turn(&["secrets"]);
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    support::run_until_killed("left_behind", &dir);
    support::run("swept", &dir);
    support::run_in_turn(&["shortened"]);
}

fn what_is_freed_while_it_is_saved_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    support::run_until_killed("freed_meanwhile", &dir);
    support::run("and_come_back", &dir);
}

fn what_is_in_quarantine_is_no_leak() {
    support::run_in_turn(&["busy_leaks"]);
}

fn programs_run_as_elsewhere() {
    support::run_in_turn(&["honest", "honest"]);
}

fn main() {
    if support::plays(&[
        ("late_write", late_write),
        ("second_free", second_free),
        ("second_free_written", second_free_written),
        ("secrets", secrets),
        ("left_behind", left_behind),
        ("swept", swept),
        ("shortened", shortened),
        ("freed_meanwhile", freed_meanwhile),
        ("and_come_back", and_come_back),
        ("busy_leaks", busy_leaks),
        ("honest", honest),
    ]) {
        return;
    }
    support::run_all(&[
        ("what_is_written_after_it_was_freed_is_told", what_is_written_after_it_was_freed_is_told),
        ("what_is_freed_twice_is_told", what_is_freed_twice_is_told),
        ("what_was_freed_is_in_no_snapshot", what_was_freed_is_in_no_snapshot),
        ("what_is_freed_while_it_is_saved_comes_back", what_is_freed_while_it_is_saved_comes_back),
        ("what_is_in_quarantine_is_no_leak", what_is_in_quarantine_is_no_leak),
        ("programs_run_as_elsewhere", programs_run_as_elsewhere),
    ]);
}
