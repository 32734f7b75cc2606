//! A process in which a snapshot is always under way while threads write is killed with SIGKILL
//! at random moments, again and again. What comes back is the state at a freeze, exactly, and
//! not older than the last snapshot that was reported durable.
//!
//! 30 kills in `cargo test`, 200 with `STILLHEAP_LONG=1`.

mod cut_support;
mod support;

use cut_support::common::Common;
use cut_support::lane::Lane;
use cut_support::{Killed, Stage, mix};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use stillheap::{Heap, ProcessHeap, Root, Scope};

#[global_allocator]
pub(crate) static HEAP: ProcessHeap = ProcessHeap::new();

const THREADS: u64 = 3;
/// Cells of each lane: more than a chunk.
const CELLS: usize = 300_000;

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // The parent may be gone; then there is nobody to tell.
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

fn roots(heap: &Heap) -> (Vec<Root<Lane>>, Root<Common>) {
    let lane = |thread: u64| {
        heap.root_with(&format!("lane {thread}"), || Lane::new(thread, CELLS)).expect("a root")
    };
    let common = heap.root_with("common", || Common::new(THREADS)).expect("a root");
    ((0..THREADS).map(lane).collect(), common)
}

/// Compares all that came back with the models. Gives the number of operations.
fn check(lanes: &[Root<Lane>], common: &Root<Common>) -> u64 {
    let mut operations = common.read(|common| {
        common.check();
        common.operations()
    });
    for (thread, lane) in (0..).zip(lanes) {
        lane.read(Lane::check);
        operations += lane.read(|lane| lane.steps);
        let crossings = lane.read(|lane| lane.crossings);
        assert_eq!(crossings, common.read(|common| common.crossings(thread)));
    }
    operations
}

/// The process that is killed: checks what came back, then goes on until it dies.
fn writer(dir: &Path) {
    let heap = HEAP.open(dir, cut_support::options()).expect("a heap");
    heap.validate().expect("a sound heap");
    let (lanes, common) = roots(&heap);
    let operations = heap.restored().map_or(0, |restored| restored.operations);
    assert_eq!(check(&lanes, &common), operations);
    say(&format!("back {operations}"));
    cut_support::end_on_panic();
    thread::scope(|scope| {
        for (thread, lane) in (0..).zip(&lanes) {
            let common = &common;
            scope.spawn(move || {
                for turn in 0_u64.. {
                    let _scope = mix(turn).is_multiple_of(3).then(Scope::enter);
                    lane.write(|lane| {
                        lane.advance();
                        lane.crossings += u64::from(mix(turn).is_multiple_of(3));
                    });
                    if mix(turn).is_multiple_of(3) {
                        common.share(|common| common.advance(thread, true));
                    }
                }
            });
        }
        loop {
            let still = heap.snapshot().expect("a freeze");
            let info = still.wait_durable().expect("durable");
            say(&format!("durable {}", info.operations));
        }
    });
}

/// Lets a writer live for `lifetime` after it has begun, and kills it. Gives the operations that
/// came back at its beginning, and those that it last reported durable.
fn one_life(dir: &Path, lifetime: Duration, stage: Stage) -> (u64, u64) {
    let mut command = support::child("writer", dir);
    stage.set(&mut command);
    let mut child = Killed(command.stdout(Stdio::piped()).spawn().expect("a process"));
    let mut out = BufReader::new(child.0.stdout.take().expect("its output")).lines();
    let first = out.next().expect("a first line").expect("text");
    let back = number_after(&first, "back").expect("what came back");
    thread::sleep(lifetime);
    child.0.kill().expect("a process");
    let status = child.0.wait().expect("its end");
    assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
    let durable = out.map_while(Result::ok).filter_map(|line| number_after(&line, "durable")).max();
    (back, durable.unwrap_or(0))
}

fn number_after(line: &str, word: &str) -> Option<u64> {
    line.strip_prefix(word)?.trim().parse().ok()
}

fn what_was_durable_comes_back() {
    let lives = if cut_support::is_long() { 200 } else { 30 };
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    let (mut durable, mut most_back, mut later) = (0, 0, 0);
    for life in 0..lives {
        // Longer lives on a machine on which none has left anything yet.
        let slow = if most_back == 0 { u32::try_from(life).unwrap_or(1) } else { 0 };
        let lifetime = Duration::from_micros(mix(life) % 200_000) * (1 + slow);
        let stage = if life % 2 == 0 { Stage::Usual } else { Stage::Small };
        let (back, now_durable) = one_life(&dir, lifetime, stage);
        assert!(back >= durable, "{back} is older than {durable}, which was durable");
        later += u64::from(back > durable);
        most_back = most_back.max(back);
        durable = now_durable.max(durable);
    }
    assert!(most_back > 0, "no life ever left anything");
    println!(
        "killed {lives} times: the last state that came back has {most_back} operations; {later} \
         were durable before that was said"
    );
}

fn main() {
    match support::role() {
        Some((_, dir)) => writer(&dir),
        None => support::run_all(&[("what_was_durable_comes_back", what_was_durable_comes_back)]),
    }
}
