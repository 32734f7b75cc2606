//! Writing a segment, in four steps, each a type, so that none can be left out: a
//! `SegmentWriter` takes pages; `finish` writes index, notes and, last of all, the header;
//! `FinishedSegment::sync` gives the record that a manifest needs.
//!
//! Invariant: nothing reads the file before the manifest names it, so a failure at any point
//! leaves a file that the caller removes, or that is found by [`leftovers`](super::leftovers).

use super::{
    codec::Encoder,
    extent::{Extent, check_run, find},
    header::{HEADER_LEN, SegmentHeader, data_offset, stored_crc},
    identity::Identity,
    index::{ENTRY_LEN, IndexEntry, page_of},
    manifest::SegmentRecord,
    names::{SegmentKind, SegmentNumber},
};
use crate::{
    base::{PAGE_SIZE, PageIndex, PageRun, crc32},
    os::{Dir, File},
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// A page of nothing.
pub(super) static ZERO_PAGE: [u8; PAGE_SIZE] = [0; PAGE_SIZE];

/// What a segment is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The heap that it belongs to.
    pub identity: Identity,
    /// Its number.
    pub number: SegmentNumber,
    /// The segment that it applies to, if it is a delta; `None` makes it a full one.
    pub parent: Option<SegmentNumber>,
    /// The snapshot that it completes.
    pub snapshot: u64,
    /// When the heap was frozen: nanoseconds since 1970.
    pub frozen_at: u64,
    /// Operations that the heap had seen by then.
    pub operations: u64,
}

/// A segment that takes pages.
#[derive(Debug)]
pub struct SegmentWriter<F> {
    file: F,
    path: PathBuf,
    header: SegmentHeader,
    extents: Vec<Extent>,
    index: Vec<[u8; ENTRY_LEN]>,
}

/// A segment with all its bytes, not yet durable.
#[derive(Debug)]
pub struct FinishedSegment<F> {
    file: F,
    path: PathBuf,
    summary: SegmentSummary,
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentSummary {
    /// What a manifest has to know.
    pub record: SegmentRecord,
    /// Pages saved.
    pub pages: u64,
    /// Bytes written: pages, and everything around them.
    pub bytes: u64,
}

/// What one call wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Pages that went to the file.
    pub pages: u64,
    /// Pages that were all zero, and stay holes.
    pub zero_pages: u64,
    /// Made of the pages' numbers and digests: two that are equal are taken to mean that no byte
    /// of the same pages differs.
    pub fingerprint: u128,
}

/// Why a segment could not be written. It is to be abandoned: never retried, but removed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The extents overlap, fall, are empty, too many, or pass the arena's end.
    #[error("{}: extent of {} pages from {} on: expected {expected}", path.display(),
        found.count, found.first.0)]
    Extents {
        /// The file.
        path: PathBuf,
        /// What was asked of the run.
        expected: String,
        /// The run.
        found: PageRun,
    },
    /// Pages that lie in no extent, or bytes that are no whole pages.
    #[error("{}: {len} bytes from page {} on are not whole pages of one extent",
        path.display(), first.0)]
    Misplaced {
        /// The file.
        path: PathBuf,
        /// The first page.
        first: PageIndex,
        /// The bytes' length.
        len: usize,
    },
    /// A page was written twice.
    #[error("{}: page {} was written twice", path.display(), page.0)]
    Twice {
        /// The file.
        path: PathBuf,
        /// The page.
        page: PageIndex,
    },
}

