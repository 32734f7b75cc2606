//! Restarts that leave most of the allocator's tables for later: whatever the program does before
//! or while these are looked at, it finds the heap as it was; and damage in them is not lived with.

#[path = "support/mod.rs"]
mod support;

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use stillheap::{Durable, Heap, Options, ProcessHeap, Restore, Root, Tracked};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

const MIB: usize = 1 << 20;
const CELL: u64 = 64 << 20;
/// How much each of the parts holds; together they take several cells.
const PART: usize = 24 * MIB;
const PARTS: usize = 8;

/// Blocks of many sizes: slabs, runs of pages, large ones, and tracked pages.
#[derive(Durable, Default)]
struct State {
    round: u64,
    parts: Vec<Vec<Vec<u8>>>,
    pages: Vec<Tracked<[u64; 512]>>,
    small: Vec<String>,
}

fn size(number: usize) -> usize {
    [24, 100, 700, 3000, 9000, 40_000, 300_000, 3 << 20][number % 8]
}

fn block(number: usize) -> Vec<u8> {
    vec![u8::try_from(number % 251).expect("small"); size(number)]
}

fn page(number: usize) -> Tracked<[u64; 512]> {
    Tracked::new([number as u64; 512])
}

impl State {
    fn filled() -> Self {
        let part = |part: usize| {
            let mut left = PART;
            let numbers = (part..).take_while(|&number| {
                let fits = left > size(number);
                left = left.saturating_sub(size(number));
                fits
            });
            numbers.map(block).collect()
        };
        Self {
            round: 0,
            parts: (0..PARTS).map(part).collect(),
            pages: (0..20_000).map(page).collect(),
            small: (0..100_000).map(|number| format!("text number {number}")).collect(),
        }
    }

    fn check(&self) {
        for (first, part) in self.parts.iter().enumerate() {
            for (number, found) in (first..).zip(part) {
                assert!(*found == block(number), "block {number} of part {first}");
            }
        }
        for (number, found) in self.pages.iter().enumerate() {
            assert_eq!(found[3], number as u64);
        }
        for (number, found) in self.small.iter().enumerate() {
            assert_eq!(*found, format!("text number {number}"));
        }
    }

    /// Frees every block of a part, and allocates others of the same sizes.
    fn renew(part: &mut [Vec<u8>]) {
        for found in part {
            let mut other = found.clone();
            other.shrink_to_fit();
            // Grows where it lies, or moves, and shrinks again.
            other.reserve_exact(found.len());
            other.shrink_to_fit();
            *found = other;
        }
    }
}

fn options() -> Options {
    let options = Options::new().restore(Restore::Background).restart_on_collision(true);
    options.keep(3).spare(false).on_event(|event| println!("event {event:?}"))
}

fn open_as(dir: &Path, options: Options) -> (Heap, Root<State>) {
    let heap = HEAP.open(dir, options).expect("a heap");
    let root = heap.root("state").expect("a root");
    (heap, root)
}

fn fill(dir: &Path) {
    let (heap, root) = open_as(dir, options());
    root.write(|state| *state = State::filled());
    heap.close().expect("room");
}

fn whole(dir: &Path) {
    let (heap, root) = open_as(dir, options());
    root.read(State::check);
    heap.validate().expect("a sound heap");
}

/// Many threads free, move and allocate at once, with the first thing that they do.
fn renew_in(dir: &Path, options: Options) {
    let (heap, root) = open_as(dir, options);
    root.write(|state| {
        thread::scope(|scope| {
            for part in &mut state.parts {
                scope.spawn(|| State::renew(part));
            }
            let ambient = || (0..200).map(|number| block(number % 7)).collect::<Vec<_>>();
            let mine: Vec<_> = (0..3).map(|_| scope.spawn(ambient)).collect();
            state.small.iter_mut().for_each(|text| *text = text.clone());
            for blocks in mine.into_iter().map(|thread| thread.join().expect("blocks")) {
                assert!(blocks.iter().enumerate().all(|(number, it)| *it == block(number % 7)));
            }
        });
        let pages = state.pages.len();
        state.pages.truncate(pages / 2);
        state.pages.extend((pages / 2..pages).map(page));
        state.round += 1;
        state.check();
    });
    heap.validate().expect("a sound heap");
    root.read(State::check);
    heap.close().expect("room");
}

