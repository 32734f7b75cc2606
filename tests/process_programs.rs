//! What real programs do to their allocator, with a heap open and snapshots taken back to back:
//! storms of short threads whose blocks outlive them, destructors of thread-locals, functions that
//! run when the process exits, children started from many threads, forks that go on without exec.
#![allow(unsafe_code, reason = "forks, and calls what the C library has for the end of a thread")]
#![allow(clippy::cast_possible_truncation, reason = "small numbers, and 64-bit machines")]

mod block_support;
mod support;

use block_support::{Block, mix};
use std::cell::RefCell;
use std::ffi::c_void;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use stillheap::{Heap, Options, ProcessHeap, Root, Stats};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

/// Blocks that are left behind for others to free.
static LEFT: Mutex<Vec<Block>> = Mutex::new(Vec::new());

/// So many times as much in the long form.
const LONG: u64 = 20;
/// How often the C library calls a thread-local's destructor that sets it again.
const ROUNDS: usize = 4;

fn often(times: u64) -> u64 {
    if std::env::var_os("STILLHEAP_LONG").is_some() { times * LONG } else { times }
}

fn left() -> MutexGuard<'static, Vec<Block>> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fresh seeds, so that no two blocks hold the same.
fn seed() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

fn blocks(count: u64) -> Vec<Block> {
    (0..count).map(|_| Block::new(seed())).collect()
}

fn open(dir: &Path) -> Heap {
    HEAP.open(dir, Options::new().restart_on_collision(true)).expect("a heap")
}

/// Runs `work` while snapshots are being taken. Then the process has as many blocks as before, and
/// not much more memory: what others freed has been, and nothing stays with threads that ended.
fn beside_snapshots(heap: &Heap, work: impl FnOnce()) {
    let root: Root<Vec<u64>> = heap.root("rounds").expect("a root");
    let before = heap.stats();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                root.write(|rounds| rounds.push(1));
                heap.snapshot().expect("a freeze").wait_durable().expect("durable");
            }
        });
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        is_over.store(true, Relaxed);
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    heap.validate().expect("a sound heap");
    no_more_than(&before, heap);
}

fn no_more_than(before: &Stats, heap: &Heap) {
    let after = heap.stats();
    assert!(
        after.heap.blocks < before.heap.blocks + 500,
        "{:?}, and then {:?}",
        before.heap,
        after.heap
    );
    assert!(
        after.heap.committed < before.heap.committed + (64 << 20),
        "{:?}, and then {:?}",
        before.heap,
        after.heap
    );
}

/// A short thread's life: its blocks are freed by itself, by others while it lives, and by others
/// when it has ended. Every fourth one starts another, and does not wait for its end.
fn short_life(number: u64, to_others: mpsc::Sender<Block>) -> Vec<Block> {
    let mut own = blocks(12);
    own.iter_mut().step_by(3).for_each(Block::resize);
    own.drain(..4).for_each(|block| to_others.send(block).expect("somebody who takes it"));
    if number.is_multiple_of(4) {
        let theirs = own.split_off(4);
        thread::spawn(move || {
            drop(theirs);
            blocks(4).into_iter().for_each(|block| drop(to_others.send(block)));
        });
    }
    own.truncate(6);
    own
}

fn storm(dir: &Path) {
    let heap = open(dir);
    let (to_others, from_others) = mpsc::channel();
    let taker = thread::spawn(move || {
        let mut kept: Vec<Block> = Vec::new();
        for (number, block) in (0_u64..).zip(from_others) {
            kept.push(block);
            if kept.len() > 200 {
                drop(kept.swap_remove(mix(number) as usize % 200));
            }
        }
    });
    beside_snapshots(&heap, move || {
        thread::scope(|scope| {
            for _ in 0..4 {
                let to_others = to_others.clone();
                scope.spawn(move || {
                    for number in 0..often(1000) {
                        let to_others = to_others.clone();
                        let short = thread::spawn(move || short_life(number, to_others));
                        drop(short.join().expect("its end"));
                    }
                });
            }
        });
        drop(to_others);
        taker.join().expect("no panic");
    });
}

/// What a thread has until its end. Its destructor frees, allocates, leaves blocks to others, and
/// uses another thread-local, which may be new then, or gone.
struct Last(Vec<Block>);

thread_local! {
    static FIRST: RefCell<Last> = const { RefCell::new(Last(Vec::new())) };
    static SECOND: RefCell<Last> = const { RefCell::new(Last(Vec::new())) };
}