impl<F: File> SegmentWriter<F> {
    /// Creates the file, which states the contents of all pages of `runs`: those that are not
    /// written are zero.
    ///
    /// # Errors
    /// [`WriteError`]; a file that was created stays, for the caller to remove.
    pub fn create<D: Dir<File = F>>(
        dir: &D,
        info: &SegmentInfo,
        runs: &[PageRun],
    ) -> Result<Self, WriteError> {
        let kind = if info.parent.is_some() { SegmentKind::Delta } else { SegmentKind::Full };
        let name = info.number.file_name(kind);
        let path = dir.path_of(&name);
        let extents = lay_out(runs, info.identity.page_count(), &path)?;
        let header = first_header(info, kind, &extents);
        let file = dir.create(&name).map_err(|source| io_error(&path, "create", source))?;
        // The holes must be there even if nothing is written after them.
        file.set_len(header.index_offset).map_err(|source| io_error(&path, "extend", source))?;
        Ok(Self { file, path, header, extents, index: Vec::new() })
    }

    /// Writes consecutive pages from `first` on, all of one extent, with as few calls as the
    /// zero pages among them allow. Best in rising order; any order is sound.
    ///
    /// # Errors
    /// [`WriteError`]; the segment is then to be abandoned.
    pub fn write_pages(&mut self, first: PageIndex, bytes: &[u8]) -> Result<Written, WriteError> {
        let (pages, odd) = bytes.as_chunks::<PAGE_SIZE>();
        let count = u32::try_from(pages.len()).unwrap_or(u32::MAX);
        let extent = find(&self.extents, first).filter(|extent| {
            let end = u64::from(first.0) + u64::from(count);
            odd.is_empty() && end <= extent.run.pages().end
        });
        let Some(extent) = extent.copied() else {
            let path = self.path.clone();
            return Err(WriteError::Misplaced { path, first, len: bytes.len() });
        };
        let mut written = Written::default();
        for run in pages.chunk_by(|left, right| (*left == ZERO_PAGE) == (*right == ZERO_PAGE)) {
            let page = PageIndex(first.0 + written.total());
            if run.first() == Some(&ZERO_PAGE) {
                written.zero_pages += run.len() as u64;
            } else {
                let fingerprint = self.save(page, extent.offset_of(page), run)?;
                written.fingerprint = written.fingerprint.wrapping_add(fingerprint);
                written.pages += run.len() as u64;
            }
        }
        Ok(written)
    }

    /// Writes index and notes, and then the header: the file is complete. The notes are bytes
    /// that whoever writes snapshots keeps with them; the format gives them no meaning.
    ///
    /// # Errors
    /// [`WriteError`]; the segment is then to be abandoned.
    pub fn finish(mut self, notes: &[u8]) -> Result<FinishedSegment<F>, WriteError> {
        self.sort_index()?;
        let index = self.index.as_flattened();
        let header = &mut self.header;
        header.page_count = self.index.len() as u64;
        header.index_crc = crc32(index);
        header.notes_offset = header.index_offset + index.len() as u64;
        header.notes_len = notes.len() as u64;
        header.notes_crc = crc32(notes);
        header.file_len = header.notes_offset + header.notes_len;
        let mut table = encode_table(&self.extents, header.data_offset);
        header.extents_crc = crc32(&table[HEADER_LEN..]);
        table[..HEADER_LEN].copy_from_slice(&self.header.encode());
        self.write(self.header.index_offset, index)?;
        self.write(self.header.notes_offset, notes)?;
        self.write(0, &table)?;
        let summary = self.summary(&table);
        Ok(FinishedSegment { file: self.file, path: self.path, summary })
    }

    fn save(
        &mut self,
        first: PageIndex,
        offset: u64,
        pages: &[[u8; PAGE_SIZE]],
    ) -> Result<u128, WriteError> {
        self.write(offset, pages.as_flattened())?;
        let mut fingerprint = 0_u128;
        for (number, page) in (first.0..).zip(pages) {
            let entry = IndexEntry::of(PageIndex(number), page);
            let place = u128::from(number) << 1 | 1;
            fingerprint = fingerprint.wrapping_add(entry.digest.0.wrapping_mul(place));
            self.index.push(entry.to_bytes());
        }
        Ok(fingerprint)
    }

