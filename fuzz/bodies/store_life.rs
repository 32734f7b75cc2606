//! What the fuzzer `store_life` does with an input: operations on a heap's directory (snapshots,
//! deltas, mergers, prunings, reverting), each of them perhaps with a failing call, with crashes
//! between them after any operation of the disk. What is found at each start is a snapshot that was
//! taken, whole, and none older than what was durable.

use std::collections::BTreeMap;
use stillheap::{
    base::{PAGE_SIZE, PageIndex, PageRun},
    image::{
        Chain, Choice, Compression, Identity, Machine, Manifest, SegmentInfo, SegmentKind,
        SegmentWriter, SnapshotRecord, choose, leftovers,
    },
    os::{
        Dir,
        sim::{Fault, SimDir, Survives},
    },
};

/// Pages that the heap can have.
const PAGES: u32 = 24;
/// Operations of one input.
const STEPS: usize = 64;

type Pages = BTreeMap<u32, u8>;

fn identity() -> Identity {
    Identity {
        heap_id: 7,
        base: 0x2000_0000_0000,
        arena_len: 16 << 40,
        page_size: 4096,
        machine: Machine::X86_64,
    }
}

/// A heap in its directory, and what it should have.
struct Life {
    dir: SimDir,
    manifest: Manifest,
    /// All snapshots that were ever begun, by number; some may not be there.
    taken: BTreeMap<u64, Pages>,
    /// The newest that counts, as far as it was reported durable.
    durable: u64,
    /// How long the disk's log was when that was reported.
    durable_at: usize,
    /// What counts, if the operation that was under way is there.
    pending: Option<u64>,
}

/// Lives the life that the input describes.
pub(crate) fn run(data: &[u8]) {
    let dir = SimDir::new();
    let manifest = Manifest::new(identity());
    manifest.publish(&dir).expect("a simulated disk");
    dir.settle();
    let mut life =
        Life { dir, manifest, taken: BTreeMap::new(), durable: 0, durable_at: 0, pending: None };
    for step in data.as_chunks::<8>().0.iter().take(STEPS) {
        let [what, fault, crash, at, a, b, c, d] = *step;
        if fault & 0x80 != 0 {
            let errno = if fault & 0x40 != 0 { libc_enospc() } else { libc_eio() };
            let lasting = fault & 0x20 != 0;
            life.dir.fail(Some(Fault { after: u64::from(fault & 0x1f), errno, lasting }));
        }
        life.step(what, [a, b, c, d]);
        life.dir.fail(None);
        if crash & 1 != 0 {
            life.crash(crash, at);
        } else if life.pending.is_some() {
            // It failed: nobody knows which manifest is there. So the program starts again.
            life.crash(2, 255);
        }
    }
    life.check();
}

fn libc_enospc() -> i32 {
    28
}

fn libc_eio() -> i32 {
    5
}

impl Life {
    fn step(&mut self, what: u8, input: [u8; 4]) {
        match what % 8 {
            0..=3 => self.snapshot(!what.is_multiple_of(4), input),
            4 | 5 => self.merge(input),
            6 => {
                let mut next = self.manifest.clone();
                let gone = next.keep_newest(usize::from(input[0] % 4));
                if self.publish(next, self.durable) {
                    gone.iter().for_each(|gone| drop(self.dir.remove(&gone.file_name())));
                }
            }
            _ => {
                let mut next = self.manifest.clone();
                let count = next.snapshots.len();
                if count > 0 {
                    let number = next.snapshots[usize::from(input[0]) % count].number;
                    assert!(next.revert(number));
                    self.publish(next, number);
                }
            }
        }
    }

    /// A manifest takes the place of the one before; `number` counts then. Whether it is durable.
    fn publish(&mut self, next: Manifest, number: u64) -> bool {
        match next.publish(&self.dir) {
            Ok(()) => {
                self.manifest = next;
                self.durable = number;
                self.durable_at = self.dir.log().len();
                true
            }
            Err(error) => {
                if !error.old_in_force() {
                    self.pending = Some(number);
                }
                false
            }
        }
    }

