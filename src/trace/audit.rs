//! Pointers that leave the heap: words in what roots lead to that should not be there.

use crate::arena::Purpose;
use crate::heap::RootRecord;
use crate::trace::{Block, Source, Tally, Target, Targets, Trace, Visit};
use std::collections::BTreeMap;
use std::ops::Range;

/// Findings that are told of one by one: of each root and kind of target, and in all.
const OF_ONE_KIND: u64 = 10;
const IN_ALL: usize = 100;
/// Bytes that are shown around one, and how many of them lie before it.
const AROUND: u64 = 24;
const BEFORE: u64 = 16;

/// What an audit has found in a snapshot. The text says what it means, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Audit {
    /// The snapshot's number.
    pub snapshot: u64,
    /// The blocks that roots lead to: they were looked at.
    pub reached: Tally,
    /// How many roots there are.
    pub roots: usize,
    /// How many words there are of each root and kind.
    pub counts: Vec<Count>,
    /// Some of them: ten of a root and kind at most, and of findings and others a hundred each.
    pub examples: Vec<Finding>,
}

/// How many words of a root lead to one kind of memory.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Count {
    /// The root's name. A block that several roots lead to counts for the first.
    pub root: String,
    /// Where they lead to.
    pub target: Target,
    /// How many.
    pub words: u64,
}

/// A word that leads where it should not.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Finding {
    /// The root that leads to the word's block.
    pub root: String,
    /// The block's address.
    pub address: u64,
    /// Its bytes, those included that were not asked for.
    pub len: u64,
    /// Its size class, if it lies in a slab.
    pub class: Option<u8>,
    /// Which memory it lies in.
    pub purpose: Purpose,
    /// Where in the block the word is, in bytes.
    pub offset: u64,
    /// The word.
    pub word: u64,
    /// What it leads to.
    pub target: Target,
    /// The name of the mapping that it leads to; empty if that is not known.
    pub mapping: String,
    /// If the block is the root's own value: the field that the word lies in, and its type.
    pub field: Option<String>,
    /// 24 of the block's bytes: those before the word, 16 at most, the word, and what follows. They
    /// often show what the block holds, and whether it uses the word.
    pub around: Vec<u8>,
}

impl Audit {
    /// How many words are findings: they lead to memory that is not there, or another, in the next
    /// run.
    #[must_use]
    pub fn findings(&self) -> u64 {
        let found = self.counts.iter().filter(|count| count.target.is_finding());
        found.map(|count| count.words).sum()
    }

    /// Looks at all that the roots lead to, in a trace that has not been run. `known`: what their
    /// types say, one for each root.
    ///
    /// # Errors
    /// If a page cannot be had.
    pub fn of<S: Source>(
        trace: &mut Trace<S>,
        snapshot: u64,
        targets: &Targets,
        known: &[Known],
    ) -> Result<Self, S::Error> {
        let base = trace.arena().start;
        let root = |(record, known): (&RootRecord, &Known)| RootState {
            name: record.name().to_owned(),
            program: record.program_start..record.program_start.saturating_add(record.program_len),
            value: record.value.wrapping_sub(base),
            known: *known,
        };
        let roots: Vec<RootState> = trace.roots().iter().zip(known).map(root).collect();
        let mut auditor = Auditor {
            base,
            targets,
            bounds: targets.bounds(),
            roots,
            reached: Tally::default(),
            counts: BTreeMap::new(),
            examples: Vec::new(),
        };
        // Nobody ends it.
        let _ = trace.run(&mut auditor)?;
        let Auditor { roots, reached, counts, mut examples, .. } = auditor;
        for example in &mut examples {
            let start = example.offset.saturating_sub(BEFORE);
            let len = AROUND.min(example.len - start);
            example.around = trace.bytes(example.address + start, len)?;
        }
        let count = |((root, target), words): ((usize, Target), u64)| Count {
            root: roots[root].name.clone(),
            target,
            words,
        };
        let counts = counts.into_iter().map(count).collect();
        Ok(Self { snapshot, reached, roots: roots.len(), counts, examples })
    }
}

/// What a root's type says.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// That values have pointers into the executable.
    pub is_linked: bool,
    /// How long the value is, if nothing that follows in its block belongs to it.
    pub value_len: u64,
}

struct RootState {
    name: String,
    /// Where the program lay that linked it last.
    program: Range<u64>,
    /// Its value's block.
    value: u64,
    known: Known,
}

struct Auditor<'a> {
    base: u64,
    targets: &'a Targets,
    bounds: Range<u64>,
    roots: Vec<RootState>,
    reached: Tally,
    counts: BTreeMap<(usize, Target), u64>,
    examples: Vec<Finding>,
}

impl Visit for Auditor<'_> {
    fn reached(&mut self, _root: usize, block: &Block) {
        self.reached.add(block);
    }

    #[inline]
    fn outside(&mut self, root: usize, block: &Block, offset: u64, word: u64) {
        if self.bounds.contains(&word) || self.roots[root].program.contains(&word) {
            self.look(root, block, offset, word);
        }
    }

    fn nowhere(&mut self, root: usize, block: &Block, offset: u64, word: u64) {
        self.note(root, block, offset, word, (Target::Free, ""));
    }
}

impl Auditor<'_> {
    #[cold]
    fn look(&mut self, root: usize, block: &Block, offset: u64, word: u64) {
        let (targets, RootState { program, known, .. }) = (self.targets, &self.roots[root]);
        let mapped = targets.find(word);
        // If nobody has opened the root since, its program is that of a run that is over.
        let (target, mapping) = match mapped {
            other if program.contains(&word) => (Target::Executable, other.map_or("", |of| of.1)),
            Some(found) => found,
            None => return,
        };
        if target == Target::Executable && known.is_linked {
            *self.counts.entry((root, Target::Link)).or_default() += 1;
        } else {
            self.note(root, block, offset, word, (target, mapping));
        }
    }

    #[cold]
    fn note(&mut self, root: usize, block: &Block, offset: u64, word: u64, to: (Target, &str)) {
        let (target, mapping) = to;
        let RootState { value, known, .. } = &self.roots[root];
        if block.start == *value && offset >= known.value_len {
            return;
        }
        let count = self.counts.entry((root, target)).or_default();
        *count += 1;
        let is_like = |other: &&Finding| other.target.is_finding() == target.is_finding();
        if *count > OF_ONE_KIND || self.examples.iter().filter(is_like).count() >= IN_ALL {
            return;
        }
        let Block { start, len, class, purpose } = *block;
        self.examples.push(Finding {
            root: self.roots[root].name.clone(),
            address: self.base + start,
            len,
            class,
            purpose,
            offset,
            word,
            target,
            mapping: mapping.to_owned(),
            field: None,
            around: Vec::new(),
        });
    }
}
