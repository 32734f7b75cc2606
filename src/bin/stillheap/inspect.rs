//! `inspect`: what a snapshot holds.

use crate::{
    Outcome,
    args::Inspect,
    failure::Failure,
    folder::{Folder, Opened},
    kinds::Memory,
    list::Snapshot,
    occupancy::Occupancy,
    roots::{self, Root},
    survey::Survey,
    text::{self, Table},
};
use serde::Serialize;
use std::fmt;
use stillheap::{
    image::{FORMAT_VERSION, Identity},
    snapshot::uses_in,
};

#[derive(Serialize)]
struct Report {
    heap: String,
    identity: IdentityReport,
    snapshot: Snapshot,
    roots: Vec<Root>,
    memory: Occupancy,
    heat: [u64; 9],
}

#[derive(Serialize)]
struct IdentityReport {
    heap_id: String,
    base: String,
    arena_bytes: u64,
    page_size: u32,
    machine: String,
    format: u32,
}

pub(crate) fn run(args: &Inspect) -> Result<Outcome, Failure> {
    let folder = Folder::open(&args.chosen.at.heap)?;
    let opened = folder.snapshot(args.chosen.snapshot)?;
    let Opened { manifest, snapshot, chain } = &opened;
    let survey = Survey::of(chain)?;
    let memory = Occupancy::of(&survey, chain);
    let roots = roots::read(chain, manifest.identity.base, args.layout)?;
    Outcome::of(&Report {
        heap: folder.path(),
        identity: IdentityReport::of(&manifest.identity),
        snapshot: Snapshot::of(&folder.dir, manifest, snapshot),
        roots,
        heat: heat(&opened, &survey),
        memory,
    })
}

/// How many of the chunks in use were written in 0, 1, ... 8 of the last eight epochs.
fn heat(opened: &Opened, survey: &Survey) -> [u64; 9] {
    let mut histogram = [0; 9];
    let notes = opened.chain.segments().last().map_or(&[][..], |last| last.notes());
    for known in uses_in(notes) {
        histogram[known.written.min(8) as usize] += 1;
    }
    let in_use = survey.chunks.iter().filter(|((_, memory), _)| *memory != Memory::Free);
    let in_use: u64 = in_use.map(|(_, count)| count).sum();
    histogram[0] = in_use.saturating_sub(histogram[1..].iter().sum());
    histogram
}

impl IdentityReport {
    fn of(identity: &Identity) -> Self {
        Self {
            heap_id: format!("{:032x}", identity.heap_id),
            base: format!("{:#x}", identity.base),
            arena_bytes: identity.arena_len,
            page_size: identity.page_size,
            machine: identity.machine.to_string(),
            format: FORMAT_VERSION,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (identity, snapshot) = (&self.identity, &self.snapshot);
        writeln!(f, "heap {} in {}", identity.heap_id, self.heap)?;
        let arena = text::bytes(identity.arena_bytes);
        let (base, machine) = (&identity.base, &identity.machine);
        writeln!(f, "  base {base}, arena {arena}, {machine}, format {}", identity.format)?;
        let mark = if snapshot.set_aside { ", set aside" } else { "" };
        let (number, time) = (snapshot.number, &snapshot.time);
        let operations = text::count(snapshot.operations);
        writeln!(f, "  snapshot {number} of {time}{mark}, {operations} operations")?;
        for file in &snapshot.files {
            writeln!(f, "    {}, {}", file.name, text::bytes(file.bytes))?;
        }
        writeln!(f, "\n{} roots", self.roots.len())?;
        for root in &self.roots {
            writeln!(f, "\n\"{}\": {} bytes", root.name, root.size)?;
            let shown = root.schema.as_ref().or(root.damage.as_ref());
            for line in shown.into_iter().flat_map(|text| text.lines()) {
                writeln!(f, "{}", format!("  {line}").trim_end())?;
            }
        }
        writeln!(f, "\n{}", self.memory)?;
        writeln!(f, "heat: chunks by how many of the last eight epochs they were written in")?;
        let mut table = Table::new(0, &["epochs", "chunks"]);
        for (epochs, &chunks) in self.heat.iter().enumerate().filter(|(_, chunks)| **chunks > 0) {
            table.row([epochs.to_string(), text::count(chunks)]);
        }
        f.write_str(&table.lines("  "))
    }
}
