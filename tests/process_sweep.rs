//! What a dead run left behind: it is found and freed, whatever roots lead to stays, and a heap
//! that is restarted again and again stays as large as it is.
//!
//! `STILLHEAP_LONG=1 cargo test --release --test process_sweep` restarts a thousand times.

mod support;
mod wide_support;

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use stillheap::{Heap, Options, ProcessHeap, Root, Swept};
use wide_support::{Wide, text};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

/// Waits until what is left behind has been freed.
fn swept(heap: &Heap) -> Swept {
    support::until("nobody sweeps", || heap.stats().swept.is_some());
    heap.stats().swept.expect("it stays")
}

/// Memory that only this run's stack leads to, of all sizes; some of it looks like a root's.
fn temporary(from: u64) -> (Wide, Vec<Vec<u8>>) {
    let bytes = [10, 100, 1000, 10_000, 100_000, 1_000_000, 5_000_000];
    (Wide::of(from, 0), bytes.iter().map(|&len| vec![1; len]).collect())
}

fn fill(dir: &Path) {
    let before = Wide::of(7, 1);
    let heap = HEAP.open(dir, Options::new()).expect("a heap");
    let ambient = Wide::of(70_000, 1);
    let root: Root<Vec<Wide>> = heap.root("wide").expect("a root");
    // Made before the opening, outside of a scope, and in one.
    root.write(|wide| wide.extend([before, ambient, Wide::of(700_000, 1)]));
    let garbage = temporary(9);
    let made_inside = root.write(|_| Wide::of(5, 0));
    heap.snapshot().expect("a freeze").wait_durable().expect("durable");
    std::hint::black_box((garbage, made_inside));
    support::die();
}

/// Looks at everything again, after the sweep, and goes on; `keep`: without one.
fn go_on(dir: &Path, keep: bool) {
    let heap = HEAP.open(dir, Options::new().sweep(!keep)).expect("a heap");
    let root: Root<Vec<Wide>> = heap.root("wide").expect("a root");
    if !keep {
        let swept = swept(&heap);
        let (freed, kept) = (swept.freed, swept.kept);
        // The temporary memory of one run, what was made in a scope among it.
        assert!(freed.ambient.bytes > 9_000_000, "{swept:?}");
        assert!(freed.scoped.bytes > 3_000_000, "{swept:?}");
        assert!(freed.tracked.blocks >= 10, "{swept:?}");
        assert!(kept.ambient.bytes > 10_000_000 && kept.scoped.bytes > 5_000_000, "{swept:?}");
        assert_eq!(swept.found.all().blocks, freed.all().blocks + kept.all().blocks);
    }
    heap.validate().expect("a sound heap");
    root.read(|wide| check_all(wide));
    let garbage = temporary(11);
    let made_inside = root.write(|_| Wide::of(5, 0));
    heap.snapshot().expect("a freeze").wait_durable().expect("durable");
    println!("held {}", heap.stats().heap.blocks);
    std::hint::black_box((garbage, made_inside));
    support::die();
}

fn check_all(wide: &[Wide]) {
    assert_eq!(wide.len(), 3);
    for (wide, from) in wide.iter().zip([7, 70_000, 700_000]) {
        wide.check(from, 1);
    }
}

fn go_on_sweeping(dir: &Path) {
    go_on(dir, false);
}

fn go_on_keeping(dir: &Path) {
    go_on(dir, true);
}

fn held(text: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix("held "));
    line.expect("a number").parse().expect("a number")
}

fn what_roots_lead_to_stays_and_the_rest_goes() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    support::run_until_killed("fill", &dir);
    let first = held(&support::run_until_killed("go_on_sweeping", &dir));
    for _ in 0..3 {
        let now = held(&support::run_until_killed("go_on_sweeping", &dir));
        assert!(now.abs_diff(first) < first / 50, "{now} blocks, and {first} at first");
    }
    // Without the sweep the heap grows: so it is the sweep that keeps it as it is.
    let kept = held(&support::run_until_killed("go_on_keeping", &dir));
    assert!(kept > first + 2000, "{kept} blocks, and {first} before");
    let now = held(&support::run_until_killed("go_on_sweeping", &dir));
    assert!(now.abs_diff(first) < first / 50, "{now} blocks, and {first} at first");
}

