//! Reading a segment. `open` checks everything but the pages: from then on no offset leads
//! outside the file, and no page outside the arena. `verify` checks the pages.
//!
//! Invariants after `open`: header, tables and notes have their checksums and obey the rules of
//! their files; the file is the one that the manifest's record means, of this heap.

use super::{
    codec::{Defect, check},
    compression::{Codec, decompress},
    extent::{Extent, decode_runs, find, lay_out},
    frame::{Frame, PLACE_LEN, Slot, check_places, decode_frames},
    header::{DATA_OFFSET, HEADER_LEN, HeaderError, Layout, SegmentHeader, Tables, stored_crc},
    identity::Identity,
    index::{ENTRY_LEN, Index, Order},
    manifest::SegmentRecord,
    names::SegmentKind,
    read_ahead::ReadAhead,
    segment_error::SegmentError,
    segment_file::SegmentFile,
    segment_writer::ZERO_PAGE,
};
use crate::{
    base::{Crc32, PAGE_SIZE, PageIndex, PageRun, RunSet, crc32},
    os::{Dir, File},
};
use std::{borrow::Cow, ops::Range, path::Path};

/// Bytes of an index that are looked at together: whole entries, and well within the cache.
const INDEX_PIECE: usize = 4096 * ENTRY_LEN;

/// Memory for frames: as one lies in the file, and its pages.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    stored: Vec<u8>,
    pages: Vec<u8>,
}

impl FrameBuffer {
    /// The pages of the compressed frame that was asked for last.
    pub(super) fn decoded(&self) -> &[u8] {
        &self.pages
    }
}

/// An open segment whose structure is sound.
#[derive(Debug)]
pub struct SegmentReader<F> {
    file: SegmentFile<F>,
    header: SegmentHeader,
    runs: Vec<PageRun>,
    extents: Vec<Extent>,
    zeros: RunSet,
    frames: Vec<Frame>,
    tables: Tables,
}

impl<F: File> SegmentReader<F> {
    /// Opens the segment that `record` means, of the heap with that identity.
    ///
    /// # Errors
    /// [`SegmentError`], for any bytes but those of a segment of sound structure.
    pub fn open<D: Dir<File = F>>(
        dir: &D,
        record: &SegmentRecord,
        identity: &Identity,
    ) -> Result<Self, SegmentError> {
        let file = SegmentFile::open(dir, &record.file_name())?;
        let header = decode_header(&file, record.file_len)?;
        let path = || file.path().to_owned();
        identity
            .check_file(&header.identity)
            .map_err(|mismatch| SegmentError::Mismatch { path: path(), mismatch })?;
        check_record(&header, record)
            .map_err(|defect| SegmentError::Defect { path: path(), defect })?;
        check_crc(&file, "header, by the manifest,", record.header_crc, crc_of(&file), 0)?;
        Self::open_rest(file, header)
    }

    /// Opens a file that no manifest names, as the segment that it says it is; with the record
    /// that a manifest needs to name it.
    ///
    /// # Errors
    /// As [`SegmentReader::open`].
    pub fn open_alone<D: Dir<File = F>>(
        dir: &D,
        name: &str,
    ) -> Result<(Self, SegmentRecord), SegmentError> {
        let file = SegmentFile::open(dir, name)?;
        let header = decode_header(&file, HEADER_LEN as u64)?;
        let SegmentHeader { number, kind, codec, file_len, .. } = header;
        let record = SegmentRecord { number, kind, codec, file_len, header_crc: crc_of(&file) };
        Ok((Self::open_rest(file, header)?, record))
    }

    /// The rest of opening: whatever the header does not tell of itself.
    fn open_rest(file: SegmentFile<F>, header: SegmentHeader) -> Result<Self, SegmentError> {
        check_length(&file, &header)?;
        file.fetch(&(header.tables_offset..header.file_len))?;
        let order = check_tables(&file, &header)?;
        let notes = file.part(&(header.notes_offset..header.file_len));
        check_crc(&file, "notes", header.notes_crc, crc32(notes), header.notes_offset)?;
        match order.check().and_then(|()| read_tables(&file, &header)) {
            Ok((runs, extents, zeros, frames, tables)) => {
                Ok(Self { file, header, runs, extents, zeros, frames, tables })
            }
            Err(defect) => Err(SegmentError::Defect { path: file.path().to_owned(), defect }),
        }
    }

