//! How the allocator uses memory, as sums over what the tables of an image say.

use crate::{
    kinds::{Content, Memory, blocks_of},
    survey::Survey,
    text::{self, Table},
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt};
use stillheap::{base::PAGE_SIZE, heap::class_size, image::Chain, os::DiskFile};

/// How the allocator uses memory.
#[derive(Serialize, Default)]
pub(crate) struct Occupancy {
    cells: u64,
    spans: u64,
    chunks: Vec<Chunks>,
    slabs: Vec<Slabs>,
    runs: Blocks,
    large: Blocks,
    by_memory: Vec<InMemory>,
    /// Without tables.
    pages_in_use: u64,
    bytes_in_use: u64,
    /// Pages that some file of the chain has: the others are zero.
    pages_saved: u64,
    table_pages: u64,
}

#[derive(Serialize)]
struct Chunks {
    kind: &'static str,
    memory: &'static str,
    count: u64,
}

#[derive(Serialize, Default)]
struct Slabs {
    class: u8,
    block_bytes: u64,
    slabs: u64,
    blocks_in_use: u64,
    blocks: u64,
    pages: u64,
}

#[derive(Serialize, Default)]
struct Blocks {
    count: u64,
    pages: u64,
}

#[derive(Serialize)]
struct InMemory {
    memory: &'static str,
    pages: u64,
    bytes_in_use: u64,
}

impl Occupancy {
    pub(crate) fn of(survey: &Survey, chain: &Chain<DiskFile>) -> Self {
        let chunks = survey.chunks.iter().map(|(&(kind, memory), &count)| {
            let memory = memory.name();
            Chunks { kind, memory, count }
        });
        let mut all = Self {
            cells: survey.cells.iter().map(|cell| u64::from(cell.span)).sum(),
            spans: survey.cells.iter().filter(|cell| cell.span > 1).count() as u64,
            chunks: chunks.collect(),
            ..Self::default()
        };
        for found in chain.in_force(0, chain.segments().len()) {
            all.pages_saved += 1;
            all.table_pages += u64::from(survey.find(found.page).0 == Memory::Tables);
        }
        let mut slabs: BTreeMap<u8, Slabs> = BTreeMap::new();
        let mut by_memory: BTreeMap<Memory, (u64, u64)> = BTreeMap::new();
        for stretch in &survey.stretches {
            let (pages, blocks) = (u64::from(stretch.count), u64::from(stretch.blocks));
            let bytes = match stretch.content {
                Content::Free | Content::Tables => continue,
                Content::Slab { class } => {
                    let slab = slabs.entry(class).or_default();
                    slab.slabs += 1;
                    slab.blocks_in_use += blocks;
                    slab.blocks += u64::from(blocks_of(class));
                    slab.pages += pages;
                    blocks * class_size(class.into()) as u64
                }
                Content::Run => all.runs.add(blocks, pages),
                Content::Large => all.large.add(blocks, pages),
            };
            let memory = by_memory.entry(stretch.memory).or_default();
            (memory.0, memory.1) = (memory.0 + pages, memory.1 + bytes);
            all.pages_in_use += pages;
            all.bytes_in_use += bytes;
        }
        all.slabs = slabs
            .into_iter()
            .map(|(class, slabs)| {
                let block_bytes = class_size(class.into()) as u64;
                Slabs { class, block_bytes, ..slabs }
            })
            .collect();
        let in_memory = |(memory, (pages, bytes_in_use)): (Memory, _)| {
            let memory = memory.name();
            InMemory { memory, pages, bytes_in_use }
        };
        all.by_memory = by_memory.into_iter().map(in_memory).collect();
        all
    }
}

impl Blocks {
    fn add(&mut self, blocks: u64, pages: u64) -> u64 {
        self.count += blocks;
        self.pages += pages;
        pages * PAGE_SIZE as u64
    }
}

impl fmt::Display for Occupancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pages, bytes) = (text::count(self.pages_in_use), text::bytes(self.bytes_in_use));
        let size = text::bytes(self.pages_in_use * PAGE_SIZE as u64);
        writeln!(f, "memory: {bytes} in use in {pages} pages of {size}; {} cells", self.cells)?;
        let (saved, tables) = (text::count(self.pages_saved), text::count(self.table_pages));
        writeln!(f, "  {saved} pages are saved, {tables} of them tables; the others are zero")?;
        let mut table = Table::new(1, &["memory", "pages", "in use"]);
        for one in &self.by_memory {
            let (pages, bytes) = (text::count(one.pages), text::bytes(one.bytes_in_use));
            table.row([one.memory.to_owned(), pages, bytes]);
        }
        f.write_str(&table.lines("  "))?;
        let mut table = Table::new(2, &["chunks", "memory", "count"]);
        for one in &self.chunks {
            table.row([one.kind.to_owned(), one.memory.to_owned(), text::count(one.count)]);
        }
        f.write_str(&table.lines("  "))?;
        let mut table = Table::new(0, &["block", "slabs", "in use", "blocks", "full", "pages"]);
        for one in &self.slabs {
            let share = one.blocks_in_use * 100 / one.blocks.max(1);
            let counts = [one.slabs, one.blocks_in_use, one.blocks].map(text::count);
            let rest = [format!("{share} %"), text::count(one.pages)];
            let block = format!("{} B", one.block_bytes);
            table.row([block].into_iter().chain(counts).chain(rest));
        }
        f.write_str(&table.lines("  "))?;
        for (name, blocks) in [("runs", &self.runs), ("large blocks", &self.large)] {
            let (count, pages) = (text::count(blocks.count), text::count(blocks.pages));
            writeln!(f, "  {name}: {count} of {pages} pages")?;
        }
        Ok(())
    }
}
