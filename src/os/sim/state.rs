//! Names and bytes of a simulated directory, and what each operation does to them.

use std::{collections::BTreeMap, sync::Arc};

/// A file's number, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId(pub(super) u64);

/// A change to the directory, as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A new, empty file.
    Create(FileId, String),
    /// Bytes written at an offset.
    Write(FileId, u64, Vec<u8>),
    /// A new length.
    SetLen(FileId, u64),
    /// The file's bytes are durable.
    SyncFile(FileId),
    /// A file took another name, and whoever had it lost it.
    Rename(String, String),
    /// A name is gone.
    Remove(String),
    /// The names are durable.
    SyncDir,
}

/// The bytes of files, by number.
pub(super) type Files = BTreeMap<FileId, Arc<Vec<u8>>>;
/// The directory's entries.
pub(super) type Names = BTreeMap<String, FileId>;

/// What is in the directory, and in files that have lost their names.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) names: Names,
    pub(super) files: Files,
}

impl State {
    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::Create(id, name) => {
                self.names.insert(name.clone(), *id);
                self.files.insert(*id, Arc::default());
            }
            Op::Write(id, offset, bytes) => write(self.bytes_mut(*id), *offset, bytes),
            Op::SetLen(id, len) => set_len(self.bytes_mut(*id), index(*len)),
            Op::Rename(from, to) => {
                if let Some(id) = self.names.remove(from) {
                    self.names.insert(to.clone(), id);
                }
            }
            Op::Remove(name) => {
                self.names.remove(name);
            }
            Op::SyncFile(_) | Op::SyncDir => {}
        }
    }

    pub(super) fn bytes(&self, id: FileId) -> Arc<Vec<u8>> {
        self.files.get(&id).cloned().unwrap_or_default()
    }

    pub(super) fn bytes_mut(&mut self, id: FileId) -> &mut Vec<u8> {
        Arc::make_mut(self.files.entry(id).or_default())
    }
}

/// Writes into a file, which grows to hold it. Without bytes, it does not.
pub(super) fn write(file: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let (start, end) = (index(offset), index(offset) + bytes.len());
    if file.len() < end {
        set_len(file, end);
    }
    file[start..end].copy_from_slice(bytes);
}

/// Cuts or extends with zeros; in one piece, for unoptimised tests have large files.
pub(super) fn set_len(file: &mut Vec<u8>, len: usize) {
    if len > file.capacity() {
        let mut longer = vec![0; len];
        longer[..file.len()].copy_from_slice(file);
        *file = longer;
    }
    file.resize(len, 0);
}

/// Offsets are those of a simulated file, so they fit.
pub(super) fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_extends_by_what_it_writes() {
        let mut file = b"abc".to_vec();
        write(&mut file, 2, b"xy");
        assert_eq!(file, b"abxy");
        write(&mut file, 6, b"z");
        assert_eq!(file, b"abxy\0\0z");
        write(&mut file, 9, b"");
        assert_eq!(file.len(), 7);
    }

    #[test]
    fn a_file_that_was_cut_grows_by_zeros() {
        let mut file = b"abc".to_vec();
        set_len(&mut file, 1);
        set_len(&mut file, 3);
        assert_eq!(file, b"a\0\0");
    }

    #[test]
    fn a_renamed_file_takes_the_name_from_another() {
        let mut state = State::default();
        for (id, name) in [(FileId(1), "a"), (FileId(2), "b")] {
            state.apply(&Op::Create(id, name.to_owned()));
        }
        state.apply(&Op::Rename("a".to_owned(), "b".to_owned()));
        state.apply(&Op::Rename("none".to_owned(), "c".to_owned()));
        assert_eq!(state.names, Names::from([("b".to_owned(), FileId(1))]));
    }
}
