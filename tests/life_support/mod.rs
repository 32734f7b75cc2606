//! The life of a heap by the real store on a simulated disk, step by step, and what it has said
//! to be durable; and whether a directory holds that.
#![allow(dead_code, reason = "each test uses a part of it")]

#[path = "../failure_support/tables.rs"]
mod tables;
mod world;

pub(crate) use world::World;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use stillheap::base::{PAGE_SIZE, PageIndex};
use stillheap::cow::Saves;
use stillheap::image::{
    Chain, Choice, Compression, Host, Manifest, SegmentReader, SnapshotRecord, Wish, choose,
    leftovers,
};
use stillheap::os::Dir;
use stillheap::os::sim::{SimDir, SimFile};
use stillheap::snapshot::{Policy, SaveError, Store, host_of};
use twox_hash::XxHash3_128;
use world::Pages;

/// Commits end with opening the new segment, so that the next one can build on it: these calls
/// may fail.
pub(crate) const CALLS_AFTERWARDS: u64 = 4;

/// Snapshots, by their numbers, and whether each is set aside.
pub(crate) type List = Vec<(u64, bool)>;

/// What a life consists of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// The heap is opened, as the next process does that.
    Open(Policy),
    /// So many pages change, and there is a snapshot: of all, or of what has changed.
    Full(u32),
    Delta(u32),
    /// A block goes, and another one comes.
    Exchange,
    Compact,
    CompactFully,
    /// To the snapshot that so many others come after.
    Revert(usize),
    SetAside(usize),
}

/// What was said of the snapshots, by the length that the log had then.
#[derive(Clone)]
pub(crate) struct Said {
    begun: usize,
    /// `None`: an error was reported, and it may be so or as it was before.
    durable: Option<usize>,
    list: List,
}

/// What a life has done.
#[derive(Clone, Default)]
pub(crate) struct Past {
    pub(crate) said: Vec<Said>,
    pub(crate) pages: BTreeMap<u64, Pages>,
    /// Mergers, by how many segments each had, and whether one began with the full segment.
    pub(crate) mergers: Vec<(usize, bool)>,
    pub(crate) deltas: usize,
}

impl Past {
    /// What may be found after a crash at that point of the log: the last that was said to be
    /// durable, and what came later and may be so. The last of them is the newest.
    pub(crate) fn may_be(&self, point: usize) -> Vec<List> {
        let is_durable = |said: &Said| said.durable.is_some_and(|durable| durable <= point);
        let last = self.said.iter().rposition(is_durable).unwrap_or(0);
        let later = self.said[last..].iter();
        let may_be = later.filter(|said| said.begun < point || is_durable(said));
        may_be.map(|said| said.list.clone()).collect()
    }

    /// Whether the creation of the heap had been reported by then.
    pub(crate) fn is_created(&self, point: usize) -> bool {
        self.said.first().is_some_and(|said| said.durable.is_some_and(|durable| durable <= point))
    }

    /// As the next process finds it that opens this.
    pub(crate) fn found(&self, list: List) -> Self {
        let pages = self.pages.iter().filter(|(number, _)| list.iter().any(|of| of.0 == **number));
        let pages = pages.map(|(number, pages)| (*number, pages.clone())).collect();
        Self { said: vec![Said { begun: 0, durable: Some(0), list }], pages, ..Self::default() }
    }
}

/// A heap that lives.
pub(crate) struct Life<'w, D: Dir> {
    pub(crate) world: &'w mut World,
    dir: D,
    log: SimDir,
    store: Option<Store<D>>,
    /// The last snapshot of the arena, and the one that the store's next delta applies to.
    settled: u64,
    parent: u64,
    pub(crate) past: Past,
    /// Calls of the disk before files were removed that nobody needs.
    pub(crate) calls: u64,
}

impl<'w, D: Dir + Clone> Life<'w, D> {
    pub(crate) fn new(world: &'w mut World, dir: D, log: SimDir, past: Past) -> Self {
        Self { world, dir, log, store: None, settled: 0, parent: 0, past, calls: 0 }
    }

    /// What the store says that there is.
    pub(crate) fn list(&self) -> List {
        self.store.as_ref().map_or_else(List::new, |store| list_of(&store.snapshots()))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.store.is_some()
    }

    fn store(&self) -> &Store<D> {
        self.store.as_ref().expect("an open heap")
    }

    fn number(&self, later: usize) -> u64 {
        let list = self.list();
        list.len().checked_sub(later + 1).map_or(0, |place| list[place].0)
    }

