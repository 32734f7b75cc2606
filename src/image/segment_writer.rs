//! Writing a segment, in four steps, each a type, so that none can be left out: a
//! `SegmentWriter` takes pages; `finish` writes tables, notes and, last of all, the header;
//! `FinishedSegment::sync` gives the record that a manifest needs.
//!
//! Invariant: nothing reads the file before the manifest names it, so a failure at any point
//! leaves a file that the caller removes, or that is found by [`leftovers`](super::leftovers).

use super::{
    codec::Encoder,
    compression::{Codec, Compression},
    extent::{Extent, check_run, encode_runs, find, lay_out},
    frame::{PLACE_LEN, Slot},
    header::{DATA_OFFSET, HEADER_LEN, Layout, SegmentHeader, stored_crc},
    index::{ENTRY_LEN, IndexEntry, page_of},
    manifest::SegmentRecord,
    names::SegmentKind,
    packing::Packing,
    segment_info::{SegmentInfo, SegmentSummary, WriteError, Written, full_or, io_error},
    segment_reader::SegmentReader,
};
use crate::{
    base::{Digest, PAGE_SIZE, PageIndex, PageRun, RunSet, crc32, digest_seeded},
    os::{Dir, File},
};
use std::{
    ops::Range,
    path::{Path, PathBuf},
};

/// Bytes that a packed segment gets room for at once, if it may become as long: enough for what is
/// usual. A short one needs none.
const PACKED_ROOM: u64 = 16 << 20;

/// A page of nothing.
pub(super) static ZERO_PAGE: [u8; PAGE_SIZE] = [0; PAGE_SIZE];

/// A segment that takes pages.
#[derive(Debug)]
pub struct SegmentWriter<F> {
    pub(super) file: F,
    pub(super) path: PathBuf,
    header: SegmentHeader,
    runs: Vec<PageRun>,
    pub(super) body: Body,
    pub(super) saved: Vec<Saved>,
    zeros: Vec<PageRun>,
}

/// How pages get into the file.
#[derive(Debug)]
pub(super) enum Body {
    /// Each in its own place.
    Placed(Vec<Extent>),
    /// As they come.
    Packed(Packing),
}

/// A saved page: its entry, and in a packed segment its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Saved {
    pub(super) entry: [u8; ENTRY_LEN],
    pub(super) place: [u8; PLACE_LEN],
}

/// A segment with all its bytes, not yet durable.
#[derive(Debug)]
pub struct FinishedSegment<F> {
    file: F,
    path: PathBuf,
    summary: SegmentSummary,
}

impl<F: File> SegmentWriter<F> {
    /// Creates the file. The snapshot that the segment completes is made up of the pages of
    /// `runs`: all others are zero. Of these, a full segment has those that are written, and the
    /// others are zero; in a delta the others are as they were.
    ///
    /// # Errors
    /// [`WriteError`]; a file that was created stays, for the caller to remove.
    pub fn create<D: Dir<File = F>>(
        dir: &D,
        info: &SegmentInfo,
        runs: &[PageRun],
    ) -> Result<Self, WriteError> {
        Self::create_as(dir, &info.file_name(), info.compression, first_header(info, runs), runs)
    }

    /// As [`SegmentWriter::create`], for a full segment in a file of another name; it is packed
    /// also if nothing is compressed.
    ///
    /// # Errors
    /// As there.
    pub(super) fn create_packed<D: Dir<File = F>>(
        dir: &D,
        name: &str,
        info: &SegmentInfo,
        runs: &[PageRun],
    ) -> Result<Self, WriteError> {
        let mut header = first_header(info, runs);
        if header.codec == Codec::Raw {
            // Says what a frame may be, and none will be.
            header.codec = Codec::Lz4;
        }
        Self::create_as(dir, name, info.compression, header, runs)
    }

