//! Another process's snapshot, mapped to be looked at while its writer goes on: plain pointers at
//! their addresses, newer snapshots on request, and what it must never become.

#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "small numbers")]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Arc, Mutex};
use stillheap::{Attached, Durable, Heap, OpenError, Options, ProcessHeap, Root, RootError, XTree};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

/// All that can be looked at.
#[derive(Durable, Default)]
struct Db {
    round: u64,
    by_name: BTreeMap<String, Vec<u64>>,
    by_number: HashMap<u64, String>,
    empty: HashMap<u64, u64>,
    places: XTree<2, u64>,
}

impl Db {
    fn advance(&mut self) {
        self.round += 1;
        let round = self.round;
        for number in 0..100 {
            self.by_name.entry(format!("name {number}")).or_default().push(round);
            self.by_number.insert(round * 1000 + number, format!("{round} {number}"));
            let place = [round as f64, number as f64];
            self.places.insert(place, round * 1000 + number).expect("a place");
        }
    }

    fn check(&self) {
        let round = self.round;
        assert_eq!((self.by_name.len(), self.by_number.len()), (100, 100 * round as usize));
        assert!(self.by_name.values().all(|rounds| rounds.iter().copied().eq(1..=round)));
        assert_eq!(self.by_number[&(round * 1000 + 7)], format!("{round} 7"));
        assert!(self.empty.is_empty() && !self.empty.contains_key(&3));
        assert_eq!(self.places.len(), 100 * round as usize);
    }
}

fn open(dir: &Path) -> Heap {
    let options = Options::new().keep(4).spare(false).restart_on_collision(true);
    HEAP.open(dir, options).expect("a heap")
}

fn attach(dir: &Path, snapshot: impl Into<Option<u64>> + Copy) -> Attached {
    match HEAP.attach(dir, snapshot) {
        Ok(attached) => attached,
        // Early memory lies where a dead run's does: rare, and not what this is about.
        Err(OpenError::Collision { .. }) => {
            println!("collision");
            std::process::exit(0);
        }
        Err(error) => panic!("{error}"),
    }
}

/// A writer that takes a snapshot for each line that it reads.
fn writer(dir: &Path) {
    let heap = open(dir);
    let db: Root<Db> = heap.root("db").expect("a root");
    let _: Root<Mutex<u64>> = heap.root("locked").expect("a root");
    let _: Root<u32> = heap.root("number").expect("a root");
    let _: Root<Arc<u64>> = heap.root("shared").expect("a root");
    for line in std::io::stdin().lines() {
        match line.expect("a line").as_str() {
            "compact" => drop(heap.compact().expect("room")),
            _ => db.write(Db::advance),
        }
        let info = heap.snapshot().expect("a freeze").wait_durable().expect("room");
        println!("{}", info.number);
    }
    support::die();
}

