//! Freezes and windows in whole processes: what triggers them, what they report, and how they
//! fare where the system is short of something. Each in a process of its own.
#![allow(unsafe_code, reason = "calls the C library, and writes where nobody may")]
#![allow(clippy::cast_possible_truncation, reason = "small numbers")]

mod support;

use support::{run_in_turn, set_timer, until};

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use stillheap::{Durable, Event, Heap, Options, ProcessHeap, Root, StillInfo, Tracked, XTree};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

const MIB: usize = 1 << 20;

fn open(dir: &Path, options: Options) -> Heap {
    HEAP.open(dir, options.restart_on_collision(true)).expect("a heap")
}

fn words(heap: &Heap) -> Root<Vec<Vec<u64>>> {
    heap.root("words").expect("a root")
}

/// As many MiB of words, all written.
fn fill(words: &Root<Vec<Vec<u64>>>, mib: usize) {
    words.write(|words| words.extend((0..mib).map(|_| vec![1; MIB / 8])));
}

fn durable(heap: &Heap) -> StillInfo {
    heap.snapshot().expect("a freeze").wait_durable().expect("room")
}

fn by_bytes(dir: &Path) {
    let heap = open(dir, Options::new().snapshot_every_bytes(20 << 20));
    let words = words(&heap);
    fill(&words, 40);
    until("the first one", || !heap.taken().is_empty());
    let before = durable(&heap).number;
    words.write(|words| words.iter_mut().take(4).for_each(|part| part[0] += 1));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(heap.taken().last().map(|info| info.number), Some(before), "too little");
    words.write(|words| words.iter_mut().for_each(|part| part[0] += 1));
    until("another one", || heap.taken().last().is_some_and(|info| info.number > before));
}

fn by_time(dir: &Path) {
    let heap = open(dir, Options::new().snapshot_every(Duration::from_millis(50)));
    let words = words(&heap);
    fill(&words, 1);
    until("the first one", || !heap.taken().is_empty());
    until("nothing more to save", || {
        let before = heap.taken().len();
        std::thread::sleep(Duration::from_millis(250));
        heap.taken().len() == before
    });
    let before = heap.taken().len();
    words.write(|words| words[0][0] += 1);
    until("the change", || heap.taken().len() > before);
}

fn by_signal(dir: &Path) {
    let heap = open(dir, Options::new().snapshot_on_signal(libc::SIGUSR1));
    fill(&words(&heap), 1);
    for round in 1..=3 {
        // SAFETY: the signal has a handler.
        unsafe { libc::raise(libc::SIGUSR1) };
        until("a snapshot", || heap.taken().len() == round);
    }
}

/// The figures of a snapshot and of the heap say what has happened.
fn figures(dir: &Path) {
    let heap = open(dir, Options::new());
    let words = words(&heap);
    fill(&words, 64);
    durable(&heap);
    words.write(|words| words.iter_mut().for_each(|part| part[7] += 1));
    let info = durable(&heap);
    assert!((32..=40).contains(&info.dirty_chunks), "{info:?}");
    assert!(info.faults >= 30 && info.pages > 16_000, "{info:?}");
    assert!(info.pause > Duration::ZERO && info.window <= info.saving, "{info:?}");
    let still = heap.snapshot().expect("a freeze");
    words.write(|words| words.iter_mut().for_each(|part| part[9] += 1));
    let info = still.wait_durable().expect("room");
    assert!(info.is_delta && info.pages < 200, "{info:?}");
    let stats = heap.stats();
    assert_eq!(stats.freezes.freezes, 3);
    assert!(stats.freezes.pause_p50 <= stats.freezes.pause_max);
    assert!(stats.freezes.pause_p99 <= stats.freezes.pause_max);
    assert_eq!(stats.freezes.pause_last, info.pause);
    let saved = stats.freezes.pages_by_thread + stats.freezes.pages_by_barrier;
    assert!(saved >= 2 * 16_000, "{stats:?}");
    assert_eq!(stats.cow.tracked_faults, 0);
    assert!(stats.heat.iter().skip(2).sum::<u64>() >= 32, "{:?}", stats.heat);
    assert!(stats.huge_page_share.is_none_or(|share| (0.0..=1.0).contains(&share)));
    assert!(stats.last_error.is_none() && stats.dirtied > 0);
}