    /// What the segment says about itself.
    pub fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// The runs of pages that make up the snapshot that it completes: all others are zero.
    pub fn runs(&self) -> &[PageRun] {
        &self.runs
    }

    /// Where its runs lie in the file, if it is a placed one: each can be mapped with one call.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// The pages that a delta states to be zero.
    pub fn zeros(&self) -> &RunSet {
        &self.zeros
    }

    /// The frames of a packed segment.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The pages that it saved.
    pub fn index(&self) -> Index<'_> {
        Index::new(self.part(&self.tables.index))
    }

    /// The bytes that were given to `finish`.
    pub fn notes(&self) -> &[u8] {
        self.part(&(self.header.notes_offset..self.header.file_len))
    }

    /// Where the bytes of a saved page lie in the file; `None` if they are compressed. `place` is
    /// that of its entry in the index.
    pub fn offset_of(&self, place: usize) -> Option<u64> {
        match self.header.layout() {
            Layout::Placed => {
                let page = self.index().get(place)?.page;
                Some(find(&self.extents, page)?.offset_of(page))
            }
            Layout::Packed => {
                let slot = self.slot_of(place)?;
                let frame = self.frames.get(slot.frame as usize)?;
                let offset = frame.offset + u64::from(slot.slot) * PAGE_SIZE as u64;
                (frame.codec == Codec::Raw).then_some(offset)
            }
        }
    }

    /// In which frame a page of a packed segment is.
    pub(super) fn slot_of(&self, place: usize) -> Option<Slot> {
        let places: &[[u8; PLACE_LEN]] = self.part(&self.tables.places).as_chunks().0;
        places.get(place).map(Slot::from_bytes)
    }

    /// The bytes of a saved page, unverified.
    ///
    /// # Errors
    /// If they cannot be read, or are compressed and cannot be decoded.
    pub fn saved_page(&self, place: usize) -> Result<Cow<'static, [u8]>, SegmentError> {
        if let Some(offset) = self.offset_of(place) {
            let mut page = vec![0; PAGE_SIZE];
            self.read(offset, &mut page)?;
            return Ok(Cow::Owned(page));
        }
        let slot = self.slot_of(place);
        let frame = slot.and_then(|slot| self.frames.get(slot.frame as usize));
        let (Some(slot), Some(frame)) = (slot, frame) else { return Ok(Cow::Borrowed(&ZERO_PAGE)) };
        let mut buffer = FrameBuffer::default();
        let decoded = self.frame_pages(frame, &mut buffer)?;
        let start = slot.slot as usize * PAGE_SIZE;
        Ok(Cow::Owned(decoded[start..start + PAGE_SIZE].to_vec()))
    }

    /// A page as the segment states it, unverified; `None` if it says nothing of it.
    ///
    /// # Errors
    /// As [`SegmentReader::saved_page`].
    pub fn page(&self, page: PageIndex) -> Result<Option<Cow<'static, [u8]>>, SegmentError> {
        if let Some(place) = self.index().place_of(page) {
            return self.saved_page(place).map(Some);
        }
        let in_runs = self.runs.iter().any(|run| run.pages().contains(&u64::from(page.0)));
        let is_stated = match self.header.kind {
            SegmentKind::Full => in_runs,
            SegmentKind::Delta => self.zeros.contains(page),
        };
        Ok(is_stated.then_some(Cow::Borrowed(&ZERO_PAGE)))
    }

    /// The file.
    pub fn file(&self) -> &F {
        self.file.file()
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The pages of a frame: those of the file, or decoded into `buffer`. The bytes in the file
    /// are checked if they are compressed; raw pages are not.
    ///
    /// # Errors
    /// If they cannot be read or are damaged, or this build has no decoder for them.
    pub fn frame_pages<'b>(
        &'b self,
        frame: &Frame,
        buffer: &'b mut FrameBuffer,
    ) -> Result<&'b [u8], SegmentError> {
        let FrameBuffer { stored, pages } = buffer;
        let range = frame.offset..frame.offset + u64::from(frame.len);
        if frame.codec == Codec::Raw {
            return self.file.bytes(&range, pages);
        }
        let stored = self.file.bytes(&range, stored)?;
        pages.resize(frame.decoded_len(), 0);
        let damaged = |reason| {
            let (path, pages, offset) = (self.path().to_owned(), frame.pages, frame.offset);
            SegmentError::Frame { path, pages, offset, reason }
        };
        let (expected, found) = (frame.crc, crc32(stored));
        if found != expected {
            return Err(damaged(format!("expected CRC-32 {expected:#010x}, found {found:#010x}")));
        }
        decompress(frame.codec, stored, pages).map_err(|error| damaged(error.to_string()))?;
        Ok(pages)
    }

    /// Fills `target` with the file's bytes from `offset` on.
    ///
    /// # Errors
    /// If they cannot be read: from where on.
    pub fn read(&self, offset: u64, target: &mut [u8]) -> Result<(), SegmentError> {
        self.file.read(offset, target)
    }

    /// Reads a part of the file in that is then looked at through the mapping, as
    /// [`mapped_page`](Self::mapped_page) does.
    ///
    /// # Errors
    /// If they cannot be read: from where on.
    pub fn fetch(&self, part: &Range<u64>) -> Result<(), SegmentError> {
        self.file.fetch(part)
    }

    /// The bytes of a saved page that is not compressed, unverified, and without a system call:
    /// who has not [fetched](Self::fetch) them may get SIGBUS.
    pub fn mapped_page(&self, place: usize) -> Option<&[u8; PAGE_SIZE]> {
        let offset = self.offset_of(place)?;
        self.part(&(offset..offset + PAGE_SIZE as u64)).first_chunk()
    }

    /// A reader of the file's pages up to an end.
    pub(super) fn read_ahead(&self, end: u64) -> ReadAhead<'_, F> {
        ReadAhead::new(&self.file, end)
    }

    /// Bytes of the file. The checked layout keeps every part within it.
    fn part(&self, range: &Range<u64>) -> &[u8] {
        self.file.part(range)
    }
}