    /// One step. An error leaves the life as it may go on.
    pub(crate) fn step(&mut self, step: Step) -> Result<(), String> {
        let begun = self.log.log().len();
        let result = match step {
            Step::Open(policy) => self.open(policy),
            Step::Full(pages) => self.snapshot(pages, Saves::All),
            Step::Delta(pages) => self.snapshot(pages, Saves::Changed),
            Step::Exchange => {
                self.world.exchange();
                Ok(())
            }
            Step::Compact | Step::CompactFully => self.compact(step),
            Step::Revert(later) => {
                self.store().revert(self.number(later)).map_err(|error| error.to_string())
            }
            Step::SetAside(later) => {
                self.store().set_aside(self.number(later)).map_err(|error| error.to_string())
            }
        };
        self.calls = self.log.calls();
        let list = self.list();
        let durable = result.is_ok().then(|| self.log.log().len());
        if self.past.said.last().is_none_or(|last| last.list != list) {
            self.past.said.push(Said { begun, durable, list });
        }
        if let Some(store) = &self.store {
            store.prune();
        }
        result
    }

    fn open(&mut self, policy: Policy) -> Result<(), String> {
        self.store = None;
        let (dir, host) = (self.dir.clone(), host_of(&self.world.arena));
        let opened = Store::open(dir, &host, 1, policy, true, Wish::default());
        let opening = opened.map_err(|error| error.to_string())?;
        let skipped = opening.image.iter().flat_map(|image| &image.skipped);
        assert_eq!(skipped.count(), 0, "one that could not be read was passed over");
        self.parent = opening.image.map_or(0, |image| image.snapshot.number);
        self.store = Some(opening.store);
        Ok(())
    }

    fn snapshot(&mut self, pages: u32, wanted: Saves) -> Result<(), String> {
        self.world.change(pages);
        let store = self.store.as_ref().expect("an open heap");
        // A process that restores another snapshot than this arena's last one has its pages; here
        // it has to save all.
        let is_next = self.settled > 0 && self.parent == self.settled;
        let next = store.next_saves(u64::from(pages) * PAGE_SIZE as u64);
        let saves = if is_next && wanted == Saves::Changed { next } else { Saves::All };
        let number = store.next_snapshot();
        let (pages, result) = self.world.snapshot(store, saves);
        let is_in_place = match &result {
            Ok(_) => true,
            Err(SaveError::Commit(error)) => !error.old_in_force(),
            Err(_) => false,
        };
        if is_in_place {
            self.past.pages.insert(number, pages);
        }
        result.map_err(|error| error.to_string())?;
        self.past.deltas += usize::from(saves == Saves::Changed);
        (self.settled, self.parent) = (number, number);
        Ok(())
    }

    fn compact(&mut self, step: Step) -> Result<(), String> {
        let before = self.store().snapshots();
        let merged = match step {
            Step::Compact => self.store().compact(&|_| true),
            _ => self.store().compact_fully(&|_| true),
        };
        let merged = merged.map_err(|error| error.to_string())?;
        let newest = before.iter().rev().find(|snapshot| !snapshot.set_aside);
        if let (Some(merged), Some(newest)) = (merged, newest) {
            self.past.mergers.push((merged.segments, merged.segments == newest.chain.len()));
        }
        Ok(())
    }
}

pub(crate) fn list_of(snapshots: &[SnapshotRecord]) -> List {
    snapshots.iter().map(|snapshot| (snapshot.number, snapshot.set_aside)).collect()
}

/// What is kept, in which form.
pub(crate) fn policy(keep: usize, keep_for: u64, spare: bool, full: Compression) -> Policy {
    let keep_for = (keep_for > 0).then(|| Duration::from_nanos(keep_for));
    Policy { keep, keep_for, spare, full, ..Policy::default() }
}

/// From the creation on: all that a store does.
pub(crate) fn script() -> Vec<Step> {
    use Step::{Compact, CompactFully, Delta, Exchange, Full, Open, Revert, SetAside};
    let (plain, lz4) = (Compression::None, Compression::Lz4);
    let mut steps = vec![Open(policy(2, 0, false, plain)), Full(3)];
    // Deltas gather and are merged, first with each other and then with the full one.
    for _ in 0..6 {
        steps.extend([Delta(1), Compact]);
    }
    steps.extend([Delta(1), CompactFully, Delta(4), Delta(9), Delta(9), Compact]);
    // With a spare one.
    steps.extend([Open(policy(2, 0, true, plain)), Compact, Delta(1), Exchange, Delta(1), Compact]);
    steps.extend([Delta(2), Compact, Full(2), Delta(1), Exchange, Delta(1), Delta(1), Compact]);
    // By age.
    steps.extend([Open(policy(1, 3, false, lz4)), Delta(1), Delta(1), Delta(1), Delta(1)]);
    steps.extend([CompactFully, Delta(1), Revert(1), Delta(1), Delta(1)]);
    // The next process restores an older one.
    steps.extend([Revert(2), Open(policy(3, 0, true, lz4)), Full(1), Delta(1), Delta(1)]);
    steps.extend([SetAside(1), Delta(1), SetAside(0), Delta(1), Delta(1), Compact, Delta(1)]);
    steps
}