/// What a run knew of its chunks' heat, the next one knows.
fn heat_comes_back(dir: &Path) {
    let heap = open(dir, Options::new());
    let words = words(&heap);
    if heap.restored().is_none() {
        fill(&words, 64);
        for _ in 0..4 {
            words.write(|words| words.iter_mut().for_each(|part| part[7] += 1));
            durable(&heap);
        }
    } else {
        let heat = heap.stats().heat;
        assert!(heat[3..].iter().sum::<u64>() >= 32, "{heat:?}");
        words.write(|words| words.iter_mut().for_each(|part| part[7] += 1));
        durable(&heap);
        let counts = heap.stats().cow;
        assert!(counts.promoted >= 30, "chunks of the image became memory: {counts:?}");
        assert!(words.read(|words| words.iter().all(|part| part[7] == 6)));
    }
}

/// X-tree and allocator: not one fault on a page whose writes are announced.
fn tracked_pages_take_no_fault(dir: &Path) {
    let heap = open(dir, Options::new().snapshot_every(Duration::from_millis(20)));
    let tree: Root<XTree<2, u64>> = heap.root("tree").expect("a root");
    let boxes: Root<Vec<Tracked<[u64; 512]>>> = heap.root("boxes").expect("a root");
    boxes.write(|boxes| boxes.extend((0..500).map(|_| Tracked::new([0; 512]))));
    let point = |number: u64| [(number * 7919 % 10_007) as f64, (number * 104_729 % 9973) as f64];
    for number in 0..60_000 {
        tree.write(|tree| tree.insert(point(number), number).expect("finite"));
        boxes.write(|boxes| boxes[number as usize % 500].write()[3] = number);
    }
    let before = heap.stats().freezes.freezes;
    until("some more", || heap.stats().freezes.freezes > before || !heap.is_saving());
    let stats = heap.stats();
    assert!(stats.freezes.freezes > 2 && stats.freezes.pages_by_barrier > 0, "{stats:?}");
    assert_eq!(stats.cow.tracked_faults, 0);
    // Faults there were, on other memory; none of them was on a tracked page or a table, for
    // those are writable all the time.
    tree.read(|tree| tree.validate()).expect("a sound tree");
}

/// A write to tracked memory that nobody announced ends the process, if such are looked for.
fn undeclared(dir: &Path) {
    let heap = open(dir, Options::new().check_tracked(true));
    let root: Root<Tracked<[u64; 8]>> = heap.root("tracked").expect("a root");
    for value in 1..4 {
        root.write(|tracked| tracked.write()[0] = value);
        durable(&heap);
    }
    durable(&heap);
    let place = root.read(|tracked| std::ptr::from_ref(&tracked[0])).cast_mut();
    println!("before");
    // SAFETY: none: this is the mistake that has to be noticed.
    unsafe { place.write(9) };
    println!("after");
}

/// As many mappings as the system allows are in use: protections cannot be as fine any more.
fn few_mappings(dir: &Path) {
    let heap = open(dir, Options::new());
    let words = words(&heap);
    fill(&words, 200);
    durable(&heap);
    use_up_mappings();
    for round in 2..6 {
        // Every other chunk: each by itself would be two mappings more.
        words.write(|words| words.iter_mut().step_by(4).for_each(|part| part[round] += 1));
        durable(&heap);
    }
    let counts = heap.stats().cow;
    assert!(counts.squeezed > 0, "{counts:?}");
    words.read(|words| {
        for part in words.iter().step_by(4) {
            assert_eq!(part[..7], [1, 1, 2, 2, 2, 2, 1]);
        }
    });
    println!("squeezed {}", counts.squeezed);
    support::die();
}

/// Takes mappings until the system gives no more.
fn use_up_mappings() {
    let len = 200_000 * 4096;
    let (access, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: new memory.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), len, access, flags, -1, 0) };
    for page in (0..len).step_by(8192) {
        let place = start.wrapping_byte_add(page);
        // SAFETY: a page of that memory.
        let split = unsafe { libc::mprotect(place, 4096, libc::PROT_NONE) };
        if split != 0 {
            return;
        }
    }
    panic!("200,000 mappings were had");
}

fn after_few_mappings(dir: &Path) {
    let heap = open(dir, Options::new());
    words(&heap).read(|words| {
        assert_eq!(words.len(), 200);
        assert_eq!(words[0][..7], [1, 1, 2, 2, 2, 2, 1]);
        assert_eq!(words[1][..7], [1; 7]);
    });
}

/// Without huge pages it works, and says once that freezes are longer.
fn no_huge_pages(dir: &Path) {
    // SAFETY: changes how memory is backed from now on.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) }, 0);
    let said = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&said);
    let options = Options::new().on_event(move |event| {
        if let Event::SlowFreezes { .. } = event {
            seen.lock().expect("no panic").push(event.to_string());
        }
    });
    let heap = open(dir, options);
    let words = words(&heap);
    fill(&words, 32);
    durable(&heap);
    words.write(|words| words.iter_mut().for_each(|part| part[7] += 1));
    durable(&heap);
    let said = said.lock().expect("no panic").clone();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("PR_SET_THP_DISABLE"), "{said:?}");
    // What was allocated before may lie in one.
    let share = heap.stats().huge_page_share.expect("this kernel tells");
    assert!(share < 0.2, "{share}");
}

