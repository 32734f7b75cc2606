//! The manifest's bytes. What is checked in them is listed in `manifest`.

use super::{
    codec::{Decoder, Defect, Encoder, check},
    compression::Codec,
    identity::{FORMAT_VERSION, IDENTITY_LEN, Identity, check_version},
    manifest::{Manifest, ManifestError, SegmentRecord, SnapshotRecord},
    names::{SegmentKind, SegmentNumber},
};
use crate::base::crc32;
use std::{collections::BTreeSet, ops::Range};

const MAGIC: [u8; 8] = *b"STILLMAN";
const FIXED_LEN: usize = 24 + IDENTITY_LEN + 24;
const SEGMENT_LEN: usize = 32;
const SNAPSHOT_LEN: usize = 48;
const CRC_LEN: usize = 4;

impl Manifest {
    /// The manifest's bytes, as in the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let chained: usize = self.snapshots.iter().map(|snapshot| snapshot.chain.len()).sum();
        let body = SEGMENT_LEN * self.segments.len() + SNAPSHOT_LEN * self.snapshots.len();
        let len = FIXED_LEN + body + 8 * chained + CRC_LEN;
        let mut encoder = Encoder::default();
        encoder.raw(&MAGIC);
        encoder.u32(FORMAT_VERSION);
        encoder.u32(0);
        encoder.u64(len as u64);
        self.identity.encode(&mut encoder);
        encoder.u64(self.next_snapshot);
        encoder.u64(self.next_segment.get());
        encoder.u32(saturated(self.segments.len()));
        encoder.u32(saturated(self.snapshots.len()));
        for segment in &self.segments {
            segment.encode(&mut encoder);
        }
        for snapshot in &self.snapshots {
            snapshot.encode(&mut encoder);
        }
        debug_assert_eq!(encoder.len() + CRC_LEN, len);
        encoder.seal()
    }

    /// The manifest that has these bytes.
    ///
    /// # Errors
    /// [`ManifestError`], for anything but the bytes of a sound manifest.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let body = check_envelope(bytes)?;
        let mut decoder = Decoder::new(body);
        // Magic, version, reserved and length: checked above.
        let _ = decoder.array::<24>("fixed part")?;
        let identity = Identity::decode(&mut decoder)?;
        let next_snapshot = decoder.u64("next snapshot number")?;
        let next_segment = decode_number(&mut decoder, "next segment number")?;
        let segment_count = decoder.u32("segment count")?;
        let snapshot_count = decoder.u32("snapshot count")?;
        let segments = decode_segments(&mut decoder, segment_count, next_segment)?;
        let mut snapshots = Vec::with_capacity(fitting(&decoder, snapshot_count, SNAPSHOT_LEN)?);
        let mut unnamed: BTreeSet<SegmentNumber> =
            segments.iter().map(|segment| segment.number).collect();
        for _ in 0..snapshot_count {
            let above = snapshots.last().map_or(0, |last: &SnapshotRecord| last.number);
            let snapshot =
                SnapshotRecord::decode(&mut decoder, &segments, above + 1..next_snapshot)?;
            for number in &snapshot.chain {
                unnamed.remove(number);
            }
            snapshots.push(snapshot);
        }
        let offset = decoder.offset();
        check(decoder.remaining() == 0, "end", offset, body.len(), offset)?;
        if let Some(number) = unnamed.first() {
            return Err(Defect::new("segments", 0, "all in use", format!("{number} unused")).into());
        }
        let fresh = next_snapshot == 1 || !snapshots.is_empty();
        check(fresh, "next snapshot number", 64, "1 without snapshots", next_snapshot)?;
        let counts = snapshots.is_empty() || snapshots.iter().any(|snapshot| !snapshot.set_aside);
        check(counts, "snapshots", 84, "one that is not set aside", "none")?;
        Ok(Self { identity, next_snapshot, next_segment, segments, snapshots })
    }

    /// Checks the first bytes, and the length of all. Gives the format's version.
    pub(super) fn check_start(bytes: &[u8]) -> Result<u32, ManifestError> {
        let mut decoder = Decoder::new(bytes);
        let magic = decoder.array::<8>("magic")?;
        check(magic == MAGIC, "magic", 0, MAGIC.escape_ascii(), magic.escape_ascii())?;
        let version = decoder.u32("format version")?;
        decoder.expect_u32("reserved", 0)?;
        decoder.expect_u64("length", bytes.len() as u64)?;
        Ok(version)
    }
}

