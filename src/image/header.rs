//! A segment's header: what the segment is, and where its parts lie, each with its CRC-32.
//!
//! Invariants, in file order: header, extents table and its padding, pages, index, notes; each
//! part begins where the one before it ends, and the file ends with the notes. So every byte
//! of the file belongs to a part that has a checksum, or to a page that must be zero.

use super::{
    codec::{Decoder, Defect, Encoder, check},
    extent::EXTENT_LEN,
    identity::{FORMAT_VERSION, Identity, Mismatch, check_version},
    index::ENTRY_LEN,
    manifest::COMPRESSION_NONE,
    manifest_bytes::decode_kind,
    names::{SegmentKind, SegmentNumber},
};
use crate::base::{PAGE_SIZE, crc32};

pub(super) const MAGIC: [u8; 8] = *b"STILLSEG";
/// The header's bytes; the extents table follows.
pub(super) const HEADER_LEN: usize = 256;
/// The same, as the header has it.
const HEADER_LEN_FIELD: u32 = 256;
const CRC_LEN: usize = 4;

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
    /// The segment that a delta applies to; none for a full one.
    pub parent: Option<SegmentNumber>,
    /// When the heap was as the snapshot has it: nanoseconds since 1970.
    pub frozen_at: u64,
    /// Operations that the heap had seen by then.
    pub operations: u64,
    /// What it holds.
    pub kind: SegmentKind,
    /// Entries of the extents table, at offset 256.
    pub extent_count: u32,
    /// The CRC-32 of the extents table with its padding, up to the data offset.
    pub extents_crc: u32,
    /// Where the pages begin.
    pub data_offset: u64,
    /// Where the pages end and the index begins.
    pub index_offset: u64,
    /// Entries of the index: pages saved.
    pub page_count: u64,
    /// The CRC-32 of the index.
    pub index_crc: u32,
    /// The CRC-32 of the notes.
    pub notes_crc: u32,
    /// Where the notes begin.
    pub notes_offset: u64,
    /// Bytes of notes.
    pub notes_len: u64,
    /// Bytes of the whole file.
    pub file_len: u64,
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

/// Where the pages begin in a segment with that many extents.
pub(super) fn data_offset(extent_count: u32) -> u64 {
    let end = HEADER_LEN as u64 + u64::from(extent_count) * EXTENT_LEN as u64;
    end.next_multiple_of(PAGE_SIZE as u64)
}

