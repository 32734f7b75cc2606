//! `audit` and `leaks`: pointers that leave the heap, and blocks to which no root leads. The
//! library finds them, and has the text for people.

use crate::{
    Outcome,
    args::Chosen,
    failure::{DAMAGED, Failure},
    folder::{Folder, Opened},
};
use serde::Serialize;
use std::fmt::{self, Display};
use stillheap::{
    Amount, Audit, Finding, Leaks, Lost, Tally,
    os::DiskFile,
    trace::{ChainSource, Targets, Trace, purpose_name},
    typed,
};

/// A document, and the library's text.
#[derive(Serialize)]
struct Report<T> {
    #[serde(flatten)]
    document: T,
    #[serde(skip)]
    text: String,
}

#[derive(Serialize)]
struct AuditReport {
    snapshot: u64,
    findings: u64,
    roots: usize,
    blocks: u64,
    bytes: u64,
    counts: Vec<CountReport>,
    examples: Vec<FindingReport>,
}

#[derive(Serialize)]
struct CountReport {
    root: String,
    target: &'static str,
    words: u64,
}

#[derive(Serialize)]
struct FindingReport {
    root: String,
    target: &'static str,
    address: String,
    block_bytes: u64,
    class: Option<u8>,
    memory: &'static str,
    offset: u64,
    word: String,
    mapping: String,
    field: Option<String>,
    around: String,
}

#[derive(Serialize)]
struct LeaksReport {
    snapshot: u64,
    found: ByMemory,
    lost: ByMemory,
    by_size: Vec<OfSize>,
    heads: u64,
    largest: Vec<LostReport>,
}

#[derive(Serialize)]
struct ByMemory {
    ambient: AmountReport,
    scoped: AmountReport,
    tracked: AmountReport,
}

#[derive(Serialize)]
struct AmountReport {
    blocks: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct OfSize {
    block_bytes: Option<u64>,
    large: bool,
    lost: ByMemory,
}

#[derive(Serialize)]
struct LostReport {
    address: String,
    block_bytes: u64,
    class: Option<u8>,
    memory: &'static str,
    retained: AmountReport,
    cycle: bool,
    first_bytes: String,
    leads_to: Vec<String>,
}

pub(crate) fn audit(args: &Chosen) -> Result<Outcome, Failure> {
    let opened = Folder::open(&args.at.heap)?.snapshot(args.snapshot)?;
    let number = opened.snapshot.number;
    let audit = typed::audit(&mut trace(&opened)?, number, &Targets::default())?;
    let text = audit.to_string();
    let outcome = Outcome::of(&Report { document: AuditReport::of(&audit), text })?;
    Ok(match audit.findings() {
        0 => outcome,
        found => {
            outcome.with_errors(DAMAGED, vec![format!("pointers that leave the heap: {found}")])
        }
    })
}

pub(crate) fn leaks(args: &Chosen) -> Result<Outcome, Failure> {
    let opened = Folder::open(&args.at.heap)?.snapshot(args.snapshot)?;
    let leaks = Leaks::find(&mut trace(&opened)?, opened.snapshot.number)?;
    let text = leaks.to_string();
    let outcome = Outcome::of(&Report { document: LeaksReport::of(&leaks), text })?;
    let lost = leaks.lost.scoped.blocks + leaks.lost.tracked.blocks;
    Ok(match leaks.is_suspicious() {
        false => outcome,
        true => outcome.with_errors(
            DAMAGED,
            vec![format!("blocks that were allocated for roots and are lost: {lost}")],
        ),
    })
}

fn trace(opened: &Opened) -> Result<Trace<ChainSource<'_, DiskFile>>, Failure> {
    let (chain, identity) = (&opened.chain, &opened.manifest.identity);
    let arena = identity.base..identity.base.saturating_add(identity.arena_len);
    Ok(Trace::read(ChainSource::new(chain)?, arena, chain.runs().iter().copied())?)
}

impl<T> Display for Report<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl AuditReport {
    fn of(audit: &Audit) -> Self {
        let counts = audit.counts.iter().map(|count| CountReport {
            root: count.root.clone(),
            target: count.target.name(),
            words: count.words,
        });
        let Amount { blocks, bytes } = audit.reached.all();
        Self {
            snapshot: audit.snapshot,
            findings: audit.findings(),
            roots: audit.roots,
            blocks,
            bytes,
            counts: counts.collect(),
            examples: audit.examples.iter().map(FindingReport::of).collect(),
        }
    }
}

impl FindingReport {
    fn of(finding: &Finding) -> Self {
        Self {
            root: finding.root.clone(),
            target: finding.target.name(),
            address: format!("{:#x}", finding.address),
            block_bytes: finding.len,
            class: finding.class,
            memory: purpose_name(finding.purpose),
            offset: finding.offset,
            word: format!("{:#x}", finding.word),
            mapping: finding.mapping.clone(),
            field: finding.field.clone(),
            around: hex(&finding.around),
        }
    }
}

impl LeaksReport {
    fn of(leaks: &Leaks) -> Self {
        let of_size = leaks.by_size.iter().map(|size| OfSize {
            block_bytes: size.block_bytes,
            large: size.is_large,
            lost: ByMemory::of(&size.lost),
        });
        Self {
            snapshot: leaks.snapshot,
            found: ByMemory::of(&leaks.found),
            lost: ByMemory::of(&leaks.lost),
            by_size: of_size.collect(),
            heads: leaks.heads,
            largest: leaks.largest.iter().map(LostReport::of).collect(),
        }
    }
}

impl LostReport {
    fn of(lost: &Lost) -> Self {
        Self {
            address: format!("{:#x}", lost.address),
            block_bytes: lost.len,
            class: lost.class,
            memory: purpose_name(lost.purpose),
            retained: AmountReport::of(lost.retained),
            cycle: lost.is_cycle,
            first_bytes: hex(&lost.bytes),
            leads_to: lost.leads_to.clone(),
        }
    }
}

impl ByMemory {
    fn of(tally: &Tally) -> Self {
        let [ambient, scoped, tracked] =
            [tally.ambient, tally.scoped, tally.tracked].map(AmountReport::of);
        Self { ambient, scoped, tracked }
    }
}

impl AmountReport {
    fn of(amount: Amount) -> Self {
        let Amount { blocks, bytes } = amount;
        Self { blocks, bytes }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
