//! The trace of a snapshot beside a model: random blocks of all kinds that point at each other in
//! all ways a plain pointer can, saved to files; what is reached is what the model says, no more
//! and no less.
#![allow(clippy::unwrap_used, reason = "a failing test panics")]
#![allow(unsafe_code, reason = "allocates by hand, and writes into blocks")]

#[path = "heap_support/mod.rs"]
mod heap_support;
#[path = "random_support/mod.rs"]
mod random_support;

use heap_support::{commit, detach, heap_at, open, own_base};
use std::collections::{BTreeMap, BTreeSet};
use std::ptr::NonNull;
use stillheap::arena::Purpose;
use stillheap::base::{CELL_SIZE, PAGE_SIZE, PAGES_PER_CELL, PageIndex, PageRun};
use stillheap::heap::{Heap, Lane, RootRecord};
use stillheap::image::{Choice, choose};
use stillheap::os::DiskDir;
use stillheap::snapshot::host_of;
use stillheap::trace::{Amount, Block, ChainSource, Leaks, Lost, Source, Trace, Visit};

/// Random numbers in the sizes that are needed here.
struct Random(random_support::Random);

impl Random {
    fn new(seed: u64) -> Self {
        Self(random_support::Random::new(seed))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0.below(u32::try_from(end).unwrap()).into()
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap()
    }
}

/// A block as the model has it.
#[derive(Debug)]
struct Known {
    address: u64,
    len: u64,
    purpose: Purpose,
    /// The blocks that it points at.
    leads_to: Vec<usize>,
}

/// What a trace has said.
#[derive(Default)]
struct Seen {
    reached: BTreeMap<u64, (usize, u64)>,
    outside: BTreeSet<(u64, u64, u64)>,
    nowhere: BTreeSet<(u64, u64, u64)>,
}

impl Visit for Seen {
    fn reached(&mut self, root: usize, block: &Block) {
        let before = self.reached.insert(block.start, (root, block.len));
        assert_eq!(before, None, "reached twice: {block:?}");
    }

    fn outside(&mut self, _root: usize, block: &Block, offset: u64, word: u64) {
        if word != 0 {
            self.outside.insert((block.start, offset, word));
        }
    }

    fn nowhere(&mut self, _root: usize, block: &Block, offset: u64, word: u64) {
        self.nowhere.insert((block.start, offset, word));
    }
}

fn size(random: &mut Random) -> usize {
    let range = match random.below(20) {
        0 => 33 << 10..600 << 10,
        1 => 2 << 20..5 << 20,
        2..5 => 4 << 10..33 << 10,
        _ => 16..400,
    };
    let (start, end) = (range.start as u64, range.end as u64);
    usize::try_from(start + random.below(end - start)).unwrap()
}

/// `None`: there is no room for so much.
fn allocate(heap: &Heap, lane: &Lane, random: &mut Random) -> Option<Known> {
    let purpose = Purpose::ALL[random.index(3)];
    let bytes = size(random);
    // Now and then at a multiple of more than a chunk: a block in a span that begins late.
    let align = if bytes > 2 << 20 && random.below(2) == 0 { 4 << 20 } else { 8 };
    // SAFETY: the lane is this test's.
    let block = unsafe { heap.allocate(lane, bytes, align, purpose) }?.block;
    let len = heap.usable_size(block.addr().get()).unwrap();
    // SAFETY: a fresh block of that size.
    unsafe { block.write_bytes(0, len) };
    let address = block.addr().get() as u64;
    Some(Known { address, len: len as u64, purpose, leads_to: Vec::new() })
}

fn put(block: &Known, at: u64, word: u64) {
    assert!(at.is_multiple_of(8) && at + 8 <= block.len);
    let address = usize::try_from(block.address + at).unwrap();
    let place: NonNull<u64> = NonNull::new(std::ptr::with_exposed_provenance_mut(address)).unwrap();
    // SAFETY: a word of a live block of this test's.
    unsafe { place.write(word) };
}