/// The checksum that a header carries in its last bytes.
pub(super) fn stored_crc(header: &[u8; HEADER_LEN]) -> u32 {
    header.last_chunk().map_or(0, |crc| u32::from_le_bytes(*crc))
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.raw(&MAGIC);
        encoder.u32(FORMAT_VERSION);
        encoder.u32(HEADER_LEN_FIELD);
        self.identity.encode(&mut encoder);
        encoder.u64(self.number.get());
        encoder.u64(self.snapshot);
        encoder.u64(self.parent.map_or(0, SegmentNumber::get));
        encoder.u64(self.frozen_at);
        encoder.u64(self.operations);
        encoder.u32(self.kind.to_tag());
        encoder.u32(COMPRESSION_NONE);
        encoder.u32(self.extent_count);
        encoder.u32(self.extents_crc);
        encoder.u64(self.data_offset);
        encoder.u64(self.index_offset);
        encoder.u64(self.page_count);
        encoder.u32(self.index_crc);
        encoder.u32(self.notes_crc);
        encoder.u64(self.notes_offset);
        encoder.u64(self.notes_len);
        encoder.u64(self.file_len);
        encoder.zero_to(HEADER_LEN - CRC_LEN);
        encoder.seal()
    }

    /// Reads and checks a header: by itself, not yet against the file's other parts.
    pub(super) fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, HeaderError> {
        check_envelope(bytes)?;
        let mut decoder = Decoder::new(bytes);
        let _ = decoder.array::<16>("fixed part")?;
        let identity = Identity::decode(&mut decoder)?;
        let number = decode_optional(&mut decoder, "segment number")?
            .ok_or_else(|| Defect::new("segment number", 56, "at least 1", 0))?;
        let snapshot = decoder.u64("snapshot number")?;
        check(snapshot > 0, "snapshot number", 64, "at least 1", snapshot)?;
        let header = Self {
            identity,
            number,
            snapshot,
            parent: decode_optional(&mut decoder, "parent segment")?,
            frozen_at: decoder.u64("time of freeze")?,
            operations: decoder.u64("operations")?,
            kind: decode_kind(&mut decoder)?,
            extent_count: {
                decoder.expect_u32("compression", COMPRESSION_NONE)?;
                decoder.u32("extent count")?
            },
            extents_crc: decoder.u32("checksum of the extents")?,
            data_offset: decoder.u64("data offset")?,
            index_offset: decoder.u64("index offset")?,
            page_count: decoder.u64("page count")?,
            index_crc: decoder.u32("checksum of the index")?,
            notes_crc: decoder.u32("checksum of the notes")?,
            notes_offset: decoder.u64("notes offset")?,
            notes_len: decoder.u64("length of the notes")?,
            file_len: decoder.u64("file length")?,
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
                (self.parent.is_some_and(|parent| parent < self.number), "an earlier segment")
            }
        };
        check(sound, "parent segment", 72, expected, self.parent.map_or(0, SegmentNumber::get))
    }

    /// Each part begins where the one before it ends. (That the pages end at the index offset
    /// is checked with the extents.)
    fn check_layout(&self) -> Result<(), Defect> {
        let page = PAGE_SIZE as u64;
        let data = data_offset(self.extent_count);
        check(self.data_offset == data, "data offset", 112, data, self.data_offset)?;
        let aligned = self.index_offset.is_multiple_of(page) && self.index_offset >= data;
        check(aligned, "index offset", 120, "a page's boundary after the data", self.index_offset)?;
        let most = (self.index_offset - data) / page;
        let count = self.page_count;
        check(count <= most, "page count", 128, format_args!("at most {most}"), count)?;
        // `count` is below 2^52 here, so the product cannot overflow.
        let notes = self.index_offset.checked_add(count * ENTRY_LEN as u64);
        check(notes == Some(self.notes_offset), "notes offset", 144, "the index's end", {
            self.notes_offset
        })?;
        let end = self.notes_offset.checked_add(self.notes_len);
        check(end == Some(self.file_len), "file length", 160, "the notes' end", self.file_len)
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

fn decode_optional(
    decoder: &mut Decoder<'_>,
    field: &'static str,
) -> Result<Option<SegmentNumber>, Defect> {
    let offset = decoder.offset();
    let number = decoder.u64(field)?;
    if number == 0 {
        return Ok(None);
    }
    let found = SegmentNumber::new(number);
    check(found.is_some(), field, offset, "0 to 9999999999", number)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{super::identity::tests::identity, *};

    fn header() -> SegmentHeader {
        SegmentHeader {
            identity: identity(),
            number: SegmentNumber::FIRST,
            snapshot: 1,
            parent: None,
            frozen_at: 5,
            operations: 6,
            kind: SegmentKind::Full,
            extent_count: 1,
            extents_crc: 7,
            data_offset: 4096,
            index_offset: 12288,
            page_count: 2,
            index_crc: 8,
            notes_crc: 9,
            notes_offset: 12336,
            notes_len: 3,
            file_len: 12339,
        }
    }

    fn decode(header: &SegmentHeader) -> Result<SegmentHeader, HeaderError> {
        SegmentHeader::decode(header.encode().first_chunk().unwrap())
    }

    #[test]
    fn headers_come_back() {
        assert_eq!(decode(&header()).unwrap(), header());
        assert_eq!(header().encode().len(), HEADER_LEN);
        let delta = SegmentHeader {
            kind: SegmentKind::Delta,
            number: SegmentNumber::new(2).unwrap(),
            parent: Some(SegmentNumber::FIRST),
            ..header()
        };
        assert_eq!(decode(&delta).unwrap(), delta);
    }

    #[test]
    fn parts_must_follow_each_other() {
        let good = header();
        for bad in [
            SegmentHeader { extent_count: 300, ..good.clone() },
            SegmentHeader { data_offset: 8192, ..good.clone() },
            SegmentHeader { index_offset: 12289, ..good.clone() },
            SegmentHeader { index_offset: 0, ..good.clone() },
            SegmentHeader { page_count: 3, ..good.clone() },
            SegmentHeader { page_count: u64::MAX, index_offset: u64::MAX - 4095, ..good.clone() },
            SegmentHeader { notes_offset: 12337, ..good.clone() },
            SegmentHeader { notes_len: u64::MAX, ..good.clone() },
            SegmentHeader { file_len: 12340, ..good.clone() },
            SegmentHeader { snapshot: 0, ..good.clone() },
            SegmentHeader { parent: Some(SegmentNumber::FIRST), ..good.clone() },
            SegmentHeader { kind: SegmentKind::Delta, ..good.clone() },
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
        for (version, newer) in [(2u32, true), (0, false)] {
            let mut bytes = header().encode();
            bytes[8..12].copy_from_slice(&version.to_le_bytes());
            let crc = crc32(&bytes[..252]);
            bytes[252..].copy_from_slice(&crc.to_le_bytes());
            let error = SegmentHeader::decode(bytes.first_chunk().unwrap()).unwrap_err();
            let HeaderError::Mismatch(mismatch) = error else { panic!("{error:?}") };
            assert_eq!(matches!(mismatch, Mismatch::NewerFormat { found: 2 }), newer);
        }
    }
}
