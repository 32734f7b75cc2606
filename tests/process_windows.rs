//! What goes on beside windows in whole processes: many who ask at once, readers of an image,
//! checks of the heap, handlers of signals, and triggers that must not run wild.
#![allow(unsafe_code, reason = "calls the C library")]
#![allow(clippy::cast_possible_truncation, reason = "small numbers")]

mod support;

use support::{run_in_turn, set_timer, until};

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use std::{fs, thread};
use stillheap::{Event, Heap, Options, ProcessHeap, Root, Scope, StillInfo};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

const MIB: usize = 1 << 20;
const CHUNK: usize = 2 * MIB;

fn open(dir: &Path, options: Options) -> Heap {
    HEAP.open(dir, options.restart_on_collision(true)).expect("a heap")
}

fn durable(heap: &Heap) -> StillInfo {
    heap.snapshot().expect("a freeze").wait_durable().expect("room")
}

/// What the kernel says of a thread: its state, and its time on a processor in ticks.
fn thread_state(thread: i32) -> (char, u64) {
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/stat")).expect("a thread");
    let fields: Vec<&str> = text[text.rfind(')').expect("a name") + 2..].split(' ').collect();
    let ticks = |field: usize| fields[field].parse::<u64>().expect("a number");
    (fields[0].chars().next().expect("a letter"), ticks(11) + ticks(12))
}

fn this_thread() -> i32 {
    // SAFETY: asks for a number.
    unsafe { libc::gettid() }
}

/// The thread that takes snapshots.
fn snapshot_thread() -> i32 {
    let tasks = fs::read_dir("/proc/self/task").expect("threads").flatten();
    let named = |thread: &i32| {
        let name = fs::read_to_string(format!("/proc/self/task/{thread}/comm"));
        name.is_ok_and(|name| name.trim() == "stillheap")
    };
    let mut numbers = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok());
    numbers.find(named).expect("the snapshot thread")
}

const CALLERS: usize = 32;

fn counters(heap: &Heap, name: &str, words: usize) -> Root<Vec<AtomicU64>> {
    let zeros = || (0..words).map(|_| AtomicU64::new(0)).collect();
    heap.root_with(name, zeros).expect("a root")
}

/// All ask while a scope keeps the freeze away; few snapshots answer them all.
fn coalesce(dir: &Path) {
    let heap = open(dir, Options::new());
    let counts = counters(&heap, "counts", CALLERS);
    durable(&heap);
    let before = heap.taken().len();
    let callers: Vec<AtomicUsize> = (0..CALLERS).map(|_| AtomicUsize::new(0)).collect();
    let ended = AtomicU64::new(0);
    let mut numbers = HashSet::new();
    thread::scope(|scope| {
        let holding = Scope::enter();
        let asking: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (heap, counts, callers, ended) = (&heap, &counts, &callers, &ended);
                scope.spawn(move || {
                    counts.share(|counts| counts[caller].fetch_add(1, SeqCst));
                    let done = ended.fetch_add(1, SeqCst) + 1;
                    callers[caller].store(this_thread() as usize, SeqCst);
                    let still = heap.snapshot().expect("a freeze");
                    (done, still.number(), still.wait_durable().expect("room"))
                })
            })
            .collect();
        until("all ask", || {
            callers.iter().all(|caller| match caller.load(SeqCst) {
                0 => false,
                caller => thread_state(caller as i32).0 == 'S',
            })
        });
        assert!(asking.iter().all(|caller| !caller.is_finished()), "nobody has frozen a scope");
        drop(holding);
        for caller in asking {
            let (done, number, info) = caller.join().expect("an answer");
            assert_eq!(number, info.number, "what was promised");
            assert!(info.operations >= done, "{} operations, {done} had ended", info.operations);
            numbers.insert(number);
        }
    });
    let taken = heap.taken().len() - before;
    assert!(taken <= 2, "{taken} snapshots for {CALLERS} callers");
    let known: HashSet<u64> = heap.taken().iter().map(|info| info.number).collect();
    assert!(numbers.is_subset(&known), "{numbers:?} of {known:?}");
    support::die();
}

fn after_coalesce(dir: &Path) {
    let heap = open(dir, Options::new());
    let counts = counters(&heap, "counts", CALLERS);
    assert!(counts.read(|counts| counts.iter().all(|count| count.load(SeqCst) == 1)));
    assert_eq!(heap.restored().expect("a snapshot").operations, CALLERS as u64);
}

/// Words of the memory that is read while it is promoted.
const WORDS: usize = 64 * MIB / 8;
/// Words of a chunk.
const STRIDE: usize = CHUNK / 8;

fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ mixed >> 29
}

fn image(heap: &Heap) -> Root<Vec<AtomicU64>> {
    let words = || (0..WORDS as u64).map(|word| AtomicU64::new(mix(word))).collect();
    heap.root_with("image", words).expect("a root")
}

