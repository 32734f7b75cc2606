//! A snapshot is a cut: threads change values on many pages of both kinds, each operation at
//! least eight, while snapshots are taken back to back. Another process opens each and finds
//! exactly what the operations up to the freeze made, and no part of another one.
//!
//! 50 snapshots in `cargo test`, 1,000 with `STILLHEAP_LONG=1`. What a writer that breaks the
//! rules leaves has to be caught, too.
#![allow(clippy::cast_possible_truncation, reason = "indices of a 64-bit machine")]

mod cut_support;
mod support;

use cut_support::common::Common;
use cut_support::lane::Lane;
use cut_support::{Stage, Stills, mix};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use stillheap::{Durable, Heap, ProcessHeap, Root, Scope};

#[global_allocator]
pub(crate) static HEAP: ProcessHeap = ProcessHeap::new();

/// Cells of all lanes together: 16 MiB.
const CELLS: usize = 2 << 20;
const THREADS: &str = "STILLHEAP_TEST_THREADS";

/// How many lanes there are.
#[derive(Durable)]
struct Setup {
    threads: u64,
}

struct Roots {
    lanes: Vec<Root<Lane>>,
    common: Root<Common>,
}

/// The roots of a heap; a new heap gets as many lanes as the environment says.
fn roots(heap: &Heap) -> Roots {
    let wanted =
        || Setup { threads: std::env::var(THREADS).expect("how many").parse().expect("a number") };
    let threads =
        heap.root_with("setup", wanted).expect("a root").read(|setup: &Setup| setup.threads);
    let lane = |thread: u64| {
        let make = || Lane::new(thread, CELLS / threads as usize);
        heap.root_with(&format!("lane {thread}"), make).expect("a root")
    };
    Roots {
        lanes: (0..threads).map(lane).collect(),
        common: heap.root_with("common", || Common::new(threads)).expect("a root"),
    }
}

/// Three kinds of operations for ever: on the own state, on the common one, and on both.
fn work(thread: u64, lane: &Root<Lane>, common: &Root<Common>, ended: &AtomicU64) {
    for turn in 0_u64.. {
        let operations = match mix(turn ^ thread << 32) % 4 {
            0 => {
                common.share(|common| common.advance(thread, false));
                1
            }
            1 => {
                let _scope = Scope::enter();
                lane.write(|lane| {
                    lane.advance();
                    lane.crossings += 1;
                });
                common.share(|common| common.advance(thread, true));
                2
            }
            _ => {
                lane.write(Lane::advance);
                1
            }
        };
        ended.fetch_add(operations, Relaxed);
    }
}

fn writer(dir: &Path) {
    let heap = HEAP.open(dir, cut_support::options()).expect("a heap");
    let Roots { lanes, common } = roots(&heap);
    let stills = Stills::new(&heap, dir);
    thread::scope(|scope| {
        for (thread, lane) in (0..).zip(&lanes) {
            let (common, ended) = (&common, &stills.ended);
            scope.spawn(move || work(thread, lane, common, ended));
        }
        stills.take_for_ever()
    });
}

fn check(dir: &Path) {
    let (heap, _) = cut_support::open_still(dir, cut_support::options());
    let Roots { lanes, common } = roots(&heap);
    let mut operations = 0;
    for (thread, lane) in (0..).zip(&lanes) {
        lane.read(|lane| {
            lane.check();
            operations += lane.steps;
            let common = common.read(|common| common.crossings(thread));
            assert_eq!(lane.crossings, common, "half of a scope over two roots");
        });
    }
    common.read(Common::check);
    operations += common.read(Common::operations);
    assert_eq!(operations, heap.restored().expect("a snapshot").operations);
    // It can be worked with.
    lanes.iter().for_each(|lane| lane.write(Lane::advance));
    lanes.iter().for_each(|lane| lane.read(Lane::check));
    std::process::exit(0);
}

fn run_writer(role: &str, dir: &Path, threads: u64, stage: Stage) -> Command {
    let mut command = support::child(role, dir);
    stage.set(command.env(THREADS, threads.to_string()));
    command
}

