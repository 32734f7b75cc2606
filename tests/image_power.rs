//! A heap's life, from its creation through snapshots and prunings, cut short after every
//! operation, with every state of the disk that a power cut may leave. What is found then is a
//! snapshot that was taken, whole, and none older than the last one that was durable.

#![allow(clippy::unwrap_used, reason = "a test")]

mod image_support;
mod power_support;

use image_support::{Contents, DELTA, FIRST, SECOND, SMALL, commit, host, identity};
use power_support::{
    Counts, enumerate,
    forgetful::{Forgetful, Forgets},
};
use std::collections::BTreeMap;
use stillheap::{
    base::{PAGE_SIZE, PageIndex},
    image::{Chain, Choice, Compression, Manifest, Wish, choose, choose_as, leftovers},
    os::{
        Dir,
        sim::{Bounds, CrashState, SimDir},
    },
};

const THIRD: Contents = Contents { runs: &[(0, 3)], pages: &[(0, 1), (2, 3)], ..FIRST };
/// More writes than all subsets are tried of.
const MANY: Contents = Contents {
    runs: &[(4, 3), (20, 9)],
    pages: &[(5, 5), (20, 1), (21, 2), (22, 3), (24, 5), (25, 6), (26, 7), (28, 9)],
    ..FIRST
};

/// Upon these.
const MORE: Contents = Contents {
    runs: &[(6, 2), (22, 6)],
    pages: &[(6, 1), (7, 7), (22, 9), (23, 9), (24, 9), (26, 9), (27, 9)],
    ..DELTA
};

/// All pages of all contents are below.
const PAGES: u32 = 40;

/// How much is tried after each operation.
const BOUNDS: Bounds = Bounds { data: 8, names: 8, random: 16, blocks: 8, states: 10_000, seed: 1 };
/// In one state of so many, power is cut again at the next start.
const AGAIN: usize = 200;
/// The least numbers of different states that are to be seen, there and then.
const DISTINCT: usize = 5000;
const DISTINCT_AGAIN: usize = 500;

/// Pages, each by the byte that it is full of.
type Pages = BTreeMap<u32, u8>;

/// What a life promised, by the length that the log had then.
#[derive(Default)]
struct History {
    /// When the creation of the heap was reported.
    created: usize,
    snapshots: Vec<Taken>,
}

struct Taken {
    number: u64,
    pages: Pages,
    begun: usize,
    /// When it was reported durable.
    durable: usize,
}

impl History {
    /// The number of the newest snapshot that was durable at that point, or 0.
    fn durable_at(&self, point: usize) -> u64 {
        let durable = self.snapshots.iter().filter(|taken| taken.durable <= point);
        durable.map(|taken| taken.number).max().unwrap_or(0)
    }

    fn find(&self, number: u64) -> Option<&Taken> {
        self.snapshots.iter().find(|taken| taken.number == number)
    }
}

/// A heap that lives on some kind of simulated disk, and its history.
struct Heap<'a, D> {
    dir: &'a D,
    log: &'a SimDir,
    manifest: Manifest,
    history: History,
}

impl<'a, D: Dir> Heap<'a, D> {
    fn create(dir: &'a D, log: &'a SimDir) -> Self {
        let manifest = Manifest::new(identity());
        manifest.publish(dir).unwrap();
        let history = History { created: log.log().len(), ..History::default() };
        Self { dir, log, manifest, history }
    }

    fn snapshot(&mut self, contents: &Contents) {
        let before = self.history.snapshots.last().filter(|_| contents.delta);
        let mut pages = before.map_or_else(Pages::new, |before| before.pages.clone());
        let in_runs = |page: u32| {
            contents.runs.iter().any(|&(first, count)| page >= first && page - first < count)
        };
        pages.retain(|&page, _| in_runs(page));
        pages.extend(contents.pages.iter().copied());
        let (number, begun) = (self.manifest.next_snapshot, self.log.log().len());
        self.manifest = commit(self.dir, &self.manifest, contents).unwrap();
        let durable = self.log.log().len();
        self.history.snapshots.push(Taken { number, pages, begun, durable });
    }

    /// Merges the newest snapshot's segments.
    fn merge(&mut self, compression: Compression) {
        let newest = self.manifest.newest().unwrap().clone();
        let chain = Chain::open(self.dir, &self.manifest, &newest).unwrap();
        let number = self.manifest.next_segment;
        let range = 0..newest.chain.len();
        let merged = chain.merge(self.dir, range, number, compression, &|_| true).unwrap();
        let gone = self.manifest.replace(&newest.chain, merged.unwrap().record, false);
        self.manifest.publish(self.dir).unwrap();
        for segment in gone {
            self.dir.remove(&segment.file_name()).unwrap();
        }
    }

    fn keep_newest(&mut self, count: usize) {
        let gone = self.manifest.keep_newest(count);
        self.manifest.publish(self.dir).unwrap();
        for segment in gone {
            self.dir.remove(&segment.file_name()).unwrap();
        }
    }
}

/// The life that is cut short; another one may be put in its place.
fn live<D: Dir>(dir: &D, log: &SimDir) -> History {
    let mut heap = Heap::create(dir, log);
    for contents in [FIRST, SECOND, DELTA, MANY] {
        heap.snapshot(&contents);
    }
    heap.keep_newest(2);
    heap.snapshot(&DELTA);
    heap.snapshot(&MORE);
    heap.merge(Compression::None);
    heap.keep_newest(1);
    heap.snapshot(&SMALL);
    heap.merge(Compression::Lz4);
    for contents in [THIRD, MANY, FIRST] {
        heap.snapshot(&contents);
    }
    heap.keep_newest(2);
    heap.snapshot(&SECOND);
    heap.history
}

