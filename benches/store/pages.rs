//! States whose pages can be told apart, and changed one by one.

use crate::HEAP;
use crate::shared::{Error, Random, in_child, tell};
use std::path::Path;
use stillheap::{Durable, Heap, Options, Restore, Root, Tracked};

pub(crate) const PAGE: usize = 4096;
const WORDS: usize = PAGE / 8;
/// Pages of a vector: 4 MiB, so that it begins at a page.
const PIECE: usize = 1024;

/// A state of so many pages of random words.
pub(crate) trait Pages: Durable + Default + Send + Sync {
    fn grow(&mut self, random: &mut Random);
    fn pages(&self) -> usize;
    fn page(&self, number: usize) -> &[u64];
    fn change(&mut self, number: usize, word: u64);
}

/// Ordinary memory.
#[derive(Durable, Default)]
pub(crate) struct Guarded {
    pieces: Vec<Vec<u64>>,
}

/// Memory whose writes are announced.
#[derive(Durable, Default)]
pub(crate) struct Nodes {
    nodes: Vec<Tracked<[u64; WORDS]>>,
}

impl Pages for Guarded {
    fn grow(&mut self, random: &mut Random) {
        self.pieces.push((0..PIECE * WORDS).map(|_| random.word()).collect());
    }

    fn pages(&self) -> usize {
        self.pieces.len() * PIECE
    }

    fn page(&self, number: usize) -> &[u64] {
        &self.pieces[number / PIECE][number % PIECE * WORDS..][..WORDS]
    }

    fn change(&mut self, number: usize, word: u64) {
        let place = word as usize % WORDS;
        self.pieces[number / PIECE][number % PIECE * WORDS + place] = word;
    }
}

impl Pages for Nodes {
    fn grow(&mut self, random: &mut Random) {
        let node = |_| Tracked::new(std::array::from_fn(|_| random.word()));
        self.nodes.extend((0..PIECE).map(node));
    }

    fn pages(&self) -> usize {
        self.nodes.len()
    }

    fn page(&self, number: usize) -> &[u64] {
        &self.nodes[number][..]
    }

    fn change(&mut self, number: usize, word: u64) {
        self.nodes[number].write()[word as usize % WORDS] = word;
    }
}

/// Opens a new heap in `dir` and fills it.
pub(crate) fn filled<P: Pages>(
    dir: &Path,
    mib: usize,
    options: Options,
) -> Result<(Heap, Root<P>), Error> {
    let heap = HEAP.open(dir, options)?;
    let root = heap.root::<P>("state")?;
    let mut random = Random::new(0);
    while root.read(P::pages) < mib << 8 {
        root.write(|state| state.grow(&mut random));
    }
    Ok((heap, root))
}

/// A number that differs if any word does, or its place.
pub(crate) fn digest<P: Pages>(root: &Root<P>) -> u64 {
    root.read(|state| {
        let words = (0..state.pages()).flat_map(|number| state.page(number));
        words.fold(1, |sum: u64, word| {
            (sum.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        })
    })
}

/// Has a child open what was saved, and compare it with what had been.
pub(crate) fn check(dir: &Path, kind: &str, digest: u64) -> Result<(), Error> {
    let dir = dir.to_str().ok_or("the folder's name is not text")?;
    let found: u64 = in_child(&["check", dir, kind])?.last("digest")?;
    if found == digest { Ok(()) } else { Err(format!("{kind}: not what had been saved").into()) }
}

pub(crate) fn child_check(dir: &Path, kind: &str) -> Result<(), Error> {
    let options = Options::new().create(false).restore(Restore::Load).restart_on_collision(true);
    let heap = HEAP.open(dir, options)?;
    let digest = match kind {
        "tracked" => digest(&heap.root::<Nodes>("state")?),
        _ => digest(&heap.root::<Guarded>("state")?),
    };
    tell("digest", digest);
    // Closing would take one more snapshot.
    std::mem::forget(heap);
    Ok(())
}