impl Drop for Last {
    fn drop(&mut self) {
        self.0.truncate(2);
        self.0.iter_mut().for_each(Block::resize);
        left().extend(self.0.pop());
        left().truncate(100);
        let more = blocks(3);
        let _ =
            FIRST.try_with(|first| first.try_borrow_mut().map(|mut first| first.0.extend(more)));
        let more = blocks(3);
        let _ = SECOND
            .try_with(|second| second.try_borrow_mut().map(|mut second| second.0.extend(more)));
    }
}

/// The C library's kind of thread-local. The destructor sets it again, so that it is called as
/// often as the library allows; the allocator's own hook has run in between.
fn late_key() -> libc::pthread_key_t {
    static KEY: OnceLock<libc::pthread_key_t> = OnceLock::new();
    *KEY.get_or_init(|| {
        let mut key = 0;
        // SAFETY: sets the key; the function gets what is set for it.
        assert_eq!(unsafe { libc::pthread_key_create(&raw mut key, Some(late)) }, 0);
        key
    })
}

fn set_late(count: usize) {
    let value = Box::into_raw(Box::new((count, Block::new(seed()))));
    // SAFETY: the key exists; the destructor takes the box.
    assert_eq!(unsafe { libc::pthread_setspecific(late_key(), value.cast()) }, 0);
}

unsafe extern "C" fn late(value: *mut c_void) {
    // SAFETY: the box that `set_late` made; nobody else has it.
    let boxed = unsafe { Box::from_raw(value.cast::<(usize, Block)>()) };
    drop(blocks(3));
    let _ = FIRST.try_with(|first| drop(first.try_borrow_mut().map(|mut first| first.0.clear())));
    if boxed.0 > 0 {
        set_late(boxed.0 - 1);
    }
}

fn thread_locals(dir: &Path) {
    let heap = open(dir);
    beside_snapshots(&heap, || {
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for number in 0..often(700) {
                        let short = thread::spawn(move || {
                            FIRST.with_borrow_mut(|first| first.0 = blocks(4));
                            if number.is_multiple_of(2) {
                                SECOND.with_borrow_mut(|second| second.0 = blocks(4));
                            }
                            set_late(number as usize % ROUNDS);
                        });
                        short.join().expect("its end");
                    }
                });
            }
        });
        left().clear();
    });
}

/// What is done when the process exits.
static OPENED: Mutex<Option<Heap>> = Mutex::new(None);

/// Called by `exit` when the main thread's thread-locals are gone: the program tidies up, and takes
/// its last snapshot. Other threads do not know of it, and go on.
extern "C" fn at_exit() {
    left().drain(..).for_each(drop);
    let made = thread::spawn(|| blocks(100)).join().expect("a thread's end");
    drop(made);
    let heap = OPENED.lock().expect("no panic").take().expect("opened");
    let root: Root<Vec<u64>> = heap.root("rounds").expect("a root");
    root.write(|rounds| rounds.push(4711));
    heap.close().expect("a last snapshot");
    left().extend(blocks(100));
}

/// Registered before there is a heap, and so called last.
extern "C" fn at_the_very_end() {
    drop(std::mem::take(&mut *left()));
    drop(blocks(100));
}

#[used]
// SAFETY: the section holds addresses of functions that are called at the start.
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = at_the_start;

extern "C" fn at_the_start() {
    // SAFETY: a function of the program, which stays where it is.
    unsafe { libc::atexit(at_the_very_end) };
}

fn exits(dir: &Path) {
    let heap = open(dir);
    let root: Root<Vec<u64>> = heap.root("rounds").expect("a root");
    root.write(|rounds| rounds.push(1));
    // SAFETY: as above.
    assert_eq!(unsafe { libc::atexit(at_exit) }, 0);
    FIRST.with_borrow_mut(|first| first.0 = blocks(9));
    for _ in 0..2 {
        thread::spawn(|| {
            loop {
                let mut busy = blocks(20);
                left().extend(busy.pop());
                drop(busy);
            }
        });
    }
    for _ in 0..3 {
        heap.snapshot().expect("a freeze");
    }
    *OPENED.lock().expect("no panic") = Some(heap);
    println!("exits");
}

fn after_exits(dir: &Path) {
    let root: Root<Vec<u64>> = open(dir).root("rounds").expect("a root");
    assert_eq!(root.read(|rounds| rounds.last().copied()), Some(4711));
}

/// A program that is started by others, and answers what it was told.
fn answers(_: &Path) {
    let mut told = Vec::new();
    std::io::stdin().read_to_end(&mut told).expect("all of it");
    let more = std::env::var("STILLHEAP_TEST_MORE").expect("set");
    drop(blocks(30));
    println!("{more} {}", told.iter().map(|byte| u64::from(*byte)).sum::<u64>());
}

