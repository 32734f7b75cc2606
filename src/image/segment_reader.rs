//! Reading a segment. `open` checks everything but the pages: from then on no offset leads
//! outside the file, and no page outside the arena. `verify` checks the pages.
//!
//! Invariants after `open`: header, extents, index and notes have their checksums and obey the
//! rules of their files; the file is the one that the manifest's record means, of this heap.

use super::{
    codec::{Defect, check, part},
    extent::{EXTENT_LEN, Extent, decode_all, find},
    header::{HEADER_LEN, HeaderError, SegmentHeader, stored_crc},
    identity::{Identity, Mismatch},
    index::Index,
    manifest::SegmentRecord,
    segment_writer::ZERO_PAGE,
};
use crate::{
    base::{PAGE_SIZE, PageIndex, crc32},
    os::{Dir, File, FileBytes},
};
use std::{
    io,
    path::{Path, PathBuf},
};

/// An open segment whose structure is sound.
#[derive(Debug)]
pub struct SegmentReader<F> {
    file: F,
    bytes: FileBytes,
    path: PathBuf,
    header: SegmentHeader,
    extents: Vec<Extent>,
}

/// Why a segment is not used.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// The file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is shorter or longer than it was.
    #[error("{}: length: expected {expected} bytes, found {found}", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// The length that the manifest knows, in bytes.
        expected: u64,
        /// The file's.
        found: u64,
    },
    /// A part's bytes are not those that were written.
    #[error(
        "{}: {part} at offset {offset}: expected CRC-32 {expected:#010x}, found {found:#010x}",
        path.display()
    )]
    Checksum {
        /// The file.
        path: PathBuf,
        /// Which part.
        part: &'static str,
        /// Where it begins.
        offset: u64,
        /// The checksum it should have.
        expected: u32,
        /// The one it has.
        found: u32,
    },
    /// A field has a value that it cannot have.
    #[error("{}: {defect}", path.display())]
    Defect {
        /// The file.
        path: PathBuf,
        /// Which field, and what of it.
        defect: Defect,
    },
    /// The file is sound, but not of this heap or not for this build.
    #[error("{}: {mismatch}", path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// In what it differs.
        mismatch: Mismatch,
    },
    /// A page's bytes are not those that were written.
    #[error(
        "{}: page {} at offset {offset}: expected CRC-32 {expected:#010x}, found {found:#010x}",
        path.display(), page.0
    )]
    Page {
        /// The file.
        path: PathBuf,
        /// Which page.
        page: PageIndex,
        /// Where it begins.
        offset: u64,
        /// The checksum it should have.
        expected: u32,
        /// The one it has.
        found: u32,
    },
    /// A page that was zero when it was saved no longer is.
    #[error("{}: page {} at offset {offset}: expected 0, found {found}", path.display(), page.0)]
    Hole {
        /// The file.
        path: PathBuf,
        /// Which page.
        page: PageIndex,
        /// Where the first byte that is not zero lies.
        offset: u64,
        /// That byte.
        found: u8,
    },
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
        let name = record.file_name();
        let path = dir.path_of(&name);
        let opened = dir.open(&name).and_then(|file| Ok((file.view()?, file)));
        let (bytes, file) = match opened {
            Ok(opened) => opened,
            Err(source) => return Err(SegmentError::Io { path, source }),
        };
        let header = check_header(&bytes, &path, record, identity)?;
        let extents = check_extents(&bytes, &path, &header)?;
        let reader = Self { file, bytes, path, header, extents };
        reader.check_tail()?;
        Ok(reader)
    }

    /// What the segment says about itself.
    pub fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// The runs of pages that it states the contents of, rising.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// The pages that it saved.
    pub fn index(&self) -> Index<'_> {
        Index::new(self.part(self.header.index_offset, self.index_len()))
    }

    /// The bytes that were given to `finish`.
    pub fn notes(&self) -> &[u8] {
        self.part(self.header.notes_offset, self.header.notes_len)
    }

    /// A page's bytes, zeros if it was not saved; `None` if it lies in no extent.
    pub fn page(&self, page: PageIndex) -> Option<&[u8]> {
        let offset = find(&self.extents, page)?.offset_of(page);
        Some(self.part(offset, PAGE_SIZE as u64))
    }

    /// The file, to be mapped: each extent by one call.
    pub fn file(&self) -> &F {
        &self.file
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The index's and the notes' checksums, and the index's rules.
    fn check_tail(&self) -> Result<(), SegmentError> {
        let header = &self.header;
        let index = self.part(header.index_offset, self.index_len());
        check_crc(&self.path, "index", header.index_offset, header.index_crc, index)?;
        check_crc(&self.path, "notes", header.notes_offset, header.notes_crc, self.notes())?;
        Index::new(index)
            .check(&self.extents, header.index_offset)
            .map_err(|defect| SegmentError::Defect { path: self.path.clone(), defect })
    }

    fn index_len(&self) -> u64 {
        self.header.notes_offset - self.header.index_offset
    }

    /// Bytes of the file. The checked layout keeps every part within it.
    pub(super) fn part(&self, offset: u64, len: u64) -> &[u8] {
        part(&self.bytes, offset, len).unwrap_or_default()
    }
}