/// Snapshots that were found to be whole, by the bytes of their segments: most states of a
/// directory differ in few of them.
#[derive(Default)]
pub(crate) struct Whole(HashSet<(u64, Vec<u128>)>);

impl Whole {
    /// Checks a snapshot's chain, unless one of the very same bytes has been.
    fn check(
        &mut self,
        dir: &SimDir,
        manifest: &Manifest,
        snapshot: &SnapshotRecord,
        past: &Past,
    ) -> Result<(), String> {
        let chain = Chain::open(dir, manifest, snapshot).map_err(|error| error.to_string())?;
        let digest = |reader: &Arc<SegmentReader<SimFile>>| {
            let name = reader.path().file_name().expect("a name").to_string_lossy();
            XxHash3_128::oneshot(&dir.get(&name).unwrap_or_default())
        };
        let key = (snapshot.number, chain.segments().iter().map(digest).collect());
        if self.0.contains(&key) {
            return Ok(());
        }
        chain.verify().map_err(|error| error.to_string())?;
        check_pages(&chain, past, snapshot.number)?;
        self.0.insert(key);
        Ok(())
    }
}

/// Whether the directory holds what the life may have left at that point of its log. Gives what
/// there is; `None`: no heap yet.
pub(crate) fn check(
    dir: &SimDir,
    host: &Host,
    (past, point): (&Past, usize),
    whole: &mut Whole,
) -> Result<Option<List>, String> {
    let sound = match choose(dir, host).map_err(|error| error.to_string())? {
        Choice::New if past.is_created(point) => return Err("the heap is gone".to_owned()),
        Choice::New => return Ok(None),
        Choice::Empty(_) => None,
        Choice::Sound(sound) => Some(sound),
    };
    let list = sound.as_ref().map_or_else(List::new, |sound| list_of(&sound.manifest.snapshots));
    let may_be = past.may_be(point);
    if !may_be.contains(&list) {
        return Err(format!("{list:?} is none of {may_be:?}"));
    }
    let Some(sound) = sound else { return Ok(Some(list)) };
    let newest = list.iter().rev().find(|(_, set_aside)| !set_aside).map(|(number, _)| *number);
    if newest != Some(sound.snapshot.number) || !sound.skipped.is_empty() {
        return Err(format!("{} is offered of {list:?}", sound.snapshot.number));
    }
    for snapshot in &sound.manifest.snapshots {
        whole.check(dir, &sound.manifest, snapshot, past)?;
    }
    Ok(Some(list))
}

fn check_pages<F: stillheap::os::File>(
    chain: &Chain<F>,
    past: &Past,
    number: u64,
) -> Result<(), String> {
    let Some(pages) = past.pages.get(&number) else { return Err(format!("{number} is unknown")) };
    for (&page, expected) in pages {
        let found = chain.page(PageIndex(page)).map_err(|error| error.to_string())?;
        if *found != expected[..] {
            return Err(format!("page {page} of snapshot {number} is not what it was"));
        }
    }
    let mut found = chain.in_force(0, chain.segments().len()).map(|found| found.page.0);
    match found.find(|page| !pages.contains_key(page)) {
        None => Ok(()),
        Some(page) => Err(format!("snapshot {number} also has page {page}")),
    }
}

/// Opens the directory as the next process does, which removes what was left over.
pub(crate) fn open_again(dir: &SimDir, host: &Host, list: Option<&List>) -> Result<(), String> {
    // Its pages have been verified.
    let wish = Wish { verify: false, ..Wish::default() };
    let opened = Store::open(dir.clone(), host, 1, Policy::default(), true, wish);
    let store = opened.map_err(|error| error.to_string())?.store;
    let manifest = Manifest::load(dir).map_err(|error| error.to_string())?;
    let left = leftovers(dir, &manifest).map_err(|error| error.to_string())?;
    if !left.is_empty() {
        return Err(format!("left over: {left:?}"));
    }
    let found = list_of(&store.snapshots());
    match list.is_none_or(|list| *list == found) {
        true => Ok(()),
        false => Err(format!("{found:?} once it is open")),
    }
}