/// Starts a program, with and without a function that runs after a fork, and talks to it.
fn start(dir: &Path, number: u64) {
    let mut command: Command = support::child("answers", dir);
    command.env("STILLHEAP_TEST_MORE", "x".repeat(number as usize % 3000));
    if number.is_multiple_of(2) {
        let after_fork = move || {
            // Memory is to be had there, although only one thread is.
            drop(Block::new(number));
            Ok(())
        };
        // SAFETY: takes no lock that other threads may hold but the allocator's, which are free.
        unsafe { command.pre_exec(after_fork) };
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("a process");
    let told = vec![7; number as usize * 997 % 300_000];
    child.stdin.take().expect("its input").write_all(&told).expect("it reads");
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "{}", output.status);
    let wanted = format!("{} {}\n", "x".repeat(number as usize % 3000), told.len() * 7);
    assert_eq!(support::text_of(&output), wanted);
}

/// Runs `work` while two threads allocate, free each other's blocks, and leave some in [`LEFT`].
fn beside_allocators(work: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    let mut own = blocks(20);
                    own.iter_mut().step_by(2).for_each(Block::resize);
                    let mut left = left();
                    left.extend(own.drain(..10));
                    let surplus = left.len().saturating_sub(300);
                    let theirs: Vec<Block> = left.drain(..surplus).collect();
                    drop(left);
                    drop(theirs);
                }
            });
        }
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        is_over.store(true, Relaxed);
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    left().clear();
}

fn starts(dir: &Path) {
    let heap = open(dir);
    beside_snapshots(&heap, || {
        beside_allocators(|| {
            thread::scope(|scope| {
                for first in 0..3 {
                    scope.spawn(move || {
                        (0..often(15)).for_each(|number| start(dir, first + 3 * number));
                    });
                }
            });
        });
    });
}

/// A child's life without exec: what threads allocated that it does not have it checks, resizes and
/// frees; it allocates, and has a child that does the same.
fn life_of_a_fork(generation: u32) {
    // SAFETY: what hangs is ended.
    unsafe { libc::alarm(300) };
    let mut theirs = std::mem::take(&mut *left());
    assert!(!theirs.is_empty());
    theirs.iter_mut().step_by(2).for_each(Block::resize);
    let kept = theirs.split_off(theirs.len() / 2);
    drop(theirs);
    let mut own = blocks(300);
    left().extend(kept);
    left().append(&mut own);
    let made = thread::spawn(|| blocks(50)).join().expect("a thread's end");
    left().extend(made);
    if generation == 0 {
        fork(1);
    }
    left().clear();
}

/// Forks while nobody else holds [`LEFT`], and waits for the child's good end.
fn fork(generation: u32) {
    let held = left();
    // SAFETY: the child uses the heap, whose locks are held across the fork, and ends.
    let process = unsafe { libc::fork() };
    drop(held);
    if process == 0 {
        life_of_a_fork(generation);
        // SAFETY: ends the child without running what its parent will run.
        unsafe { libc::_exit(7) };
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    unsafe { libc::waitpid(process, &raw mut status, 0) };
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7, "{status:#x}");
}

fn forks(dir: &Path) {
    let many = || {
        while left().len() < 100 {
            thread::yield_now();
        }
        (0..often(15)).for_each(|_| fork(0));
    };
    // First as an allocator alone, then with snapshots.
    beside_allocators(many);
    beside_snapshots(&open(dir), || beside_allocators(many));
}

/// In the long form more threads, one after the other, than there can be at a time. Each allocates
/// until the very end.
fn many_threads(dir: &Path) {
    let heap = open(dir);
    let before = heap.stats();
    for number in 0..often(3500) {
        let short = thread::spawn(move || {
            set_late(number as usize % ROUNDS);
            drop(Block::new(number));
        });
        short.join().expect("its end");
    }
    no_more_than(&before, &heap);
}

const ROLES: &[support::Role] = &[
    ("storm", storm),
    ("thread_locals", thread_locals),
    ("exits", exits),
    ("after_exits", after_exits),
    ("answers", answers),
    ("starts", starts),
    ("forks", forks),
    ("many_threads", many_threads),
];

fn main() {
    if support::plays(ROLES) {
        return;
    }
    support::run_all(&[
        ("a_storm_of_short_threads", || support::run_in_turn(&["storm"])),
        ("destructors_of_thread_locals", || support::run_in_turn(&["thread_locals"])),
        ("functions_at_exit", || support::run_in_turn(&["exits", "after_exits"])),
        ("programs_started_by_many_threads", || support::run_in_turn(&["starts"])),
        ("forks_that_go_on", || support::run_in_turn(&["forks"])),
        ("lanes_are_used_again", || support::run_in_turn(&["many_threads"])),
    ]);
}
