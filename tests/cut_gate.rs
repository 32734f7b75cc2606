//! The gate in whole processes, while snapshots are taken back to back: locks that are held
//! across it, a scope that lasts, threads that lose their processor inside the allocator. Nobody
//! waits for ever, everybody gets on, and what was done is there after a restart.
//!
//! A process in which nothing moves for a minute is ended with a message.
#![allow(unsafe_code, reason = "sets how threads are scheduled")]

mod cut_support;
mod support;

use cut_support::{end_on_panic, mix, watch};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use stillheap::{Heap, ProcessHeap, Root, Scope};

#[global_allocator]
pub(crate) static HEAP: ProcessHeap = ProcessHeap::new();

/// What the watch looks at.
static BEATS: AtomicU64 = AtomicU64::new(0);

type Numbers = Vec<u64>;

fn open(dir: &Path, what: &'static str) -> Heap {
    end_on_panic();
    watch(what, &BEATS);
    HEAP.open(dir, cut_support::options()).expect("a heap")
}

fn numbers(heap: &Heap, name: &str) -> Root<Numbers> {
    heap.root(name).expect("a root")
}

/// Takes snapshots until `enough` says so, and then one more, which is durable at the end.
fn snapshots_until(heap: &Heap, enough: impl Fn(u64) -> bool) {
    for taken in 0.. {
        // Asked before: what comes to its end later is not in this snapshot.
        let is_last = enough(taken);
        let still = heap.snapshot().expect("a freeze");
        still.wait_durable().expect("durable");
        BEATS.fetch_add(1, Relaxed);
        if is_last {
            break;
        }
    }
}

/// Rounds that each side of the locks' test has to get through.
const ROUNDS: u64 = 400;

/// A lock, as some use it.
fn hold<R>(lock: &Mutex<u64>, f: impl FnOnce(&mut u64) -> R) -> R {
    f(&mut lock.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Stays a while where it is called, so that the others get there, too: now and then for longer
/// than a freeze waits for anybody.
fn linger(round: u64) {
    match mix(round) % 16 {
        0 => thread::sleep(Duration::from_millis(3)),
        1..4 => thread::sleep(Duration::from_micros(100)),
        _ => thread::yield_now(),
    }
}

/// A thread takes the lock inside a scope; the others hold it while they allocate, while they
/// enter a scope, and while they end a thread.
fn locks(dir: &Path) {
    let heap = open(dir, "a lock held across the gate");
    let roots = ["inside", "around"].map(|name| numbers(&heap, name));
    let lock = Mutex::new(0);
    let running = AtomicU64::new(0);
    let sides: [&(dyn Fn(u64) + Sync); 4] = [
        // Scope, then lock.
        &|round| {
            roots[0].write(|inside| {
                linger(round);
                hold(&lock, |held| *held += 1);
                inside.push(round);
            });
        },
        // Lock, then scope.
        &|round| {
            hold(&lock, |held| {
                linger(round);
                roots[1].write(|around| around.push(round));
                *held += 1;
            });
        },
        // Lock, then allocator.
        &|round| {
            hold(&lock, |held| {
                linger(round);
                let blocks: Vec<_> =
                    (0..50).map(|size| vec![round; (size * size * 7) as usize]).collect();
                *held += u64::from(blocks.iter().flatten().all(|word| *word == round));
            });
        },
        // Lock, then a thread that begins and ends.
        &|round| {
            hold(&lock, |held| {
                let text = thread::spawn(move || round.to_string()).join().expect("its end");
                *held += u64::from(text.parse() == Ok(round));
            });
        },
    ];
    thread::scope(|scope| {
        for side in sides {
            running.fetch_add(1, Relaxed);
            let running = &running;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    side(round);
                    BEATS.fetch_add(1, Relaxed);
                }
                running.fetch_sub(1, Relaxed);
            });
        }
        snapshots_until(&heap, |taken| taken > 10 && running.load(Relaxed) == 0);
    });
    assert_eq!(hold(&lock, |held| *held), 4 * ROUNDS);
    println!("{} freezes were tried again", heap.stats().freezes_retried);
    support::die();
}

