//! Readers beside a writer: what 0, 1, 2 and 4 threads that ask, and one that moves points without
//! a pause, get done together, and how long single calls take.
//!
//! `cargo run --release --manifest-path benches/xtree/Cargo.toml --bin readers`; `-- --quick` for a
//! second each. In turns: an X-tree of a million points in a root of a durable heap, of which a
//! snapshot is taken twice a second; the same without snapshots; rstar behind a lock of the
//! standard library's, outside of a heap. Each call takes the lock once. A reader asks by turns
//! for a window with some ten points and for the ten nearest.
//!
//! Prints `metric readers.<who>.<readers>.<what> VALUE UNIT`. Calls are all calls of their kind a
//! second; waits are what one in a thousand, and the longest, took in all, working included: on
//! fewer processors than threads they are those of the system's scheduler. And for the first,
//! `uses_*`: what noting which nodes are read costs, of the time of a read.

#[path = "../../../shared/histogram.rs"]
mod histogram;
mod hours;
#[path = "../../../shared/random.rs"]
mod random;
mod stage;
#[path = "../switch.rs"]
#[allow(dead_code, reason = "bytes are counted in the other program alone")]
mod switch;

use hours::Hours;
use rstar::primitives::GeomWithData;
use rstar::{AABB, RTree};
use stage::Shared;
use std::process::{Command, Stdio};
use std::sync::RwLock;
use std::time::{Duration, Instant};
use stillheap::{EuclideanSquared, Options, Rect, Root, UseStats, XTree};

pub(crate) type Error = Box<dyn std::error::Error>;
pub(crate) type Tree = XTree<2, u64>;

const WHO: [&str; 3] = ["root_with_snapshots", "root", "rstar_in_rwlock"];

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [child, who, folder, seconds] = arguments.as_slice()
        && child == "--child"
    {
        return measure(who, folder, Duration::from_secs(seconds.parse()?));
    }
    let seconds = if arguments.iter().any(|argument| argument == "--quick") { "1" } else { "5" };
    for who in WHO {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--child", who]).arg(folder.path()).arg(seconds);
        if who != WHO[2] {
            command.env(switch::VARIABLE.to_str()?, switch::HEAP);
        }
        let status = command.stdout(Stdio::inherit()).status()?;
        if !status.success() {
            return Err(format!("{who}: {status}").into());
        }
    }
    Ok(())
}

fn measure(who: &str, folder: &str, time: Duration) -> Result<(), Error> {
    if who == WHO[2] {
        let tree = RwLock::new(Theirs::new());
        all(who, &tree, time);
        return Ok(());
    }
    let mut options = Options::new();
    if who == WHO[0] {
        options = options.snapshot_every(Duration::from_millis(500));
    }
    let heap = switch::ALLOCATOR.heap().open(folder, options)?;
    let root: Root<Tree> = heap.root("tree")?;
    all(who, &root, time);
    if who == WHO[1] {
        let before = heap.stats().uses;
        let alone = stage::run(&root, 1, false, time);
        uses(who, &alone.reads, before, heap.stats().uses);
    }
    // It is not closed: that would be one more snapshot.
    std::mem::forget(heap);
    Ok(())
}

fn all(who: &str, tree: &impl Shared, time: Duration) {
    stage::fill(tree);
    for readers in [0, 1, 2, 4] {
        let outcome = stage::run(tree, readers, true, time);
        for (kind, hours) in [("reads", &outcome.reads), ("writes", &outcome.writes)] {
            hours.print(&format!("readers.{who}.{readers}.{kind}"), time);
        }
    }
}

/// What it costs to note the nodes that are read.
fn uses(who: &str, reads: &Hours, before: UseStats, after: UseStats) {
    let noted = (after.noted - before.noted) * UseStats::SAMPLING;
    let nodes = noted as f64 / reads.calls() as f64;
    let mut rows = stillheap::Rows::<f64, u64>::new(2, 1);
    rows.write().push(&[0.0, 0.0], 0);
    let calls = 20_000_000;
    let start = Instant::now();
    for _ in 0..calls {
        std::hint::black_box(&rows).note_use();
    }
    let each = start.elapsed().as_secs_f64() * 1e9 / f64::from(calls);
    println!("metric readers.{who}.uses_per_read {nodes:.2} nodes");
    println!("metric readers.{who}.uses_ns {each:.2} ns");
    println!("metric readers.{who}.uses_share {:.4} of a read", nodes * each / reads.mean());
    println!("metric readers.{who}.uses_hit_rate {:.3}", after.hit_rate().unwrap_or(0.0));
}

impl Shared for Root<Tree> {
    fn insert(&self, at: [f64; 2], value: u64) {
        self.write(|tree| tree.insert(at, value)).expect("no coordinate is NaN");
    }

    fn relocate(&self, from: [f64; 2], value: u64, to: [f64; 2]) {
        let moved = self.write(|tree| tree.relocate(&from.into(), |&other| other == value, to));
        assert_eq!(moved, Ok(true));
    }

    fn window(&self, min: [f64; 2], max: [f64; 2]) -> u64 {
        let window = Rect::new(min, max).expect("the corners are in order");
        self.read(|tree| tree.window(&window).fold(0, |sum, (_, value)| sum ^ value))
    }

    fn nearest(&self, at: [f64; 2]) -> u64 {
        self.read(|tree| {
            let mut sum = 0;
            tree.nearest_each(EuclideanSquared, at, 10, |near| sum ^= near.value);
            sum
        })
    }
}

type Theirs = RTree<GeomWithData<[f64; 2], u64>>;

impl Shared for RwLock<Theirs> {
    fn insert(&self, at: [f64; 2], value: u64) {
        self.write().expect("nobody panicked").insert(GeomWithData::new(at, value));
    }

    fn relocate(&self, from: [f64; 2], value: u64, to: [f64; 2]) {
        let mut tree = self.write().expect("nobody panicked");
        assert!(tree.remove(&GeomWithData::new(from, value)).is_some());
        tree.insert(GeomWithData::new(to, value));
    }

    fn window(&self, min: [f64; 2], max: [f64; 2]) -> u64 {
        let tree = self.read().expect("nobody panicked");
        let window = AABB::from_corners(min, max);
        tree.locate_in_envelope_intersecting(&window).fold(0, |sum, found| sum ^ found.data)
    }

    fn nearest(&self, at: [f64; 2]) -> u64 {
        let tree = self.read().expect("nobody panicked");
        tree.nearest_neighbor_iter(&at).take(10).fold(0, |sum, found| sum ^ found.data)
    }
}