fn check_header(
    bytes: &[u8],
    path: &Path,
    record: &SegmentRecord,
    identity: &Identity,
) -> Result<SegmentHeader, SegmentError> {
    let path = || path.to_owned();
    let length =
        |expected| SegmentError::Length { path: path(), expected, found: bytes.len() as u64 };
    let Some(first) = bytes.first_chunk::<HEADER_LEN>() else {
        return Err(length(record.file_len));
    };
    let header = SegmentHeader::decode(first).map_err(|error| match error {
        HeaderError::Checksum { expected, found } => {
            SegmentError::Checksum { path: path(), part: "header", offset: 0, expected, found }
        }
        HeaderError::Mismatch(mismatch) => SegmentError::Mismatch { path: path(), mismatch },
        HeaderError::Defect(defect) => SegmentError::Defect { path: path(), defect },
    })?;
    identity
        .check_file(&header.identity)
        .map_err(|mismatch| SegmentError::Mismatch { path: path(), mismatch })?;
    check_record(&header, record)
        .map_err(|defect| SegmentError::Defect { path: path(), defect })?;
    let (expected, found) = (record.header_crc, stored_crc(first));
    if expected != found {
        let part = "header, by the manifest,";
        return Err(SegmentError::Checksum { path: path(), part, offset: 0, expected, found });
    }
    if header.file_len != bytes.len() as u64 {
        return Err(length(header.file_len));
    }
    Ok(header)
}

fn check_record(header: &SegmentHeader, record: &SegmentRecord) -> Result<(), Defect> {
    check(record.kind == header.kind, "segment kind", 96, record.kind, header.kind)?;
    check(record.number == header.number, "segment number", 56, record.number, header.number)?;
    let (expected, found) = (record.file_len, header.file_len);
    check(expected == found, "file length", 160, expected, found)
}

fn check_extents(
    bytes: &[u8],
    path: &Path,
    header: &SegmentHeader,
) -> Result<Vec<Extent>, SegmentError> {
    let table_offset = HEADER_LEN as u64;
    let padded = part(bytes, table_offset, header.data_offset - table_offset).unwrap_or_default();
    check_crc(path, "extents", table_offset, header.extents_crc, padded)?;
    let table_len = header.extent_count as usize * EXTENT_LEN;
    let defect = |defect| SegmentError::Defect { path: path.to_owned(), defect };
    let Some((table, padding)) = padded.split_at_checked(table_len) else {
        let offset = header.data_offset;
        return Err(defect(Defect::new("extents", offset, "a whole table", padded.len())));
    };
    let page_count = header.identity.page_count();
    let (extents, end) =
        decode_all(table, table_offset, header.extent_count, header.data_offset, page_count)
            .map_err(defect)?;
    // A slice's comparison is much faster than a loop over its bytes.
    let zero = ZERO_PAGE.get(..padding.len()) == Some(padding);
    let at = table_offset + table_len as u64;
    check(zero, "padding after the extents", at, "zeros", "others").map_err(defect)?;
    let index_offset = header.index_offset;
    check(index_offset == end, "index offset", 120, end, index_offset).map_err(defect)?;
    Ok(extents)
}

fn check_crc(
    path: &Path,
    part: &'static str,
    offset: u64,
    expected: u32,
    bytes: &[u8],
) -> Result<(), SegmentError> {
    let found = crc32(bytes);
    if found == expected {
        return Ok(());
    }
    Err(SegmentError::Checksum { path: path.to_owned(), part, offset, expected, found })
}
