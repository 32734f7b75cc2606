//! A segment's header: what the segment is, and where its parts lie, with their CRC-32.
//!
//! Invariants, in file order: header and zeros up to the data offset, pages, tables (index,
//! places, frames, zero runs, runs), notes; each part begins where the one before it ends, and
//! the file ends with the notes. So every byte of the file belongs to a part that has a
//! checksum, or to a page that must be zero.

use super::{
    codec::{Decoder, Defect, Encoder, check},
    compression::Codec,
    extent::RUN_LEN,
    frame::{FRAME_LEN, PLACE_LEN},
    identity::{FORMAT_VERSION, Identity, Mismatch, check_version},
    index::ENTRY_LEN,
    manifest_bytes::decode_kind,
    names::{SegmentKind, SegmentNumber},
};
use crate::base::{PAGE_SIZE, crc32};
use std::ops::Range;

pub(super) const MAGIC: [u8; 8] = *b"STILLSEG";
/// The header's bytes; zeros follow up to [`DATA_OFFSET`].
pub(super) const HEADER_LEN: usize = 256;
/// The same, as the header has it.
const HEADER_LEN_FIELD: u32 = 256;
const CRC_LEN: usize = 4;
/// Where the pages begin.
pub(super) const DATA_OFFSET: u64 = PAGE_SIZE as u64;

static_assertions::const_assert_eq!(HEADER_LEN_FIELD as usize, HEADER_LEN);

/// What a segment says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The heap that it belongs to.
    pub identity: Identity,
    /// Its number.
    pub number: SegmentNumber,
    /// The snapshot that it completes.
    pub snapshot: u64,
    /// The snapshot that a delta applies to; none for a full segment.
    pub parent: Option<u64>,
    /// When the heap was as the snapshot has it: nanoseconds since 1970.
    pub frozen_at: u64,
    /// Operations that the heap had seen by then.
    pub operations: u64,
    /// What it holds.
    pub kind: SegmentKind,
    /// What frames that shrank were compressed with.
    pub codec: Codec,
    /// Runs of pages that make up the snapshot.
    pub run_count: u32,
    /// Frames.
    pub frame_count: u32,
    /// Runs of pages that a delta states to be zero.
    pub zero_count: u32,
    /// The CRC-32 of the tables.
    pub tables_crc: u32,
    /// Entries of the index: pages saved.
    pub page_count: u64,
    /// Where the pages end and the tables begin.
    pub tables_offset: u64,
    /// Where the notes begin.
    pub notes_offset: u64,
    /// Bytes of notes.
    pub notes_len: u64,
    /// Bytes of the whole file.
    pub file_len: u64,
    /// The CRC-32 of the notes.
    pub notes_crc: u32,
}

/// How a segment keeps its pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Layout {
    /// Each run of pages in its own place, sparse: to be mapped run by run.
    Placed,
    /// The saved pages alone, in frames.
    Packed,
}

/// Where the tables lie in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tables {
    pub(super) index: Range<u64>,
    pub(super) places: Range<u64>,
    pub(super) frames: Range<u64>,
    pub(super) zeros: Range<u64>,
    pub(super) runs: Range<u64>,
}

/// What a header can be refused for.
#[derive(Debug)]
pub(super) enum HeaderError {
    Checksum { expected: u32, found: u32 },
    Mismatch(Mismatch),
    Defect(Defect),
}

impl From<Defect> for HeaderError {
    fn from(defect: Defect) -> Self {
        Self::Defect(defect)
    }
}

/// The checksum that a header carries in its last bytes.
pub(super) fn stored_crc(header: &[u8; HEADER_LEN]) -> u32 {
    header.last_chunk().map_or(0, |crc| u32::from_le_bytes(*crc))
}

impl SegmentHeader {
    /// How the segment keeps its pages.
    #[must_use]
    pub fn layout(&self) -> Layout {
        match (self.kind, self.codec) {
            (SegmentKind::Full, Codec::Raw) => Layout::Placed,
            _ => Layout::Packed,
        }
    }