/// A heap of random blocks, some of them freed again with words left that lead to them.
fn fill(heap: &Heap, lane: &Lane, random: &mut Random) -> Vec<Known> {
    let count = 60 + random.below(400);
    let blocks: Vec<Known> = (0..count).filter_map(|_| allocate(heap, lane, random)).collect();
    for from in 0..blocks.len() {
        for _ in 0..random.below(3) {
            let to = random.index(blocks.len());
            // Anywhere in it, but not behind it.
            let word = blocks[to].address + random.below(blocks[to].len);
            let words = blocks[from].len / 8;
            // The last word too: blocks are seldom as long as was asked for.
            let at = if random.below(4) == 0 { words - 1 } else { random.below(words) } * 8;
            put(&blocks[from], at, word);
        }
    }
    blocks
}

fn words_of(block: &Known) -> Vec<(u64, u64)> {
    let start: *const u64 = std::ptr::with_exposed_provenance(block.address.try_into().unwrap());
    let len = usize::try_from(block.len / 8).unwrap();
    // SAFETY: the whole of a live block, which nobody writes to meanwhile; fresh memory of the
    // system's is zero, and the rest was written by this test.
    let words = unsafe { std::slice::from_raw_parts(start, len) };
    (0..).step_by(8).zip(words.iter().copied()).filter(|(_, word)| *word != 0).collect()
}

fn set_root(heap: &Heap, name: &str, value: &Known, schema: &Known) {
    let mut record = RootRecord::named(name).unwrap();
    record.value = value.address;
    record.size = 8;
    record.schema = schema.address;
    heap.put_root(&record).unwrap();
}

fn model(blocks: &[Known], roots: &[usize], freed: &BTreeSet<usize>) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut waiting = roots.to_vec();
    while let Some(block) = waiting.pop() {
        if !freed.contains(&block) && reached.insert(block) {
            waiting.extend(&blocks[block].leads_to);
        }
    }
    reached
}

fn round(seed: u64) {
    let mut random = Random::new(seed);
    let base = own_base();
    let folder = tempfile::tempdir().unwrap();
    let heap = heap_at(base);
    let lane = heap.attach().unwrap();
    let store = open(&folder, &heap).unwrap();
    let blocks = fill(&heap, lane, &mut random);
    let pick = |random: &mut Random| random.index(blocks.len());
    let roots: Vec<usize> = (0..4).map(|_| pick(&mut random)).collect();
    set_root(&heap, "first", &blocks[roots[0]], &blocks[roots[1]]);
    set_root(&heap, "second", &blocks[roots[2]], &blocks[roots[3]]);
    // What is free is not reached, whatever leads to it; half of it is freed by another thread.
    let other = heap.attach().unwrap();
    let freed: BTreeSet<usize> = (0..random.below(60))
        .map(|_| pick(&mut random))
        .filter(|block| !roots.contains(block))
        .collect();
    for (number, &block) in freed.iter().enumerate() {
        let lane = if number % 2 == 0 { lane } else { other };
        let address = usize::try_from(blocks[block].address).unwrap();
        // SAFETY: the lanes are this test's, and the block is not used any more.
        unsafe { heap.free(lane, address) }.unwrap();
    }
    let outside = 0x7fff_0000_1238;
    put(&blocks[roots[0]], blocks[roots[0]].len - 8, outside);
    let known = with_words(&blocks, &freed);
    let expected = model(&known, &roots, &freed);
    detach(&heap, lane);
    detach(&heap, other);
    commit(&store, &heap, 1, 0);
    drop(store);
    check(&folder, &heap, &blocks, &freed, &expected, (roots[0], outside));
    check_leaks(&folder, &heap, &known, &freed, &expected, &roots);
}

/// The blocks again, with what their words lead to.
fn with_words(blocks: &[Known], freed: &BTreeSet<usize>) -> Vec<Known> {
    let again = |from: usize| {
        let words = if freed.contains(&from) { Vec::new() } else { words_of(&blocks[from]) };
        let leads_to = (0..blocks.len()).filter(|&to| {
            let range = blocks[to].address..blocks[to].address + blocks[to].len;
            words.iter().any(|(_, word)| range.contains(word))
        });
        let Known { address, len, purpose, .. } = blocks[from];
        Known { address, len, purpose, leads_to: leads_to.collect() }
    };
    (0..blocks.len()).map(again).collect()
}

