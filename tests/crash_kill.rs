//! A process that writes and takes snapshots is killed with SIGKILL at random moments, again
//! and again. What comes back must be exactly a state that it was in between two operations,
//! and not older than the last one that it reported durable.
//!
//! Runs 30 times in `cargo test`, 200 times with `STILLHEAP_LONG=1`.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use stillheap::{Durable, Event, Heap, Options, ProcessHeap, XTree};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

/// What an operation changes: several kinds of memory, tied together by `check`.
#[derive(Durable, Default)]
struct State {
    step: u64,
    names: BTreeMap<String, u64>,
    by_number: HashMap<u64, Vec<u8>>,
    recent: VecDeque<Box<u64>>,
    places: XTree<2, u64>,
    log: Vec<u64>,
}

impl State {
    /// One operation. Which one hangs on the step's number alone.
    fn advance(&mut self) {
        let number = mix(self.step);
        let key = number % 500;
        match number >> 32 & 7 {
            0..=3 => {
                self.names.insert(format!("name {key}"), number);
                let old = self.by_number.insert(key, vec![7; (number >> 20 & 1023) as usize]);
                assert_eq!(
                    old.is_some(),
                    self.places.remove(&point(key).into(), |at| *at == key).is_some()
                );
                self.places.insert(point(key), key).expect("finite coordinates");
            }
            4 | 5 => {
                self.names.remove(&format!("name {key}"));
                if self.by_number.remove(&key).is_some() {
                    self.places.remove(&point(key).into(), |at| *at == key).expect("as in the map");
                }
            }
            _ => self.log.push(number),
        }
        self.recent.push_back(Box::new(number));
        if self.recent.len() > 20 {
            self.recent.pop_front();
        }
        self.step += 1;
    }

    fn replayed(steps: u64) -> Self {
        let mut state = Self::default();
        (0..steps).for_each(|_| state.advance());
        state
    }

    fn check(&self) {
        assert_eq!(self.names.len(), self.by_number.len());
        assert_eq!(self.places.len(), self.by_number.len());
        self.places.validate().expect("a sound tree");
        let expected = Self::replayed(self.step);
        let differs = |what| panic!("{what} at step {} are not what they were", self.step);
        if expected.names != self.names {
            differs("the names")
        }
        if expected.by_number != self.by_number {
            differs("the numbers")
        }
        if expected.recent != self.recent {
            differs("the recent ones")
        }
        if expected.log != self.log {
            differs("the log's entries")
        }
        for key in self.by_number.keys() {
            let found = self.places.nearest(point(*key), 1);
            assert_eq!(found.len(), 1);
        }
    }
}

fn point(key: u64) -> [f64; 2] {
    let number = mix(key ^ 0xabcd);
    [(number & 0xffff) as f64, (number >> 16 & 0xffff) as f64]
}

fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ mixed >> 31).wrapping_mul(0x94d0_49bb_1331_11eb) ^ mixed >> 17
}

/// The process that is killed: checks what came back, then goes on until it dies.
fn writer(dir: &Path) {
    let say = |line: String| {
        let mut out = std::io::stdout().lock();
        // The parent may be gone; then there is nobody to tell.
        let _ = writeln!(out, "{line}");
        let _ = out.flush();
    };
    // What the trigger takes is reported, too.
    let options = Options::new()
        .check_tracked(true)
        .snapshot_every_ops(170)
        .restart_on_collision(true)
        .on_event(move |event| match event {
            Event::Durable(info) => say(format!("durable {}", info.operations)),
            // It comes when it comes.
            Event::Swept(_) => {}
            other => say(format!("event {other}")),
        });
    let heap: Heap = HEAP.open(dir, options).expect("a heap");
    let state = heap.root::<State>("state").expect("the same type");
    state.read(State::check);
    heap.validate().expect("a sound heap");
    let step = state.read(|state| state.step);
    let operations = heap.restored().map_or(0, |restored| restored.operations);
    assert_eq!(step, operations, "one operation a step");
    say(format!("back {step}"));
    loop {
        for _ in 0..40 {
            state.write(State::advance);
        }
        if mix(state.read(|state| state.step)).is_multiple_of(16) {
            let info = heap.snapshot().and_then(|still| still.wait_durable()).expect("durable");
            say(format!("durable {}", info.operations));
        }
    }
}

fn start(dir: &Path) -> Child {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.env("STILLHEAP_TEST_DIR", dir).stdout(Stdio::piped());
    command.spawn().expect("a process")
}

/// Lets a writer live for `lifetime` after it has begun, kills it, and checks what it said.
/// Gives the last step that it reported durable.
fn one_life(dir: &Path, lifetime: Duration, durable_before: u64) -> (u64, u64) {
    let mut child = start(dir);
    let mut out = BufReader::new(child.stdout.take().expect("its output")).lines();
    let first = out.next().expect("a first line").expect("text");
    let back: u64 = number_after(&first, "back").expect("what came back");
    assert!(back >= durable_before, "{back} is older than {durable_before}, which was durable");
    std::thread::sleep(lifetime);
    child.kill().expect("the process lives");
    child.wait().expect("its end");
    let durable = out.map_while(Result::ok).filter_map(|line| number_after(&line, "durable")).max();
    (back, durable.unwrap_or(0).max(durable_before))
}

fn number_after(line: &str, word: &str) -> Option<u64> {
    line.strip_prefix(word)?.trim().parse().ok()
}

fn main() {
    if let Some(dir) = std::env::var_os("STILLHEAP_TEST_DIR") {
        return writer(Path::new(&dir));
    }
    let long = std::env::var_os("STILLHEAP_LONG").is_some();
    let lives = if long { 200 } else { 30 };
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    let begun = Instant::now();
    let (mut durable, mut lost, mut most_back) = (0, 0_u64, 0);
    for life in 0..lives {
        // Longer lives on a machine on which none has left anything yet.
        let slow = if most_back == 0 { u32::try_from(life).unwrap_or(1) } else { 0 };
        let lifetime = Duration::from_micros(mix(life) % 200_000) * (1 + slow);
        let (back, now_durable) = one_life(&dir, lifetime, durable);
        lost += u64::from(back < durable);
        most_back = most_back.max(back);
        durable = now_durable;
    }
    assert!(most_back > 0, "no life ever left anything");
    assert_eq!(lost, 0);
    println!(
        "killed {lives} times in {:.1} s: every state that came back was whole, the last one at \
         step {most_back}; durable up to {durable}",
        begun.elapsed().as_secs_f64()
    );
    println!("test result: ok. {lives} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
}
