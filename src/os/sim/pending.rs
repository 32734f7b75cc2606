//! What a crash finds durable, and which operations may or may not have arrived besides.
//!
//! Names are entries of a directory: a change sets one, clears one, or, as a rename, does both
//! at once. Which file it was about is known from the log, so a rename may survive though
//! the creation of the file's earlier name does not.

use super::{
    disk::Disk,
    state::{FileId, Files, Names, Op, State},
};
use std::{collections::BTreeSet, fmt, sync::Arc};

/// The durable state after the first `count` operations of a log, and the others.
#[derive(Debug)]
pub(super) struct Pending {
    log: Arc<Vec<Op>>,
    pub(super) count: usize,
    /// The durable bytes of every file that a name may lead to.
    pub(super) files: Files,
    names: Names,
    /// Changes to the bytes of such files, as the log has them.
    pub(super) data: Vec<DataChange>,
    /// Changes of names, as the log has them.
    pub(super) entries: Vec<NameChange>,
}

/// A write, or a new length, that may or may not have arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct DataChange {
    /// Where it is in the log.
    pub(super) at: usize,
    pub(super) file: FileId,
    /// Whether it made the file longer.
    pub(super) extends: bool,
}

/// A change of names that may or may not have arrived.
#[derive(Debug)]
pub(super) struct NameChange {
    at: usize,
    clear: Option<String>,
    set: Option<(String, FileId)>,
}

impl Pending {
    pub(super) fn at(disk: &Disk, count: usize) -> Self {
        let mut now = disk.start.clone();
        let State { names, files } = disk.start.clone();
        let log = Arc::clone(&disk.log);
        let count = count.min(log.len());
        let (data, entries) = (Vec::new(), Vec::new());
        let mut pending = Self { log, count, files, names, data, entries };
        for at in 0..count {
            pending.step(&mut now, at);
        }
        pending.forget_unnamed();
        pending
    }

    pub(super) fn op(&self, at: usize) -> &Op {
        &self.log[at]
    }

    /// The names as they are if those changes survive that `survives` says, by their places.
    pub(super) fn names_left(&self, survives: impl Fn(usize) -> bool) -> Names {
        let mut names = self.names.clone();
        for (place, change) in self.entries.iter().enumerate() {
            if survives(place) {
                change.clear.as_ref().map(|name| names.remove(name));
                names.extend(change.set.clone());
            }
        }
        names
    }

    /// Takes the operation at that place of the log into account.
    fn step(&mut self, now: &mut State, at: usize) {
        let log = Arc::clone(&self.log);
        let op = &log[at];
        let len_before = match op {
            Op::Write(id, ..) | Op::SetLen(id, _) => now.bytes(*id).len(),
            _ => 0,
        };
        let entry = |clear, set| NameChange { at, clear, set };
        match op {
            Op::Create(id, name) => self.entries.push(entry(None, Some((name.clone(), *id)))),
            Op::Rename(from, to) => {
                let set = now.names.get(from).map(|&id| (to.clone(), id));
                self.entries.extend(set.map(|set| entry(Some(from.clone()), Some(set))));
            }
            Op::Remove(name) => self.entries.push(entry(Some(name.clone()), None)),
            _ => {}
        }
        now.apply(op);
        match op {
            Op::Write(file, ..) | Op::SetLen(file, _) => {
                let extends = now.bytes(*file).len() > len_before;
                self.data.push(DataChange { at, file: *file, extends });
            }
            Op::SyncFile(file) => {
                self.files.insert(*file, now.bytes(*file));
                self.data.retain(|change| change.file != *file);
            }
            Op::SyncDir => {
                self.names.clone_from(&now.names);
                self.entries.clear();
            }
            _ => {}
        }
    }

    /// What is in files that no name can lead to makes no difference.
    fn forget_unnamed(&mut self) {
        let set = self.entries.iter().filter_map(|change| change.set.as_ref());
        let named: BTreeSet<FileId> =
            self.names.values().copied().chain(set.map(|&(_, id)| id)).collect();
        self.data.retain(|change| named.contains(&change.file));
        self.files.retain(|id, _| named.contains(id));
        for id in named {
            self.files.entry(id).or_default();
        }
    }

    /// Says what is lost of the names, each after a semicolon.
    pub(super) fn describe_names(
        &self,
        f: &mut fmt::Formatter<'_>,
        survives: impl Fn(usize) -> bool,
    ) -> fmt::Result {
        for (_, change) in self.entries.iter().enumerate().filter(|&(place, _)| !survives(place)) {
            write!(f, "; lost: {:?}", self.op(change.at))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::{Dir, File, sim::SimDir};

    fn at(dir: &SimDir, count: usize) -> Pending {
        Pending::at(&dir.lock(), count)
    }

    fn names(pending: &Pending, bits: usize) -> Vec<(String, u64)> {
        let left = pending.names_left(|place| bits >> place & 1 == 1);
        left.into_iter().map(|(name, id)| (name, id.0)).collect()
    }

    #[test]
    fn a_sync_takes_what_is_before_it_out() {
        let dir = SimDir::with_files([("a", b"old".to_vec())]);
        let file = dir.create("b").unwrap();
        file.write_at(0, b"one").unwrap();
        file.sync().unwrap();
        file.write_at(1, b"two").unwrap();
        file.set_len(2).unwrap();
        let before = at(&dir, usize::MAX);
        assert_eq!((before.count, before.entries.len(), before.data.len()), (5, 1, 2));
        assert_eq!(*before.files[&FileId(2)], b"one");
        assert!(before.data[0].extends && !before.data[1].extends);
        dir.sync().unwrap();
        file.sync().unwrap();
        let after = at(&dir, 7);
        assert_eq!((after.entries.len(), after.data.len()), (0, 0));
        assert_eq!(*after.files[&FileId(2)], b"ot");
    }

    #[test]
    fn a_rename_may_outlive_the_creation_of_the_name_it_takes_away() {
        let dir = SimDir::with_files([("a", b"old".to_vec())]);
        dir.create("b").unwrap();
        dir.lock().make(Op::Rename("b".to_owned(), "a".to_owned()));
        let pending = at(&dir, 2);
        assert_eq!(names(&pending, 0b00), [("a".to_owned(), 1)]);
        assert_eq!(names(&pending, 0b01), [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        assert_eq!(names(&pending, 0b10), [("a".to_owned(), 2)]);
        assert_eq!(names(&pending, 0b11), [("a".to_owned(), 2)]);
    }

    #[test]
    fn files_without_any_name_make_no_difference() {
        let dir = SimDir::new();
        let file = dir.create("a").unwrap();
        file.write_at(0, b"x").unwrap();
        dir.remove("a").unwrap();
        assert_eq!(at(&dir, 3).data.len(), 1, "the creation alone may survive");
        dir.sync().unwrap();
        file.write_at(1, b"y").unwrap();
        let pending = at(&dir, 5);
        assert!(pending.data.is_empty() && pending.files.is_empty());
    }
}