fn every_snapshot_is_a_cut() {
    let (rounds, stills) = if cut_support::is_long() { (10, 25) } else { (1, 13) };
    for _ in 0..rounds {
        for (threads, stage) in
            [(1, Stage::Usual), (2, Stage::Small), (8, Stage::Usual), (8, Stage::Small)]
        {
            let folder = tempfile::tempdir().expect("a folder");
            let dir = folder.path().join("heap");
            let mut writer = run_writer("writer", &dir, threads, stage);
            cut_support::all_good(&mut writer, "check", stills);
        }
    }
}

/// Makes of each operation two scopes.
fn in_halves(dir: &Path) {
    let heap = HEAP.open(dir, cut_support::options()).expect("a heap");
    let lane = &roots(&heap).lanes[0];
    let stills = Stills::new(&heap, dir);
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                lane.write(Lane::change_guarded);
                lane.write(Lane::change_tracked);
            }
        });
        stills.take_for_ever()
    });
}

/// Looks at the lanes alone, and not at how many operations there were.
fn check_lanes(dir: &Path) {
    let (heap, _) = cut_support::open_still(dir, cut_support::options());
    roots(&heap).lanes.iter().for_each(|lane| lane.read(Lane::check));
    std::process::exit(0);
}

fn half_an_operation_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = run_writer("in_halves", &folder.path().join("heap"), 1, Stage::Usual);
    let text = cut_support::first_bad(&mut writer, "check_lanes", 50);
    assert!(text.contains("half of an operation"), "{text}");
}

/// Numbers on pages of their own, which code can reach without the root.
type Loose = Arc<[AtomicU64]>;

fn loose(heap: &Heap) -> Root<Loose> {
    heap.root_with("loose", || (0..64 * 512).map(|_| AtomicU64::new(0)).collect()).expect("a root")
}

fn set_all(loose: &Loose, number: u64) {
    loose.iter().step_by(512).for_each(|place| place.store(number, Relaxed));
}

fn loose_writer(dir: &Path, change: impl Fn(&Root<Loose>, &Loose, u64) + Sync) {
    let heap = HEAP.open(dir, cut_support::options()).expect("a heap");
    let root = loose(&heap);
    let escaped = root.read(Arc::clone);
    let stills = Stills::new(&heap, dir);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                change(&root, &escaped, number);
            }
        });
        stills.take_for_ever()
    });
}

fn inside_scopes(dir: &Path) {
    loose_writer(dir, |root, _, number| root.share(|loose| set_all(loose, number)));
}

fn outside_scopes(dir: &Path) {
    loose_writer(dir, |_, escaped, number| set_all(escaped, number));
}

fn check_loose(dir: &Path) {
    let (heap, _) = cut_support::open_still(dir, cut_support::options());
    loose(&heap).read(|loose| {
        let first = loose[0].load(Relaxed);
        let same = loose.iter().step_by(512).all(|place| place.load(Relaxed) == first);
        assert!(same, "half of a change");
    });
    std::process::exit(0);
}

fn a_change_outside_scopes_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let writer = |role: &str| run_writer(role, &folder.path().join(role), 1, Stage::Usual);
    cut_support::all_good(&mut writer("inside_scopes"), "check_loose", 5);
    let text = cut_support::first_bad(&mut writer("outside_scopes"), "check_loose", 50);
    assert!(text.contains("half of a change"), "{text}");
}

const ROLES: &[support::Role] = &[
    ("writer", writer),
    ("check", check),
    ("in_halves", in_halves),
    ("check_lanes", check_lanes),
    ("inside_scopes", inside_scopes),
    ("outside_scopes", outside_scopes),
    ("check_loose", check_loose),
];

fn main() {
    if support::plays(ROLES) {
        return;
    }
    support::run_all(&[
        ("every_snapshot_is_a_cut", every_snapshot_is_a_cut),
        ("half_an_operation_is_found", half_an_operation_is_found),
        ("a_change_outside_scopes_is_found", a_change_outside_scopes_is_found),
    ]);
}