/// Checks what all versions have in common (magic, length, checksum), then the version, and
/// returns the bytes without the checksum.
fn check_envelope(bytes: &[u8]) -> Result<&[u8], ManifestError> {
    let version = Manifest::check_start(bytes)?;
    let Some((body, crc)) = bytes.split_last_chunk::<CRC_LEN>() else {
        return Err(Defect::new("length", 16, "room for a checksum", bytes.len()).into());
    };
    let (expected, found) = (u32::from_le_bytes(*crc), crc32(body));
    if expected != found {
        return Err(ManifestError::Checksum { offset: body.len() as u64, expected, found });
    }
    check_version(version)?;
    Ok(body)
}

/// `count`, if as many entries of `len` bytes can follow: nothing is allocated that the file
/// does not justify.
fn fitting(decoder: &Decoder<'_>, count: u32, len: usize) -> Result<usize, Defect> {
    let room = decoder.remaining() / len;
    match usize::try_from(count) {
        Ok(count) if count <= room => Ok(count),
        _ => Err(Defect::new("count", decoder.offset(), format!("at most {room}"), count)),
    }
}

fn decode_number(decoder: &mut Decoder<'_>, field: &'static str) -> Result<SegmentNumber, Defect> {
    let offset = decoder.offset();
    let number = decoder.u64(field)?;
    SegmentNumber::new(number).ok_or_else(|| Defect::new(field, offset, "1 to 9999999999", number))
}

fn decode_segments(
    decoder: &mut Decoder<'_>,
    count: u32,
    next: SegmentNumber,
) -> Result<Vec<SegmentRecord>, Defect> {
    let mut segments: Vec<SegmentRecord> =
        Vec::with_capacity(fitting(decoder, count, SEGMENT_LEN)?);
    for _ in 0..count {
        let offset = decoder.offset();
        let segment = SegmentRecord::decode(decoder)?;
        let above = segments.last().map_or(0, |last| last.number.get());
        let rising = segment.number.get() > above && segment.number < next;
        let expected = format_args!("above {above}, below {next}");
        check(rising, "segment number", offset, expected, segment.number)?;
        segments.push(segment);
    }
    Ok(segments)
}

impl SegmentRecord {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.u64(self.number.get());
        encoder.u64(self.file_len);
        encoder.u32(self.kind.to_tag());
        encoder.u32(self.codec.to_tag());
        encoder.u32(self.header_crc);
        encoder.u32(0);
    }

    fn decode(decoder: &mut Decoder<'_>) -> Result<Self, Defect> {
        let number = decode_number(decoder, "segment number")?;
        let file_len = decoder.u64("segment file length")?;
        let kind = decode_kind(decoder)?;
        let codec = Codec::decode(decoder, "segment compression")?;
        let header_crc = decoder.u32("segment header checksum")?;
        decoder.expect_u32("reserved", 0)?;
        Ok(Self { number, kind, codec, file_len, header_crc })
    }
}

/// A segment's kind, as manifest and header have it.
pub(super) fn decode_kind(decoder: &mut Decoder<'_>) -> Result<SegmentKind, Defect> {
    let offset = decoder.offset();
    let tag = decoder.u32("segment kind")?;
    SegmentKind::from_tag(tag)
        .ok_or_else(|| Defect::new("segment kind", offset, "1 (full) or 2 (delta)", tag))
}

impl SnapshotRecord {
    fn encode(&self, encoder: &mut Encoder) {
        encoder.u64(self.number);
        encoder.u64(self.frozen_at);
        encoder.u64(self.operations);
        encoder.u64(self.pages);
        encoder.u64(self.bytes);
        encoder.u32(saturated(self.chain.len()));
        encoder.u32(u32::from(self.set_aside));
        for number in &self.chain {
            encoder.u64(number.get());
        }
    }

