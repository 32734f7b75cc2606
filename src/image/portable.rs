//! Portable files: a snapshot as one file that needs no directory around it, to be carried to
//! another place. It is a full segment, number 1, of the snapshot's heap and number.
//!
//! Invariant: importing makes a heap whose only snapshot is the one that was exported, or nothing.

use super::{
    chain::Chain,
    compression::Compression,
    identity::Identity,
    manifest::{CommitError, Manifest, SnapshotRecord},
    names::{Contents, InspectError, SegmentKind, SegmentNumber, inspect},
    segment_error::SegmentError,
    segment_info::{SegmentInfo, SegmentSummary, WriteError, io_error},
    segment_reader::SegmentReader,
};
use crate::os::{Dir, File};
use std::path::PathBuf;

/// Why a portable file could not be imported. Nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The directory cannot be used.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// There is a heap in it already.
    #[error("there is a heap in {} already: name a new directory", path.display())]
    Taken {
        /// The directory.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error(transparent)]
    Damage(#[from] SegmentError),
    /// The file is no portable one.
    #[error(
        "{} is a segment of a heap, and no exported file: export the snapshot first",
        path.display()
    )]
    NotExported {
        /// The file.
        path: PathBuf,
    },
    /// The heap could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It could not be made durable.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl<F: File> Chain<F> {
    /// Writes the snapshot into one file, `name` in `dir`, synced; every page is verified. `watch`
    /// is told of the pages as they are written; it ends the work by answering `false`: then there
    /// is no summary, and the file is the caller's to remove, as after an error. Whoever wants the
    /// file to appear at once and whole gives it a temporary name, and renames it.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn export<D: Dir<File = F>>(
        &self,
        dir: &D,
        name: &str,
        compression: Compression,
        watch: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Option<SegmentSummary>, WriteError> {
        let Some(last) = self.segments().last().map(|last| last.header()) else {
            return Ok(None);
        };
        let info = SegmentInfo {
            identity: last.identity,
            number: SegmentNumber::FIRST,
            parent: None,
            snapshot: last.snapshot,
            frozen_at: last.frozen_at,
            operations: last.operations,
            compression,
        };
        self.merge_into(dir, name, &info, 0..self.segments().len(), watch)
    }
}

/// Makes a new heap in `dir` of an exported file; every page is verified. `watch` as in
/// [`SegmentReader::verify_watched`]. `None`: it has ended the work.
///
/// # Errors
/// [`ImportError`]; the directory is then as it was.
pub fn import<D: Dir>(
    source: &SegmentReader<D::File>,
    dir: &D,
    watch: &(dyn Fn(u64) -> bool + Sync),
) -> Result<Option<Manifest>, ImportError> {
    let header = source.header();
    if header.kind != SegmentKind::Full || header.number != SegmentNumber::FIRST {
        return Err(ImportError::NotExported { path: source.path().to_owned() });
    }
    if inspect(dir)? != Contents::New {
        return Err(ImportError::Taken { path: dir.path_of("") });
    }
    if source.verify_watched(watch)?.is_none() {
        return Ok(None);
    }
    let record = source.record();
    let name = record.file_name();
    let copied = copy(source, dir, &name).and_then(|()| {
        let mut manifest = Manifest::new(header.identity);
        let snapshot = SnapshotRecord {
            number: header.snapshot,
            frozen_at: header.frozen_at,
            operations: header.operations,
            pages: header.page_count,
            bytes: header.file_len,
            set_aside: false,
            chain: vec![record.number],
        };
        manifest.add(snapshot, record);
        manifest.publish(dir)?;
        Ok(manifest)
    });
    if copied.as_ref().is_err_and(is_undone) {
        // What cannot be removed is told of by the error.
        let _ = dir.remove(&name);
    }
    copied.map(Some)
}

/// Whether no manifest names the file.
fn is_undone(error: &ImportError) -> bool {
    !matches!(error, ImportError::Commit(error) if !error.old_in_force())
}

fn copy<D: Dir>(source: &SegmentReader<D::File>, dir: &D, name: &str) -> Result<(), ImportError> {
    let path = dir.path_of(name);
    let failed = |action| {
        let path = path.clone();
        move |source| ImportError::Write(io_error(&path, action, source))
    };
    let file = dir.create(name).map_err(failed("create"))?;
    let len = source.header().file_len;
    file.set_len(len).map_err(failed("extend"))?;
    // Holes stay holes: data are looked for.
    let mut at = 0;
    while at < len {
        let Some(data) = source.file().next_data(at).map_err(failed("copy to"))? else { break };
        let end = len.min(data - data % PIECE + PIECE);
        file.copy_from(data, source.file(), data, end - data).map_err(failed("copy to"))?;
        at = end;
    }
    file.sync().map_err(failed("sync"))?;
    Ok(())
}

/// Bytes that are copied before data are looked for again.
const PIECE: u64 = 1 << 20;

