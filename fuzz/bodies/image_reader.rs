//! What the fuzzer `image_reader` does with an input; `tests/fuzz_corpus.rs` does the same
//! with the corpus, without the fuzzer.
//!
//! The first byte chooses what the rest means:
//! - even: whole files, each `which, length (u16), bytes`, in a directory of their own
//! - odd: changes to a sound directory, each `which, offset (u32), how, value (u64)`. With bit
//!   1 set the changed files get right checksums again, so that the checks behind these
//!   are reached; with bit 2 as well, also the lengths that their files have.

#[path = "../../tests/image_support/mod.rs"]
mod image_support;

use image_support::{DELTA, commit, heap, identity};
use stillheap::{
    base::{PAGE_SIZE, PageIndex, crc32},
    image::{Choice, Manifest, SegmentReader, Sound, choose, inspect, leftovers},
    os::{
        Dir,
        sim::{SimDir, SimFile},
    },
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
/// Files do not grow beyond this.
const LEN_MAX: u64 = 256 << 10;

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
    commit(&dir, &manifest, &DELTA).expect("the simulated disk works");
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

fn overwrite(bytes: &mut [u8], offset: u64, value: &[u8; 8], width: u8) {
    let start = clamp(offset);
    for (byte, new) in bytes.iter_mut().skip(start).zip(&value[..1 << width]) {
        *byte = *new;
    }
}

fn add(bytes: &mut [u8], offset: u64, value: u64) {
    let start = clamp(offset);
    if let Some(field) = bytes.get_mut(start..).and_then(|rest| rest.first_chunk_mut::<8>()) {
        *field = u64::from_le_bytes(*field).wrapping_add(value).to_le_bytes();
    }
}

/// Gives each file the checksums of what it holds, by the tables of the specification.
fn seal_all(dir: &SimDir, lengths: bool) {
    let mut headers = Vec::new();
    for name in &NAMES[1..5] {
        dir.damage(name, |bytes| headers.extend(seal_segment(bytes, lengths)));
    }
    dir.damage("MANIFEST", |bytes| seal_manifest(bytes, &headers));
}

/// What a sealed segment's record has to say.
struct Sealed {
    number: u64,
    crc: u32,
    len: u64,
}

fn seal_segment(bytes: &mut [u8], lengths: bool) -> Option<Sealed> {
    if bytes.len() < 256 {
        return None;
    }
    if lengths {
        let len = bytes.len() as u64;
        bytes[160..168].copy_from_slice(&len.to_le_bytes());
    }
    let [data, index, notes, notes_len] = [112, 120, 144, 152].map(|at| field(bytes, at));
    let index_len = notes.saturating_sub(index);
    seal_pages(bytes, data, index, index_len);
    for (at, start, len) in
        [(108, 256, data.saturating_sub(256)), (136, index, index_len), (140, notes, notes_len)]
    {
        if let Some(part) = part(bytes, start, len) {
            let crc = crc32(part);
            bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        }
    }
    let crc = crc32(&bytes[..252]);
    bytes[252..256].copy_from_slice(&crc.to_le_bytes());
    Some(Sealed { number: field(bytes, 56), crc, len: field(bytes, 160) })
}

/// The checksums in the index, for the pages as the extents table places them.
fn seal_pages(bytes: &mut [u8], data: u64, index: u64, index_len: u64) {
    let table_len = data.saturating_sub(256);
    let Some(table) = part(bytes, 256, table_len).map(<[u8]>::to_vec) else { return };
    for entry in (0..index_len / 24).map(|place| clamp(index + place * 24)) {
        let Some(page) = part(bytes, entry as u64, 4).map(low) else { return };
        let offset = table.as_chunks::<16>().0.iter().find_map(|extent| {
            let (first, count) = (low(&extent[..4]), low(&extent[4..8]));
            let offset = field(extent, 8);
            (first <= page && page - first < count)
                .then(|| offset.saturating_add((page - first) * PAGE_SIZE as u64))
        });
        let Some(crc) = offset.and_then(|at| part(bytes, at, PAGE_SIZE as u64)).map(crc32) else {
            continue;
        };
        if let Some(stored) = bytes.get_mut(entry + 4..entry + 8) {
            stored.copy_from_slice(&crc.to_le_bytes());
        }
    }
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
    assert!(sound.manifest.snapshots.contains(&sound.snapshot));
    assert_eq!(sound.chain.len(), sound.snapshot.chain.len());
    let saved: usize = sound.chain.iter().map(|reader| reader.index().len()).sum();
    assert_eq!(sound.report.pages, saved as u64);
    for reader in &sound.chain {
        for extent in reader.extents() {
            for number in extent.run.pages() {
                let page = PageIndex(u32::try_from(number).expect("checked by the reader"));
                let bytes = reader.page(page).expect("a page of an extent");
                match reader.index().find(page) {
                    Some(entry) => assert_eq!(crc32(bytes), entry.crc),
                    None => assert!(bytes.iter().all(|&byte| byte == 0)),
                }
            }
        }
    }
}

/// Reaches everything that an open segment promises, verified or not.
fn walk(reader: &SegmentReader<SimFile>) {
    let header = reader.header();
    let arena_pages = header.identity.arena_len / PAGE_SIZE as u64;
    for extent in reader.extents() {
        assert!(extent.run.pages().end <= arena_pages && !extent.run.pages().is_empty());
        assert!(extent.file_range().end <= header.index_offset);
    }
    for entry in reader.index().iter() {
        assert_eq!(reader.page(entry.page).expect("a saved page").len(), PAGE_SIZE);
    }
    assert_eq!(reader.notes().len() as u64, header.notes_len);
    if let Err(error) = reader.verify() {
        drop(error.to_string());
    }
}

fn name(which: u8) -> &'static str {
    NAMES[usize::from(which) % NAMES.len()]
}

fn clamp(value: u64) -> usize {
    usize::try_from(value.min(LEN_MAX)).expect("small")
}

fn part(bytes: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(len).ok()?)?)
}

/// The 64-bit field at an offset.
fn field(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |field| u64::from_le_bytes(*field))
}

/// The 32-bit field at the start.
fn low(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |field| u64::from(u32::from_le_bytes(*field)))
}