    fn create_as<D: Dir<File = F>>(
        dir: &D,
        name: &str,
        compression: Compression,
        mut header: SegmentHeader,
        runs: &[PageRun],
    ) -> Result<Self, WriteError> {
        let path = dir.path_of(name);
        if !compression.is_supported() {
            return Err(WriteError::Compression { path });
        }
        check_runs(runs, header.identity.page_count(), &path)?;
        let file = dir.create(name).map_err(|source| io_error(&path, "create", source))?;
        let body = if header.layout() == Layout::Packed {
            Body::Packed(Packing::new(compression))
        } else {
            let (extents, end) = lay_out(runs);
            header.tables_offset = end;
            // The holes must be there even if nothing is written after them.
            file.set_len(end).map_err(|source| io_error(&path, "extend", source))?;
            Body::Placed(extents)
        };
        let runs = runs.to_vec();
        Ok(Self { file, path, header, runs, body, saved: Vec::new(), zeros: Vec::new() })
    }

    /// Says that of these pages most will be written, in a packed segment some: room is made for
    /// them, or for the first of them, at once.
    ///
    /// # Errors
    /// [`WriteError`] if they are not of one of the segment's runs each.
    pub fn expect<'a>(
        &self,
        runs: impl IntoIterator<Item = &'a PageRun>,
    ) -> Result<(), WriteError> {
        if let Body::Packed(_) = self.body {
            let most = runs.into_iter().map(|run| run.byte_len() as u64).sum::<u64>();
            if most >= PACKED_ROOM / 4 {
                let room = DATA_OFFSET..DATA_OFFSET + most.min(PACKED_ROOM);
                self.file.reserve(std::slice::from_ref(&room));
            }
            return Ok(());
        }
        let mut parts: Vec<Range<u64>> = Vec::new();
        for run in runs {
            let start = self.offset_of(run.first, run.count as usize)?;
            let end = start + run.byte_len() as u64;
            match parts.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => parts.push(start..end),
            }
        }
        self.file.reserve(&parts);
        Ok(())
    }

    /// Writes consecutive pages from `first` on, all of one run. Those that are zero are not
    /// saved; a delta states them to be so. Best in rising order; any order is sound.
    ///
    /// # Errors
    /// [`WriteError`]; the segment is then to be abandoned.
    pub fn write_pages(&mut self, first: PageIndex, bytes: &[u8]) -> Result<Written, WriteError> {
        let (pages, odd) = bytes.as_chunks::<PAGE_SIZE>();
        let count = u32::try_from(pages.len()).unwrap_or(u32::MAX);
        if !odd.is_empty() || u64::from(first.0) + u64::from(count) > 1 << 32 {
            return Err(self.misplaced(first, bytes.len()));
        }
        let mut written = Written::default();
        let seed = self.header.identity.digest_seed();
        let mut next = first.0;
        for run in pages.chunk_by(|left, right| (*left == ZERO_PAGE) == (*right == ZERO_PAGE)) {
            let first = PageIndex(next);
            if run.first() == Some(&ZERO_PAGE) {
                let count = u32::try_from(run.len()).unwrap_or(u32::MAX);
                self.state_zero(PageRun { first, count });
                written.zero_pages += run.len() as u64;
            } else {
                let digest = |page: &[u8; PAGE_SIZE]| digest_seeded(page, seed);
                let entries: Vec<IndexEntry> = (next..)
                    .zip(run)
                    .map(|(page, bytes)| IndexEntry::of(PageIndex(page), bytes, digest(bytes)))
                    .collect();
                self.write(&entries, run.as_flattened())?;
                written.pages += run.len() as u64;
            }
            next = next.wrapping_add(u32::try_from(run.len()).unwrap_or(u32::MAX));
        }
        Ok(written)
    }

    /// Writes pages, none of them zero, whose bytes lie one after the other in `bytes`, with the
    /// entries that the index gets. Digests have the identity's seed.
    ///
    /// # Errors
    /// [`WriteError`]; the segment is then to be abandoned.
    pub fn write(&mut self, entries: &[IndexEntry], bytes: &[u8]) -> Result<(), WriteError> {
        let Some(&IndexEntry { page: first, .. }) = entries.first() else { return Ok(()) };
        let (pages, odd) = bytes.as_chunks::<PAGE_SIZE>();
        if !odd.is_empty() || pages.len() != entries.len() {
            return Err(self.misplaced(first, bytes.len()));
        }
        let slots = match &mut self.body {
            Body::Placed(_) => {
                self.place(entries, pages)?;
                Vec::new()
            }
            Body::Packed(packing) => {
                let digests: Vec<Digest> = entries.iter().map(|entry| entry.digest).collect();
                packing.write(&self.file, &digests, pages).map_err(|source| {
                    let end = packing.end();
                    full_or(&self.path, "write", end, bytes.len() as u64, source)
                })?
            }
        };
        self.note(entries, &slots);
        Ok(())
    }

    /// Notes pages as saved; those of a packed segment, in these slots.
    fn note(&mut self, entries: &[IndexEntry], slots: &[Slot]) {
        for (place, entry) in entries.iter().enumerate() {
            let entry = entry.to_bytes();
            let place = slots.get(place).map_or([0; PLACE_LEN], |slot| slot.to_bytes());
            self.saved.push(Saved { entry, place });
        }
    }

    /// Copies consecutive saved pages of another segment, which lie there in a row, from the
    /// entry at `place` on: within the kernel if it can. `false`: they are compressed, or this
    /// segment compresses, and nothing was done.
    pub(super) fn copy_pages(
        &mut self,
        source: &SegmentReader<F>,
        place: usize,
        count: usize,
    ) -> Result<bool, WriteError> {
        let Some(from) = source.offset_of(place) else { return Ok(false) };
        let entries: Vec<IndexEntry> =
            (place..place + count).filter_map(|place| source.index().get(place)).collect();
        let Some(first) = entries.first() else { return Ok(false) };
        let len = (entries.len() * PAGE_SIZE) as u64;
        let digests: Vec<Digest> = entries.iter().map(|entry| entry.digest).collect();
        let (to, slots) = match &mut self.body {
            Body::Placed(_) => (self.offset_of(first.page, count)?, Vec::new()),
            Body::Packed(packing) => match packing.take_copied(&digests) {
                Some(taken) => taken,
                None => return Ok(false),
            },
        };
        self.file
            .copy_from(to, source.file(), from, len)
            .map_err(|source| full_or(&self.path, "copy to", to, len, source))?;
        self.note(&entries, &slots);
        Ok(true)
    }

    /// Has what has been written so far go to the disk, so that the end has less to wait for.
    ///
    /// # Errors
    /// [`WriteError`]; the segment is then to be abandoned.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        if let Body::Packed(packing) = &mut self.body {
            packing.flush(&self.file).map_err(|source| io_error(&self.path, "write", source))?;
        }
        self.file.sync().map_err(|source| io_error(&self.path, "sync", source))
    }

    /// States that pages are zero. A full segment needs not be told.
    pub fn state_zero(&mut self, run: PageRun) {
        if self.header.kind == SegmentKind::Delta && run.count > 0 {
            self.zeros.push(run);
        }
    }

    /// Writes tables and notes, and then the header: the file is complete. The notes are bytes
    /// that whoever writes snapshots keeps with them; the format gives them no meaning.
    ///
    /// # Errors
    /// [`WriteError`]; the segment is then to be abandoned.
    pub fn finish(mut self, notes: &[u8]) -> Result<FinishedSegment<F>, WriteError> {
        self.sort()?;
        if let Body::Packed(packing) = &mut self.body {
            let flushed = packing.flush(&self.file);
            self.header.tables_offset = packing.end();
            flushed.map_err(|source| io_error(&self.path, "write", source))?;
        }
        let tables = self.tables();
        let header = &mut self.header;
        header.page_count = self.saved.len() as u64;
        header.tables_crc = crc32(&tables);
        header.notes_offset = header.tables_offset + tables.len() as u64;
        header.notes_len = notes.len() as u64;
        header.notes_crc = crc32(notes);
        header.file_len = header.notes_offset + header.notes_len;
        let mut first_page = self.header.encode();
        let header_crc = first_page.first_chunk::<HEADER_LEN>().map_or(0, stored_crc);
        first_page.resize(PAGE_SIZE, 0);
        self.write_at(self.header.tables_offset, &tables)?;
        self.write_at(self.header.notes_offset, notes)?;
        self.write_at(0, &first_page)?;
        let summary = self.summary(header_crc);
        Ok(FinishedSegment { file: self.file, path: self.path, summary })
    }

    /// Index, places, frames, zero runs and runs. Counts of the header are set here.
    fn tables(&mut self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        self.saved.iter().for_each(|saved| encoder.raw(&saved.entry));
        if let Body::Packed(packing) = &self.body {
            self.saved.iter().for_each(|saved| encoder.raw(&saved.place));
            encoder.raw(&packing.table());
            self.header.frame_count = count(packing.frames().len());
        }
        let runs = RunSet::of(self.runs.iter().copied());
        let zeros = RunSet::of(std::mem::take(&mut self.zeros)).and(&runs);
        let zeros: Vec<PageRun> = zeros.iter().collect();
        self.header.zero_count = count(zeros.len());
        encode_runs(&zeros, &mut encoder);
        encode_runs(&self.runs, &mut encoder);
        encoder.into_bytes()
    }

    /// Writes each run of consecutive pages where it belongs.
    fn place(&self, entries: &[IndexEntry], pages: &[[u8; PAGE_SIZE]]) -> Result<(), WriteError> {
        let mut at = 0;
        for run in entries.chunk_by(|left, right| left.page.0.checked_add(1) == Some(right.page.0))
        {
            let first = run[0].page;
            let bytes = pages[at..at + run.len()].as_flattened();
            self.write_at(self.offset_of(first, run.len())?, bytes)?;
            at += run.len();
        }
        Ok(())
    }

    /// Where consecutive pages belong in a placed segment.
    pub(super) fn offset_of(&self, first: PageIndex, count: usize) -> Result<u64, WriteError> {
        let Body::Placed(extents) = &self.body else { return Ok(0) };
        let extent = find(extents, first);
        let end = u64::from(first.0) + count as u64;
        match extent.filter(|extent| end <= extent.run.pages().end) {
            Some(extent) => Ok(extent.offset_of(first)),
            None => Err(self.misplaced(first, count * PAGE_SIZE)),
        }
    }

    fn sort(&mut self) -> Result<(), WriteError> {
        let page = |saved: &Saved| page_of(&saved.entry);
        if !self.saved.is_sorted_by_key(page) {
            self.saved.sort_unstable_by_key(page);
        }
        if let Some(pair) = self.saved.windows(2).find(|pair| page(&pair[0]) == page(&pair[1])) {
            return Err(WriteError::Twice { path: self.path.clone(), page: page(&pair[0]) });
        }
        if self.header.layout() == Layout::Placed {
            return Ok(());
        }
        let runs = RunSet::of(self.runs.iter().copied());
        match self.saved.iter().map(page).find(|&page| !runs.contains(page)) {
            None => Ok(()),
            Some(page) => Err(self.misplaced(page, PAGE_SIZE)),
        }
    }

    fn misplaced(&self, first: PageIndex, len: usize) -> WriteError {
        WriteError::Misplaced { path: self.path.clone(), first, len }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), WriteError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let len = bytes.len() as u64;
        let written = self.file.write_at(offset, bytes);
        written.map_err(|source| full_or(&self.path, "write", offset, len, source))
    }

    fn summary(&self, header_crc: u32) -> SegmentSummary {
        let SegmentHeader {
            number, kind, codec, file_len, page_count: pages, tables_offset, ..
        } = self.header;
        let data = match &self.body {
            Body::Placed(_) => pages * PAGE_SIZE as u64,
            Body::Packed(_) => tables_offset - DATA_OFFSET,
        };
        SegmentSummary {
            record: SegmentRecord { number, kind, codec, file_len, header_crc },
            pages,
            bytes: data + DATA_OFFSET + (file_len - tables_offset),
        }
    }
}

