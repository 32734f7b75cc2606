//! What the fuzzer `manifest` does with an input: bytes as a manifest, with the checksum and the
//! length that they should have, so that the rules behind these are reached. What is accepted
//! has one encoding, and stays acceptable through all that a store does to it.

use stillheap::image::{
    Codec, Manifest, SegmentKind, SegmentNumber, SegmentRecord, SnapshotRecord,
};
use stillheap::{base::crc32, image::FORMAT_VERSION};

/// Numbers from which on a store would stop.
const NUMBER_MAX: u64 = 9_999_999_000;

/// Decodes the input, and has it go through a store's changes.
pub(crate) fn run(data: &[u8]) {
    let Some((&[seal, what, count, number], rest)) = data.split_first_chunk::<4>() else { return };
    let mut bytes = rest.to_vec();
    if seal & 1 == 0 {
        reseal(&mut bytes);
    }
    let Ok(mut manifest) = Manifest::decode(&bytes) else { return };
    assert_eq!(manifest.encode(), bytes, "one manifest has one encoding");
    if manifest.next_segment.get() > NUMBER_MAX || manifest.next_snapshot > NUMBER_MAX {
        return;
    }
    change(&mut manifest, what, usize::from(count), usize::from(number));
    let encoded = manifest.encode();
    assert_eq!(Manifest::decode(&encoded).expect("what a store makes is valid"), manifest);
}

fn reseal(bytes: &mut [u8]) {
    if bytes.len() < 28 {
        return;
    }
    bytes[..8].copy_from_slice(b"STILLMAN");
    bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    bytes[12..16].fill(0);
    let len = bytes.len() as u64;
    bytes[16..24].copy_from_slice(&len.to_le_bytes());
    if let Some((body, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32(body).to_le_bytes();
    }
}

/// One of the changes that a store makes.
fn change(manifest: &mut Manifest, what: u8, count: usize, place: usize) {
    let before = manifest.snapshots.clone();
    let newest = manifest.newest().cloned();
    let numbers: Vec<u64> = before.iter().map(|snapshot| snapshot.number).collect();
    match (what % 4, newest) {
        (0, _) => drop(manifest.keep_newest(count)),
        (1, Some(_)) => {
            let number = numbers[place % numbers.len()];
            assert!(manifest.revert(number));
            assert_eq!(manifest.newest().map(|newest| newest.number), Some(number));
        }
        (2, Some(newest)) if newest.chain.len() > 1 => {
            let from = place % (newest.chain.len() - 1);
            let to = (from + 2 + count % newest.chain.len()).min(newest.chain.len());
            let kind = if from == 0 { SegmentKind::Full } else { SegmentKind::Delta };
            let merged = newest.chain[from..to].to_vec();
            let record = record(manifest.next_segment, kind);
            for gone in manifest.replace(&merged, record, place.is_multiple_of(2)) {
                assert!(merged.contains(&gone.number), "only what has been merged goes");
            }
        }
        (_, newest) => {
            let segment = manifest.next_segment;
            let chain = newest.filter(|_| count % 2 == 1).map_or_else(Vec::new, |it| it.chain);
            let kind = if chain.is_empty() { SegmentKind::Full } else { SegmentKind::Delta };
            let snapshot = SnapshotRecord {
                number: manifest.next_snapshot,
                frozen_at: 1,
                operations: 2,
                pages: 3,
                bytes: 4,
                set_aside: false,
                chain: [&chain[..], &[segment]].concat(),
            };
            manifest.add(snapshot, record(segment, kind));
        }
    }
}

fn record(number: SegmentNumber, kind: SegmentKind) -> SegmentRecord {
    SegmentRecord { number, kind, codec: Codec::Raw, file_len: 9000, header_crc: 1 }
}
