//! What the fuzzer `export_file` does with an input: it imports a file. The first byte chooses:
//! - even: the rest is the file
//! - odd: changes to a sound export, each `offset (u32), how, value (u64)`; with bit 1 set it gets
//!   right checksums again, with bit 2 as well also its length; bits 3 and 4 choose the
//!   compression.
//!
//! A heap comes of it that is sound to the last page, or an error that names a file, and nothing.

use crate::image_support::{DELTA, commit, heap};
use crate::seal::{add, clamp, overwrite, seal_segment};
use stillheap::{
    image::{Chain, Choice, Compression, Manifest, choose, export, import},
    os::{
        Dir,
        sim::{SimDir, SimFile},
    },
};

const NAME: &str = "a.export";
/// Changes in one input, at most.
const CHANGES_MAX: usize = 32;

/// Imports what the input describes.
pub(crate) fn run(data: &[u8]) {
    let Some((&mode, rest)) = data.split_first() else { return };
    let (from, to) = (SimDir::new(), SimDir::new());
    from.put(NAME, if mode & 1 == 0 { rest.to_vec() } else { changed(rest, mode) });
    match import(&from, NAME, &to, &|_| true) {
        Ok(made) => {
            let made = made.expect("nobody has ended it");
            check_heap(&to, &made, ways(mode));
            end_early(&from, u64::from(mode >> 5));
        }
        Err(error) => {
            assert!(error.to_string().contains("sim:"), "names no file: {error}");
            assert_eq!(to.list().expect("the simulated disk works"), [""; 0], "left behind");
        }
    }
}

fn ways(mode: u8) -> Compression {
    let zstd = Compression::Zstd(1);
    match mode >> 3 & 3 {
        0 => Compression::None,
        1 if zstd.is_supported() => zstd,
        _ => Compression::Lz4,
    }
}

/// A sound export with changes.
fn changed(data: &[u8], mode: u8) -> Vec<u8> {
    let dir = heap();
    let manifest = Manifest::load(&dir).expect("a sound heap");
    let manifest = commit(&dir, &manifest, &DELTA).expect("the simulated disk works");
    let mut bytes = exported(&chain(&dir, &manifest), ways(mode)).get(NAME).expect("written");
    for change in data.as_chunks::<13>().0.iter().take(CHANGES_MAX) {
        let [o0, o1, o2, o3, how, value @ ..] = *change;
        let offset = u64::from(u32::from_le_bytes([o0, o1, o2, o3]));
        let number = u64::from_le_bytes(value);
        match how % 6 {
            width @ 0..=3 => overwrite(&mut bytes, offset, &value, width),
            4 => add(&mut bytes, offset, number),
            _ => bytes.resize(clamp(number), 0),
        }
    }
    if mode & 2 != 0 {
        let _ = seal_segment(&mut bytes, mode & 4 != 0);
    }
    bytes
}

fn chain(dir: &SimDir, manifest: &Manifest) -> Chain<SimFile> {
    let newest = manifest.newest().expect("a snapshot");
    Chain::open(dir, manifest, newest).expect("a sound chain")
}

fn exported(chain: &Chain<SimFile>, way: Compression) -> SimDir {
    let out = SimDir::new();
    export(chain, &out, NAME, way, &|_| true).expect("room").expect("nobody has ended it");
    out
}

/// It can be opened, and exported again; what comes of that is the same.
fn check_heap(dir: &SimDir, made: &Manifest, way: Compression) {
    let Ok(Choice::Sound(sound)) = choose(dir, &made.identity.host()) else {
        panic!("what was imported cannot be opened");
    };
    assert_eq!(sound.manifest, *made);
    let again = SimDir::new();
    import(&exported(&sound.chain, way), NAME, &again, &|_| true).expect("what was exported");
    let manifest = Manifest::load(&again).expect("a heap");
    assert_eq!(manifest.identity, made.identity);
    let copy = chain(&again, &manifest);
    assert_eq!((copy.runs(), copy.segments()[0].notes()), {
        let first = &sound.chain.segments()[0];
        (sound.chain.runs(), first.notes())
    });
    for page in sound.chain.in_force(0, 1) {
        let expected = sound.chain.page(page.page).expect("verified");
        assert!(copy.page(page.page).expect("verified") == expected, "page {}", page.page.0);
    }
}

/// Who ends it after so many pages has nothing, or all if there were no more.
fn end_early(from: &SimDir, after: u64) {
    let (to, seen) = (SimDir::new(), std::sync::atomic::AtomicU64::new(0));
    let watch = |pages| seen.fetch_add(pages, std::sync::atomic::Ordering::Relaxed) + pages < after;
    match import(from, NAME, &to, &watch).expect("it was sound") {
        Some(manifest) => drop(chain(&to, &manifest)),
        None => assert_eq!(to.list().expect("the simulated disk works"), [""; 0]),
    }
}