fn fill_image(dir: &Path) {
    let heap = open(dir, Options::new());
    drop(image(&heap));
    heap.close().expect("room");
}

/// Readers find each word right, while two writers write first to every chunk, and some time
/// during snapshots.
fn read_beside_promotion(dir: &Path) {
    let heap = open(dir, Options::new());
    let image = image(&heap);
    let stop = AtomicBool::new(false);
    let reads = AtomicU64::new(0);
    let before = heap.stats().cow.promoted;
    let chunks = image.read(|words| {
        let chunk = |word: usize| std::ptr::from_ref(&words[word]).addr() / CHUNK;
        (5..WORDS).step_by(STRIDE).map(chunk).collect::<HashSet<_>>().len() as u64
    });
    thread::scope(|scope| {
        for reader in 0..2_u64 {
            let (image, stop, reads) = (&image, &stop, &reads);
            scope.spawn(move || {
                for round in 0_u64.. {
                    if stop.load(SeqCst) {
                        break;
                    }
                    let word = mix(round << 1 | reader) as usize % WORDS;
                    let found = image.read(|words| words[word].load(SeqCst));
                    let written = word % STRIDE == 5;
                    let right = found == mix(word as u64)
                        || written && found == mix(word as u64).wrapping_add(1);
                    assert!(right, "word {word} is {found:#x}");
                    reads.fetch_add(1, SeqCst);
                }
            });
        }
        until("readers", || reads.load(SeqCst) > 1000);
        for half in 0..2 {
            let image = &image;
            scope.spawn(move || {
                for word in (5..WORDS).step_by(STRIDE).filter(|word| word / STRIDE % 2 == half) {
                    image.share(|words| words[word].fetch_add(1, SeqCst));
                    thread::sleep(Duration::from_millis(2));
                }
            });
        }
        let written = || image.read(|words| words[WORDS - STRIDE + 5].load(SeqCst));
        until("snapshots beside it", || {
            durable(&heap);
            written() != mix((WORDS - STRIDE + 5) as u64)
        });
        let so_far = reads.load(SeqCst);
        until("readers", || reads.load(SeqCst) > so_far + 10_000);
        stop.store(true, SeqCst);
    });
    let promoted = heap.stats().cow.promoted - before;
    // Beside them there are a few chunks of small blocks.
    assert!((chunks..chunks + 6).contains(&promoted), "{promoted} promoted, {chunks} written");
    heap.validate().expect("a sound heap");
    heap.close().expect("room");
}

fn after_promotion(dir: &Path) {
    let heap = open(dir, Options::new());
    image(&heap).read(|words| {
        for (word, found) in words.iter().enumerate() {
            let expected = mix(word as u64).wrapping_add(u64::from(word % STRIDE == 5));
            assert_eq!(found.load(SeqCst), expected, "word {word}");
        }
    });
}

/// The heap is sound in windows in which chunks and spans are freed, and kept.
fn validate_in_windows(dir: &Path) {
    let heap = open(dir, Options::new());
    let ballast: Root<Vec<Vec<u64>>> = heap.root("ballast").expect("a root");
    ballast.write(|ballast| ballast.extend((0..64).map(|_| vec![7; MIB / 8])));
    let mut within = 0;
    until("enough checks within windows", || {
        let chunks: Vec<_> = (0..8).map(|_| vec![1_u8; 5 * MIB]).collect();
        let (span, small) = (vec![2_u8; 80 * MIB], vec![vec![3_u8; 900]; 9000]);
        let still = heap.snapshot().expect("a freeze");
        let frozen_at = heap.is_saving();
        drop((chunks, span, small));
        heap.validate().expect("a sound heap");
        within += u32::from(frozen_at && heap.is_saving());
        still.wait_durable().expect("room");
        heap.validate().expect("a sound heap");
        within >= 5
    });
}

/// Events, and what they were.
type Told = Arc<Mutex<Vec<String>>>;

fn telling(options: Options) -> (Options, Told) {
    let told = Told::default();
    let seen = Arc::clone(&told);
    let options = options.on_event(move |event: &Event| {
        seen.lock().expect("no panic").push(event.to_string());
    });
    (options, told)
}