fn check(
    folder: &tempfile::TempDir,
    heap: &Heap,
    blocks: &[Known],
    freed: &BTreeSet<usize>,
    expected: &BTreeSet<usize>,
    outside: (usize, u64),
) {
    let disk = DiskDir::open(folder.path()).unwrap();
    let Choice::Sound(sound) = choose(&disk, &host_of(heap.arena())).unwrap() else {
        panic!("no image")
    };
    let addresses = heap.arena().addresses();
    let arena = addresses.start as u64..addresses.end as u64;
    let runs = sound.chain.runs().iter().copied();
    let mut trace =
        Trace::read(ChainSource::new(&sound.chain).unwrap(), arena.clone(), runs).unwrap();
    assert_eq!(trace.all().all().blocks, (blocks.len() - freed.len()) as u64);
    let mut seen = Seen::default();
    assert_eq!(trace.run(&mut seen).unwrap(), Ok(()));
    let starts = |set: &BTreeSet<usize>| -> BTreeMap<u64, u64> {
        set.iter().map(|&block| (blocks[block].address - arena.start, blocks[block].len)).collect()
    };
    let reached: BTreeMap<u64, u64> =
        seen.reached.iter().map(|(&start, &(_, len))| (start, len)).collect();
    assert_eq!(reached, starts(expected));
    let left: BTreeMap<u64, u64> =
        trace.blocks().unreached().map(|block| (block.start, block.len)).collect();
    let unreached: BTreeSet<usize> = (0..blocks.len())
        .filter(|block| !freed.contains(block) && !expected.contains(block))
        .collect();
    assert_eq!(left, starts(&unreached));
    for block in trace.blocks().unreached() {
        let known = blocks.iter().find(|known| known.address - arena.start == block.start).unwrap();
        assert_eq!(known.purpose, block.purpose);
        assert!(trace.blocks().at(block.start + block.len - 1) == Some(block));
    }
    let (block, word) = outside;
    let at = (blocks[block].address - arena.start, blocks[block].len - 8, word);
    assert!(seen.outside.contains(&at), "{at:?}: {:?}", seen.outside);
    let is_free = |word: &u64| {
        let has = |known: &Known| (known.address..known.address + known.len).contains(word);
        let mut live = (0..blocks.len()).filter(|block| !freed.contains(block));
        arena.contains(word) && !live.any(|block| has(&blocks[block]))
    };
    let words = |&block: &usize| {
        let start = blocks[block].address - arena.start;
        words_of(&blocks[block]).into_iter().map(move |(at, word)| (start, at, word))
    };
    let nowhere = expected.iter().flat_map(words).filter(|(_, _, word)| is_free(word));
    assert_eq!(seen.nowhere, nowhere.collect());
}

/// The lost blocks that each block leads to over one step or more.
fn ways(known: &[Known], lost: &BTreeSet<usize>) -> BTreeMap<usize, BTreeSet<usize>> {
    let from = |block: usize| {
        let mut reached = BTreeSet::new();
        let mut waiting = vec![block];
        while let Some(block) = waiting.pop() {
            let next = known[block].leads_to.iter().filter(|to| lost.contains(to));
            waiting.extend(next.filter(|to| reached.insert(**to)));
        }
        reached
    };
    lost.iter().map(|&block| (block, from(block))).collect()
}