fn renew(dir: &Path) {
    renew_in(dir, options());
}

fn renew_checked(dir: &Path) {
    renew_in(dir, options().check_tracked(true));
}

/// A snapshot is the first thing that is wanted.
fn snapshot_at_once(dir: &Path) {
    let (heap, root) = open_as(dir, options());
    root.write(|state| state.round += 1);
    let info = heap.snapshot().and_then(|still| still.wait_durable()).expect("room");
    assert!(info.is_delta, "{info:?}");
    heap.validate().expect("a sound heap");
    std::process::exit(0);
}

fn clear(dir: &Path) {
    let (heap, root) = open_as(dir, options());
    root.write(|state| *state = State::default());
    heap.validate().expect("a sound heap");
    assert!(heap.stats().heap.scoped < MIB as u64, "{:?}", heap.stats().heap);
    heap.close().expect("room");
}

/// The child of a fork, and its parent, each go on with all of the heap.
#[allow(unsafe_code, reason = "forks")]
fn fork_at_once(dir: &Path) {
    let (heap, root) = open_as(dir, options());
    // SAFETY: the child uses the heap, whose locks are held across the fork, and ends.
    let process = unsafe { libc::fork() };
    root.write(|state| {
        state.parts.iter_mut().for_each(|part| State::renew(part));
        state.check();
    });
    if process == 0 {
        std::process::exit(0);
    }
    let mut status = 0;
    // SAFETY: waits for the child.
    assert_eq!(unsafe { libc::waitpid(process, &raw mut status, 0) }, process);
    assert_eq!(status, 0, "the child");
    heap.close().expect("room");
}

/// A little of everything, and it is over.
fn short(dir: &Path) {
    let (heap, root) = open_as(dir, options());
    root.write(|state| {
        state.round += 1;
        for number in 0..16 {
            // All that is allocated is freed again, in a scope and outside.
            drop(block(number));
        }
    });
    (0..16).for_each(|number| drop(block(number)));
    heap.close().expect("room");
}

fn cells(dir: &Path) {
    let (heap, _) = open_as(dir, options());
    let found = heap.stats().heap;
    println!("cells {} committed {}", found.cells, found.committed / MIB as u64);
    std::process::exit(0);
}

/// One more snapshot, whole, with a file of its own.
fn full(dir: &Path) {
    // What has not been verified is built on.
    let whole = options().increments(false).restore(Restore::Verified);
    let (heap, root) = open_as(dir, whole);
    root.write(|state| state.round += 1);
    heap.close().expect("room");
}

/// The snapshot before that has come back.
fn is_first(dir: &Path) {
    let (heap, root) = open_as(dir, options());
    assert_eq!(heap.restored().map(|restored| restored.number), Some(1));
    root.read(State::check);
    heap.validate().expect("a sound heap");
}

/// Whoever needs the damaged cell waits until the snapshot has been set aside.
fn meet_damage(dir: &Path) {
    let (_heap, root) = open_as(dir, options());
    root.write(|state| *state = State::default());
    thread::sleep(std::time::Duration::from_secs(60));
}

fn wait_for_damage(dir: &Path) {
    let _open = open_as(dir, options());
    thread::sleep(std::time::Duration::from_secs(60));
}

fn snapshot_meets_damage(dir: &Path) {
    let (heap, root) = open_as(dir, options());
    root.write(|state| state.round += 1);
    let outcome = heap.snapshot().and_then(|still| still.wait_durable());
    println!("saved {}", outcome.is_ok());
    thread::sleep(std::time::Duration::from_secs(60));
}

