//! Processes and threads that have less than others, while snapshots are taken back to back:
//! forks, whose memory stays usable though nobody takes snapshots of it; threads with the
//! smallest stack there is; threads that std has not made, without a stack for signals.
#![allow(unsafe_code, reason = "forks, and makes threads without std")]

mod cut_support;
mod support;

use cut_support::{Stage, Stills, end_on_panic, watch};
use std::ffi::c_void;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::{mem, ptr, thread};
use stillheap::{Durable, Heap, ProcessHeap, Root, Rows, Tracked, XTree};

#[global_allocator]
pub(crate) static HEAP: ProcessHeap = ProcessHeap::new();

static BEATS: AtomicU64 = AtomicU64::new(0);

const FORKS: u64 = 50;

/// Memory of all kinds, which says how many rounds there were.
#[derive(Durable)]
struct Memory {
    rounds: u64,
    words: Vec<u64>,
    small: Vec<Vec<u64>>,
    pages: Vec<Tracked<[u64; 512]>>,
    rows: Rows<u64, u64>,
    tree: XTree<2, u64>,
}

impl Memory {
    fn new() -> Self {
        let mut rows = Rows::new(1, 2);
        (0..50).for_each(|row| rows.write().push(&[row], 0));
        Self {
            rounds: 0,
            words: vec![0; 700_000],
            small: vec![vec![0; 9]; 300],
            pages: (0..100).map(|_| Tracked::new([0; 512])).collect(),
            rows,
            tree: XTree::new(),
        }
    }

    /// Writes all of it.
    fn advance(&mut self) {
        self.check();
        self.rounds += 1;
        let rounds = self.rounds;
        self.words.fill(rounds);
        self.small.iter_mut().for_each(|small| *small = vec![rounds; 9]);
        self.pages.iter_mut().for_each(|page| page.write().fill(rounds));
        self.rows.write().values_mut().fill(rounds);
        self.tree.insert([rounds as f64, 0.0], rounds).expect("finite coordinates");
    }

    fn check(&self) {
        let small = self.small.iter().flatten();
        let pages = self.pages.iter().flat_map(|page| page.iter());
        let mut words = self.words.iter().chain(small).chain(pages).chain(self.rows.values());
        assert!(words.all(|word| *word == self.rounds), "not all is of round {}", self.rounds);
        self.tree.validate().expect("a sound tree");
        assert_eq!(self.tree.len() as u64, self.rounds);
    }
}

fn memory(heap: &Heap, name: &str) -> Root<Memory> {
    heap.root_with(name, Memory::new).expect("a root")
}

/// What a child of a fork does: everything but to take snapshots.
fn child(heap: &Heap, own: &Root<Memory>, ambient: &mut Memory) {
    for _ in 0..2 {
        own.write(Memory::advance);
        ambient.advance();
    }
    own.read(Memory::check);
    assert!(heap.snapshot().is_err());
    let made = Memory::new();
    let thread = thread::spawn(move || {
        made.check();
        made.words.len()
    });
    assert_eq!(thread.join().expect("its end"), 700_000);
}

/// Forks again and again; the child ends as programs do.
fn forks(dir: &Path) {
    end_on_panic();
    watch("a process that forks", &BEATS);
    let heap = HEAP.open(dir, cut_support::options()).expect("a heap");
    let (own, busy) = (memory(&heap, "own"), memory(&heap, "busy"));
    let mut ambient = Memory::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                heap.snapshot().expect("a freeze").wait_durable().expect("durable");
                BEATS.fetch_add(1, Relaxed);
            }
        });
        scope.spawn(|| {
            loop {
                busy.write(Memory::advance);
                drop(std::hint::black_box(vec![1_u8; 100_000]));
            }
        });
        for _ in 0..FORKS {
            // SAFETY: the child uses what no other thread has locked, and ends.
            let process = unsafe { libc::fork() };
            if process == 0 {
                // SAFETY: what hangs is ended.
                unsafe { libc::alarm(300) };
                child(&heap, &own, &mut ambient);
                std::process::exit(7);
            }
            let mut status = 0;
            // The parent goes on beside the child.
            own.write(Memory::advance);
            ambient.advance();
            // SAFETY: waits for the child just made.
            unsafe { libc::waitpid(process, &raw mut status, 0) };
            assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7, "{status:#x}");
            own.read(Memory::check);
            ambient.check();
        }
        heap.validate().expect("a sound heap");
        heap.snapshot().expect("a freeze").wait_durable().expect("durable");
        // While others go on.
        support::die()
    });
}

fn after_forks(dir: &Path) {
    let heap = HEAP.open(dir, cut_support::options()).expect("the heap");
    heap.validate().expect("a sound heap");
    let (own, busy) = (memory(&heap, "own"), memory(&heap, "busy"));
    own.read(Memory::check);
    busy.read(Memory::check);
    assert_eq!(own.read(|own| own.rounds), FORKS);
    let operations = FORKS + busy.read(|busy| busy.rounds);
    assert_eq!(operations, heap.restored().expect("a snapshot").operations);
}

fn a_fork_has_memory_and_the_parent_its_snapshots() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    support::run_until_killed("forks", &dir);
    support::run("after_forks", &dir);
}

/// Pages in the memory that the threads write.
const PAGES: usize = 2 << 10;

/// In each page a word counts the operations.
type Counts = Vec<AtomicU64>;

