//! A heap's history on a simulated disk, with a naive model of each snapshot beside it.

#[path = "../random_support/mod.rs"]
mod random;

pub(crate) use random::Random;

use crate::image_support::identity;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use stillheap::base::{Digest, PAGE_SIZE, PageIndex, PageRun, digest_seeded};
use stillheap::image::{
    Chain, Compression, Manifest, SegmentInfo, SegmentSummary, SegmentWriter, SnapshotRecord,
};
use stillheap::os::Dir;
use stillheap::os::sim::{SimDir, SimFile};

/// Pages of the small heap.
pub(crate) const PAGES: u32 = 96;

/// What a snapshot holds: the fill of each page that is not zero.
pub(crate) type Pages = BTreeMap<u32, u8>;

/// What a segment states.
pub(crate) struct Said {
    pub(crate) runs: Vec<(u32, u32)>,
    /// Of pages in its runs; 0 is zero.
    pub(crate) fills: Pages,
}

/// A directory, and what its snapshots are to hold: number 1 is the first.
pub(crate) struct History {
    pub(crate) dir: SimDir,
    pub(crate) manifest: Manifest,
    pub(crate) said: Vec<Said>,
    pub(crate) models: Vec<Pages>,
}

impl Random {
    pub(crate) fn compression(&mut self) -> Compression {
        [Compression::None, Compression::Lz4][self.below(2) as usize]
    }

    pub(crate) fn run(&mut self) -> PageRun {
        let first = self.below(PAGES);
        PageRun::new(PageIndex(first), 1 + self.below(PAGES - first)).unwrap()
    }

    /// Runs that rise, and sometimes touch.
    fn runs(&mut self) -> Vec<(u32, u32)> {
        let mut runs = Vec::new();
        let mut next = self.below(8);
        while next < PAGES {
            let count = (1 + self.below(40)).min(PAGES - next);
            runs.push((next, count));
            next += count + self.below(6);
        }
        runs
    }

    /// What a segment says of some of its pages: often the same fills, sometimes zeros.
    fn said(&mut self) -> Said {
        let (runs, density) = (self.runs(), 1 + self.below(8));
        let mut fills = Pages::new();
        for &(first, count) in &runs {
            for page in first..first + count {
                if self.below(8) < density {
                    let zero = self.below(4) == 0;
                    let fill = if zero { 0 } else { 1 + self.below(u32::from(FILLS) - 1) };
                    fills.insert(page, u8::try_from(fill).unwrap());
                }
            }
        }
        Said { runs, fills }
    }
}

/// Fills are below this.
const FILLS: u8 = 13;

/// The bytes and the digest of each fill. Every third does not shrink.
static FILLED: LazyLock<Vec<(Vec<u8>, Digest)>> = LazyLock::new(|| {
    let filled = (0..FILLS).map(|fill| {
        let mut random = Random::new(u64::from(fill));
        let mut byte = || u8::try_from(random.below(256)).unwrap();
        let bytes: Vec<u8> = match fill > 0 && fill.is_multiple_of(3) {
            true => (0..PAGE_SIZE).map(|_| byte()).collect(),
            false => vec![fill; PAGE_SIZE],
        };
        let seed = u64::try_from(identity().heap_id & u128::from(u64::MAX)).unwrap();
        let digest = digest_seeded(&bytes, seed);
        (bytes, digest)
    });
    filled.collect()
});

pub(crate) fn bytes_of(fill: u8) -> &'static [u8] {
    &FILLED[usize::from(fill)].0
}

pub(crate) fn digest_of(fill: u8) -> Digest {
    FILLED[usize::from(fill)].1
}

impl Said {
    /// The snapshot that it makes of the one before it.
    pub(crate) fn apply(&self, before: &Pages) -> Pages {
        let is_in = |page: u32| self.runs.iter().any(|run| (run.0..run.0 + run.1).contains(&page));
        let mut after = before.clone();
        after.extend(&self.fills);
        after.retain(|page, fill| is_in(*page) && *fill > 0);
        after
    }

    fn write(&self, dir: &SimDir, info: &SegmentInfo, random: &mut Random) -> SegmentSummary {
        let run = |&(first, count): &(u32, u32)| PageRun::new(PageIndex(first), count).unwrap();
        let runs: Vec<PageRun> = self.runs.iter().map(run).collect();
        let mut writer = SegmentWriter::create(dir, info, &runs).unwrap();
        let mut calls = self.calls(random);
        while !calls.is_empty() {
            // Any order is sound.
            let most = u32::try_from(calls.len()).unwrap();
            let next = if random.below(4) == 0 { random.below(most) } else { 0 };
            let (first, bytes) = calls.remove(next as usize);
            writer.write_pages(PageIndex(first), &bytes).unwrap();
        }
        let notes = info.snapshot.to_le_bytes();
        writer.finish(&notes).unwrap().sync().unwrap()
    }