/// Threads that change and read a root as fast as they can, while the sweep goes on.
fn busy(dir: &Path) {
    let heap = HEAP.open(dir, Options::new()).expect("a heap");
    let root: Root<Vec<Wide>> = heap.root("wide").expect("a root");
    thread::scope(|scope| {
        let workers: Vec<_> = (0..3_u64)
            .map(|worker| {
                let (root, heap) = (&root, &heap);
                scope.spawn(move || {
                    let mut rounds = 0;
                    while heap.stats().swept.is_none() || rounds < 20 {
                        let from = [7, 70_000, 700_000][usize::try_from(worker).expect("small")];
                        let place = usize::try_from(worker).expect("small");
                        // All that the sweep must keep is freed, and made again.
                        let old = root
                            .write(|wide| std::mem::replace(&mut wide[place], Wide::of(from, 1)));
                        old.check(from, 1);
                        drop(old);
                        root.read(|wide| wide[place].check(from, 1));
                        rounds += 1;
                    }
                })
            })
            .collect();
        workers.into_iter().for_each(|worker| worker.join().expect("a worker"));
    });
    heap.validate().expect("a sound heap");
    root.read(|wide| check_all(wide));
    heap.snapshot().expect("a freeze").wait_durable().expect("durable");
    support::die();
}

fn a_busy_program_is_swept_beneath() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    support::run_until_killed("fill", &dir);
    for _ in 0..3 {
        support::run_until_killed("busy", &dir);
    }
    support::run_until_killed("go_on_keeping", &dir);
}

/// A run of a program whose root has a constant size, and whose every run leaves memory behind.
fn run_once(dir: &Path) {
    let heap = HEAP.open(dir, Options::new().keep(1)).expect("a heap");
    let restored = heap.restored().is_some();
    let root: Root<BTreeMap<u64, String>> = heap.root("constant").expect("a root");
    if restored {
        println!("swept {}", swept(&heap).freed.ambient.bytes);
    }
    let start = root.read(|map| map.values().next().map_or(0, |first| first.len() as u64));
    root.write(|map| {
        map.clear();
        map.extend((0..2000).map(|number| (number, text(start + number))));
    });
    let garbage: Vec<String> = (0..10_000).map(text).collect();
    let info = heap.snapshot().expect("a freeze").wait_durable().expect("durable");
    let stats = heap.stats().heap;
    println!("size {} {} {}", info.pages, stats.committed, stats.cells);
    std::hint::black_box(&garbage);
    support::die();
}

fn an_image_stays_as_large_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    let rounds = if std::env::var_os("STILLHEAP_LONG").is_some() { 1000 } else { 30 };
    let (mut sizes, mut thorough) = (Vec::new(), 0);
    for _ in 0..rounds {
        let text = support::run_until_killed("run_once", &dir);
        let swept = text.lines().find_map(|line| line.strip_prefix("swept "));
        let bytes: u64 = swept.map_or(0, |swept| swept.parse().expect("a number"));
        thorough += usize::from(bytes > 500_000);
        let line = text.lines().find_map(|line| line.strip_prefix("size ")).expect("sizes");
        let numbers: Vec<u64> = line.split(' ').map(|n| n.parse().expect("a number")).collect();
        let newest = stillheap_files(&dir);
        sizes.push([newest, numbers[1], numbers[2]]);
    }
    // A word that was left in a block before its present value may lead to a run's garbage, which
    // is kept then, and freed by a later sweep.
    assert!(thorough * 10 > rounds * 7, "{thorough} of {rounds}");
    let early = sizes[5..10].iter().copied().reduce(max).expect("sizes");
    let late = sizes[rounds - 5..].iter().copied().reduce(max).expect("sizes");
    for (round, sizes) in (1..).zip(&sizes).filter(|(round, _)| round % 100 == 0) {
        println!("{round} rounds: file bytes, bytes in use, cells {sizes:?}");
    }
    println!("file bytes, bytes in use, cells: rounds 5 to 9 {early:?}, the last five {late:?}");
    for (early, late) in early.iter().zip(late) {
        // One run's garbage more, in each of two files, is kept by such a word for good.
        assert!(late * 10 <= early * 12, "{sizes:?}");
    }
}

/// Bytes of the files that make up the heap.
fn stillheap_files(dir: &Path) -> u64 {
    let files = std::fs::read_dir(dir).expect("a directory");
    files.map(|file| file.expect("a file").metadata().expect("its size").len()).sum()
}

fn max(left: [u64; 3], right: [u64; 3]) -> [u64; 3] {
    std::array::from_fn(|place| left[place].max(right[place]))
}

fn main() {
    if support::plays(&[
        ("fill", fill),
        ("go_on_sweeping", go_on_sweeping),
        ("go_on_keeping", go_on_keeping),
        ("busy", busy),
        ("run_once", run_once),
    ]) {
        return;
    }
    support::run_all(&[
        ("what_roots_lead_to_stays_and_the_rest_goes", what_roots_lead_to_stays_and_the_rest_goes),
        ("a_busy_program_is_swept_beneath", a_busy_program_is_swept_beneath),
        ("an_image_stays_as_large_as_it_is", an_image_stays_as_large_as_it_is),
    ]);
}