/// Signal handlers that write to the heap, in threads that are in the middle of anything.
fn handlers_write(dir: &Path) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static PLACE: std::sync::OnceLock<&'static [AtomicU64]> = std::sync::OnceLock::new();
    extern "C" fn handler(_: i32) {
        if let Some(place) = PLACE.get() {
            let round = COUNT.fetch_add(1, SeqCst);
            place[(round as usize * 300_007) % place.len()].fetch_add(1, SeqCst);
        }
    }
    let heap = open(dir, Options::new().snapshot_every(Duration::from_millis(10)));
    let words = words(&heap);
    fill(&words, 16);
    let counters: Vec<AtomicU64> = (0..2 * MIB).map(|_| AtomicU64::new(0)).collect();
    let _ = PLACE.set(counters.leak());
    let call: extern "C" fn(i32) = handler;
    // SAFETY: a handler that only adds to atomics.
    unsafe { libc::signal(libc::SIGALRM, call as usize) };
    set_timer(200);
    let begun = Instant::now();
    let mut kept = Vec::new();
    while begun.elapsed() < Duration::from_secs(3) {
        words.write(|words| words.iter_mut().for_each(|part| part[3] += 1));
        kept.push(vec![1_u8; 300_000]);
        if kept.len() > 20 {
            kept.clear();
        }
    }
    set_timer(0);
    let sum: u64 = PLACE.get().expect("set").iter().map(|counter| counter.load(SeqCst)).sum();
    assert_eq!(sum, COUNT.load(SeqCst));
    assert!(sum > 100 && heap.stats().freezes.freezes > 5, "{sum}");
}

/// Forks of which the C library is not told, at any time: the child is on its own, and can write
/// to all of its memory.
fn raw_forks(dir: &Path) {
    let heap = open(dir, Options::new().snapshot_every(Duration::from_millis(5)));
    let words = words(&heap);
    fill(&words, 48);
    let mut number = 0;
    until("many snapshots", || {
        number += 1;
        words.write(|words| words.iter_mut().for_each(|part| part[3] += 1));
        words.write(|words| raw_fork(words, number));
        number >= 100 && heap.taken().len() > 10
    });
    let sum: u64 = words.read(|words| words.iter().map(|part| part[3]).sum());
    assert_eq!(sum, 48 * (1 + number));
}

fn raw_fork(words: &mut [Vec<u64>], number: u64) {
    // SAFETY: the child calls nothing that allocates or takes a lock.
    let child = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if child == 0 {
        words.iter_mut().for_each(|part| part[3] += number);
        let good = words.iter().all(|part| part[3] == 1 + 2 * number);
        // SAFETY: ends the child.
        unsafe { libc::_exit(if good { 0 } else { 1 }) };
    }
    let (mut status, child) = (0, child as libc::pid_t);
    // SAFETY: writes the status.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child of round {number}");
}

/// A thread's part of what is written within windows.
#[derive(Durable)]
struct Part {
    round: u64,
    words: Vec<Vec<u64>>,
    pages: Vec<Tracked<[u64; 512]>>,
}

impl Part {
    /// 12 MiB of ordinary memory, and 4 MiB of tracked pages.
    fn new() -> Self {
        let pages = (0..4 * MIB / 4096).map(|_| Tracked::new([0; 512]));
        Self { round: 0, words: vec![vec![0; MIB / 8]; 12], pages: pages.collect() }
    }

    /// Writes to each page.
    fn advance(&mut self) {
        self.round += 1;
        let round = self.round;
        let words = self.words.iter_mut().flatten();
        words.step_by(512).for_each(|word| *word = round);
        self.pages.iter_mut().for_each(|page| page.write()[7] = round);
    }

    fn check(&self) {
        let pages = self.pages.iter().map(|page| &page[7]);
        let mut words = self.words.iter().flatten().step_by(512).chain(pages);
        assert!(words.all(|word| *word == self.round), "not all is of round {}", self.round);
    }
}

fn parts(heap: &Heap) -> Vec<Root<Part>> {
    let part = |number: u32| heap.root_with(&format!("part {number}"), Part::new).expect("a root");
    (0..4).map(part).collect()
}