fn after_locks(dir: &Path) {
    let heap = open(dir, "a restart");
    for name in ["inside", "around"] {
        assert!(numbers(&heap, name).read(|found| found.iter().copied().eq(0..ROUNDS)));
    }
}

fn a_lock_held_across_the_gate_is_no_deadlock() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    print!("{}", support::run_until_killed("locks", &dir));
    support::run("after_locks", &dir);
}

/// How long the scope lasts, in looks at the others of half a second.
const LOOKS: usize = 20;

/// A scope of ten seconds changes one root at its beginning and another at its end.
fn long_scope(dir: &Path) {
    let heap = open(dir, "a scope of ten seconds");
    let [first, last, others] = ["first", "last", "others"].map(|name| numbers(&heap, name));
    let (written, allocated) = (AtomicU64::new(0), AtomicU64::new(0));
    let (entered, ended, stop) =
        (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                others.write(|others| others.push(round));
                written.store(round + 1, Relaxed);
                BEATS.fetch_add(1, Relaxed);
                if stop.load(Relaxed) {
                    break;
                }
                thread::sleep(Duration::from_micros(50));
            }
        });
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                drop(std::hint::black_box(vec![1_u8; 10_000]));
                allocated.fetch_add(1, Relaxed);
                thread::sleep(Duration::from_micros(50));
            }
        });
        scope.spawn(|| {
            let scope = Scope::enter();
            first.write(|first| first.push(1));
            entered.store(true, Relaxed);
            let counts = || (written.load(Relaxed), allocated.load(Relaxed));
            let mut before = counts();
            let mut moved = 0;
            for _ in 0..LOOKS {
                thread::sleep(Duration::from_millis(500));
                let now = counts();
                moved += usize::from(now.0 > before.0 && now.1 > before.1);
                before = now;
            }
            last.write(|last| last.push(2));
            ended.store(true, Relaxed);
            drop(scope);
            println!("others wrote {} times and allocated {} times", before.0, before.1);
            // A slow machine may stop everybody for a while, but not again and again.
            assert!(moved > LOOKS / 2, "others moved in {moved} of {LOOKS} looks");
        });
        while !entered.load(Relaxed) {
            thread::yield_now();
        }
        let still = heap.snapshot().expect("a freeze");
        assert!(ended.load(Relaxed), "a snapshot in the middle of a scope");
        still.wait_durable().expect("durable");
        stop.store(true, Relaxed);
    });
    println!("{} freezes were tried again", heap.stats().freezes_retried);
    assert!(heap.stats().freezes_retried > 0);
    support::die();
}

fn after_long_scope(dir: &Path) {
    let heap = open(dir, "a restart");
    let [first, last, others] = ["first", "last", "others"].map(|name| numbers(&heap, name));
    assert_eq!((first.read(Clone::clone), last.read(Clone::clone)), (vec![1], vec![2]));
    assert!(others.read(|others| others.iter().copied().eq(0..others.len() as u64)));
    let operations = others.read(|others| others.len() as u64) + 2;
    assert_eq!(operations, heap.restored().expect("a snapshot").operations);
}

fn a_long_scope_delays_nobody_but_the_snapshot() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    print!("{}", support::run_until_killed("long_scope", &dir));
    support::run("after_long_scope", &dir);
}

/// Gives the calling thread the least of the processor's time: what is left over, or a little.
fn step_back(index: usize) {
    if index.is_multiple_of(2) {
        let none = libc::sched_param { sched_priority: 0 };
        // SAFETY: reads the structure; 0 is the calling thread.
        let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const none) };
        assert_eq!(result, 0);
    } else {
        // SAFETY: 0 is the calling thread.
        let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
        assert_eq!(result, 0);
    }
}

/// One of many threads that allocate: keeps blocks, looks at what is in them, frees them.
fn allocate(own: u64, round: u64, kept: &mut Vec<Vec<u64>>) {
    let random = mix(own << 32 | round);
    let len = 1 + (random >> 8) % [4, 60, 500, 9_000][(random & 3) as usize];
    kept.push(vec![own; usize::try_from(len).expect("a length")]);
    if kept.len() > 40 {
        let index = usize::try_from(random >> 40).expect("a number") % kept.len();
        let block = kept.swap_remove(index);
        assert!(block.iter().all(|word| *word == own), "somebody else's block");
    }
}