/// Whether the directory offers what a life with that history may leave at that point; the
/// number of the snapshot that it offers, or 0.
fn check(dir: &SimDir, history: &History, point: usize) -> Result<u64, String> {
    let durable = history.durable_at(point);
    let sound = match choose(dir, &host()) {
        Err(error) => return Err(error.to_string()),
        Ok(Choice::New) if point < history.created => return Ok(0),
        Ok(Choice::New) => return Err("the heap is gone".to_owned()),
        Ok(Choice::Empty(_)) if durable == 0 => return Ok(0),
        Ok(Choice::Empty(_)) => return Err(format!("empty, though {durable} was durable")),
        Ok(Choice::Sound(sound)) => sound,
    };
    let number = sound.snapshot.number;
    if history.find(number).is_none_or(|taken| taken.begun > point) {
        return Err(format!("{number} was not taken yet"));
    }
    if number < durable {
        return Err(format!("{number}, though {durable} was durable"));
    }
    // Also the older ones that it retains have to be whole.
    for snapshot in &sound.manifest.snapshots {
        check_snapshot(dir, history, snapshot.number)?;
    }
    Ok(number)
}

fn check_snapshot(dir: &SimDir, history: &History, number: u64) -> Result<(), String> {
    let wish = Wish { number: Some(number), ..Wish::default() };
    let sound = match choose_as(dir, &host(), wish) {
        Ok(Choice::Sound(sound)) if sound.snapshot.number == number => sound,
        Ok(Choice::Sound(sound)) => return Err(sound.skipped[0].to_string()),
        other => return Err(format!("snapshot {number}: {other:?}")),
    };
    let Some(taken) = history.find(number) else { return Err(format!("{number} is unknown")) };
    for page in 0..PAGES {
        let found = sound.chain.page(PageIndex(page)).map_err(|error| error.to_string())?;
        let expected = [taken.pages.get(&page).copied().unwrap_or(0); PAGE_SIZE];
        if *found != expected {
            return Err(format!("page {page} of snapshot {number} is not what it was"));
        }
    }
    Ok(())
}

/// What the next start does with a state in which snapshot `number` was found, or none: it
/// removes what was left over, and takes a snapshot. Its history has what was found as durable.
fn go_on(dir: &SimDir, number: u64, before: &History) -> History {
    let mut heap = match Manifest::load(dir) {
        Ok(manifest) => Heap { dir, log: dir, manifest, history: History::default() },
        Err(_) => Heap::create(dir, dir),
    };
    for name in leftovers(dir, &heap.manifest).unwrap() {
        dir.remove(&name).unwrap();
    }
    for taken in before.snapshots.iter().filter(|taken| taken.number <= number) {
        let pages = taken.pages.clone();
        heap.history.snapshots.push(Taken { number: taken.number, pages, begun: 0, durable: 0 });
    }
    heap.snapshot(&THIRD);
    heap.history
}

/// Checks a state, that a heap can go on from it, and every so often, that it may lose power
/// again while it does.
fn check_and_go_on(
    (point, state): (usize, &CrashState),
    history: &History,
    again: Option<&mut Counts>,
) -> Result<(), String> {
    let number = check(&state.dir, history, point)?;
    let next = go_on(&state.dir, number, history);
    let end = state.dir.log().len();
    let newest = check(&state.dir, &next, end)?;
    if newest != number + 1 {
        return Err(format!("after the next start {newest} is offered, not {}", number + 1));
    }
    if let Some(counts) = again {
        let bounds = Bounds { data: 3, names: 3, random: 2, blocks: 2, states: 60, seed: 2 };
        let found = enumerate(&state.dir, &bounds, |point, state| {
            check(&state.dir, &next, point).map(|_| ())
        });
        counts.include(found);
    }
    Ok(())
}

#[test]
fn a_life_that_a_power_cut_ends_anywhere_leaves_what_was_durable() {
    let dir = SimDir::new();
    let history = live(&dir, &dir);
    let (mut again, mut seen) = (Counts::default(), 0);
    let counts = enumerate(&dir, &BOUNDS, |point, state| {
        seen += 1;
        let again = (seen % AGAIN == 0).then_some(&mut again);
        check_and_go_on((point, state), &history, again)
    });
    println!("a life: {counts}");
    println!("power cut again at the next start: {again}");
    counts.assert_sound(DISTINCT);
    again.assert_sound(DISTINCT_AGAIN);
}

/// What is found if a life leaves something out.
fn found_wrong(live: impl FnOnce(&SimDir) -> History) -> Counts {
    let dir = SimDir::new();
    let history = live(&dir);
    let bounds = Bounds { data: 3, random: 2, blocks: 2, states: 100, ..Bounds::default() };
    let counts =
        enumerate(&dir, &bounds, |point, state| check(&state.dir, &history, point).map(|_| ()));
    println!("{counts}\n{}", counts.told.join("\n"));
    counts
}

#[test]
fn a_commit_that_leaves_a_step_out_is_found() {
    for forgets in [Forgets::Bytes, Forgets::Names, Forgets::Rename] {
        let counts = found_wrong(|dir| live(&Forgetful { dir: dir.clone(), forgets }, dir));
        assert!(counts.violations > 0, "{forgets:?}: {counts}");
    }
}

#[test]
fn segments_that_are_removed_before_the_commit_are_found() {
    let counts = found_wrong(|dir| {
        let mut heap = Heap::create(dir, dir);
        heap.snapshot(&FIRST);
        heap.snapshot(&SECOND);
        for segment in heap.manifest.keep_newest(1) {
            dir.remove(&segment.file_name()).unwrap();
        }
        heap.manifest.publish(dir).unwrap();
        heap.history
    });
    assert!(counts.violations > 0, "{counts}");
}