fn counts(heap: &Heap) -> Root<Counts> {
    let zeros = || (0..PAGES * 512).map(|_| AtomicU64::new(0)).collect();
    heap.root_with("counts", zeros).expect("a root")
}

/// What the threads share.
struct Work<'a> {
    counts: &'a Root<Counts>,
    /// The same outside the root and outside scopes.
    ambient: &'a [AtomicU64],
    stills: &'a Stills<'a>,
}

fn count(words: &[AtomicU64]) {
    for page in words.chunks(512) {
        page[0].fetch_add(1, Relaxed);
    }
}

/// A thread's work, which needs little stack: the first writes after a freeze.
fn work(work: &Work<'_>) {
    work.stills.wait_for_a_freeze();
    count(work.ambient);
    work.counts.share(|counts| count(counts));
    let block = vec![7_u8; 5_000];
    assert_eq!(std::hint::black_box(block)[4_999], 7);
    work.stills.ended.fetch_add(1, Relaxed);
}

extern "C" fn raw_work(argument: *mut c_void) -> *mut c_void {
    // SAFETY: the thread's maker passes this, and waits for its end.
    work(unsafe { &*argument.cast::<Work<'_>>() });
    ptr::null_mut()
}

/// Makes a thread without std, with the smallest stack if `smallest` says so. It has no stack of
/// its own for signals.
fn raw_thread(shared: &Work<'_>, smallest: bool) -> libc::pthread_t {
    // SAFETY: a structure of plain numbers, which the next call fills.
    let mut attributes: libc::pthread_attr_t = unsafe { mem::zeroed() };
    // SAFETY: fills the structure.
    assert_eq!(unsafe { libc::pthread_attr_init(&raw mut attributes) }, 0);
    if smallest {
        // SAFETY: asks for a number.
        let least = unsafe { libc::sysconf(libc::_SC_THREAD_STACK_MIN) };
        let least = usize::try_from(least).unwrap_or(0).max(libc::PTHREAD_STACK_MIN);
        // SAFETY: changes the structure.
        let result = unsafe { libc::pthread_attr_setstacksize(&raw mut attributes, least) };
        assert_eq!(result, 0, "a stack of {least} bytes");
    }
    // A number in some C libraries, a pointer in others.
    // SAFETY: zero is a value of either.
    let mut thread: libc::pthread_t = unsafe { mem::zeroed() };
    let argument = ptr::from_ref(shared).cast_mut().cast();
    // SAFETY: what the argument points to lives until the thread has been joined.
    let result =
        unsafe { libc::pthread_create(&raw mut thread, &raw const attributes, raw_work, argument) };
    assert_eq!(result, 0, "no thread");
    // SAFETY: the attributes are not used any more.
    unsafe { libc::pthread_attr_destroy(&raw mut attributes) };
    thread
}

fn threads_writer(dir: &Path) {
    let heap = HEAP.open(dir, cut_support::options()).expect("a heap");
    let counts = counts(&heap);
    let ambient: Vec<_> = (0..PAGES * 512).map(|_| AtomicU64::new(0)).collect();
    let stills = Stills::new(&heap, dir);
    watch("threads that have little", &BEATS);
    thread::scope(|scope| {
        scope.spawn(|| {
            let shared = Work { counts: &counts, ambient: &ambient, stills: &stills };
            for round in 1.. {
                let raw: [_; 4] = std::array::from_fn(|index| raw_thread(&shared, index < 2));
                thread::scope(|scope| {
                    for _ in 0..2 {
                        let small = thread::Builder::new().stack_size(1);
                        small.spawn_scoped(scope, || work(&shared)).expect("a thread");
                    }
                });
                for thread in raw {
                    // SAFETY: a thread made above, joined once.
                    assert_eq!(unsafe { libc::pthread_join(thread, ptr::null_mut()) }, 0);
                }
                let all = |word: &AtomicU64| word.load(Relaxed) == 6 * round;
                assert!(ambient.iter().step_by(512).all(all), "a write is lost");
                BEATS.fetch_add(1, Relaxed);
            }
        });
        stills.take_for_ever()
    });
}

fn check_counts(dir: &Path) {
    let (heap, _) = cut_support::open_still(dir, cut_support::options());
    let operations = heap.restored().expect("a snapshot").operations;
    counts(&heap).read(|counts| {
        let word = |(index, word): (usize, &AtomicU64)| {
            word.load(Relaxed) == if index % 512 == 0 { operations } else { 0 }
        };
        assert!(counts.iter().enumerate().all(word), "not all is of {operations} operations");
    });
    std::process::exit(0);
}

fn threads_with_little_write_first() {
    let stills = if cut_support::is_long() { 100 } else { 10 };
    for stage in [Stage::Usual, Stage::Small] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = support::child("threads_writer", &folder.path().join("heap"));
        stage.set(&mut writer);
        cut_support::all_good(&mut writer, "check_counts", stills);
    }
}

const ROLES: &[support::Role] = &[
    ("forks", forks),
    ("after_forks", after_forks),
    ("threads_writer", threads_writer),
    ("check_counts", check_counts),
];

fn main() {
    if support::plays(ROLES) {
        return;
    }
    support::run_all(&[
        (
            "a_fork_has_memory_and_the_parent_its_snapshots",
            a_fork_has_memory_and_the_parent_its_snapshots,
        ),
        ("threads_with_little_write_first", threads_with_little_write_first),
    ]);
}