    fn decode(
        decoder: &mut Decoder<'_>,
        segments: &[SegmentRecord],
        allowed: Range<u64>,
    ) -> Result<Self, Defect> {
        let offset = decoder.offset();
        let number = decoder.u64("snapshot number")?;
        let expected = format_args!("at least {}, below {}", allowed.start, allowed.end);
        check(allowed.contains(&number), "snapshot number", offset, expected, number)?;
        let frozen_at = decoder.u64("time of freeze")?;
        let operations = decoder.u64("operations")?;
        let pages = decoder.u64("pages")?;
        let bytes = decoder.u64("bytes")?;
        let count = decoder.u32("chain length")?;
        let offset = decoder.offset();
        let flags = decoder.u32("snapshot flags")?;
        check(flags <= 1, "snapshot flags", offset, "0 or 1", flags)?;
        let set_aside = flags == 1;
        let chain = decode_chain(decoder, count, segments)?;
        Ok(Self { number, frozen_at, operations, pages, bytes, set_aside, chain })
    }
}

fn decode_chain(
    decoder: &mut Decoder<'_>,
    count: u32,
    segments: &[SegmentRecord],
) -> Result<Vec<SegmentNumber>, Defect> {
    check(count > 0, "chain length", decoder.offset(), "at least 1", count)?;
    let mut chain: Vec<SegmentNumber> = Vec::with_capacity(fitting(decoder, count, 8)?);
    for place in 0..count {
        let offset = decoder.offset();
        let number = decode_number(decoder, "chain")?;
        let kind = if place == 0 { SegmentKind::Full } else { SegmentKind::Delta };
        let known = segments
            .binary_search_by_key(&number, |segment| segment.number)
            .is_ok_and(|found| segments[found].kind == kind);
        let expected = format_args!("the number of a {kind} segment");
        check(known, "chain", offset, expected, number)?;
        chain.push(number);
    }
    let distinct: BTreeSet<&SegmentNumber> = chain.iter().collect();
    check(distinct.len() == chain.len(), "chain", decoder.offset(), "each segment once", "others")?;
    Ok(chain)
}