    /// Where the tables lie, by their counts; `None` if no file can be that long.
    pub(super) fn tables(&self) -> Option<Tables> {
        let mut at = self.tables_offset;
        let mut next = |count: u64, len: usize| {
            let start = at;
            at = at.checked_add(count.checked_mul(len as u64)?)?;
            Some(start..at)
        };
        let packed = u64::from(self.layout() == Layout::Packed);
        Some(Tables {
            index: next(self.page_count, ENTRY_LEN)?,
            places: next(self.page_count * packed, PLACE_LEN)?,
            frames: next(u64::from(self.frame_count), FRAME_LEN)?,
            zeros: next(u64::from(self.zero_count), RUN_LEN)?,
            runs: next(u64::from(self.run_count), RUN_LEN)?,
        })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.raw(&MAGIC);
        encoder.u32(FORMAT_VERSION);
        encoder.u32(HEADER_LEN_FIELD);
        self.identity.encode(&mut encoder);
        encoder.u64(self.number.get());
        encoder.u64(self.snapshot);
        encoder.u64(self.parent.unwrap_or(0));
        encoder.u64(self.frozen_at);
        encoder.u64(self.operations);
        encoder.u32(self.kind.to_tag());
        encoder.u32(self.codec.to_tag());
        encoder.u32(self.run_count);
        encoder.u32(self.frame_count);
        encoder.u32(self.zero_count);
        encoder.u32(self.tables_crc);
        encoder.u64(self.page_count);
        encoder.u64(self.tables_offset);
        encoder.u64(self.notes_offset);
        encoder.u64(self.notes_len);
        encoder.u64(self.file_len);
        encoder.u32(self.notes_crc);
        encoder.zero_to(HEADER_LEN - CRC_LEN);
        encoder.seal()
    }

    /// Reads and checks a header: by itself, not yet against the file's other parts.
    pub(super) fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, HeaderError> {
        check_envelope(bytes)?;
        let mut decoder = Decoder::new(bytes);
        let _ = decoder.array::<16>("fixed part")?;
        let identity = Identity::decode(&mut decoder)?;
        let number = decoder.u64("segment number")?;
        let number = SegmentNumber::new(number)
            .ok_or_else(|| Defect::new("segment number", 56, "1 to 9999999999", number))?;
        let snapshot = decoder.u64("snapshot number")?;
        check(snapshot > 0, "snapshot number", 64, "at least 1", snapshot)?;
        let header = Self {
            identity,
            number,
            snapshot,
            parent: Some(decoder.u64("parent snapshot")?).filter(|&parent| parent > 0),
            frozen_at: decoder.u64("time of freeze")?,
            operations: decoder.u64("operations")?,
            kind: decode_kind(&mut decoder)?,
            codec: Codec::decode(&mut decoder, "compression")?,
            run_count: decoder.u32("run count")?,
            frame_count: decoder.u32("frame count")?,
            zero_count: decoder.u32("zero run count")?,
            tables_crc: decoder.u32("checksum of the tables")?,
            page_count: decoder.u64("page count")?,
            tables_offset: decoder.u64("tables offset")?,
            notes_offset: decoder.u64("notes offset")?,
            notes_len: decoder.u64("length of the notes")?,
            file_len: decoder.u64("file length")?,
            notes_crc: decoder.u32("checksum of the notes")?,
        };
        decoder.zero_to("reserved", HEADER_LEN - CRC_LEN)?;
        header.check_parent()?;
        header.check_layout()?;
        Ok(header)
    }

    fn check_parent(&self) -> Result<(), Defect> {
        let (sound, expected) = match self.kind {
            SegmentKind::Full => (self.parent.is_none(), "none for a full segment"),
            SegmentKind::Delta => {
                (self.parent.is_some_and(|parent| parent < self.snapshot), "an earlier snapshot")
            }
        };
        check(sound, "parent snapshot", 72, expected, self.parent.unwrap_or(0))
    }

    /// Each part begins where the one before it ends. (That the pages end at the tables is
    /// checked with runs and frames.)
    fn check_layout(&self) -> Result<(), Defect> {
        if self.layout() == Layout::Placed {
            check(self.frame_count == 0, "frame count", 108, 0, self.frame_count)?;
        }
        if self.kind == SegmentKind::Full {
            check(self.zero_count == 0, "zero run count", 112, 0, self.zero_count)?;
        }
        let count = self.page_count;
        check(count <= 1 << 32, "page count", 120, "at most 2^32", count)?;
        let after_data = self.tables_offset >= DATA_OFFSET;
        check(after_data, "tables offset", 128, "after the data offset", self.tables_offset)?;
        let end = self.tables().map(|tables| tables.runs.end);
        let notes = self.notes_offset;
        check(end == Some(notes), "notes offset", 136, "the tables' end", notes)?;
        let end = self.notes_offset.checked_add(self.notes_len);
        check(end == Some(self.file_len), "file length", 152, "the notes' end", self.file_len)
    }
}