fn check_leaks(
    folder: &tempfile::TempDir,
    heap: &Heap,
    known: &[Known],
    freed: &BTreeSet<usize>,
    reached: &BTreeSet<usize>,
    roots: &[usize],
) {
    let disk = DiskDir::open(folder.path()).unwrap();
    let Choice::Sound(sound) = choose(&disk, &host_of(heap.arena())).unwrap() else {
        panic!("no image")
    };
    let addresses = heap.arena().addresses();
    let arena = addresses.start as u64..addresses.end as u64;
    let source = ChainSource::new(&sound.chain).unwrap();
    let mut trace = Trace::read(source, arena, sound.chain.runs().iter().copied()).unwrap();
    let leaks = Leaks::find(&mut trace, 9).unwrap();
    let lost: BTreeSet<usize> = (0..known.len())
        .filter(|block| !freed.contains(block) && !reached.contains(block))
        .collect();
    let bytes: u64 = lost.iter().map(|&block| known[block].len).sum();
    assert_eq!(leaks.lost.all(), Amount { blocks: lost.len() as u64, bytes });
    // A block is a head, or one of its cycle is, if all that leads to it is led to by it.
    let ways = ways(known, &lost);
    let is_first = |block: &usize| {
        let mut before = lost.iter().filter(|other| ways[other].contains(block));
        before.all(|other| other == block || ways[block].contains(other))
    };
    let first: BTreeSet<usize> = lost.iter().copied().filter(is_first).collect();
    let place = |address: u64| known.iter().position(|block| block.address == address).unwrap();
    let heads: BTreeMap<usize, &Lost> =
        leaks.largest.iter().map(|head| (place(head.address), head)).collect();
    assert!(heads.keys().all(|head| first.contains(head)));
    // One of each cycle.
    let of_cycle = |block: &usize| {
        first
            .iter()
            .find(|other| ways[block].contains(other) && ways[other].contains(block))
            .unwrap_or(block)
            .to_owned()
    };
    let cycles: BTreeSet<usize> = first.iter().map(of_cycle).collect();
    assert_eq!(leaks.heads, cycles.len() as u64);
    assert_eq!(leaks.largest.len(), cycles.len().min(100));
    assert_eq!(heads.keys().map(of_cycle).collect::<BTreeSet<_>>().len(), heads.len());
    for (&block, head) in &heads {
        assert_eq!(head.is_cycle, ways[&block].contains(&block));
        assert!(head.retained.blocks <= 1 + ways[&block].len() as u64);
        // What the first root leads to is the first's.
        let by_first = model(known, &roots[..2], freed);
        let next: BTreeSet<usize> =
            known[block].leads_to.iter().copied().filter(|to| reached.contains(to)).collect();
        let names = [
            ("first", next.iter().any(|to| by_first.contains(to))),
            ("second", next.iter().any(|to| !by_first.contains(to))),
        ];
        let names: Vec<&str> =
            names.into_iter().filter_map(|(name, is)| is.then_some(name)).collect();
        // Of blocks of more than 64 KiB only the start is looked at.
        assert!(known[block].len > 64 << 10 || head.leads_to == names);
    }
    if cycles.len() <= 100 {
        let retained: u64 = leaks.largest.iter().map(|head| head.retained.blocks).sum();
        assert_eq!(retained, lost.len() as u64);
    }
}

#[test]
fn what_is_reached_is_what_the_model_says() {
    let rounds = if std::env::var_os("STILLHEAP_LONG").is_some() { 1000 } else { 25 };
    (0..rounds).for_each(round);
}

/// Pages of random words, among them those that tables are made of, and addresses.
struct Noise(Random, Vec<u8>);

impl Source for Noise {
    type Error = std::convert::Infallible;

    fn page(&mut self, page: PageIndex) -> Result<Option<&[u8]>, Self::Error> {
        let Self(random, bytes) = self;
        bytes.clear();
        // Where a slot has its chunk's entry, and those of its pages.
        let is_table = page.within_chunk().is_multiple_of(16);
        while bytes.len() < PAGE_SIZE {
            let number = match is_table {
                true if bytes.len() < 0x800 => random.below(4) | random.below(4) << 32,
                true => {
                    let entry = |random: &mut Random| {
                        random.below(5) | random.below(80) << 8 | random.below(20) << 16
                    };
                    entry(random) | entry(random) << 32
                }
                false => random.below(200 << 20),
            };
            bytes.extend(number.to_le_bytes());
        }
        Ok(Some(bytes))
    }
}

#[test]
fn any_tables_can_be_read_and_followed() {
    let mut reached = 0;
    for seed in 0..5 {
        let pages = PageRun { first: PageIndex(0), count: 3 * PAGES_PER_CELL };
        let arena = 0..3 * CELL_SIZE as u64;
        let mut trace = Trace::read(Noise(Random::new(seed), Vec::new()), arena, [pages]).unwrap();
        let (all, mut seen) = (trace.all().all().blocks, Seen::default());
        assert_eq!(trace.run(&mut seen).unwrap(), Ok(()));
        assert_eq!(all, trace.blocks().unreached().count() as u64 + seen.reached.len() as u64);
        reached += seen.reached.len();
    }
    assert!(reached > 100, "{reached}");
}

const _: () = assert!(PAGE_SIZE == 4096, "sizes above are chosen for it");