/// Counts beyond the field's range cannot be written; `publish` finds such a manifest invalid.
fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{super::identity::tests::identity, *};
    use proptest::prelude::*;

    fn number(value: u64) -> SegmentNumber {
        SegmentNumber::new(value).unwrap()
    }

    fn segment(value: u64, kind: SegmentKind) -> SegmentRecord {
        let (number, codec) = (number(value), Codec::Raw);
        SegmentRecord { number, kind, codec, file_len: 9000, header_crc: 0xdead_beef }
    }

    fn snapshot(value: u64, chain: &[u64]) -> SnapshotRecord {
        let chain = chain.iter().map(|&value| number(value)).collect();
        let (number, pages, bytes, set_aside) = (value, 13, 14, false);
        SnapshotRecord { number, frozen_at: 11, operations: 12, pages, bytes, set_aside, chain }
    }

    /// A full segment with a delta on it, and a later full one.
    fn manifest() -> Manifest {
        let mut manifest = Manifest::new(identity());
        manifest.add(snapshot(3, &[5]), segment(5, SegmentKind::Full));
        manifest.add(snapshot(4, &[5, 6]), segment(6, SegmentKind::Delta));
        manifest.add(snapshot(7, &[9]), segment(9, SegmentKind::Full));
        manifest
    }

    fn reseal(bytes: &mut [u8]) {
        let (body, crc) = bytes.split_last_chunk_mut::<4>().unwrap();
        *crc = crc32(body).to_le_bytes();
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        let bytes = manifest().encode();
        assert_eq!(bytes.len(), 88 + 3 * 32 + 3 * 48 + 4 * 8 + 4);
        assert_eq!(&bytes[..12], b"STILLMAN\x02\0\0\0");
        assert_eq!(bytes[16..24], (bytes.len() as u64).to_le_bytes());
        assert_eq!(bytes[24..40], identity().heap_id.to_le_bytes());
        assert_eq!(bytes[40..48], 0x2000_0000_0000u64.to_le_bytes());
        assert_eq!(bytes[60..64], 62u32.to_le_bytes());
        assert_eq!(bytes[64..72], 8u64.to_le_bytes());
        assert_eq!(bytes[72..80], 10u64.to_le_bytes());
        assert_eq!(bytes[80..88], [3, 0, 0, 0, 3, 0, 0, 0]);
        assert_eq!(bytes[88..96], 5u64.to_le_bytes());
        assert_eq!(bytes[112..116], 0xdead_beef_u32.to_le_bytes());
        assert_eq!(bytes[184..192], 3u64.to_le_bytes());
    }

    #[test]
    fn every_flipped_bit_and_every_length_is_seen() {
        let sound = manifest().encode();
        for bit in 0..sound.len() * 8 {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&bytes).is_err(), "bit {bit}");
        }
        for len in 0..sound.len() {
            assert!(Manifest::decode(&sound[..len]).is_err(), "{len} bytes");
        }
        let longer = [&sound[..], &[0]].concat();
        assert!(Manifest::decode(&longer).is_err());
    }

    #[test]
    fn rules_hold_behind_a_right_checksum() {
        let broken = |change: fn(&mut Manifest)| {
            let mut manifest = manifest();
            change(&mut manifest);
            Manifest::decode(&manifest.encode()).unwrap_err()
        };
        let rules: [fn(&mut Manifest); 12] = [
            |m| m.next_snapshot = 7,
            |m| m.next_segment = number(9),
            |m| m.segments.swap(0, 1),
            |m| m.snapshots.swap(0, 1),
            |m| m.snapshots[0].chain.clear(),
            |m| m.snapshots[0].chain = vec![number(6)],
            |m| m.snapshots[1].chain = vec![number(5), number(9)],
            |m| m.snapshots[1].chain = vec![number(5), number(7)],
            |m| m.snapshots[1].chain = vec![number(5), number(6), number(6)],
            |m| m.snapshots.iter_mut().for_each(|snapshot| snapshot.set_aside = true),
            |m| drop(m.snapshots.pop()),
            |m| {
                m.snapshots.clear();
                m.segments.clear();
            },
        ];
        for rule in rules {
            assert!(matches!(broken(rule), ManifestError::Defect(_)), "{}", broken(rule));
        }
    }

    #[test]
    fn a_count_beyond_the_file_allocates_nothing() {
        let mut bytes = manifest().encode();
        bytes[80..88].fill(0xff);
        reseal(&mut bytes);
        assert!(matches!(Manifest::decode(&bytes), Err(ManifestError::Defect(_))));
    }

    #[test]
    fn another_version_is_told_apart_from_damage() {
        for version in [1, 3] {
            let mut bytes = manifest().encode();
            bytes[8] = version;
            reseal(&mut bytes);
            assert!(matches!(Manifest::decode(&bytes), Err(ManifestError::Mismatch(_))));
        }
    }

    #[test]
    fn pruning_keeps_what_a_chain_needs() {
        let mut pruned = manifest();
        assert_eq!(pruned.keep_newest(3), []);
        assert_eq!(pruned.keep_newest(2), []);
        let gone: Vec<u64> = pruned.keep_newest(0).iter().map(|gone| gone.number.get()).collect();
        assert_eq!(gone, [5, 6]);
        assert_eq!(Manifest::decode(&pruned.encode()).unwrap(), pruned);
    }

    #[test]
    fn what_is_set_aside_stays_until_newer_ones_are_enough() {
        let mut reverted = manifest();
        assert!(!reverted.revert(5) && reverted.revert(3));
        assert_eq!(reverted.newest().unwrap().number, 3);
        let kept = |reverted: &Manifest, count| {
            let mut pruned = reverted.clone();
            pruned.keep_newest(count);
            assert_eq!(Manifest::decode(&pruned.encode()).unwrap(), pruned);
            pruned.snapshots.iter().map(|snapshot| snapshot.number).collect::<Vec<_>>()
        };
        assert_eq!(kept(&reverted, 1), [3, 4, 7]);
        reverted.add(snapshot(8, &[5, 10]), segment(10, SegmentKind::Delta));
        assert_eq!(kept(&reverted, 2), [3, 4, 7, 8]);
        assert_eq!(kept(&reverted, 1), [8]);
        assert!(reverted.revert(7));
        let set_aside = reverted.snapshots.iter().map(|snapshot| snapshot.set_aside);
        assert_eq!(set_aside.collect::<Vec<_>>(), [false, true, false, true]);
    }

    #[test]
    fn a_merged_segment_takes_the_place_of_several() {
        let mut manifest = manifest();
        manifest.add(snapshot(8, &[5, 6, 10]), segment(10, SegmentKind::Delta));
        let merged = [number(5), number(6)];
        let gone = manifest.replace(&merged, segment(11, SegmentKind::Full), false);
        assert_eq!(gone.iter().map(|gone| gone.number.get()).collect::<Vec<_>>(), [6]);
        let chains = |manifest: &Manifest| {
            let chain = |snapshot: &SnapshotRecord| {
                snapshot.chain.iter().map(|number| number.get()).collect::<Vec<_>>()
            };
            manifest.snapshots.iter().map(chain).collect::<Vec<_>>()
        };
        assert_eq!(chains(&manifest), [vec![5], vec![11], vec![9], vec![11, 10]]);
        assert_eq!(manifest.next_segment, number(12));
        let gone = manifest.keep_newest(1);
        assert_eq!(gone.iter().map(|gone| gone.number.get()).collect::<Vec<_>>(), [5, 9]);
        assert_eq!(Manifest::decode(&manifest.encode()).unwrap(), manifest);
    }

    proptest! {
        #[test]
        fn manifests_come_back(
            heap_id: u128,
            rows in proptest::collection::vec(
                (1u64..9, 1u64..9, any::<[u64; 5]>(), any::<bool>()),
                0..20,
            ),
        ) {
            let mut manifest = Manifest::new(Identity { heap_id, ..identity() });
            let mut chain: Vec<SegmentNumber> = Vec::new();
            let (mut snapshot, mut segment) = (0, 0);
            for (step, gap, [frozen_at, operations, pages, bytes, file_len], delta) in rows {
                (snapshot, segment) = (snapshot + step, segment + gap);
                let delta = delta && !chain.is_empty();
                let kind = if delta { SegmentKind::Delta } else { SegmentKind::Full };
                if !delta {
                    chain.clear();
                }
                chain.push(number(segment));
                let header_crc = crc32(&file_len.to_le_bytes());
                manifest.add(
                    SnapshotRecord {
                        number: snapshot, frozen_at, operations, pages, bytes, set_aside: false,
                        chain: chain.clone(),
                    },
                    SegmentRecord {
                        number: number(segment), kind, codec: Codec::Lz4, file_len, header_crc,
                    },
                );
            }
            let middle = manifest.snapshots.len() / 2;
            if let Some(number) = manifest.snapshots.get(middle).map(|snapshot| snapshot.number) {
                prop_assert!(manifest.revert(number));
                prop_assert_eq!(manifest.newest().map(|newest| newest.number), Some(number));
            }
            prop_assert_eq!(Manifest::decode(&manifest.encode()).unwrap(), manifest);
        }

        #[test]
        fn any_bytes_get_an_answer(
            mut bytes in proptest::collection::vec(any::<u8>(), 0..400),
            sealed: bool,
        ) {
            if sealed && bytes.len() >= 28 {
                bytes[..8].copy_from_slice(&MAGIC);
                bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
                bytes[12..16].fill(0);
                let len = bytes.len() as u64;
                bytes[16..24].copy_from_slice(&len.to_le_bytes());
                reseal(&mut bytes);
            }
            prop_assert!(Manifest::decode(&bytes).is_err());
        }
    }
}