    fn sort_index(&mut self) -> Result<(), WriteError> {
        if !self.index.is_sorted_by_key(page_of) {
            self.index.sort_unstable_by_key(page_of);
        }
        match self.index.windows(2).find(|pair| page_of(&pair[0]) == page_of(&pair[1])) {
            None => Ok(()),
            Some(pair) => {
                Err(WriteError::Twice { path: self.path.clone(), page: page_of(&pair[0]) })
            }
        }
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), WriteError> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.file.write_at(offset, bytes).map_err(|source| io_error(&self.path, "write", source))
    }

    fn summary(&self, table: &[u8]) -> SegmentSummary {
        let SegmentHeader { number, kind, file_len, page_count: pages, index_offset, .. } =
            self.header;
        let header_crc = table.first_chunk().map_or(0, stored_crc);
        let around = table.len() as u64 + (file_len - index_offset);
        SegmentSummary {
            record: SegmentRecord { number, kind, file_len, header_crc },
            pages,
            bytes: pages * PAGE_SIZE as u64 + around,
        }
    }
}

impl<F: File> FinishedSegment<F> {
    /// Makes the file's bytes durable. (Its name becomes so with the manifest that names it.)
    ///
    /// # Errors
    /// [`WriteError::Io`]: the file is lost, and a second try would prove nothing.
    pub fn sync(self) -> Result<SegmentSummary, WriteError> {
        self.file.sync().map_err(|source| io_error(&self.path, "sync", source))?;
        Ok(self.summary)
    }
}

impl Written {
    /// What both calls wrote.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            pages: self.pages + other.pages,
            zero_pages: self.zero_pages + other.zero_pages,
            fingerprint: self.fingerprint.wrapping_add(other.fingerprint),
        }
    }

    fn total(self) -> u32 {
        u32::try_from(self.pages + self.zero_pages).unwrap_or(u32::MAX)
    }
}

/// One run after the other, from the first page boundary after the table on.
fn lay_out(runs: &[PageRun], page_count: u64, path: &Path) -> Result<Vec<Extent>, WriteError> {
    let count = u32::try_from(runs.len()).unwrap_or(u32::MAX);
    let (mut above, mut offset) = (0, data_offset(count));
    let mut extents = Vec::with_capacity(runs.len());
    for &run in runs {
        check_run(run, above, page_count).map_err(|expected| WriteError::Extents {
            path: path.to_owned(),
            expected,
            found: run,
        })?;
        extents.push(Extent { run, offset });
        above = run.pages().end;
        offset += run.byte_len() as u64;
    }
    Ok(extents)
}

/// The header, with what is known before the first page.
fn first_header(info: &SegmentInfo, kind: SegmentKind, extents: &[Extent]) -> SegmentHeader {
    let extent_count = u32::try_from(extents.len()).unwrap_or(u32::MAX);
    let data_offset = data_offset(extent_count);
    SegmentHeader {
        identity: info.identity,
        number: info.number,
        snapshot: info.snapshot,
        parent: info.parent,
        frozen_at: info.frozen_at,
        operations: info.operations,
        kind,
        extent_count,
        extents_crc: 0,
        data_offset,
        index_offset: extents.last().map_or(data_offset, |last| last.file_range().end),
        page_count: 0,
        index_crc: 0,
        notes_crc: 0,
        notes_offset: 0,
        notes_len: 0,
        file_len: 0,
    }
}

/// Everything up to the data: room for the header, the extents, and zeros.
fn encode_table(extents: &[Extent], data_offset: u64) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.zero_to(HEADER_LEN);
    for extent in extents {
        extent.encode(&mut encoder);
    }
    encoder.zero_to(encoder.len().next_multiple_of(PAGE_SIZE));
    debug_assert_eq!(encoder.len() as u64, data_offset);
    encoder.into_bytes()
}