impl<F: File> FinishedSegment<F> {
    /// Makes the file's bytes durable. (Its name becomes so with the manifest that names it.)
    ///
    /// # Errors
    /// [`WriteError::Io`]: the file is lost, and a second try would prove nothing.
    pub fn sync(self) -> Result<SegmentSummary, WriteError> {
        let len = self.summary.record.file_len;
        self.file.sync().map_err(|source| full_or(&self.path, "sync", len, 0, source))?;
        Ok(self.summary)
    }
}

fn check_runs(runs: &[PageRun], page_count: u64, path: &Path) -> Result<(), WriteError> {
    let mut above = 0;
    for &found in runs {
        check_run(found, above, page_count).map_err(|expected| WriteError::Runs {
            path: path.to_owned(),
            expected,
            found,
        })?;
        above = found.pages().end;
    }
    Ok(())
}

/// The header, with what is known before the first page.
fn first_header(info: &SegmentInfo, runs: &[PageRun]) -> SegmentHeader {
    SegmentHeader {
        identity: info.identity,
        number: info.number,
        snapshot: info.snapshot,
        parent: info.parent,
        frozen_at: info.frozen_at,
        operations: info.operations,
        kind: info.kind(),
        codec: info.compression.codec(),
        run_count: count(runs.len()),
        frame_count: 0,
        zero_count: 0,
        tables_crc: 0,
        page_count: 0,
        tables_offset: DATA_OFFSET,
        notes_offset: 0,
        notes_len: 0,
        file_len: 0,
        notes_crc: 0,
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{identity::tests::identity, names::SegmentNumber},
        *,
    };
    use crate::os::sim::SimDir;

    fn info() -> SegmentInfo {
        SegmentInfo {
            identity: identity(),
            number: SegmentNumber::FIRST,
            parent: None,
            snapshot: 1,
            frozen_at: 2,
            operations: 3,
            compression: Compression::None,
        }
    }

    fn delta(compression: Compression) -> SegmentInfo {
        SegmentInfo { parent: Some(1), snapshot: 2, compression, ..info() }
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
        assert_eq!(summary.bytes, 4096 + 3 * 4096 + 3 * 24 + 8 + 5);
        assert_eq!(summary.record.file_len, 4096 + 6 * 4096 + 3 * 24 + 8 + 5);
        assert_eq!(dir.get("0000000001.full").unwrap().len() as u64, summary.record.file_len);
    }

    #[test]
    fn equal_pages_are_packed_once() {
        for compression in [Compression::None, Compression::Lz4] {
            let dir = SimDir::new();
            let mut writer =
                SegmentWriter::create(&dir, &delta(compression), &[run(0, 99)]).unwrap();
            writer.write_pages(PageIndex(3), &pages(&[1, 1, 2, 0, 1])).unwrap();
            writer.write_pages(PageIndex(20), &pages(&[2])).unwrap();
            let summary = writer.finish(b"").unwrap().sync().unwrap();
            assert_eq!(summary.pages, 5);
            let tables = 5 * 32 + 16 + 8 + 8;
            let data = summary.bytes - 4096 - tables;
            assert_eq!(summary.record.file_len, summary.bytes);
            match compression {
                Compression::None => assert_eq!(data, 2 * 4096),
                _ => assert!(data < 200, "{data}"),
            }
        }
    }

    #[test]
    fn a_full_disk_says_what_was_needed() {
        let dir = SimDir::new();
        let mut writer = SegmentWriter::create(&dir, &info(), &[run(10, 6)]).unwrap();
        let fault = crate::os::sim::Fault { after: 0, errno: libc::ENOSPC, lasting: true };
        dir.fail(Some(fault));
        let error = writer.write_pages(PageIndex(11), &pages(&[1, 2])).unwrap_err();
        let WriteError::Full { written, needed, .. } = error else { panic!("{error}") };
        assert_eq!((written, needed), (8192, 16384));
    }

    #[test]
    fn pages_go_into_runs_only() {
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
    fn runs_must_rise_and_fit() {
        for runs in [[run(5, 1), run(4, 1)], [run(4, 2), run(5, 1)], [run(4, 0), run(5, 1)]] {
            let refused = SegmentWriter::create(&SimDir::new(), &info(), &runs);
            assert!(matches!(refused, Err(WriteError::Runs { .. })));
        }
    }
}