/// Rounds that every thread has to get through, and snapshots meanwhile.
const TURNS: u64 = 60;
const SNAPSHOTS: u64 = 20;

/// Many more threads than processors, all of which step back behind two that hardly rest.
fn descheduled(dir: &Path) {
    let heap = open(dir, "threads that lose their processor");
    let threads = 8 * thread::available_parallelism().map_or(2, usize::from).min(8);
    let done: Vec<AtomicU64> = (0..threads).map(|_| AtomicU64::new(0)).collect();
    let stop = AtomicBool::new(false);
    let roots: Vec<_> =
        (0..threads).map(|index| numbers(&heap, &format!("thread {index}"))).collect();
    thread::scope(|scope| {
        for (index, (done, root)) in done.iter().zip(&roots).enumerate() {
            let stop = &stop;
            scope.spawn(move || {
                step_back(index);
                let mut kept = Vec::new();
                for round in 0.. {
                    for part in 0..20 {
                        allocate(index as u64, round << 8 | part, &mut kept);
                    }
                    root.write(|numbers| numbers.push(round));
                    done.store(round + 1, Relaxed);
                    BEATS.fetch_add(1, Relaxed);
                    if stop.load(Relaxed) {
                        break;
                    }
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    let sum: u64 = (0..200_000).map(std::hint::black_box).sum();
                    assert_ne!(sum, 0);
                    thread::sleep(Duration::from_micros(500));
                }
            });
        }
        let all_done = || done.iter().all(|done| done.load(Relaxed) >= TURNS);
        snapshots_until(&heap, |taken| taken >= SNAPSHOTS && all_done());
        stop.store(true, Relaxed);
    });
    heap.validate().expect("a sound heap");
    println!("{} freezes were tried again", heap.stats().freezes_retried);
    snapshots_until(&heap, |_| true);
    support::die();
}

fn after_descheduled(dir: &Path) {
    let heap = open(dir, "a restart");
    heap.validate().expect("a sound heap");
    let mut operations = 0;
    for index in 0.. {
        let found = numbers(&heap, &format!("thread {index}"));
        let rounds = found.read(|found| {
            assert!(found.iter().copied().eq(0..found.len() as u64));
            found.len() as u64
        });
        if rounds == 0 {
            break;
        }
        assert!(rounds >= TURNS);
        operations += rounds;
    }
    assert_eq!(operations, heap.restored().expect("a snapshot").operations);
}

fn threads_that_lose_their_processor_get_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    print!("{}", support::run_until_killed("descheduled", &dir));
    support::run("after_descheduled", &dir);
}

/// Waits for a lock that it holds.
fn stuck(dir: &Path) {
    let heap = open(dir, "two locks in two orders");
    let numbers = numbers(&heap, "numbers");
    let lock = Mutex::new(0);
    hold(&lock, |_| {
        thread::scope(|scope| {
            let waiting = scope.spawn(|| numbers.write(|_| hold(&lock, |held| *held += 1)));
            waiting.join().expect("never");
        });
    });
}

const ROLES: &[support::Role] = &[
    ("locks", locks),
    ("after_locks", after_locks),
    ("long_scope", long_scope),
    ("after_long_scope", after_long_scope),
    ("descheduled", descheduled),
    ("after_descheduled", after_descheduled),
    ("stuck", stuck),
];

/// The watch itself: what is stuck does not stay so. It takes a minute.
fn what_is_stuck_is_ended() {
    if !cut_support::is_long() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let text = support::run_failing("stuck", &folder.path().join("heap"));
    assert!(text.contains("two locks in two orders: nothing has moved for a minute"), "{text}");
}

fn main() {
    if support::plays(ROLES) {
        return;
    }
    support::run_all(&[
        ("a_lock_held_across_the_gate_is_no_deadlock", a_lock_held_across_the_gate_is_no_deadlock),
        (
            "a_long_scope_delays_nobody_but_the_snapshot",
            a_long_scope_delays_nobody_but_the_snapshot,
        ),
        ("threads_that_lose_their_processor_get_on", threads_that_lose_their_processor_get_on),
        ("what_is_stuck_is_ended", what_is_stuck_is_ended),
    ]);
}
