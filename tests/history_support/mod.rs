//! Lives: child processes that open one heap, do what a line of words tells them, and print what
//! they see. Tests run several on one heap, and compare.

#[path = "../support/mod.rs"]
mod support;

pub(crate) use support::{run_all, until};

use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stillheap::{Compression, Durable, Heap, Options, ProcessHeap, Restore, Root, Tracked, XTree};

const LINE: &str = "STILLHEAP_TEST_LINE";
const ROLES: &[support::Role] = &[("live", live)];
const MIB: usize = 1 << 20;

/// Ordinary memory, tracked memory, and what points from one to the other.
#[derive(Durable, Default)]
pub(crate) struct Db {
    pub(crate) round: u64,
    words: Vec<Vec<u64>>,
    pages: Vec<Tracked<[u64; 512]>>,
    texts: HashMap<u64, String>,
    places: XTree<2, u64>,
}

impl Db {
    /// As many MiB of words, and a quarter as many of tracked pages; none of them compresses to
    /// nothing.
    fn fill(&mut self, mib: usize) {
        let words = |part: usize| (0..MIB / 8).map(|word| mix(part, word)).collect();
        self.words = (0..mib).map(words).collect();
        let page = |part: usize| Tracked::new(std::array::from_fn(|word| mix(part, word)));
        self.pages = (0..mib * 64).map(page).collect();
    }

    /// Changes a little of everything.
    pub(crate) fn advance(&mut self) {
        self.round += 1;
        let (round, words, pages) = (self.round, self.words.len(), self.pages.len());
        if words > 0 {
            self.words[at(round, words)][4096] = round;
            self.pages[at(round, pages)].write()[7] = round;
        }
        self.texts.insert(round % 100, format!("round {round}"));
        self.places.insert(place(round), round).expect("finite");
        if round > 200 {
            let gone = self.places.remove(&place(round - 200).into(), |old| *old == round - 200);
            assert!(gone.is_some(), "{}", round - 200);
        }
    }

    pub(crate) fn check(&self) {
        let round = self.round;
        let (words, pages) = (self.words.len(), self.pages.len());
        for (part, found) in self.words.iter().enumerate() {
            let written = last_at(round, words, part);
            for (word, found) in found.iter().enumerate() {
                let expected = written.filter(|_| word == 4096).unwrap_or(mix(part, word));
                assert_eq!(*found, expected, "word {word} of part {part} in round {round}");
            }
        }
        for (part, found) in self.pages.iter().enumerate() {
            let written = last_at(round, pages, part);
            for (word, found) in found.iter().enumerate() {
                let expected = written.filter(|_| word == 7).unwrap_or(mix(part, word));
                assert_eq!(*found, expected, "word {word} of page {part} in round {round}");
            }
        }
        assert_eq!(self.texts.len() as u64, round.min(100));
        assert_eq!(self.places.len() as u64, round.min(200));
        self.places.validate().expect("a sound tree");
        for number in round.saturating_sub(99).max(1)..=round {
            assert_eq!(self.texts[&(number % 100)], format!("round {number}"));
            let nearest = self.places.nearest(place(number), 1);
            assert_eq!(nearest.len(), 1, "round {number}");
        }
    }
}

/// Which of `count` parts a round writes to.
fn at(round: u64, count: usize) -> usize {
    usize::try_from(round).expect("small") * 7 % count
}

/// The last round that wrote to a part.
fn last_at(round: u64, count: usize, part: usize) -> Option<u64> {
    let from = round.saturating_sub(count as u64).max(1);
    (from..=round).rev().find(|&round| at(round, count) == part)
}

fn place(round: u64) -> [f64; 2] {
    let round = u32::try_from(round).expect("small");
    [f64::from(round * 7919 % 10_007), f64::from(round)]
}

/// Half of the words repeat, so that they compress, but not to nothing.
fn mix(part: usize, word: usize) -> u64 {
    let number = ((part as u64 + 1) << 32) | (word as u64 / 2);
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    if word.is_multiple_of(2) { mixed ^ mixed >> 29 } else { part as u64 }
}

/// Plays this process's role, if it is a child.
pub(crate) fn plays() -> bool {
    support::plays(ROLES)
}

/// A heap to be, in a folder that goes with it.
pub(crate) struct Place {
    _folder: tempfile::TempDir,
    pub(crate) dir: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("heap");
        Self { _folder: folder, dir }
    }

    /// Runs a life to its good end. Gives what it printed.
    #[track_caller]
    pub(crate) fn live(&self, line: &str) -> String {
        let output = support::output(&mut self.life(line));
        let text = support::text_of(&output);
        assert!(output.status.success(), "{line}: {}\n{text}", output.status);
        text
    }

    /// Runs a life that fails. Gives what it printed.
    #[allow(dead_code, reason = "not every test program uses all helpers")]
    #[track_caller]
    pub(crate) fn fail(&self, line: &str) -> String {
        let output = support::output(&mut self.life(line));
        let text = support::text_of(&output);
        assert!(!output.status.success(), "{line}: {text}");
        text
    }

    /// The command that a life is run by.
    pub(crate) fn life(&self, line: &str) -> std::process::Command {
        let mut command = support::child("live", &self.dir);
        command.env(LINE, line);
        command
    }

    /// The files that hold segments, rising.
    pub(crate) fn segments(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.dir).expect("a directory");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let is_segment = |path: &PathBuf| path.extension().is_some();
        let mut paths: Vec<PathBuf> = paths.filter(is_segment).collect();
        paths.sort();
        paths
    }

    /// The segment that completes a snapshot.
    pub(crate) fn segment_of(&self, snapshot: u64) -> PathBuf {
        let completes = |path: &PathBuf| header_field(path, 64) == snapshot;
        self.segments().into_iter().find(completes).expect("a segment of that snapshot")
    }

    /// Flips a bit of a segment's pages, where they are not zero.
    pub(crate) fn damage(&self, file: &Path) {
        let bytes = std::fs::read(file).expect("a file");
        let tables = usize::try_from(header_field(file, 128)).expect("small");
        // Of what early runs have left in the boot space, which the program does not look at: it
        // would stumble over what is still to be verified.
        let at = (4096..tables).rev().find(|&at| bytes[at] != 0).expect("a page");
        let opened = std::fs::OpenOptions::new().write(true).open(file).expect("a file");
        opened.write_all_at(&[bytes[at] ^ 0x10], at as u64).expect("room");
    }
}