const ROLES: &[support::Role] = &[
    ("fill", fill),
    ("whole", whole),
    ("renew", renew),
    ("renew_checked", renew_checked),
    ("snapshot_at_once", snapshot_at_once),
    ("clear", clear),
    ("fork_at_once", fork_at_once),
    ("short", short),
    ("cells", cells),
    ("full", full),
    ("is_first", is_first),
    ("meet_damage", meet_damage),
    ("wait_for_damage", wait_for_damage),
    ("snapshot_meets_damage", snapshot_meets_damage),
];

fn everything_is_found_as_it_was() {
    support::run_in_turn(&["fill", "renew", "whole", "renew_checked", "whole", "clear"]);
}

fn snapshots_right_after_a_restart() {
    support::run_in_turn(&["fill", "snapshot_at_once", "snapshot_at_once", "whole"]);
}

fn forks_right_after_a_restart() {
    support::run_in_turn(&["fill", "fork_at_once", "whole"]);
}

fn short_runs_do_not_grow_the_heap() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    support::run("fill", &dir);
    let measure = || {
        let text = support::run("cells", &dir);
        let numbers = text.lines().find_map(|line| line.strip_prefix("cells ")).expect("a line");
        let (cells, committed) = numbers.split_once(" committed ").expect("two numbers");
        [cells, committed].map(|number| number.parse::<u64>().expect("a number"))
    };
    // What a run leaves in its boot cell stays.
    (0..3).for_each(|_| drop(support::run("short", &dir)));
    let before = measure();
    (0..30).for_each(|_| drop(support::run("short", &dir)));
    let after = measure();
    println!("{before:?}, after 30 runs {after:?}");
    assert!(after[0] <= before[0] + 31, "each run leaves a boot cell, and no other: {after:?}");
    assert!(after[1] <= before[1] + 31 * 4 + 4, "and at most two chunks in it: {after:?}");
}

/// Flips bits in the entries of a main cell's first chunk in the file of a full segment.
fn damage_tables(file: &Path, cell: u64) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(file).expect("a file");
    // A placed segment's first run begins with cell 0, behind the header's page.
    let at = 4096 + cell * CELL + 0x1_0000 + 0x800 + 64;
    let mut entry = [0; 4];
    file.read_exact_at(&mut entry, at).expect("an entry");
    file.write_all_at(&entry.map(|byte| byte ^ 0x55), at).expect("room");
}

fn damage_ends_the_process_and_is_set_aside() {
    for role in ["wait_for_damage", "meet_damage", "snapshot_meets_damage"] {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("heap");
        support::run("fill", &dir);
        support::run("full", &dir);
        let files = std::fs::read_dir(&dir).expect("a directory").flatten();
        let mut fulls: Vec<_> = files.map(|file| file.path()).collect();
        fulls.retain(|path| path.extension().is_some_and(|form| form == "full"));
        fulls.sort();
        assert_eq!(fulls.len(), 2, "{fulls:?}");
        damage_tables(&fulls[1], 1);
        let text = support::run_failing(role, &dir);
        assert!(text.contains("event Damaged { number: 2"), "{role}: {text}");
        assert!(text.contains("cell 1") || text.contains("page "), "{role}: {text}");
        assert!(text.contains("It has been set aside"), "{role}: {text}");
        assert!(!text.contains("saved true"), "{role}: {text}");
        support::run("is_first", &dir);
    }
}

fn main() {
    if support::plays(ROLES) {
        return;
    }
    support::run_all(&[
        ("everything_is_found_as_it_was", everything_is_found_as_it_was),
        ("snapshots_right_after_a_restart", snapshots_right_after_a_restart),
        ("forks_right_after_a_restart", forks_right_after_a_restart),
        ("short_runs_do_not_grow_the_heap", short_runs_do_not_grow_the_heap),
        ("damage_ends_the_process_and_is_set_aside", damage_ends_the_process_and_is_set_aside),
    ]);
}
