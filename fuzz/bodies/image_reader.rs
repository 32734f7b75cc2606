//! What the fuzzer `image_reader` does with an input; `tests/fuzz_corpus.rs` does the same
//! with the corpus, without the fuzzer.
//!
//! The first byte chooses what the rest means:
//! - even: whole files, each `which, length (u16), bytes`, in a directory of their own
//! - odd: changes to a sound directory, each `which, offset (u32), how, value (u64)`. With bit
//!   1 set the changed files get right checksums again, so that the checks behind these
//!   are reached; with bit 2 as well, also the lengths that their files have.

use crate::image_support::{DELTA, SMALL, commit, heap, identity};
use crate::seal::{Sealed, add, clamp, field, low, overwrite, seal_segment};
use stillheap::{
    base::{PAGE_SIZE, RunSet, crc32},
    image::{Choice, Manifest, SegmentReader, Sound, choose, inspect, leftovers},
    os::{
        Dir,
        sim::{SimDir, SimFile},
    },
    snapshot::{Prepared, Way},
};

const NAMES: [&str; 8] = [
    "MANIFEST",
    "0000000001.full",
    "0000000002.full",
    "0000000003.delta",
    "0000000004.delta",
    "LOCK",
    ".tmp1",
    "other",
];
/// Changes in one input, at most: enough for anything, and the input stays small.
const CHANGES_MAX: usize = 64;
/// Reads the directory that the input describes, in every way that there is.
pub(crate) fn run(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    let dir = if mode & 1 == 0 { whole_files(rest) } else { changed_files(rest, mode) };
    read(&dir);
}

fn whole_files(mut data: &[u8]) -> SimDir {
    let dir = SimDir::new();
    while let Some((&[which, low, high], rest)) = data.split_first_chunk::<3>() {
        let len = usize::from(u16::from_le_bytes([low, high])).min(rest.len());
        let (bytes, rest) = rest.split_at(len);
        dir.put(name(which), bytes.to_vec());
        data = rest;
    }
    dir
}

fn changed_files(data: &[u8], mode: u8) -> SimDir {
    let dir = heap();
    let manifest = Manifest::load(&dir).expect("a sound heap");
    let manifest = commit(&dir, &manifest, &DELTA).expect("the simulated disk works");
    commit(&dir, &manifest, &SMALL).expect("the simulated disk works");
    for change in data.as_chunks::<14>().0.iter().take(CHANGES_MAX) {
        let [which, o0, o1, o2, o3, how, value @ ..] = *change;
        let offset = u32::from_le_bytes([o0, o1, o2, o3]);
        change_file(&dir, name(which), u64::from(offset), how, u64::from_le_bytes(value));
    }
    if mode & 2 != 0 {
        seal_all(&dir, mode & 4 != 0);
    }
    dir
}

fn change_file(dir: &SimDir, name: &str, offset: u64, how: u8, value: u64) {
    let value_bytes = value.to_le_bytes();
    match how % 8 {
        // Small values and near misses are what bounds are broken by.
        width @ 0..=3 => dir.damage(name, |bytes| overwrite(bytes, offset, &value_bytes, width)),
        4 => dir.damage(name, |bytes| add(bytes, offset, value)),
        5 => dir.damage(name, |bytes| bytes.resize(clamp(value), 0)),
        6 => {
            if let Some(bytes) = dir.get(self::name((value & 0xff) as u8)) {
                dir.put(name, bytes);
            }
            true
        }
        _ => dir.remove(name).is_ok(),
    };
}

/// Gives each file the checksums of what it holds, by the tables of the specification.
fn seal_all(dir: &SimDir, lengths: bool) {
    let mut headers = Vec::new();
    for name in &NAMES[1..5] {
        dir.damage(name, |bytes| headers.extend(seal_segment(bytes, lengths)));
    }
    dir.damage("MANIFEST", |bytes| seal_manifest(bytes, &headers));
}

