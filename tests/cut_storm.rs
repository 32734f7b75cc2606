//! A storm of first writes: right after each freeze eight threads write the same chunks and pages
//! at once, over and over. No write may be lost, in memory or in a snapshot.
//!
//! 30 snapshots in `cargo test`, 600 with `STILLHEAP_LONG=1`.

mod cut_support;
mod support;

use cut_support::{Stage, Stills};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use stillheap::{Durable, Heap, ProcessHeap, Root, Tracked};

#[global_allocator]
pub(crate) static HEAP: ProcessHeap = ProcessHeap::new();

const THREADS: usize = 8;
/// Words of a page.
const PAGE: usize = 512;
/// Pages in ordinary memory, in more than eight chunks.
const PAGES: usize = 5 << 10;
const TRACKED: usize = 500;

/// Pages that all threads change beside each other. In each page, a word for each thread counts
/// its operations, and the next one those of all.
#[derive(Durable)]
struct Beside {
    words: Vec<AtomicU64>,
}

impl Beside {
    fn new() -> Self {
        Self { words: (0..PAGES * PAGE).map(|_| AtomicU64::new(0)).collect() }
    }

    /// One thread's operation, which is its number `round`.
    fn advance(&self, thread: usize, round: u64) {
        for page in self.words.chunks(PAGE) {
            assert_eq!(page[thread].fetch_add(1, Relaxed), round, "a write is lost");
            page[THREADS].fetch_add(1, Relaxed);
        }
    }

    /// Gives the number of operations.
    fn check(&self) -> u64 {
        let counts = |page: &[AtomicU64]| -> Vec<u64> {
            page.iter().map(|word| word.load(Relaxed)).collect()
        };
        let first = counts(&self.words[..PAGE]);
        let sum = first[..THREADS].iter().sum();
        assert_eq!(first[THREADS], sum, "threads have lost each other's writes");
        assert!(first[THREADS + 1..].iter().all(|word| *word == 0));
        assert!(self.words.chunks(PAGE).all(|page| counts(page) == first), "pages differ");
        sum
    }
}

fn beside(heap: &Heap) -> Root<Beside> {
    heap.root_with("beside", Beside::new).expect("a root")
}

fn beside_writer(dir: &Path) {
    let heap = HEAP.open(dir, cut_support::options()).expect("a heap");
    let beside = beside(&heap);
    let stills = Stills::new(&heap, dir);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (beside, stills) = (&beside, &stills);
            scope.spawn(move || {
                for round in 0_u64.. {
                    // Mostly right after a freeze, and now and then at any time.
                    if !round.is_multiple_of(4) {
                        stills.wait_for_a_freeze();
                    }
                    beside.share(|beside| beside.advance(thread, round));
                    stills.ended.fetch_add(1, Relaxed);
                }
            });
        }
        stills.take_for_ever()
    });
}

fn check_beside(dir: &Path) {
    let (heap, _) = cut_support::open_still(dir, cut_support::options());
    let operations = beside(&heap).read(Beside::check);
    assert_eq!(operations, heap.restored().expect("a snapshot").operations);
    std::process::exit(0);
}

/// Pages of both kinds that one operation changes on eight threads; every word is its number.
#[derive(Durable)]
struct Within {
    rounds: u64,
    words: Vec<u64>,
    pages: Vec<Tracked<[u64; PAGE]>>,
}

/// What one of the threads writes.
type Part<'a> = (Vec<&'a mut [u64]>, Vec<&'a mut Tracked<[u64; PAGE]>>);

impl Within {
    fn new() -> Self {
        let pages = (0..TRACKED).map(|_| Tracked::new([0; PAGE])).collect();
        Self { rounds: 0, words: vec![0; PAGES * PAGE], pages }
    }

    /// One operation. Of each page in ordinary memory each thread has a part, so that all first
    /// write it at once; tracked pages are one thread's each, side by side.
    fn advance(&mut self) {
        let round = self.rounds;
        self.rounds += 1;
        let set = |word: &mut u64| {
            assert_eq!(*word, round, "a write is lost");
            *word = round + 1;
        };
        let mut parts: [Part<'_>; THREADS] = Default::default();
        for (part, index) in self.words.chunks_mut(PAGE / THREADS).zip(0..) {
            parts[index % THREADS].0.push(part);
        }
        for (page, index) in self.pages.iter_mut().zip(0..) {
            parts[index % THREADS].1.push(page);
        }
        thread::scope(|scope| {
            for (words, pages) in parts {
                scope.spawn(move || {
                    words.into_iter().flatten().for_each(set);
                    pages.into_iter().for_each(|page| page.write().iter_mut().for_each(set));
                });
            }
        });
    }

    fn check(&self) {
        let mut words = self.words.iter().chain(self.pages.iter().flat_map(|page| page.iter()));
        assert!(words.all(|word| *word == self.rounds), "not all is of round {}", self.rounds);
    }
}

fn within(heap: &Heap) -> Root<Within> {
    heap.root_with("within", Within::new).expect("a root")
}

fn within_writer(dir: &Path) {
    let heap = HEAP.open(dir, cut_support::options()).expect("a heap");
    let within = within(&heap);
    let stills = Stills::new(&heap, dir);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0_u64.. {
                if !round.is_multiple_of(4) {
                    stills.wait_for_a_freeze();
                }
                within.write(Within::advance);
                stills.ended.fetch_add(1, Relaxed);
            }
        });
        stills.take_for_ever()
    });
}

fn check_within(dir: &Path) {
    let (heap, _) = cut_support::open_still(dir, cut_support::options());
    within(&heap).read(|within| {
        assert_eq!(within.rounds, heap.restored().expect("a snapshot").operations);
        within.check();
    });
    std::process::exit(0);
}

fn all_of_a_storm_is_there(writer: &str, check: &str) {
    let stills = if cut_support::is_long() { 150 } else { 8 };
    for stage in [Stage::Usual, Stage::Small] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = support::child(writer, &folder.path().join("heap"));
        stage.set(&mut writer);
        cut_support::all_good(&mut writer, check, stills);
    }
}

fn threads_in_scopes_of_their_own() {
    all_of_a_storm_is_there("beside_writer", "check_beside");
}

fn threads_within_one_operation() {
    all_of_a_storm_is_there("within_writer", "check_within");
}

const ROLES: &[support::Role] = &[
    ("beside_writer", beside_writer),
    ("check_beside", check_beside),
    ("within_writer", within_writer),
    ("check_within", check_within),
];

fn main() {
    if support::plays(ROLES) {
        return;
    }
    support::run_all(&[
        ("threads_in_scopes_of_their_own", threads_in_scopes_of_their_own),
        ("threads_within_one_operation", threads_within_one_operation),
    ]);
}