/// Has all parts written at once, within a window. Gives what the snapshot was like.
fn write_in_window(heap: &Heap, parts: &[Root<Part>]) -> StillInfo {
    let still = heap.snapshot().expect("a freeze");
    std::thread::scope(|scope| {
        for part in parts {
            scope.spawn(|| part.write(Part::advance));
        }
    });
    still.wait_durable().expect("room")
}

/// Threads want more than the stage holds: they wait, and it never holds more.
fn small_stage(dir: &Path) {
    const LIMIT: u64 = 8 << 20;
    let heap = open(dir, Options::new().stage_bytes(LIMIT));
    let parts = parts(&heap);
    durable(&heap);
    let (mut stalled, mut rounds) = (0, 0);
    while rounds < 6 || stalled == 0 {
        let info = write_in_window(&heap, &parts);
        assert!(info.stage_high_water <= LIMIT, "{info:?}");
        stalled += u32::from(info.stalls > 0);
        rounds += 1;
        assert!(rounds < 60, "the stage was never full: {info:?}");
    }
    durable(&heap);
    support::die();
}

fn after_small_stage(dir: &Path) {
    let heap = open(dir, Options::new());
    let parts = parts(&heap);
    let round = parts[0].read(|part| part.round);
    assert_eq!(heap.restored().expect("a snapshot").operations, 4 * round);
    for part in &parts {
        part.read(Part::check);
        assert_eq!(part.read(|part| part.round), round);
    }
}

/// Bytes of memory that are the process's alone.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("this kernel tells");
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).expect("a line");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") << 10
}

/// After a window the memory of its stage is the system's again.
fn stage_goes_back(dir: &Path) {
    let heap = open(dir, Options::new().stage_bytes(256 << 20));
    let parts = parts(&heap);
    let before = resident();
    durable(&heap);
    let after = resident();
    assert!(after < before + (16 << 20), "nobody needed it: {before} and {after} bytes");
    let mut most = 0;
    for round in 0..30 {
        most = most.max(write_in_window(&heap, &parts).stage_high_water);
        if round > 3 && most >= 24 << 20 {
            break;
        }
    }
    if most < 24 << 20 {
        println!("not run: no writer was faster than the saver, {most} bytes were in the stage");
        return;
    }
    // What came too late for its window is dropped in the next one.
    durable(&heap);
    let after = resident();
    assert!(after < before + most / 2, "{before} and {after} bytes, {most} were in the stage");
}

const ROLES: &[support::Role] = &[
    ("by_bytes", by_bytes),
    ("by_time", by_time),
    ("by_signal", by_signal),
    ("figures", figures),
    ("heat_comes_back", heat_comes_back),
    ("tracked_pages_take_no_fault", tracked_pages_take_no_fault),
    ("undeclared", undeclared),
    ("few_mappings", few_mappings),
    ("after_few_mappings", after_few_mappings),
    ("no_huge_pages", no_huge_pages),
    ("handlers_write", handlers_write),
    ("raw_forks", raw_forks),
    ("small_stage", small_stage),
    ("after_small_stage", after_small_stage),
    ("stage_goes_back", stage_goes_back),
];

fn undeclared_writes_are_caught() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = support::run_failing("undeclared", &folder.path().join("heap"));
    assert!(text.contains("before") && !text.contains("after"), "{text}");
    assert!(text.contains("was not announced"), "{text}");
}

fn few_mappings_are_enough() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    support::run_until_killed("few_mappings", &dir);
    support::run("after_few_mappings", &dir);
}

fn a_small_stage_is_never_exceeded() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    support::run_until_killed("small_stage", &dir);
    support::run("after_small_stage", &dir);
}

fn main() {
    if support::plays(ROLES) {
        return;
    }
    support::run_all(&[
        ("by_bytes", || run_in_turn(&["by_bytes"])),
        ("by_time", || run_in_turn(&["by_time"])),
        ("by_signal", || run_in_turn(&["by_signal"])),
        ("figures", || run_in_turn(&["figures"])),
        ("heat_comes_back", || run_in_turn(&["heat_comes_back", "heat_comes_back"])),
        ("tracked_pages_take_no_fault", || run_in_turn(&["tracked_pages_take_no_fault"])),
        ("undeclared_writes_are_caught", undeclared_writes_are_caught),
        ("few_mappings_are_enough", few_mappings_are_enough),
        ("no_huge_pages", || run_in_turn(&["no_huge_pages"])),
        ("handlers_write", || run_in_turn(&["handlers_write"])),
        ("raw_forks", || run_in_turn(&["raw_forks"])),
        ("a_small_stage_is_never_exceeded", a_small_stage_is_never_exceeded),
        ("the_stage_goes_back", || run_in_turn(&["stage_goes_back"])),
    ]);
}