    /// Pages in a row that are written with one call.
    fn calls(&self, random: &mut Random) -> Vec<(u32, Vec<u8>)> {
        let mut calls: Vec<(u32, Vec<u8>)> = Vec::new();
        let mut next = None;
        for (&page, &fill) in &self.fills {
            let begins_run = self.runs.iter().any(|run| run.0 == page);
            match calls.last_mut().filter(|_| next == Some(page) && !begins_run) {
                Some((_, bytes)) if random.below(5) > 0 => bytes.extend(bytes_of(fill)),
                _ => calls.push((page, bytes_of(fill).to_vec())),
            }
            next = Some(page + 1);
        }
        calls
    }
}

impl History {
    /// A full segment and so many deltas.
    pub(crate) fn new(random: &mut Random, deltas: u32) -> Self {
        let (dir, manifest) = (SimDir::new(), Manifest::new(identity()));
        let mut history = Self { dir, manifest, said: Vec::new(), models: Vec::new() };
        for _ in 0..=deltas {
            history.add(random);
        }
        history.manifest.publish(&history.dir).unwrap();
        history
    }

    fn add(&mut self, random: &mut Random) {
        let before = self.manifest.newest();
        let mut chain = before.map_or_else(Vec::new, |before| before.chain.clone());
        let (snapshot, said) = (self.manifest.next_snapshot, random.said());
        let info = SegmentInfo {
            identity: identity(),
            number: self.manifest.next_segment,
            parent: before.map(|before| before.number),
            snapshot,
            frozen_at: snapshot * 1000,
            operations: snapshot * 10,
            compression: random.compression(),
        };
        let summary = said.write(&self.dir, &info, random);
        chain.push(info.number);
        let record = SnapshotRecord {
            number: snapshot,
            frozen_at: info.frozen_at,
            operations: info.operations,
            pages: summary.pages,
            bytes: summary.bytes,
            set_aside: false,
            chain,
        };
        self.manifest.add(record, summary.record);
        let model = said.apply(self.models.last().unwrap_or(&Pages::new()));
        self.said.push(said);
        self.models.push(model);
    }

    /// The same in a directory of its own.
    pub(crate) fn copy_of(&self) -> (SimDir, Manifest) {
        let names = self.dir.list().unwrap();
        let files = names.into_iter().map(|name| {
            let bytes = self.dir.get(&name).unwrap();
            (name, bytes)
        });
        (SimDir::with_files(files), self.manifest.clone())
    }

    /// All snapshots of a directory are what they were.
    pub(crate) fn check(&self, dir: &SimDir, random: &mut Random) {
        let manifest = Manifest::load(dir).unwrap();
        assert_eq!(manifest.snapshots.len(), self.models.len());
        for (snapshot, model) in manifest.snapshots.iter().zip(&self.models) {
            let chain = Chain::open(dir, &manifest, snapshot).unwrap();
            chain.verify().unwrap();
            check_pages(&chain, model);
            check_runs(&chain, model, random);
        }
    }
}

/// Each page, and who has it.
pub(crate) fn check_pages(chain: &Chain<SimFile>, model: &Pages) {
    let mut pages = chain.pages();
    for page in 0..PAGES {
        let fill = model.get(&page).copied().unwrap_or(0);
        assert!(
            *chain.page(PageIndex(page)).unwrap() == *bytes_of(fill),
            "page {page}: not {fill}"
        );
        let found = chain.find(PageIndex(page));
        assert_eq!(found.is_some(), fill > 0, "page {page}");
        if let Some(found) = found {
            let entry = chain.segments()[found.segment].index().get(found.place).unwrap();
            assert_eq!((entry.page.0, entry.digest), (page, digest_of(fill)));
            assert!(*pages.read(found).unwrap() == *bytes_of(fill));
        }
    }
    let in_force = chain.in_force(0, chain.segments().len());
    let found: Vec<_> = in_force.map(|found| (found.page, Some(found))).collect();
    let by_page: Vec<_> =
        model.keys().map(|&page| (PageIndex(page), chain.find(PageIndex(page)))).collect();
    assert_eq!(found, by_page);
}

/// What is said of some runs.
fn check_runs(chain: &Chain<SimFile>, model: &Pages, random: &mut Random) {
    for _ in 0..6 {
        let run = random.run();
        let pages = run.first.0..run.first.0 + run.count;
        let found: Vec<u32> = chain.in_force_within(run).map(|found| found.page.0).collect();
        let held: Vec<u32> = model.range(pages.clone()).map(|(page, _)| *page).collect();
        assert_eq!(found, held, "{run:?}");
        let mut digests = vec![None; 3];
        chain.digests(run, &mut digests);
        let expected: Vec<Option<Digest>> =
            pages.map(|page| model.get(&page).map(|fill| digest_of(*fill))).collect();
        assert_eq!(digests, expected, "{run:?}");
    }
}