type Parts = (Vec<PageRun>, Vec<Extent>, RunSet, Vec<Frame>, Tables);

/// Reads the tables, which have the right checksum, and checks them against each other.
fn read_tables<F: File>(file: &SegmentFile<F>, header: &SegmentHeader) -> Result<Parts, Defect> {
    let Some(tables) = header.tables() else {
        let offset = header.tables_offset;
        return Err(Defect::new("tables", offset, "counts that fit the file", "others"));
    };
    let table = |range: &Range<u64>| file.part(range);
    let page_count = header.identity.page_count();
    let runs = decode_runs(table(&tables.runs), tables.runs.start, page_count)?;
    let zeros = decode_runs(table(&tables.zeros), tables.zeros.start, page_count)?;
    let run_set = RunSet::of(runs.iter().copied());
    if let Some(place) = zeros.iter().position(|&zero| !run_set.contains_all(zero)) {
        let at = tables.zeros.start + (place * super::extent::RUN_LEN) as u64;
        return Err(Defect::new("zero run", at, "pages of a run", zeros[place].first.0));
    }
    let zeros = RunSet::of(zeros);
    let (extents, frames, end) = match header.layout() {
        Layout::Placed => {
            let (extents, end) = lay_out(&runs);
            (extents, Vec::new(), end)
        }
        Layout::Packed => {
            let at = tables.frames.start;
            let (frames, end) =
                decode_frames(table(&tables.frames), at, DATA_OFFSET, header.codec)?;
            let places = table(&tables.places).as_chunks().0;
            check_places(places, tables.places.start, &frames)?;
            (Vec::new(), frames, end)
        }
    };
    check(header.tables_offset == end, "tables offset", 128, end, header.tables_offset)?;
    Index::new(table(&tables.index)).check(&run_set.without(&zeros), tables.index.start)?;
    Ok((runs, extents, zeros, frames, tables))
}