impl<F: File> SegmentReader<F> {
    /// Opens a file that no manifest is at hand for, by what it says of itself.
    ///
    /// # Errors
    /// As [`SegmentReader::open`].
    pub fn open_alone<D: Dir<File = F>>(dir: &D, name: &str) -> Result<Self, SegmentError> {
        let (record, identity): (_, Identity) = Self::peek(dir, name)?;
        Self::open_named(dir, name, &record, &identity)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Choice, choose, identity::tests::identity, segment_writer::SegmentWriter},
        *,
    };
    use crate::{
        base::{PAGE_SIZE, PageIndex, PageRun},
        os::sim::{Fault, SimDir},
    };

    /// A heap with a full segment and a delta on it.
    fn heap() -> (SimDir, Manifest) {
        let dir = SimDir::new();
        let mut manifest = Manifest::new(identity());
        for (number, fill) in [(1_u64, 1_u8), (2, 2)] {
            let info = SegmentInfo {
                identity: identity(),
                number: manifest.next_segment,
                parent: (number > 1).then_some(1),
                snapshot: number,
                frozen_at: 10 * number,
                operations: 100 * number,
                compression: Compression::None,
            };
            let run = PageRun { first: PageIndex(0), count: 200 };
            let mut writer = SegmentWriter::create(&dir, &info, &[run]).unwrap();
            for page in (0..200).step_by(if number == 1 { 3 } else { 50 }) {
                writer.write_pages(PageIndex(page), &[fill; PAGE_SIZE]).unwrap();
            }
            let summary = writer.finish(b"notes").unwrap().sync().unwrap();
            let chain = manifest.newest().map_or_else(Vec::new, |newest| newest.chain.clone());
            let snapshot = SnapshotRecord {
                number,
                frozen_at: info.frozen_at,
                operations: info.operations,
                pages: summary.pages,
                bytes: summary.bytes,
                set_aside: false,
                chain: [&chain[..], &[info.number]].concat(),
            };
            manifest.add(snapshot, summary.record);
        }
        manifest.publish(&dir).unwrap();
        (dir, manifest)
    }

    fn exported(compression: Compression) -> (SimDir, Chain<crate::os::sim::SimFile>) {
        let (dir, manifest) = heap();
        let chain = Chain::open(&dir, &manifest, manifest.newest().unwrap()).unwrap();
        let out = SimDir::new();
        chain.export(&out, "heap.still", compression, &|_| true).unwrap().unwrap();
        (out, chain)
    }

    #[test]
    fn what_is_exported_is_what_is_imported() {
        for compression in [Compression::None, Compression::Lz4] {
            let (out, chain) = exported(compression);
            let source = SegmentReader::open_alone(&out, "heap.still").unwrap();
            let dir = SimDir::new();
            let manifest = import(&source, &dir, &|_| true).unwrap().unwrap();
            assert_eq!(manifest.identity, identity());
            let Choice::Sound(sound) = choose(&dir, &identity().host()).unwrap() else { panic!() };
            let snapshot = &sound.snapshot;
            assert_eq!((snapshot.number, snapshot.frozen_at, snapshot.operations), (2, 20, 200));
            assert_eq!(sound.chain.segments()[0].notes(), b"notes");
            for page in (0..210).map(PageIndex) {
                assert_eq!(sound.chain.page(page).unwrap(), chain.page(page).unwrap());
            }
            let again = import(&source, &dir, &|_| true).unwrap_err();
            assert!(matches!(again, ImportError::Taken { .. }), "{again}");
        }
    }

    #[test]
    fn damage_and_failures_leave_nothing() {
        let (out, _) = exported(Compression::Lz4);
        let len = out.get("heap.still").unwrap().len();
        for at in [0, 100, 300, 4100, len - 1] {
            out.damage("heap.still", |bytes| bytes[at] ^= 1);
            let dir = SimDir::new();
            let opened = SegmentReader::open_alone(&out, "heap.still").map_err(ImportError::from);
            let failed = opened.and_then(|source| import(&source, &dir, &|_| true));
            assert!(failed.is_err(), "{at}");
            assert!(dir.list().unwrap().is_empty());
            out.damage("heap.still", |bytes| bytes[at] ^= 1);
        }
        let source = SegmentReader::open_alone(&out, "heap.still").unwrap();
        for after in 0.. {
            let dir = SimDir::new();
            dir.fail(Some(Fault { after, errno: libc::ENOSPC, lasting: false }));
            let failed = import(&source, &dir, &|_| true);
            dir.fail(None);
            let names = dir.list().unwrap();
            match failed {
                Ok(_) => break,
                Err(ImportError::Commit(error)) if !error.old_in_force() => {}
                Err(error) => assert!(names.is_empty(), "{after}: {names:?} {error}"),
            }
        }
    }

    #[test]
    fn other_segments_are_no_exports() {
        let (dir, _) = heap();
        let delta = SegmentReader::open_alone(&dir, "0000000002.delta").unwrap();
        let refused = import(&delta, &SimDir::new(), &|_| true).unwrap_err();
        assert!(matches!(refused, ImportError::NotExported { .. }), "{refused}");
    }
}
