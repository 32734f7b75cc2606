//! Chains and mergers against a naive model: random histories of a full segment and deltas, with
//! runs that come and go, pages stated to be zero, and either compression. Each snapshot is what
//! its segments say one after the other; it stays so whichever of them are merged; and damage in
//! a segment is never made sound by merging it.
#![allow(clippy::unwrap_used, reason = "a failing test panics")]

mod chain_support;
mod image_support;

use chain_support::{History, Pages, Random, check_pages};
use std::ops::Range;
use stillheap::image::{Chain, Compression, Manifest, SegmentReader, SegmentRecord};
use stillheap::os::Dir;
use stillheap::os::sim::{SimDir, SimFile};

/// Histories of each test; with `STILLHEAP_LONG=1` twenty times as many.
fn histories(count: u64) -> Range<u64> {
    let long = std::env::var_os("STILLHEAP_LONG").is_some();
    1..1 + count * if long { 20 } else { 1 }
}

fn newest(dir: &SimDir, manifest: &Manifest) -> Chain<SimFile> {
    Chain::open(dir, manifest, manifest.newest().unwrap()).unwrap()
}

/// All ranges of two segments or more.
fn ranges(len: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).flat_map(move |start| (start + 2..=len).map(move |end| start..end))
}

/// Writes the merger of some of the newest snapshot's segments.
fn merge(
    dir: &SimDir,
    manifest: &Manifest,
    range: Range<usize>,
    compression: Compression,
) -> SegmentRecord {
    let chain = newest(dir, manifest);
    let merged = chain.merge(dir, range.clone(), manifest.next_segment, compression, &|_| true);
    let summary = merged.unwrap().unwrap();
    let reader = SegmentReader::open(dir, &summary.record, &manifest.identity).unwrap();
    assert!(reader.verify_watched(&|_| true).unwrap().is_some());
    let (first, last) = (&chain.segments()[range.start], &chain.segments()[range.end - 1]);
    assert_eq!(reader.runs(), last.runs());
    assert_eq!(reader.notes(), last.notes());
    let (merged, first, last) = (reader.header(), first.header(), last.header());
    assert_eq!((merged.kind, merged.parent), (first.kind, first.parent));
    assert_eq!((merged.snapshot, merged.frozen_at), (last.snapshot, last.frozen_at));
    assert_eq!(merged.operations, last.operations);
    summary.record
}

/// Has a merger take the place of what it was made of.
fn replace(
    dir: &SimDir,
    manifest: &mut Manifest,
    (range, record): (Range<usize>, SegmentRecord),
    spare: bool,
) {
    let numbers = manifest.newest().unwrap().chain[range].to_vec();
    let gone = manifest.replace(&numbers, record, spare);
    manifest.publish(dir).unwrap();
    gone.iter().for_each(|segment| dir.remove(&segment.file_name()).unwrap());
}

#[test]
fn each_snapshot_is_what_its_segments_say() {
    for seed in histories(40) {
        let mut random = Random::new(seed << 20);
        let deltas = random.below(10);
        let history = History::new(&mut random, deltas);
        history.check(&history.dir, &mut random);
        let chain = newest(&history.dir, &history.manifest);
        let len = chain.segments().len();
        let all = (0..len).flat_map(|end| (0..=end).map(move |start| (start, end)));
        for (start, end) in all {
            let said = &history.said[start..=end];
            let model = said.iter().fold(Pages::new(), |before, said| said.apply(&before));
            let found: Vec<(u32, bool)> = chain
                .in_force(start, end + 1)
                .map(|found| {
                    let index = chain.segments()[found.segment].index();
                    (found.page.0, index.get(found.place).unwrap().page == found.page)
                })
                .collect();
            let expected: Vec<(u32, bool)> = model.keys().map(|page| (*page, true)).collect();
            assert_eq!(found, expected, "{start} to {end}");
        }
    }
}

#[test]
fn merging_changes_no_snapshot() {
    for seed in histories(6) {
        let mut random = Random::new(seed << 24);
        let deltas = 1 + random.below(5);
        let history = History::new(&mut random, deltas);
        for range in ranges(history.said.len()) {
            for compression in [Compression::None, Compression::Lz4] {
                let (dir, mut manifest) = history.copy_of();
                let record = merge(&dir, &manifest, range.clone(), compression);
                replace(&dir, &mut manifest, (range.clone(), record), random.below(2) == 0);
                history.check(&dir, &mut random);
            }
        }
    }
}

/// Until there is one segment left.
#[test]
fn mergers_are_merged() {
    for seed in histories(12) {
        let mut random = Random::new(seed << 28);
        let deltas = 4 + random.below(8);
        let history = History::new(&mut random, deltas);
        let (dir, mut manifest) = history.copy_of();
        loop {
            let all: Vec<_> = ranges(manifest.newest().unwrap().chain.len()).collect();
            let Some(most) = u32::try_from(all.len()).ok().filter(|most| *most > 0) else { break };
            let range = all[random.below(most) as usize].clone();
            let record = merge(&dir, &manifest, range.clone(), random.compression());
            replace(&dir, &mut manifest, (range, record), random.below(2) == 0);
            history.check(&dir, &mut random);
        }
    }
}

/// One byte of the pages of one segment, and the whole chain is merged: the merger cannot be
/// written, or it is found to be damaged, or the damage was in what it does not have.
#[test]
fn damage_is_never_hidden() {
    let mut found = [0; 3];
    for seed in histories(30) {
        let mut random = Random::new(seed << 32);
        let deltas = 1 + random.below(6);
        let history = History::new(&mut random, deltas);
        for segment in &history.manifest.segments {
            for compression in [Compression::None, Compression::Lz4] {
                found[damaged(&history, segment, compression, &mut random)] += 1;
            }
        }
    }
    assert!(found.iter().all(|count| *count > 10), "{found:?}");
}

/// 0: the merger fails. 1: it is damaged. 2: it is sound, and what it has to be.
fn damaged(
    history: &History,
    segment: &SegmentRecord,
    compression: Compression,
    random: &mut Random,
) -> usize {
    let (dir, manifest) = history.copy_of();
    let reader = SegmentReader::open(&dir, segment, &manifest.identity).unwrap();
    let data = 4096..usize::try_from(reader.header().tables_offset).unwrap();
    drop(reader);
    let Some(len) = u32::try_from(data.len()).ok().filter(|len| *len > 0) else { return 2 };
    let (at, bit) = (data.start + random.below(len) as usize, random.below(8));
    assert!(dir.damage(&segment.file_name(), |bytes| bytes[at] ^= 1 << bit));
    let chain = newest(&dir, &manifest);
    assert!(chain.verify().is_err(), "byte {at} of {}", segment.file_name());
    let range = 0..chain.segments().len();
    let Ok(merged) = chain.merge(&dir, range, manifest.next_segment, compression, &|_| true) else {
        return 0;
    };
    let record = merged.unwrap().record;
    let reader = SegmentReader::open(&dir, &record, &manifest.identity).unwrap();
    if reader.verify_watched(&|_| true).is_err() {
        return 1;
    }
    let mut merged = Chain::default();
    merged.push(reader).unwrap();
    check_pages(&merged, history.models.last().unwrap());
    2
}