fn seal_manifest(bytes: &mut [u8], headers: &[Sealed]) {
    if bytes.len() < 88 {
        return;
    }
    let count = low(&bytes[80..84]).min(8);
    for at in (0..count).map(|place| clamp(88 + 32 * place)) {
        let Some(record) = bytes.get_mut(at..at + 32) else { break };
        let number = field(record, 0);
        if let Some(sealed) = headers.iter().find(|header| header.number == number) {
            record[8..16].copy_from_slice(&sealed.len.to_le_bytes());
            record[24..28].copy_from_slice(&sealed.crc.to_le_bytes());
        }
    }
    let len = bytes.len() as u64;
    bytes[16..24].copy_from_slice(&len.to_le_bytes());
    if let Some((body, stored)) = bytes.split_last_chunk_mut::<4>() {
        *stored = crc32(body).to_le_bytes();
    }
}

/// Whatever is accepted has to be consistent to the last page.
fn read(dir: &SimDir) {
    let _ = inspect(dir);
    let Ok(manifest) = Manifest::load(dir) else {
        assert!(!matches!(choose(dir, &identity().host()), Ok(Choice::Sound(_))));
        return;
    };
    let encoded = manifest.encode();
    assert_eq!(Manifest::decode(&encoded).expect("what was decoded is valid"), manifest);
    assert_eq!(Some(encoded), dir.get("MANIFEST"), "one manifest has one encoding");
    leftovers(dir, &manifest).expect("the simulated disk works");
    for record in &manifest.segments {
        match SegmentReader::open(dir, record, &manifest.identity) {
            Ok(reader) => walk(&reader),
            Err(error) => drop(error.to_string()),
        }
    }
    match choose(dir, &manifest.identity.host()) {
        Ok(Choice::Sound(sound)) => check_sound(&sound),
        Ok(Choice::Empty(manifest)) => {
            assert!(manifest.snapshots.is_empty() && manifest.next_snapshot == 1);
        }
        Ok(Choice::New) => panic!("a directory with a manifest was taken for a new one"),
        Err(error) => drop(error.to_string()),
    }
}

fn check_sound(sound: &Sound<SimFile>) {
    let chain = &sound.chain;
    assert!(sound.manifest.snapshots.contains(&sound.snapshot));
    assert_eq!(chain.segments().len(), sound.snapshot.chain.len());
    let saved: usize = chain.segments().iter().map(|reader| reader.index().len()).sum();
    assert_eq!(sound.report.pages, saved as u64);
    for reader in chain.segments() {
        for place in 0..reader.index().len() {
            let entry = reader.index().get(place).expect("an entry");
            let bytes = reader.saved_page(place).expect("verified");
            assert_eq!(crc32(&bytes), entry.crc);
        }
    }
    // Whoever asks for pages is told the same, page by page and in a row.
    let runs = RunSet::of(chain.runs().iter().copied());
    let mut pages = chain.pages();
    let mut last = None;
    for page in chain.in_force(0, chain.segments().len()) {
        assert!(runs.contains(page.page) && last < Some(page.page));
        assert_eq!(chain.find(page.page), Some(page));
        pages.read(page).expect("verified");
        last = Some(page.page);
    }
    let _ = Prepared::new(chain.clone(), Way::Map, &|_| {});
}

/// Reaches everything that an open segment promises, verified or not.
fn walk(reader: &SegmentReader<SimFile>) {
    let header = reader.header();
    let arena_pages = header.identity.arena_len / PAGE_SIZE as u64;
    for run in reader.runs() {
        assert!(run.pages().end <= arena_pages && !run.pages().is_empty());
    }
    for extent in reader.extents() {
        assert!(extent.file_range().end <= header.tables_offset);
    }
    for place in 0..reader.index().len() {
        if let Some(offset) = reader.offset_of(place) {
            assert!(offset + PAGE_SIZE as u64 <= header.tables_offset);
        }
        if let Err(error) = reader.saved_page(place) {
            drop(error.to_string());
        }
    }
    assert_eq!(reader.notes().len() as u64, header.notes_len);
    if let Err(error) = reader.verify() {
        drop(error.to_string());
    }
}

fn name(which: u8) -> &'static str {
    NAMES[usize::from(which) % NAMES.len()]
}
