//! Every bit of every file of a small heap flipped, one at a time, and every length that a
//! file can be cut to: what comes back is an error or the older snapshot, never other bytes.

#![allow(clippy::unwrap_used, reason = "a test")]

mod image_support;

use image_support::{FIRST, SECOND, heap, host, identity};
use stillheap::{
    base::PageIndex,
    image::{Choice, ChooseError, Manifest, SegmentReader, Sound, choose},
    os::{
        Dir,
        sim::{SimDir, SimFile},
    },
};

const OLDER: &str = "0000000001.full";
const NEWER: &str = "0000000002.full";

/// The snapshot that a directory offers, checked to be exactly what was written.
fn offered(dir: &SimDir) -> Result<Sound<SimFile>, ChooseError> {
    let sound = match choose(dir, &host())? {
        Choice::Sound(sound) => sound,
        Choice::New => panic!("a damaged heap was taken for a new one"),
        Choice::Empty(_) => panic!("a damaged heap was taken for an empty one"),
    };
    let contents = if sound.snapshot.number == 1 { FIRST } else { SECOND };
    for &(first, count) in contents.runs {
        for number in first..first + count {
            let fill = contents.pages.iter().find(|page| page.0 == number).map_or(0, |page| page.1);
            let page = sound.chain.page(PageIndex(number)).unwrap();
            assert!(*page == [fill; 4096], "page {number}");
        }
    }
    assert_eq!(sound.chain.segments()[0].notes(), b"notes");
    Ok(sound)
}

/// What a directory with this file damaged has to answer.
fn check_damaged(dir: &SimDir, name: &str, manifest: &Manifest) {
    match (name, offered(dir)) {
        ("MANIFEST", Err(ChooseError::Manifest { .. })) => {}
        // Nobody looks at the older file while the newer one is sound ...
        (OLDER, Ok(sound)) => {
            assert_eq!((sound.snapshot.number, sound.skipped.len()), (2, 0));
            // ... but whoever does sees the damage.
            let read = SegmentReader::open(dir, &manifest.segments[0], &identity());
            assert!(read.and_then(|reader| reader.verify()).is_err());
        }
        (NEWER, Ok(sound)) => {
            assert_eq!((sound.snapshot.number, sound.skipped.len()), (1, 1));
            assert_eq!(sound.skipped[0].number, 2);
        }
        (_, answer) => panic!("{answer:?}"),
    }
}

fn flip_every_bit(name: &str, part: usize, parts: usize) {
    let dir = heap();
    let manifest = Manifest::load(&dir).unwrap();
    let len = dir.get(name).unwrap().len();
    for bit in (part..len * 8).step_by(parts) {
        dir.damage(name, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        check_damaged(&dir, name, &manifest);
        dir.damage(name, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
    }
}

#[test]
fn every_bit_of_the_manifest() {
    flip_every_bit("MANIFEST", 0, 1);
}

#[test]
fn every_bit_of_the_older_segment() {
    flip_every_bit(OLDER, 0, 1);
}

#[test]
fn every_even_bit_of_the_newer_segment() {
    flip_every_bit(NEWER, 0, 2);
}

#[test]
fn every_odd_bit_of_the_newer_segment() {
    flip_every_bit(NEWER, 1, 2);
}

#[test]
fn every_length() {
    let dir = heap();
    let manifest = Manifest::load(&dir).unwrap();
    for name in ["MANIFEST", OLDER, NEWER] {
        let sound = dir.get(name).unwrap();
        for len in (0..sound.len()).chain(sound.len() + 1..sound.len() + 20) {
            dir.damage(name, |bytes| bytes.resize(len, 0));
            check_damaged(&dir, name, &manifest);
            dir.put(name, sound.clone());
        }
        for more in [4096, 1 << 20] {
            dir.damage(name, |bytes| bytes.resize(sound.len() + more, 0xff));
            check_damaged(&dir, name, &manifest);
            dir.put(name, sound.clone());
        }
    }
}

#[test]
fn lost_and_exchanged_files() {
    let sound = heap();
    assert_eq!(offered(&sound).unwrap().snapshot.number, 2);
    let without = |name: &str| {
        let dir = heap();
        dir.remove(name).unwrap();
        offered(&dir)
    };
    assert!(matches!(without("MANIFEST"), Err(ChooseError::Inspect(_))));
    assert_eq!(without(OLDER).unwrap().snapshot.number, 2);
    assert_eq!(without(NEWER).unwrap().snapshot.number, 1);

    let exchanged = heap();
    let (older, newer) = (exchanged.get(OLDER).unwrap(), exchanged.get(NEWER).unwrap());
    exchanged.put(OLDER, newer);
    exchanged.put(NEWER, older);
    let error = offered(&exchanged).unwrap_err();
    let ChooseError::NoneSound { skipped, .. } = &error else { panic!("{error}") };
    assert_eq!(skipped.iter().map(|skipped| skipped.number).collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn a_damaged_page_is_named() {
    let dir = heap();
    dir.damage(NEWER, |bytes| bytes[4096 + 2 * 4096 + 7] = 0);
    dir.damage(OLDER, |bytes| bytes[4096 + 4096] ^= 1);
    let message = offered(&dir).unwrap_err().to_string();
    let page = format!("{NEWER}: page 8 at offset 12288: expected CRC-32 0x");
    let index = format!("{OLDER}: tables at offset 8192: expected CRC-32 0x");
    assert!(message.contains(&page) && message.contains(&index), "{message}");
}

#[test]
fn a_hole_that_is_no_longer_zero_is_named() {
    let dir = heap();
    dir.damage(NEWER, |bytes| bytes[4096 + 4096 + 100] = 9);
    let skipped = offered(&dir).unwrap().skipped;
    let message = skipped[0].to_string();
    assert!(message.contains("page 7 at offset 8292: expected 0, found 9"), "{message}");
}