/// Checks what all versions have in common (magic, the header's length, its checksum), then
/// the version.
fn check_envelope(bytes: &[u8; HEADER_LEN]) -> Result<(), HeaderError> {
    let mut decoder = Decoder::new(bytes);
    let magic = decoder.array::<8>("magic")?;
    check(magic == MAGIC, "magic", 0, MAGIC.escape_ascii(), magic.escape_ascii())?;
    let version = decoder.u32("format version")?;
    decoder.expect_u32("header length", HEADER_LEN_FIELD)?;
    let expected = stored_crc(bytes);
    let found = crc32(&bytes[..HEADER_LEN - CRC_LEN]);
    if expected != found {
        return Err(HeaderError::Checksum { expected, found });
    }
    check_version(version).map_err(HeaderError::Mismatch)
}

#[cfg(test)]
mod tests {
    use super::{super::identity::tests::identity, *};

    /// A full segment with two runs of two pages in all, both saved.
    fn header() -> SegmentHeader {
        SegmentHeader {
            identity: identity(),
            number: SegmentNumber::FIRST,
            snapshot: 3,
            parent: None,
            frozen_at: 5,
            operations: 6,
            kind: SegmentKind::Full,
            codec: Codec::Raw,
            run_count: 2,
            frame_count: 0,
            zero_count: 0,
            tables_crc: 8,
            page_count: 2,
            tables_offset: 12288,
            notes_offset: 12352,
            notes_len: 3,
            file_len: 12355,
            notes_crc: 9,
        }
    }

    fn delta() -> SegmentHeader {
        SegmentHeader {
            kind: SegmentKind::Delta,
            parent: Some(2),
            frame_count: 1,
            zero_count: 1,
            notes_offset: 12352 + 16 + 16 + 8,
            file_len: 12355 + 16 + 16 + 8,
            ..header()
        }
    }

    fn decode(header: &SegmentHeader) -> Result<SegmentHeader, HeaderError> {
        SegmentHeader::decode(header.encode().first_chunk().unwrap())
    }

    #[test]
    fn headers_come_back() {
        for header in [header(), delta()] {
            assert_eq!(decode(&header).unwrap(), header);
            assert_eq!(header.encode().len(), HEADER_LEN);
        }
        assert_eq!(delta().tables().unwrap().frames, 12352..12368);
    }

    #[test]
    fn parts_must_follow_each_other() {
        let (good, delta) = (header(), delta());
        for bad in [
            SegmentHeader { run_count: 3, ..good.clone() },
            SegmentHeader { frame_count: 1, notes_offset: 12368, file_len: 12371, ..good.clone() },
            SegmentHeader { zero_count: 1, notes_offset: 12360, file_len: 12363, ..good.clone() },
            SegmentHeader { tables_offset: 4095, ..good.clone() },
            SegmentHeader { page_count: 3, ..good.clone() },
            SegmentHeader { page_count: u64::MAX, ..good.clone() },
            SegmentHeader { tables_offset: u64::MAX - 7, ..good.clone() },
            SegmentHeader { notes_offset: 12337, ..good.clone() },
            SegmentHeader { notes_len: u64::MAX, ..good.clone() },
            SegmentHeader { file_len: 12340, ..good.clone() },
            SegmentHeader { snapshot: 0, ..good.clone() },
            SegmentHeader { parent: Some(2), ..good.clone() },
            SegmentHeader { codec: Codec::Lz4, ..good },
            SegmentHeader { parent: None, ..delta.clone() },
            SegmentHeader { parent: Some(3), ..delta },
        ] {
            assert!(matches!(decode(&bad), Err(HeaderError::Defect(_))), "{bad:?}");
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let sound = header().encode();
        for bit in 0..HEADER_LEN * 8 {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(bytes.first_chunk().unwrap()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn another_version_is_told_apart_from_damage() {
        for (version, newer) in [(3u32, true), (1, false)] {
            let mut bytes = header().encode();
            bytes[8..12].copy_from_slice(&version.to_le_bytes());
            let crc = crc32(&bytes[..252]);
            bytes[252..].copy_from_slice(&crc.to_le_bytes());
            let error = SegmentHeader::decode(bytes.first_chunk().unwrap()).unwrap_err();
            let HeaderError::Mismatch(mismatch) = error else { panic!("{error:?}") };
            assert_eq!(matches!(mismatch, Mismatch::NewerFormat { found: 3 }), newer);
        }
    }
}
