//! X-trees in a process that is killed with SIGKILL at random moments, again and again: what
//! comes back answers every kind of question as the list does that lies beside it in the same
//! snapshot. At last all is taken out, and filled again by several threads while snapshots are
//! taken.
//!
//! 10 kills in `cargo test`, 150 with `STILLHEAP_LONG=1`.

mod support;
mod xtree_restart_support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use stillheap::{Heap, Options, ProcessHeap, Root};
use xtree_restart_support::{Random, db::Db};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

/// How long taking all out and filling it again may take: it hangs if it takes longer.
const PATIENCE: Duration = Duration::from_secs(120);

fn is_long() -> bool {
    std::env::var_os("STILLHEAP_LONG").is_some()
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // The parent may be gone; then there is nobody to tell.
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

fn open(dir: &Path) -> (Heap, Root<Db>) {
    let options = Options::new().check_tracked(true).restart_on_collision(true);
    let heap = HEAP.open(dir, options).expect("a heap");
    heap.validate().expect("a sound heap");
    let db = heap.root_with("db", Db::new).expect("a root");
    db.read(Db::check);
    (heap, db)
}

/// The process that is killed: checks what came back, then goes on until it dies.
fn writer(dir: &Path) {
    let (heap, db) = open(dir);
    let steps = db.read(|db| db.steps);
    assert_eq!(steps, heap.restored().map_or(0, |restored| restored.operations));
    say(&format!("back {steps}"));
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                db.write(Db::advance);
            }
        });
        for round in 0_u64.. {
            let info = heap.snapshot().and_then(|still| still.wait_durable()).expect("durable");
            say(&format!("durable {}", info.operations));
            thread::sleep(Duration::from_millis(round * 7 % 20));
        }
    });
}

/// Takes all out; snapshots come in between, and one at the end.
fn emptier(dir: &Path) {
    let (heap, db) = open(dir);
    let mut left = 1;
    while !db.write(Db::shrink) {
        left += 1;
        if left % 200 == 0 {
            db.read(Db::check);
            heap.snapshot().expect("a freeze");
        }
    }
    db.read(Db::check_empty);
    heap.snapshot().and_then(|still| still.wait_durable()).expect("durable");
    support::die();
}

/// Fills empty trees, also on several threads, while snapshots are taken.
fn filler(dir: &Path) {
    let (heap, db) = open(dir);
    db.read(Db::check_empty);
    let rounds = if is_long() { 40 } else { 4 };
    let (is_loading, taken) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while taken.load(Ordering::Relaxed) < rounds {
                // It is asked for amid a load, and waits for its end.
                support::until("it is loaded", || is_loading.swap(false, Ordering::Relaxed));
                support::until("there is a freeze", || {
                    heap.snapshot().is_ok_and(|still| still.wait_durable().is_ok())
                });
                taken.fetch_add(1, Ordering::Relaxed);
            }
        });
        for round in 0..rounds {
            db.write(|db| {
                is_loading.store(true, Ordering::Relaxed);
                db.load(round % 4 == 3);
            });
            support::until("a snapshot is taken", || {
                (0..20).for_each(|_| db.write(Db::advance));
                taken.load(Ordering::Relaxed) > round
            });
        }
    });
    heap.snapshot().and_then(|still| still.wait_durable()).expect("durable");
    println!("filled {}", db.read(|db| db.steps));
    std::io::stdout().flush().expect("an output");
    support::die();
}

/// Looks at what was filled, and empties it the short way.
fn last(dir: &Path) {
    let (heap, db) = open(dir);
    println!("last {}", db.read(|db| db.steps));
    db.write(|db| *db = Db::new());
    db.read(Db::check_empty);
    heap.validate().expect("a sound heap");
}

/// Lets a writer live for so long after it has begun, and kills it. Gives the step that came back,
/// and the last that it reported durable.
fn one_life(dir: &Path, lifetime: Duration) -> (u64, u64) {
    let mut child = support::child("writer", dir);
    let mut child = child.stdout(Stdio::piped()).spawn().expect("a process");
    let mut out = BufReader::new(child.stdout.take().expect("its output")).lines();
    let first = out.next().expect("a first line").expect("text");
    let back = number_after(&first, "back").expect("what came back");
    thread::sleep(lifetime);
    child.kill().expect("the process lives");
    child.wait().expect("its end");
    let durable = out.map_while(Result::ok).filter_map(|line| number_after(&line, "durable")).max();
    (back, durable.unwrap_or(0))
}

fn number_after(line: &str, word: &str) -> Option<u64> {
    line.strip_prefix(word)?.trim().parse().ok()
}

fn killed_emptied_and_filled_again() {
    let (lives, begun) = (if is_long() { 150 } else { 10 }, Instant::now());
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    let (mut durable, mut most_back) = (0, 0);
    let mut random = Random::new(7);
    for life in 0..lives {
        // Longer lives on a machine on which none has left anything yet.
        let slow = if most_back == 0 { 1 + life } else { 1 };
        let lifetime = Duration::from_secs_f64(random.unit() * 0.25) * slow;
        let (back, now_durable) = one_life(&dir, lifetime);
        assert!(back >= durable, "{back} is older than {durable}, which was durable");
        (most_back, durable) = (back, now_durable.max(back));
    }
    assert!(most_back > 0, "no life ever left anything");
    println!("killed {lives} times, at step {most_back} after {:?}", begun.elapsed());
    for role in ["emptier", "filler"] {
        let output = support::output_within(&mut support::child(role, &dir), PATIENCE);
        let text = support::text_of(&output);
        assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{role}: {text}");
        print!("{text}");
        println!("{role} ended after {:?}", begun.elapsed());
    }
    let last = support::run("last", &dir);
    assert!(number_after(&last, "last").is_some_and(|steps| steps > durable), "{last}");
}

fn main() {
    const ROLES: &[support::Role] =
        &[("writer", writer), ("emptier", emptier), ("filler", filler), ("last", last)];
    if !support::plays(ROLES) {
        support::run_all(&[("killed_emptied_and_filled_again", killed_emptied_and_filled_again)]);
    }
}
