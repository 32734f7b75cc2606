//! `diff`: which pages are other in one snapshot than in another, by their digests.

use crate::{
    Outcome,
    args::Diff,
    failure::Failure,
    folder::{Folder, Opened},
    kinds::{Content, Memory},
    survey::Survey,
    text::{self, Table},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use stillheap::{
    base::{Digest, PAGE_SIZE, PAGES_PER_CHUNK, PageIndex, PageRun, RunSet},
    image::Chain,
    os::DiskFile,
};

/// What became of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Changed,
    New,
    Zeroed,
}

#[derive(Serialize)]
struct Report {
    from: u64,
    to: u64,
    changed: Amount,
    new: Amount,
    zeroed: Amount,
    total: Amount,
    /// Chunks with such pages; and all that are in use in B, those of tables included.
    chunks: u64,
    chunks_in_use: u64,
    by_memory: Vec<ByMemory>,
    by_content: Vec<ByContent>,
}

#[derive(Serialize)]
struct Amount {
    pages: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct ByMemory {
    memory: &'static str,
    #[serde(flatten)]
    pages: Pages,
}

#[derive(Serialize)]
struct ByContent {
    content: &'static str,
    block_bytes: Option<u64>,
    #[serde(flatten)]
    pages: Pages,
}

/// Pages by what became of them.
#[derive(Serialize, Default, Clone, Copy)]
struct Pages {
    changed: u64,
    new: u64,
    zeroed: u64,
}

pub(crate) fn run(args: &Diff) -> Result<Outcome, Failure> {
    let folder = Folder::open(&args.at.heap)?;
    let from = folder.snapshot(Some(args.from))?;
    let to = folder.snapshot(Some(args.to))?;
    let survey = Survey::of(&to.chain)?;
    Outcome::of(&Report::of(&from, &to, &survey))
}

/// All pages that are other in `to`, with what became of them.
pub(crate) fn changes(
    from: &Chain<DiskFile>,
    to: &Chain<DiskFile>,
    mut each: impl FnMut(PageIndex, Change),
) {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let runs = RunSet::of(from.runs().iter().chain(to.runs()).copied());
    for run in runs.iter() {
        for part in chunks(run) {
            from.digests(part, &mut before);
            to.digests(part, &mut after);
            let pages = (part.first.0..).zip(before.iter().zip(&after));
            for (page, (before, after)) in pages {
                if let Some(change) = change(*before, *after) {
                    each(PageIndex(page), change);
                }
            }
        }
    }
}

fn change(before: Option<Digest>, after: Option<Digest>) -> Option<Change> {
    match (before, after) {
        (None, Some(_)) => Some(Change::New),
        (Some(_), None) => Some(Change::Zeroed),
        (before, after) => (before != after).then_some(Change::Changed),
    }
}

/// A run cut into parts of a chunk's length at most.
fn chunks(run: PageRun) -> impl Iterator<Item = PageRun> {
    (0..run.count).step_by(PAGES_PER_CHUNK as usize).map(move |skip| PageRun {
        first: PageIndex(run.first.0 + skip),
        count: (run.count - skip).min(PAGES_PER_CHUNK),
    })
}

impl Report {
    fn of(from: &Opened, to: &Opened, survey: &Survey) -> Self {
        let mut total = Pages::default();
        let mut by_memory: BTreeMap<Memory, Pages> = BTreeMap::new();
        let mut by_content: BTreeMap<Content, Pages> = BTreeMap::new();
        let mut chunks = BTreeSet::new();
        changes(&from.chain, &to.chain, |page, change| {
            let (memory, content) = survey.find(page);
            total.add(change);
            by_memory.entry(memory).or_default().add(change);
            by_content.entry(content).or_default().add(change);
            chunks.insert(page.chunk());
        });
        let in_use = survey.chunks.iter().filter(|((_, memory), _)| *memory != Memory::Free);
        let by_memory = by_memory.into_iter();
        let by_content = by_content.into_iter();
        Self {
            from: from.snapshot.number,
            to: to.snapshot.number,
            changed: Amount::of(total.changed),
            new: Amount::of(total.new),
            zeroed: Amount::of(total.zeroed),
            total: Amount::of(total.sum()),
            chunks: chunks.len() as u64,
            chunks_in_use: in_use.map(|(_, count)| count).sum::<u64>() + survey.cells.len() as u64,
            by_memory: by_memory
                .map(|(memory, pages)| ByMemory { memory: memory.name(), pages })
                .collect(),
            by_content: by_content
                .map(|(content, pages)| ByContent {
                    content: content.name(),
                    block_bytes: content.block_bytes(),
                    pages,
                })
                .collect(),
        }
    }
}

impl Amount {
    fn of(pages: u64) -> Self {
        Self { pages, bytes: pages * PAGE_SIZE as u64 }
    }
}

impl Pages {
    fn add(&mut self, change: Change) {
        match change {
            Change::Changed => self.changed += 1,
            Change::New => self.new += 1,
            Change::Zeroed => self.zeroed += 1,
        }
    }

    fn sum(self) -> u64 {
        self.changed + self.new + self.zeroed
    }

    fn cells(self) -> [String; 3] {
        [self.changed, self.new, self.zeroed].map(text::count)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pages, bytes) = (text::count(self.total.pages), text::bytes(self.total.bytes));
        writeln!(f, "from snapshot {} to {}: {pages} pages differ, {bytes}", self.from, self.to)?;
        writeln!(f, "  in {} chunks; {} are in use", self.chunks, self.chunks_in_use)?;
        let mut table = Table::new(1, &["memory", "changed", "new", "zeroed"]);
        for one in &self.by_memory {
            table.row([one.memory.to_owned()].into_iter().chain(one.pages.cells()));
        }
        let all = [&self.changed, &self.new, &self.zeroed].map(|one| text::count(one.pages));
        if self.by_memory.len() > 1 {
            table.row(["all".to_owned()].into_iter().chain(all));
        }
        f.write_str(&table.lines("  "))?;
        let mut table = Table::new(1, &["pages of", "changed", "new", "zeroed"]);
        for one in &self.by_content {
            let name = match one.block_bytes {
                Some(bytes) => format!("blocks of {bytes} B"),
                None => one.content.to_owned(),
            };
            table.row([name].into_iter().chain(one.pages.cells()));
        }
        f.write_str(&table.lines("  "))
    }
}