    fn snapshot(&mut self, delta: bool, input: [u8; 4]) {
        let newest = self.manifest.newest().cloned();
        let before = newest.filter(|_| delta);
        let number = self.manifest.next_snapshot;
        let compression = if input[0] & 1 == 0 { Compression::None } else { Compression::Lz4 };
        let info = SegmentInfo {
            identity: self.manifest.identity,
            number: self.manifest.next_segment,
            parent: before.as_ref().map(|before| before.number),
            snapshot: number,
            frozen_at: number,
            operations: number,
            compression,
        };
        // A number is never used again, whatever becomes of its file.
        self.manifest.next_segment = info.number.next().expect("few");
        let cut = u32::from(input[1]) % PAGES + 1;
        let mut pages =
            before.as_ref().map_or_else(Pages::new, |before| self.taken[&before.number].clone());
        pages.retain(|&page, _| page < cut);
        let changes: Vec<(u32, u8)> = (0..4)
            .map(|place| (u32::from(input[2].rotate_left(place * 3)) % cut, input[3] ^ place as u8))
            .collect();
        let mut distinct: BTreeMap<u32, u8> = changes.into_iter().collect();
        distinct.retain(|_, fill| *fill != 9);
        pages.extend(&distinct);
        self.taken.insert(number, pages);
        let kind = if delta && before.is_some() { SegmentKind::Delta } else { SegmentKind::Full };
        let run = PageRun { first: PageIndex(0), count: cut };
        let written = SegmentWriter::create(&self.dir, &info, &[run]).and_then(|mut writer| {
            for (&page, &fill) in &distinct {
                writer.write_pages(PageIndex(page), &[fill; PAGE_SIZE])?;
            }
            writer.finish(b"")?.sync()
        });
        let Ok(summary) = written else {
            let _ = self.dir.remove(&info.number.file_name(kind));
            return;
        };
        let mut chain = before.map_or_else(Vec::new, |before| before.chain);
        chain.push(info.number);
        let mut next = self.manifest.clone();
        let (frozen_at, operations) = (number, number);
        let (pages, bytes, set_aside) = (summary.pages, summary.bytes, false);
        let record =
            SnapshotRecord { number, frozen_at, operations, pages, bytes, set_aside, chain };
        next.add(record, summary.record);
        self.publish(next, number);
    }

    fn merge(&mut self, input: [u8; 4]) {
        let Some(newest) = self.manifest.newest().cloned().filter(|it| it.chain.len() > 1) else {
            return;
        };
        let Ok(chain) = Chain::open(&self.dir, &self.manifest, &newest) else { return };
        let from = usize::from(input[0]) % (newest.chain.len() - 1);
        let to = newest.chain.len().min(from + 2 + usize::from(input[1] % 4));
        let number = self.manifest.next_segment;
        self.manifest.next_segment = number.next().expect("few");
        let compression = if input[2] & 1 == 0 { Compression::None } else { Compression::Lz4 };
        let kind = if from == 0 { SegmentKind::Full } else { SegmentKind::Delta };
        let merged = chain.merge(&self.dir, from..to, number, compression, &|_| true);
        let Ok(Some(summary)) = merged else {
            let _ = self.dir.remove(&number.file_name(kind));
            return;
        };
        let mut next = self.manifest.clone();
        let gone = next.replace(&newest.chain[from..to], summary.record, input[3] & 1 == 0);
        if self.publish(next, self.durable) {
            gone.iter().for_each(|gone| drop(self.dir.remove(&gone.file_name())));
        }
    }

    /// The process dies, or power fails, after some operation since the last start; and a new
    /// process starts.
    fn crash(&mut self, how: u8, at: u8) {
        let log = self.dir.log().len();
        let survives = if how & 2 != 0 { Survives::Everything } else { Survives::Synced };
        // What was reported durable after that point need not be there.
        let count = if at == 255 { log } else { log - log.min(usize::from(at % 4)) };
        let left = self.dir.after_crash(count, survives);
        let found = Manifest::load(&left).expect("a heap is never without its manifest");
        let newest = found.newest().map_or(0, |newest| newest.number);
        let cut_back = count < self.durable_at;
        let allowed = newest == self.durable || Some(newest) == self.pending || cut_back;
        assert!(allowed, "{newest} counts, {} was durable, {:?}", self.durable, self.pending);
        self.dir = left;
        for name in leftovers(&self.dir, &found).expect("a simulated disk") {
            self.dir.remove(&name).expect("it is there");
        }
        self.dir.settle();
        self.manifest = found;
        self.durable = newest;
        self.durable_at = 0;
        self.pending = None;
        self.check();
    }

    /// All that the directory retains is whole, and the newest is offered.
    fn check(&self) {
        let chosen = choose(&self.dir, &identity().host()).expect("a sound heap");
        match chosen {
            Choice::New => panic!("the heap is gone"),
            Choice::Empty(_) => assert_eq!(self.durable, 0),
            Choice::Sound(sound) => {
                assert!(sound.skipped.is_empty(), "{:?}", sound.skipped);
                if self.pending.is_none() {
                    assert_eq!(sound.snapshot.number, self.durable);
                }
            }
        }
        for snapshot in &self.manifest.snapshots {
            let chain = Chain::open(&self.dir, &self.manifest, snapshot).expect("it is whole");
            chain.verify().expect("it is sound");
            let pages = &self.taken[&snapshot.number];
            for page in 0..PAGES {
                let expected = [pages.get(&page).copied().unwrap_or(0); PAGE_SIZE];
                let found = chain.page(PageIndex(page)).expect("a sound page");
                assert!(*found == expected, "page {page} of {}", snapshot.number);
            }
        }
    }
}
