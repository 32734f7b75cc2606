//! A snapshot as one file that needs no directory: to copy, to send, to keep. It is a full, packed
//! segment, and so has a checksum for each of its bytes.
//!
//! Invariants: an export has its name only when it is complete, verified and durable; a directory
//! that is imported into is a heap only then. What fails leaves nothing, as far as the system lets
//! it be removed.

use super::{
    chain::Chain,
    compression::Compression,
    manifest::{CommitError, Manifest, SegmentRecord, SnapshotRecord},
    names::{Contents, InspectError, MANIFEST_NAME, SegmentKind, SegmentNumber, inspect},
    segment_error::SegmentError,
    segment_info::{SegmentInfo, SegmentSummary, WriteError, full_or, io_error},
    segment_reader::SegmentReader,
    segment_writer::SegmentWriter,
};
use crate::os::{Dir, File, TEMPORARY_PREFIX, random_u64};
use std::{io, path::PathBuf};

/// Told of pages as they are written, and again as they are verified; it ends the work by
/// answering `false`.
type Watch<'a> = &'a (dyn Fn(u64) -> bool + Sync);

/// Why a snapshot could not be exported. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// There is something of that name.
    #[error("{} is there already, and is not overwritten: give another name", path.display())]
    Taken {
        /// The export's path.
        path: PathBuf,
    },
    /// It could not be written.
    #[error("{0}")]
    Write(#[from] WriteError),
    /// The snapshot, or what was written of it, is damaged.
    #[error("{0}")]
    Damage(#[from] SegmentError),
}

/// Why a file could not be imported. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The directory cannot become a heap.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// It is a heap already.
    #[error("{} is a heap already, and is not overwritten: name another one", path.display())]
    Taken {
        /// The directory.
        path: PathBuf,
    },
    /// The file is a delta, which is nothing without the snapshot that it applies to.
    #[error(
        "{}: expected a full segment, found a delta on snapshot {parent}: export the snapshot \
         with what it builds on",
        path.display()
    )]
    NotWhole {
        /// The file.
        path: PathBuf,
        /// The snapshot that it applies to.
        parent: u64,
    },
    /// The file, or its copy, is damaged.
    #[error("{0}")]
    Damage(#[from] SegmentError),
    /// The copy could not be written.
    #[error("{0}")]
    Write(#[from] WriteError),
    /// The new heap's manifest could not be written.
    #[error("{0}")]
    Commit(#[from] CommitError),
}

/// Writes the snapshot that the chain makes up into a new file of `dir`, which need not be the
/// heap's. `None`: `watch` has ended the work.
///
/// # Errors
/// [`ExportError`].
pub fn export<D: Dir>(
    chain: &Chain<D::File>,
    dir: &D,
    name: &str,
    compression: Compression,
    watch: Watch<'_>,
) -> Result<Option<SegmentSummary>, ExportError> {
    let path = dir.path_of(name);
    match dir.open(name).err() {
        Some(error) if error.kind() == io::ErrorKind::NotFound => {}
        // No regular file has the name, but something else.
        Some(error) if error.kind() != io::ErrorKind::InvalidInput => {
            return Err(io_error(&path, "look for", error).into());
        }
        _ => return Err(ExportError::Taken { path }),
    }
    let temporary = format!("{TEMPORARY_PREFIX}-{:016x}", random_u64());
    let written = write(chain, dir, &temporary, compression, watch);
    let Ok(Some(summary)) = written else {
        let _ = dir.remove(&temporary);
        return written;
    };
    if let Err(source) = dir.rename(&temporary, name) {
        let _ = dir.remove(&temporary);
        return Err(match source.kind() {
            io::ErrorKind::AlreadyExists => ExportError::Taken { path },
            _ => io_error(&path, "give the name", source).into(),
        });
    }
    if let Err(source) = dir.sync() {
        let _ = dir.remove(name);
        return Err(io_error(&path, "sync the folder of", source).into());
    }
    Ok(Some(summary))
}

fn write<D: Dir>(
    chain: &Chain<D::File>,
    dir: &D,
    name: &str,
    compression: Compression,
    watch: Watch<'_>,
) -> Result<Option<SegmentSummary>, ExportError> {
    let Some(last) = chain.segments().last() else { return Ok(None) };
    let header = last.header();
    let info = SegmentInfo {
        identity: header.identity,
        // It is the first of the heap that is made of it.
        number: SegmentNumber::FIRST,
        parent: None,
        snapshot: header.snapshot,
        frozen_at: header.frozen_at,
        operations: header.operations,
        compression,
    };
    let mut writer = SegmentWriter::create_packed(dir, name, &info, last.runs())?;
    let all = 0..chain.segments().len();
    let Some(_) = chain.copy_all(&mut writer, all, watch)? else { return Ok(None) };
    let summary = writer.finish(last.notes())?.sync()?;
    // The kernel may have copied it, and nobody has looked at it.
    let (reader, _) = SegmentReader::open_alone(dir, name)?;
    Ok(reader.verify_watched(watch)?.map(|_| summary))
}

/// Makes a heap of the empty directory `to`, with the snapshot in a file of `from` as its only
/// one. `None`: `watch` has ended the work.
///
/// # Errors
/// [`ImportError`].
pub fn import<D: Dir>(
    from: &D,
    name: &str,
    to: &D,
    watch: Watch<'_>,
) -> Result<Option<Manifest>, ImportError> {
    if inspect(to)? == Contents::Heap {
        return Err(ImportError::Taken { path: to.path_of("") });
    }
    let (source, record) = SegmentReader::open_alone(from, name)?;
    if let Some(parent) = source.header().parent {
        return Err(ImportError::NotWhole { path: source.path().to_owned(), parent });
    }
    debug_assert_eq!(record.kind, SegmentKind::Full, "a segment without a parent");
    if source.verify_watched(watch)?.is_none() {
        return Ok(None);
    }
    let manifest = manifest_of(&source, record);
    let copied = copy(&source, record, to, watch).and_then(|copied| {
        copied.then(|| manifest.publish(to)).transpose().map_err(ImportError::Commit)
    });
    match copied {
        Ok(Some(())) => Ok(Some(manifest)),
        failed => {
            // The manifest first: with it, there would be a heap without its snapshot.
            let _ = to.remove(MANIFEST_NAME);
            let _ = to.remove(&record.file_name());
            failed.map(|_| None)
        }
    }
}

/// Whether the copy is there, durable and sound; if not, the work was ended.
fn copy<D: Dir>(
    source: &SegmentReader<D::File>,
    record: SegmentRecord,
    to: &D,
    watch: Watch<'_>,
) -> Result<bool, ImportError> {
    let name = record.file_name();
    let path = to.path_of(&name);
    let file = to.create(&name).map_err(|error| io_error(&path, "create", error))?;
    file.copy_from(0, source.file(), 0, record.file_len)
        .map_err(|error| full_or(&path, "copy to", 0, record.file_len, error))?;
    file.sync().map_err(|error| full_or(&path, "sync", record.file_len, 0, error))?;
    let copy = SegmentReader::open(to, &record, &source.header().identity)?;
    Ok(copy.verify_watched(watch)?.is_some())
}

fn manifest_of<F: File>(source: &SegmentReader<F>, record: SegmentRecord) -> Manifest {
    let header = source.header();
    let snapshot = SnapshotRecord {
        number: header.snapshot,
        frozen_at: header.frozen_at,
        operations: header.operations,
        pages: header.page_count,
        bytes: record.file_len,
        set_aside: false,
        chain: vec![record.number],
    };
    let mut manifest = Manifest::new(header.identity);
    manifest.add(snapshot, record);
    manifest
}

#[cfg(test)]
mod tests {
    use super::{super::identity::tests::identity, *};
    use crate::{
        base::{PAGE_SIZE, PageIndex, PageRun},
        os::sim::{Bounds, Fault, SimDir},
    };

    fn add(
        dir: &SimDir,
        manifest: &mut Manifest,
        parent: Option<u64>,
        compression: Compression,
        pages: &[(u32, u8)],
    ) {
        let number = manifest.next_segment;
        let snapshot = manifest.next_snapshot;
        let (frozen_at, operations) = (snapshot * 1000, snapshot * 10);
        let info = SegmentInfo {
            identity: manifest.identity,
            number,
            parent,
            snapshot,
            frozen_at,
            operations,
            compression,
        };
        let runs = [PageRun { first: PageIndex(4), count: 20 }];
        let mut writer = SegmentWriter::create(dir, &info, &runs).unwrap();
        for &(page, fill) in pages {
            writer.write_pages(PageIndex(page), &[fill; PAGE_SIZE]).unwrap();
        }
        let summary = writer.finish(b"notes").unwrap().sync().unwrap();
        let before = parent.and_then(|parent| manifest.snapshot(parent));
        let mut chain = before.map_or_else(Vec::new, |before| before.chain.clone());
        chain.push(number);
        let (pages, bytes) = (summary.pages, summary.bytes);
        let record = SnapshotRecord {
            number: snapshot,
            frozen_at,
            operations,
            pages,
            bytes,
            set_aside: false,
            chain,
        };
        manifest.add(record, summary.record);
        manifest.publish(dir).unwrap();
    }

    /// A full segment, and a delta that changes a page, makes one zero and adds one.
    fn heap() -> (SimDir, Manifest) {
        let dir = SimDir::new();
        let mut manifest = Manifest::new(identity());
        add(&dir, &mut manifest, None, Compression::None, &[(4, 1), (5, 2), (6, 3), (9, 3)]);
        add(&dir, &mut manifest, Some(1), Compression::Lz4, &[(5, 7), (6, 0), (20, 8)]);
        (dir, manifest)
    }

    fn chain(dir: &SimDir, manifest: &Manifest, number: u64) -> Chain<<SimDir as Dir>::File> {
        Chain::open(dir, manifest, manifest.snapshot(number).unwrap()).unwrap()
    }

    fn pages(chain: &Chain<<SimDir as Dir>::File>) -> Vec<u8> {
        (0..30).map(|page| chain.page(PageIndex(page)).unwrap()[7]).collect()
    }

    fn ways() -> impl Iterator<Item = Compression> {
        [Compression::None, Compression::Lz4, Compression::Zstd(3)]
            .into_iter()
            .filter(|way| way.is_supported())
    }

    #[test]
    fn every_snapshot_comes_back_whatever_its_chain() {
        let (dir, manifest) = heap();
        for (number, way) in [1, 2].into_iter().flat_map(|n| ways().map(move |way| (n, way))) {
            let (chain, out, to) = (chain(&dir, &manifest, number), SimDir::new(), SimDir::new());
            let summary = export(&chain, &out, "a.still", way, &|_| true).unwrap().unwrap();
            assert_eq!(out.list().unwrap(), ["a.still"]);
            // Equal pages are there once.
            assert!(number == 2 || summary.bytes < 5 * PAGE_SIZE as u64, "{summary:?}");
            let made = import(&out, "a.still", &to, &|_| true).unwrap().unwrap();
            assert_eq!(Manifest::load(&to).unwrap(), made);
            let (old, new) = (manifest.snapshot(number).unwrap(), made.newest().unwrap());
            assert_eq!(
                (new.number, new.frozen_at, new.operations),
                (old.number, old.frozen_at, old.operations)
            );
            assert_eq!((made.identity, made.next_snapshot), (manifest.identity, number + 1));
            let back = self::chain(&to, &made, number);
            assert_eq!(pages(&back), pages(&chain), "{number} {way:?}");
            assert_eq!((back.runs(), back.segments()[0].notes()), (chain.runs(), &b"notes"[..]));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_length_is_refused_and_leaves_nothing() {
        let (dir, manifest) = heap();
        let out = SimDir::new();
        export(&chain(&dir, &manifest, 2), &out, "a", Compression::Lz4, &|_| true).unwrap();
        let sound = out.get("a").unwrap();
        let refused = |bytes: Vec<u8>, what: usize| {
            let (from, to) = (SimDir::with_files([("a", bytes)]), SimDir::new());
            let error = import(&from, "a", &to, &|_| true).unwrap_err();
            assert!(matches!(error, ImportError::Damage(_)), "{what}: {error}");
            assert!(error.to_string().contains("sim:/a") || error.to_string().contains("sim:"));
            assert!(to.list().unwrap().is_empty(), "{what}");
        };
        for bit in (0..sound.len() * 8).step_by(13) {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            refused(bytes, bit);
        }
        for len in [0, 1, 255, 256, 4095, sound.len() - 1] {
            refused(sound[..len].to_vec(), len);
        }
        refused([&sound[..], &[0]].concat(), sound.len() + 1);
    }

    #[test]
    fn what_is_there_is_not_overwritten() {
        let (dir, manifest) = heap();
        let out = SimDir::with_files([("a", b"precious".to_vec())]);
        let chain = chain(&dir, &manifest, 2);
        let taken = export(&chain, &out, "a", Compression::Lz4, &|_| true).unwrap_err();
        assert!(matches!(taken, ExportError::Taken { .. }));
        assert_eq!(out.get("a").unwrap(), b"precious");
        export(&chain, &out, "b", Compression::Lz4, &|_| true).unwrap();
        let before = dir.list().unwrap();
        let taken = import(&out, "b", &dir, &|_| true).unwrap_err();
        assert!(matches!(taken, ImportError::Taken { .. }));
        assert_eq!(dir.list().unwrap(), before);
        assert!(matches!(import(&out, "b", &out, &|_| true), Err(ImportError::Inspect(_))));
    }

    #[test]
    fn a_delta_alone_is_refused_and_damage_is_not_exported() {
        let (dir, manifest) = heap();
        let delta = import(&dir, "0000000002.delta", &SimDir::new(), &|_| true).unwrap_err();
        assert!(matches!(delta, ImportError::NotWhole { parent: 1, .. }), "{delta}");
        import(&dir, "0000000001.full", &SimDir::new(), &|_| true).unwrap().unwrap();
        dir.damage("0000000001.full", |bytes| bytes[4096 + 9] ^= 1);
        for way in ways() {
            let out = SimDir::new();
            let chain = chain(&dir, &manifest, 2);
            assert!(export(&chain, &out, "a", way, &|_| true).is_err(), "{way:?}");
            assert!(out.list().unwrap().is_empty());
        }
    }

    #[test]
    fn a_failure_at_any_call_leaves_nothing() {
        let (dir, manifest) = heap();
        let good = SimDir::new();
        let chain = chain(&dir, &manifest, 2);
        export(&chain, &good, "a", Compression::None, &|_| true).unwrap();
        let mut after = 0;
        loop {
            let (from, to) = (good.clone(), SimDir::new());
            let out = SimDir::new();
            let fault = Some(Fault { after, errno: libc::ENOSPC, lasting: false });
            out.fail(fault);
            to.fail(fault);
            let exported = export(&chain, &out, "a", Compression::None, &|_| true);
            let imported = import(&from, "a", &to, &|_| true);
            out.fail(None);
            to.fail(None);
            assert_eq!(exported.is_err(), out.list().unwrap().is_empty(), "{after}");
            assert_eq!(imported.is_err(), to.list().unwrap().is_empty(), "{after}");
            if exported.is_ok() && imported.is_ok() {
                break;
            }
            after += 1;
        }
        assert!(after > 8, "{after} calls");
    }

    #[test]
    fn a_power_cut_leaves_a_whole_export_or_none_and_a_whole_heap_or_none() {
        let (dir, manifest) = heap();
        let (out, to) = (SimDir::new(), SimDir::new());
        let chain = chain(&dir, &manifest, 2);
        export(&chain, &out, "a", Compression::Lz4, &|_| true).unwrap();
        import(&out, "a", &to, &|_| true).unwrap();
        let states = |dir: &SimDir| -> Vec<SimDir> {
            let counts = 0..=dir.log().len();
            let each = |count| dir.crash_states(count, &Bounds::default()).map(|state| state.dir);
            counts.flat_map(each).collect()
        };
        let mut whole = 0;
        for crashed in states(&out).iter().filter(|crashed| crashed.get("a").is_some()) {
            import(crashed, "a", &SimDir::new(), &|_| true).unwrap().unwrap();
            whole += 1;
        }
        for crashed in states(&to).iter().filter(|crashed| crashed.get(MANIFEST_NAME).is_some()) {
            let manifest = Manifest::load(crashed).unwrap();
            self::chain(crashed, &manifest, 2).verify().unwrap();
            whole += 1;
        }
        assert!(whole >= 4, "{whole} states");
    }

    #[test]
    fn who_watches_can_end_it() {
        let (dir, manifest) = heap();
        let (out, to) = (SimDir::new(), SimDir::new());
        let chain = chain(&dir, &manifest, 2);
        assert!(export(&chain, &out, "a", Compression::Lz4, &|_| false).unwrap().is_none());
        assert!(out.list().unwrap().is_empty());
        export(&chain, &out, "a", Compression::Lz4, &|_| true).unwrap();
        assert!(import(&out, "a", &to, &|_| false).unwrap().is_none());
        assert!(to.list().unwrap().is_empty());
    }
}