/// A root that a panic has poisoned, and a threshold that has been crossed: the snapshot thread
/// says so, and does not try again and again.
fn poisoned(dir: &Path) {
    let (options, told) = telling(Options::new().snapshot_every_bytes(MIB as u64));
    let heap = open(dir, options);
    let words: Root<Vec<Vec<u64>>> = heap.root("words").expect("a root");
    words.write(|words| words.push(vec![1; MIB]));
    until("the first one", || !heap.taken().is_empty());
    let panicking = || {
        words.write(|words| {
            words.push(vec![2; 4 * MIB]);
            panic!("on purpose")
        })
    };
    support::quietly(panicking).expect_err("it panics");
    let dirt = std::hint::black_box(vec![3_u64; 4 * MIB]);
    until("the failure", || told.lock().expect("no panic").iter().any(|e| e.contains("poisoned")));
    let (before, thread) = (told.lock().expect("no panic").len(), snapshot_thread());
    let ticks = thread_state(thread).1;
    thread::sleep(Duration::from_secs(2));
    let busy = thread_state(thread).1 - ticks;
    let events = told.lock().expect("no panic").len() - before;
    assert!(events <= 2, "{:?}", told.lock());
    // In ticks of 10 ms; a thread that tries all the time has about 200.
    assert!(busy < 60, "{busy} ticks");
    words.write_poisoned(|words| words.truncate(1));
    assert_eq!(durable(&heap).operations, heap.stats().operations);
    drop(dirt);
}

/// A threshold that the heap's own work crosses: nothing is written, so nothing is saved.
fn idle(dir: &Path) {
    let (options, told) = telling(Options::new().snapshot_every_bytes(1));
    let heap = open(dir, options);
    let words: Root<Vec<u64>> = heap.root("words").expect("a root");
    words.write(|words| words.push(1));
    until("the first one", || !heap.taken().is_empty());
    thread::sleep(Duration::from_secs(2));
    let taken = heap.taken().len();
    assert!(taken <= 3, "{taken} snapshots of one change");
    // Memory that no root reaches is dirtied.
    let dirt = std::hint::black_box(vec![3_u64; 4 * MIB]);
    thread::sleep(Duration::from_secs(1));
    assert!(heap.taken().len() <= taken + 2, "{:?}", told.lock());
    drop(dirt);
}

/// A handler that writes to closed chunks interrupts a thread that asks for figures.
fn handlers_beside_stats(dir: &Path) {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static PLACE: OnceLock<&'static [AtomicU64]> = OnceLock::new();
    extern "C" fn handler(_: i32) {
        if let Some(place) = PLACE.get() {
            let round = COUNT.fetch_add(1, SeqCst);
            place[(round as usize * STRIDE + 7) % place.len()].fetch_add(1, SeqCst);
        }
    }
    let heap = open(dir, Options::new().snapshot_every(Duration::from_millis(5)));
    let root: Root<Vec<u64>> = heap.root("root").expect("a root");
    let _ = PLACE.set((0..8 * MIB).map(|_| AtomicU64::new(0)).collect::<Vec<_>>().leak());
    let call: extern "C" fn(i32) = handler;
    // SAFETY: a handler that only adds to atomics.
    unsafe { libc::signal(libc::SIGALRM, call as usize) };
    set_timer(100);
    let (mut asked, mut freezes, faults) = (0, 0, heap.stats().cow.faults);
    let begun = Instant::now();
    // No sleep: the kernel prolongs those that signals interrupt so often.
    while asked < 400 || freezes < 30 || COUNT.load(SeqCst) < 5000 {
        root.write(|root| root.push(1));
        freezes = heap.stats().freezes.freezes;
        asked += 1;
        let figures = (asked, freezes, COUNT.load(SeqCst));
        assert!(begun.elapsed() < Duration::from_secs(120), "{figures:?}");
    }
    set_timer(0);
    let sum: u64 = PLACE.get().expect("set").iter().map(|counter| counter.load(SeqCst)).sum();
    assert_eq!(sum, COUNT.load(SeqCst));
    assert!(heap.stats().cow.faults > faults + 20, "handlers met closed chunks");
}

const ROLES: &[support::Role] = &[
    ("coalesce", coalesce),
    ("after_coalesce", after_coalesce),
    ("fill_image", fill_image),
    ("read_beside_promotion", read_beside_promotion),
    ("after_promotion", after_promotion),
    ("validate_in_windows", validate_in_windows),
    ("poisoned", poisoned),
    ("idle", idle),
    ("handlers_beside_stats", handlers_beside_stats),
];

fn requests_that_wait_are_answered_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    support::run_until_killed("coalesce", &dir);
    support::run("after_coalesce", &dir);
}

fn main() {
    if support::plays(ROLES) {
        return;
    }
    support::run_all(&[
        ("requests_that_wait_are_answered_together", requests_that_wait_are_answered_together),
        ("readers_go_on_beside_promotion", || {
            run_in_turn(&["fill_image", "read_beside_promotion", "after_promotion"]);
        }),
        ("a_heap_is_sound_within_windows", || run_in_turn(&["validate_in_windows"])),
        ("a_poisoned_root_keeps_nobody_busy", || run_in_turn(&["poisoned"])),
        ("an_idle_heap_is_left_alone", || run_in_turn(&["idle"])),
        ("handlers_may_interrupt_figures", || run_in_turn(&["handlers_beside_stats"])),
    ]);
}
