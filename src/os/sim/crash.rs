//! The directories that a crash may leave, one after the other.

use super::{
    choices::{Bounds, Choice, Subset},
    contents::Contents,
    dir::SimDir,
    pending::Pending,
    random::{Random, number_for},
    state::Op,
    tear::Fate,
};
use crate::base::Digest;
use std::{fmt, sync::Arc};

/// What a crash leaves of the operations before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survives {
    /// All of them, as when the process is killed.
    Everything,
    /// Only what a sync made durable: the worst power cut.
    Synced,
}

/// What is lost of the operations before a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CrashKind {
    /// Nothing, as when the process is killed.
    Killed,
    /// Changes of names alone.
    Names,
    /// Whole changes to files, and perhaps of names.
    Data,
    /// Parts of writes, and perhaps whole changes.
    Torn,
}

/// A directory that a crash may leave. As text, it says what was lost.
#[derive(Debug)]
pub struct CrashState {
    /// The directory, which is like any other: its log begins anew.
    pub dir: SimDir,
    /// What was lost.
    pub kind: CrashKind,
    fingerprint: Digest,
    pending: Arc<Pending>,
    fates: Arc<[Fate]>,
    names: Subset,
}

/// The directories that a crash after the same operations may leave.
///
/// The first is that of a killed process; that of the worst power cut is among them.
#[derive(Debug)]
pub struct CrashStates {
    pending: Arc<Pending>,
    files_made: u64,
    choices: Vec<Choice>,
    subsets: Vec<Subset>,
    /// How many subsets of names a choice is combined with, if it is not one of the first two.
    subsets_each: usize,
    fates: Arc<[Fate]>,
    contents: Contents,
    /// The next choice, and the next subset for it.
    next: (usize, usize),
}

impl SimDir {
    /// The directory as a crash after the first `count` operations of the log leaves it.
    #[must_use]
    pub fn after_crash(&self, count: usize, survives: Survives) -> Self {
        let disk = self.lock();
        let pending = Pending::at(&disk, count);
        let everything = survives == Survives::Everything;
        let mut contents = Contents::durable(&pending);
        if everything {
            contents.set(&pending, &vec![Fate::Whole; pending.data.len()]);
        }
        Self::with_state(contents.named(pending.names_left(|_| everything)), disk.files_made)
    }

    /// The directories that a crash after the first `count` operations of the log may leave, as
    /// many as the bounds allow. Some may be the same: see [`Distinct`](super::Distinct).
    #[must_use]
    pub fn crash_states(&self, count: usize, bounds: &Bounds) -> CrashStates {
        let disk = self.lock();
        CrashStates::new(Pending::at(&disk, count), disk.files_made, bounds)
    }
}

impl CrashStates {
    fn new(pending: Pending, files_made: u64, bounds: &Bounds) -> Self {
        let mut random = Random::new(number_for(bounds.seed, pending.count));
        let names = pending.entries.len();
        let subsets = Subset::list(names, bounds.names, bounds.random, &mut random);
        let extremes = subsets.len().min(2);
        let mut choices = Choice::list(&pending, bounds, &mut random);
        if choices.len() * extremes > bounds.states && choices.len() > 2 {
            random.shuffle(&mut choices[2..]);
            choices.truncate((bounds.states / extremes).max(2));
        }
        let subsets_each = (bounds.states / choices.len()).clamp(extremes, subsets.len());
        let contents = Contents::durable(&pending);
        let (pending, fates) = (Arc::new(pending), Arc::default());
        let next = (0, 0);
        Self { pending, files_made, choices, subsets, subsets_each, fates, contents, next }
    }

    fn fates(&self, choice: Choice) -> Arc<[Fate]> {
        let changes = self.pending.data.iter().enumerate();
        changes.map(|(place, change)| choice.fate(place, self.pending.op(change.at))).collect()
    }

    /// How many subsets of names the choice is combined with.
    fn subset_count(&self, choice: usize) -> usize {
        if choice < 2 { self.subsets.len() } else { self.subsets_each }
    }

    /// The first two subsets, and then, if not all are taken, other ones for each choice.
    fn subset(&self, choice: usize, place: usize) -> Subset {
        let (all, count) = (self.subsets.len(), self.subset_count(choice));
        if place < 2 || count == all {
            return self.subsets[place];
        }
        let turn = choice * (count - 2) + (place - 2);
        self.subsets[2 + turn % (all - 2)]
    }

    fn kind(&self, names: Subset) -> CrashKind {
        let torn = |fate: &Fate| matches!(fate, Fate::Torn(_));
        if self.fates.iter().any(torn) {
            CrashKind::Torn
        } else if self.fates.contains(&Fate::Lost) {
            CrashKind::Data
        } else if (0..self.pending.entries.len()).all(|place| names.has(place)) {
            CrashKind::Killed
        } else {
            CrashKind::Names
        }
    }
}

impl Iterator for CrashStates {
    type Item = CrashState;

    fn next(&mut self) -> Option<CrashState> {
        let (choice, place) = self.next;
        let chosen = *self.choices.get(choice)?;
        if place == 0 {
            self.fates = self.fates(chosen);
            self.contents.set(&self.pending, &self.fates);
        }
        let last = place + 1 == self.subset_count(choice);
        self.next = if last { (choice + 1, 0) } else { (choice, place + 1) };
        let subset = self.subset(choice, place);
        let names = self.pending.names_left(|place| subset.has(place));
        let fingerprint = self.contents.fingerprint(&names);
        Some(CrashState {
            dir: SimDir::with_state(self.contents.named(names), self.files_made),
            kind: self.kind(subset),
            fingerprint,
            pending: Arc::clone(&self.pending),
            fates: Arc::clone(&self.fates),
            names: subset,
        })
    }
}

impl CrashState {
    /// A digest of names and bytes: the same ones have the same.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        self.fingerprint
    }
}

impl fmt::Display for CrashState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "crash after {} operations, {:?}", self.pending.count, self.kind)?;
        for (change, fate) in self.pending.data.iter().zip(&*self.fates) {
            let what = match self.pending.op(change.at) {
                Op::Write(id, offset, bytes) => {
                    format!("{} bytes at {offset} of {id:?}", bytes.len())
                }
                other => format!("{other:?}"),
            };
            match fate {
                Fate::Lost => write!(f, "; lost: {what}")?,
                Fate::Torn(tear) => write!(f, "; {tear:?} of {what}")?,
                Fate::Whole => {}
            }
        }
        self.pending.describe_names(f, |place| self.names.has(place))
    }
}

#[cfg(test)]
#[path = "crash_tests.rs"]
mod tests;