/// `expected`: the file's length, for who finds that not even a header fits in it.
fn decode_header<F: File>(
    file: &SegmentFile<F>,
    expected: u64,
) -> Result<SegmentHeader, SegmentError> {
    let path = || file.path().to_owned();
    file.fetch(&(0..DATA_OFFSET))?;
    let Some(first) = file.part(&(0..HEADER_LEN as u64)).first_chunk::<HEADER_LEN>() else {
        return Err(SegmentError::Length { path: path(), expected, found: file.len() });
    };
    SegmentHeader::decode(first).map_err(|error| match error {
        HeaderError::Checksum { expected, found } => {
            SegmentError::Checksum { path: path(), part: "header", offset: 0, expected, found }
        }
        HeaderError::Mismatch(mismatch) => SegmentError::Mismatch { path: path(), mismatch },
        HeaderError::Defect(defect) => SegmentError::Defect { path: path(), defect },
    })
}

/// The checksum in the header.
fn crc_of<F: File>(file: &SegmentFile<F>) -> u32 {
    file.part(&(0..HEADER_LEN as u64)).first_chunk().map_or(0, stored_crc)
}

/// The whole file's length, and the zeros behind the header.
fn check_length<F: File>(
    file: &SegmentFile<F>,
    header: &SegmentHeader,
) -> Result<(), SegmentError> {
    let path = || file.path().to_owned();
    if header.file_len != file.len() {
        let (expected, found) = (header.file_len, file.len());
        return Err(SegmentError::Length { path: path(), expected, found });
    }
    let padding = file.part(&(HEADER_LEN as u64..DATA_OFFSET));
    // A slice's comparison is much faster than a loop over its bytes.
    if ZERO_PAGE.get(HEADER_LEN..) != Some(padding) {
        let at = padding.iter().position(|&byte| byte != 0).unwrap_or(0);
        let found = padding.get(at).copied().unwrap_or(0);
        let defect = Defect::new("padding", (HEADER_LEN + at) as u64, 0, found);
        return Err(SegmentError::Defect { path: path(), defect });
    }
    Ok(())
}

fn check_record(header: &SegmentHeader, record: &SegmentRecord) -> Result<(), Defect> {
    check(record.kind == header.kind, "segment kind", 96, record.kind, header.kind)?;
    check(record.number == header.number, "segment number", 56, record.number, header.number)?;
    let (expected, found) = (record.file_len, header.file_len);
    check(expected == found, "file length", 152, expected, found)?;
    let (expected, found) = (record.codec.to_tag(), header.codec.to_tag());
    check(expected == found, "compression", 100, expected, found)
}

/// Checks the checksum of the tables, and looks at the order of the index, the largest of them, in
/// the same pass: each piece is in the cache when it is looked at.
fn check_tables<F: File>(
    file: &SegmentFile<F>,
    header: &SegmentHeader,
) -> Result<Order, SegmentError> {
    let all = header.tables_offset..header.notes_offset;
    let end = header.tables().map_or(all.start, |tables| tables.index.end).min(all.end);
    let mut order = Order::new(all.start);
    let mut sum = Crc32::default();
    for piece in file.part(&(all.start..end)).chunks(INDEX_PIECE) {
        sum.add(piece);
        order.take(piece);
    }
    sum.add(file.part(&(end..all.end)));
    check_crc(file, "tables", header.tables_crc, sum.finish(), all.start)?;
    Ok(order)
}

fn check_crc<F: File>(
    file: &SegmentFile<F>,
    part: &'static str,
    expected: u32,
    found: u32,
    offset: u64,
) -> Result<(), SegmentError> {
    if found == expected {
        return Ok(());
    }
    let path = file.path().to_owned();
    Err(SegmentError::Checksum { path, part, offset, expected, found })
}