fn io_error(path: &Path, action: &'static str, source: io::Error) -> WriteError {
    WriteError::Io { path: path.to_owned(), action, source }
}

#[cfg(test)]
mod tests {
    use super::{super::identity::tests::identity, *};
    use crate::os::sim::SimDir;

    fn info() -> SegmentInfo {
        SegmentInfo {
            identity: identity(),
            number: SegmentNumber::FIRST,
            parent: None,
            snapshot: 1,
            frozen_at: 2,
            operations: 3,
        }
    }

    fn run(first: u32, count: u32) -> PageRun {
        PageRun::new(PageIndex(first), count).unwrap()
    }

    fn pages(fills: &[u8]) -> Vec<u8> {
        fills.iter().flat_map(|&fill| [fill; PAGE_SIZE]).collect()
    }

    #[test]
    fn zero_pages_are_not_written() {
        let dir = SimDir::new();
        let mut writer = SegmentWriter::create(&dir, &info(), &[run(10, 6)]).unwrap();
        let before = dir.log().len();
        let written = writer.write_pages(PageIndex(10), &pages(&[1, 2, 0, 0, 3])).unwrap();
        assert_eq!((written.pages, written.zero_pages), (3, 2));
        assert_eq!(dir.log().len() - before, 2);
        let summary = writer.finish(b"notes").unwrap().sync().unwrap();
        assert_eq!(summary.pages, 3);
        assert_eq!(summary.bytes, 4096 + 3 * 4096 + 3 * 24 + 5);
        assert_eq!(summary.record.file_len, 4096 + 6 * 4096 + 3 * 24 + 5);
        assert_eq!(dir.get("0000000001.full").unwrap().len() as u64, summary.record.file_len);
    }

    #[test]
    fn fingerprints_tell_contents_and_places_apart() {
        let dir = SimDir::new();
        let mut writer = SegmentWriter::create(&dir, &info(), &[run(0, 9)]).unwrap();
        let mut write = |first, fills: &[u8]| {
            writer.write_pages(PageIndex(first), &pages(fills)).unwrap().fingerprint
        };
        let whole = write(0, &[1, 2, 0, 3]);
        let parts = write(0, &[1]).wrapping_add(write(1, &[2, 0])).wrapping_add(write(3, &[3]));
        assert_eq!(whole, parts);
        for fills in [[2, 1, 0, 3], [1, 2, 3, 0], [1, 2, 0, 4], [0, 2, 0, 3]] {
            assert_ne!(write(0, &fills), whole, "{fills:?}");
        }
    }

    #[test]
    fn pages_go_into_extents_only() {
        let dir = SimDir::new();
        let mut writer = SegmentWriter::create(&dir, &info(), &[run(10, 2), run(12, 2)]).unwrap();
        for (first, bytes) in
            [(9, pages(&[1])), (14, pages(&[1])), (11, pages(&[1, 1])), (10, vec![1; 100])]
        {
            let refused = writer.write_pages(PageIndex(first), &bytes);
            assert!(matches!(refused, Err(WriteError::Misplaced { .. })), "{first}");
        }
    }

    #[test]
    fn any_order_is_sorted_and_no_page_counts_twice() {
        let dir = SimDir::new();
        let mut writer = SegmentWriter::create(&dir, &info(), &[run(0, 4)]).unwrap();
        for page in [3, 1, 2, 1] {
            writer.write_pages(PageIndex(page), &pages(&[7])).unwrap();
        }
        assert!(matches!(writer.finish(b""), Err(WriteError::Twice { page: PageIndex(1), .. })));
    }

    #[test]
    fn extents_must_rise_and_fit() {
        for runs in [[run(5, 1), run(4, 1)], [run(4, 2), run(5, 1)], [run(4, 0), run(5, 1)]] {
            let refused = SegmentWriter::create(&SimDir::new(), &info(), &runs);
            assert!(matches!(refused, Err(WriteError::Extents { .. })));
        }
    }
}
