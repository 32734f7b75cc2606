//! A process in which a snapshot is always under way while threads write is killed with SIGKILL
//! at random moments, again and again. What comes back is the state at a freeze, exactly, and
//! not older than the last snapshot that was reported durable.
//!
//! Every third process kills itself while a window is open, or so it seems to it: a segment that
//! has no header yet is the proof.
//!
//! 30 kills in `cargo test`, 200 with `STILLHEAP_LONG=1`.

mod cut_support;
mod support;

use cut_support::common::Common;
use cut_support::lane::Lane;
use cut_support::{Killed, Stage, mix};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::{fs::FileExt, process::ExitStatusExt};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use std::{fs, thread};
use stillheap::{Heap, ProcessHeap, Root, Scope};

#[global_allocator]
pub(crate) static HEAP: ProcessHeap = ProcessHeap::new();

const THREADS: u64 = 3;
/// Cells of each lane: more than a chunk.
const CELLS: usize = 300_000;
/// Has a process kill itself in a window, after so many.
const WINDOWS: &str = "STILLHEAP_TEST_WINDOWS";

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
    let windows = std::env::var(WINDOWS).ok().and_then(|windows| windows.parse().ok());
    thread::scope(|scope| {
        if let Some(windows) = windows {
            let heap = &heap;
            scope.spawn(move || die_in_window(heap, windows));
        }
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

/// Ends the process while a window is open, the first after so many others.
fn die_in_window(heap: &Heap, windows: u64) {
    for window in 0.. {
        while heap.is_saving() {
            if window > windows {
                support::die();
            }
            std::hint::spin_loop();
        }
        while !heap.is_saving() {
            thread::yield_now();
        }
        // Some way into it.
        if window >= windows {
            thread::sleep(Duration::from_micros(mix(windows) % 3000));
        }
    }
}

/// Whether a snapshot's pages were being saved when the process was killed: its segment lacks its
/// header, which is written when they all are there.
fn was_saving(dir: &Path) -> bool {
    let files = fs::read_dir(dir).expect("the folder").flatten();
    let mut segments = files.filter(|file| file.file_name().to_string_lossy().ends_with(".full"));
    let lacks_header = |file: fs::DirEntry| {
        let mut magic = [0; 8];
        let file = fs::File::open(file.path()).expect("a segment");
        // A file that has just been created is still empty.
        file.read_exact_at(&mut magic, 0).is_err() || magic == [0; 8]
    };
    segments.any(lacks_header)
}

/// When a writer dies.
#[derive(Clone, Copy)]
enum Death {
    /// So long after it has begun.
    After(Duration),
    /// By its own hand, in a window, after so many others.
    InWindow(u64),
}

/// Lets a writer live until its death by SIGKILL. Gives the operations that came back at its
/// beginning, and those that it last reported durable.
fn one_life(dir: &Path, death: Death, stage: Stage) -> (u64, u64) {
    let mut command = support::child("writer", dir);
    stage.set(&mut command);
    if let Death::InWindow(windows) = death {
        command.env(WINDOWS, windows.to_string());
    }
    let mut child = Killed(command.stdout(Stdio::piped()).spawn().expect("a process"));
    let mut out = BufReader::new(child.0.stdout.take().expect("its output")).lines();
    let first = out.next().expect("a first line").expect("text");
    let back = number_after(&first, "back").expect("what came back");
    if let Death::After(lifetime) = death {
        thread::sleep(lifetime);
        child.0.kill().expect("a process");
    }
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
    let (mut durable, mut most_back, mut later, mut in_window) = (0, 0, 0, 0);
    for life in 0..lives {
        // Longer lives on a machine on which none has left anything yet.
        let slow = if most_back == 0 { u32::try_from(life).unwrap_or(1) } else { 0 };
        let lifetime = Duration::from_micros(mix(life) % 200_000) * (1 + slow);
        let stage = if life % 2 == 0 { Stage::Usual } else { Stage::Small };
        let death = match life % 3 {
            2 => Death::InWindow(mix(life) % 8),
            _ => Death::After(lifetime),
        };
        let (back, now_durable) = one_life(&dir, death, stage);
        in_window += u64::from(was_saving(&dir));
        assert!(back >= durable, "{back} is older than {durable}, which was durable");
        later += u64::from(back > durable);
        most_back = most_back.max(back);
        durable = now_durable.max(durable);
    }
    assert!(most_back > 0, "no life ever left anything");
    assert!(in_window > 0, "nobody was killed in a window");
    println!(
        "killed {lives} times, {in_window} in a window: the last state that came back has \
         {most_back} operations; {later} were durable before that was said"
    );
}

fn main() {
    match support::role() {
        Some((_, dir)) => writer(&dir),
        None => support::run_all(&[("what_was_durable_comes_back", what_was_durable_comes_back)]),
    }
}