/// A number in a segment's header.
fn header_field(file: &Path, at: u64) -> u64 {
    let mut bytes = [0; 8];
    std::fs::File::open(file).expect("a file").read_exact_at(&mut bytes, at).expect("a header");
    u64::from_le_bytes(bytes)
}

/// What follows a word in a text, up to the end of its line; all of these.
pub(crate) fn after<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(word)).map(str::trim).collect()
}

/// The life itself: options, a colon, and what is to be done.
fn live(dir: &Path) {
    let line = std::env::var(LINE).expect("a line");
    let (options, actions) = line.split_once(':').expect("two parts");
    let options = options.split_whitespace().fold(defaults(), option);
    let installed: &'static ProcessHeap = &crate::HEAP;
    let heap = match installed.open(dir, options.restart_on_collision(true)) {
        Ok(heap) => heap,
        Err(error) => {
            println!("refused {error}");
            std::process::exit(1);
        }
    };
    let db: Root<Db> = heap.root("db").expect("a root");
    if !line.starts_with("blind ") {
        db.read(Db::check);
        heap.validate().expect("a sound heap");
    }
    match heap.restored() {
        Some(restored) => {
            println!("restored {} round {}", restored.number, db.read(|db| db.round));
            println!("skipped {:?}", restored.skipped);
        }
        None => println!("new"),
    }
    for word in actions.split_whitespace() {
        match word.strip_prefix("revert=") {
            Some(number) => {
                println!("reverted {:?}", heap.revert(number.parse().expect("a number")));
                return;
            }
            None => act(&heap, &db, word),
        }
    }
}

fn defaults() -> Options {
    Options::new().on_event(|event| println!("event {event:?}"))
}

fn option(options: Options, word: &str) -> Options {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    let number = || value.parse::<u64>().expect("a number");
    let codec = |name: &str| match name {
        "lz4" => Compression::Lz4,
        _ => Compression::None,
    };
    match name {
        "at" => options.open_at(number()),
        "keep" => options.keep(usize::try_from(number()).expect("small")),
        "nospare" => options.spare(false),
        "for" => options.keep_for(Duration::from_secs(number())),
        "scrub" => options.scrub(number()),
        // Nothing is read before the first action.
        "blind" => options,
        "checked" => options.check_tracked(true),
        "full" => options.increments(false),
        "progress" => options.on_progress(|done, all| println!("progress {done} of {all}")),
        "verified" => options.restore(Restore::Verified),
        "background" => options.restore(Restore::Background),
        "load" => options.restore(Restore::Load),
        "codec" => {
            let (full, delta) = value.split_once('/').expect("two");
            options.compression(codec(full), codec(delta))
        }
        _ => panic!("no option {name}"),
    }
}

fn act(heap: &Heap, db: &Root<Db>, word: &str) {
    let (name, value) = word.split_once('=').unwrap_or((word, "1"));
    let number: u64 = value.parse().expect("a number");
    match name {
        "fill" => db.write(|db| db.fill(usize::try_from(number).expect("small"))),
        "write" => (0..number).for_each(|_| db.write(Db::advance)),
        "snap" => {
            for _ in 0..number {
                db.write(Db::advance);
                let info = heap.snapshot().and_then(|still| still.wait_durable()).expect("room");
                let form = if info.is_delta { "delta" } else { "full" };
                println!("durable {} {form} round {}", info.number, db.read(|db| db.round));
            }
        }
        "check" => db.read(Db::check),
        "list" => list(heap),
        "verify" => match heap.verify(number) {
            Ok(pages) => println!("sound {number}: {pages} pages"),
            Err(error) => println!("unsound {number}: {error}"),
        },
        "compact" => println!("compacted {:?}", heap.compact()),
        "loaded" => {
            until("it is loaded", || heap.stats().freezes.loaded.is_some());
            let (ready, elapsed) =
                (heap.stats().freezes.ready, heap.restored().map(|it| it.elapsed));
            assert!(ready >= elapsed, "the root cannot be there before the heap: {ready:?}");
        }
        "scrubs" => until("it is verified", || heap.stats().freezes.scrubs >= number),
        "sleep" => std::thread::sleep(Duration::from_millis(number)),
        "ready" => {
            println!("ready");
            // Until the parent says a word, if it has one.
            std::io::stdin().read_line(&mut String::new()).expect("a line");
        }
        // The heap is not closed.
        "quit" => std::process::exit(0),
        _ => panic!("no action {name}"),
    }
}

/// The snapshots' numbers, those set aside with an asterisk; and the longest chain.
fn list(heap: &Heap) {
    let snapshots = heap.snapshots();
    let mark = |aside| if aside { "*" } else { "" };
    let name = |number: u64, aside| format!("{number}{}", mark(aside));
    let names: Vec<String> =
        snapshots.iter().map(|info| name(info.number, info.set_aside)).collect();
    println!("snapshots {}", names.join(" "));
    let longest = snapshots.iter().map(|info| info.segments).max();
    println!("segments {}", longest.unwrap_or(0));
}