/// A writer at work.
struct Writer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Writer {
    fn start(dir: &Path) -> Self {
        let mut command = support::child("writer", dir);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, input, output }
    }

    /// Has it take a snapshot, whose number comes back.
    fn snapshot(&mut self, what: &str) -> u64 {
        writeln!(self.input, "{what}").expect("it lives");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        line.trim().parse().expect("a number")
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a writer and reads beside it, newer and newer snapshots.
fn reader(dir: &Path) {
    let mut writer = Writer::start(dir);
    let first = writer.snapshot("write");
    let mut attached = attach(dir, None);
    assert_eq!(attached.snapshot().number, first);
    let address = std::ptr::from_ref(attached.root::<Db>("db").expect("a root")).addr();
    for round in 1..=12 {
        let db: &Db = attached.root("db").expect("a root");
        assert_eq!((db.round, std::ptr::from_ref(db).addr()), (round, address));
        db.check();
        let mine: Vec<String> = db.by_name.keys().cloned().collect();
        assert_eq!(*attached.root::<u32>("number").expect("a root"), 0);
        // Files go that this process has mapped; what is mapped stays.
        let newest = writer.snapshot("write");
        if round % 4 == 0 {
            writer.snapshot("compact");
        }
        db.check();
        assert!(attached.refresh().expect("a newer one"));
        assert!(attached.snapshot().number >= newest);
        assert!(!attached.refresh().expect("the same"));
        assert_eq!(mine.len(), 100, "memory of this process's own");
    }
    let older = attached.snapshot().number - 1;
    assert!(attached.refresh_to(older).expect("it is kept"));
    assert_eq!(attached.snapshot().number, older);
    attached.root::<Db>("db").expect("a root").check();
    let there = attached.refresh_to(1).expect_err("it is pruned").to_string();
    assert!(there.contains("has no snapshot 1"), "{there}");
    attached.root::<Db>("db").expect("what was mapped stays").check();
}

/// What an attached snapshot refuses.
fn refused(dir: &Path) {
    let mut writer = Writer::start(dir);
    let number = writer.snapshot("write");
    let attached = attach(dir, number);
    let text = |error: RootError| error.to_string();
    let error = attached.root::<u64>("none").expect_err("no such root");
    assert!(matches!(error, RootError::NotThere { .. }), "{error}");
    assert!(text(error).contains("db, locked, number, shared"), "it names those there are");
    let error = text(attached.root::<Mutex<u64>>("locked").expect_err("a lock"));
    assert!(error.contains("cells or locks"), "{error}");
    let error = text(attached.root::<Arc<u64>>("shared").expect_err("a shared pointer"));
    assert!(error.contains("copy could be kept"), "{error}");
    let error = text(attached.root::<u64>("number").expect_err("another type"));
    assert!(error.contains("another type"), "{error}");
    let taken = HEAP.open(dir, Options::new()).expect_err("one at a time").to_string();
    assert!(taken.contains("already opened"), "{taken}");
    let again = HEAP.attach(dir, None).expect_err("one at a time").to_string();
    assert!(again.contains("already opened"), "{again}");
    drop(attached);
    let missing = HEAP.attach(dir, 99).expect_err("no such snapshot").to_string();
    assert!(missing.contains("has no snapshot 99"), "{missing}");
    let nothing = HEAP.attach(dir.join("nothing"), None).expect_err("no heap").to_string();
    assert!(nothing.contains("nothing"), "{nothing}");
    assert!(std::fs::read_dir(dir).expect("the heap").count() >= 3, "nothing is made or removed");
}

/// A process that has looked may open the heap itself, once the writer has gone.
fn looks_then_opens(dir: &Path) {
    {
        let mut writer = Writer::start(dir);
        writer.snapshot("write");
        let attached = attach(dir, None);
        attached.root::<Db>("db").expect("a root").check();
    }
    let heap = open(dir);
    let db: Root<Db> = heap.root("db").expect("a root");
    db.write(Db::advance);
    db.read(Db::check);
    heap.validate().expect("a sound heap");
    heap.close().expect("room");
}

/// Damage is found before anything is mapped; the older snapshot is offered instead.
fn damaged(dir: &Path) {
    let mut writer = Writer::start(dir);
    let older = writer.snapshot("write");
    let newest = writer.snapshot("write");
    let name = |entry: std::fs::DirEntry| entry.file_name().into_string().expect("a name");
    let entries = std::fs::read_dir(dir).expect("the heap").flatten().map(name);
    let is_segment = |name: &String| name.ends_with(".full") || name.ends_with(".delta");
    let last = entries.filter(is_segment).max().expect("a segment");
    let mut bytes = std::fs::read(dir.join(&last)).expect("a file");
    // The first page is never empty.
    bytes[4096] ^= 1;
    std::fs::write(dir.join(&last), bytes).expect("a file");
    let attached = attach(dir, None);
    assert_eq!(attached.snapshot().number, older);
    attached.root::<Db>("db").expect("a root").check();
    drop(attached);
    let error = HEAP.attach(dir, newest).expect_err("damage").to_string();
    assert!(error.contains(&last) && error.contains("CRC-32"), "{error}");
}

const ROLES: &[support::Role] = &[
    ("writer", writer),
    ("reader", reader),
    ("refused", refused),
    ("looks_then_opens", looks_then_opens),
    ("damaged", damaged),
];

fn main() {
    if support::plays(ROLES) {
        return;
    }
    support::run_all(&[
        ("a_reader_follows_a_writer", || support::run_in_turn(&["reader"])),
        ("what_cannot_be_looked_at_is_refused", || support::run_in_turn(&["refused"])),
        ("who_has_looked_may_open", || support::run_in_turn(&["looks_then_opens"])),
        ("damage_is_found_first", || support::run_in_turn(&["damaged"])),
    ]);
}
