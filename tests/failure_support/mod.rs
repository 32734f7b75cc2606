//! An arena with a model beside it, a writer that changes both, and snapshots of it on a
//! simulated disk, taken as the snapshot thread takes them.
//!
//! Invariant: a page holds its stamp, if it has one, in its first word and its last, and zeros.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unsafe_code, reason = "writes to memory of the arena")]

pub(crate) mod changes;
pub(crate) mod tables;
pub(crate) mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard};
use std::{ptr, thread};
use stillheap::arena::{Arena, ArenaConfig, Purpose, Space};
use stillheap::base::{CHUNK_SIZE, ChunkIndex, PAGE_SIZE, PAGES_PER_CHUNK, PageIndex};
use stillheap::cow::{CellKind, Engine, Fault, Saves, Window};
use stillheap::image::{Chain, Choice, InForce, Manifest, SnapshotRecord, Wish, choose, leftovers};
use stillheap::os::Dir;
use stillheap::os::sim::{self, SimDir, SimFile};
use stillheap::snapshot::{Policy, SaveError, Store, host_of};
use tables::{bytes_at, tables};
use watched::Watched;

/// What the stage may hold: three chunks, and 512 pages.
pub(crate) const LIMIT: u64 = 4 * CHUNK_SIZE as u64;
/// Chunks that writers copy in a window at most, but for the storm's.
const CHUNKS: usize = 3;
/// Steps in a window that write: more would find the stage full, and wait for the saver.
const STEPS: u32 = 200;
/// Blocks, of which one is of tracked memory.
const BLOCKS: usize = 6;
/// In each block, every so many pages one is written: so that snapshots are of equal length.
const STRIDE: u32 = 128;

/// Who writes beside a snapshot's draft.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Beside {
    /// A few units before it, and one at each of its calls.
    Steps,
    /// Before it, as much as the stage takes.
    WholeStage,
    /// A thread that writes all there is, over and over.
    Storm,
}

/// Which call of the disk fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum At {
    /// So many calls after the beginning.
    Call(u64),
    /// So many calls after the first sync.
    Commit(u64),
}

impl At {
    pub(crate) fn calls(self) -> u64 {
        let (Self::Call(calls) | Self::Commit(calls)) = self;
        calls
    }
}

/// The arena and its model.
pub(crate) struct World {
    pub(crate) arena: Arena,
    writer: Mutex<Writer>,
    /// Whether calls of the disk have the writer write.
    stepping: AtomicBool,
    /// What is to fail from the first sync on.
    at_sync: Mutex<Option<sim::Fault>>,
}

struct Writer {
    space: Space,
    /// Of one chunk each, unless a test wants others as well.
    blocks: Vec<Block>,
    stamps: BTreeMap<u32, u64>,
    next_stamp: u64,
    /// Pages and chunks that were written and are in no durable snapshot.
    dirty: [BTreeSet<u32>; 2],
    /// Chunks copied in this window, and whether a block has been given back in it.
    chunks: usize,
    given: Option<ChunkIndex>,
    /// Steps taken in this window.
    steps: u32,
    /// Blocks that there are to be at the window's end.
    wanted: usize,
    /// What was frozen for the snapshots.
    frozen: BTreeMap<u64, Frozen>,
}

/// Memory that is in use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Block {
    first: PageIndex,
    pages: u32,
    kind: CellKind,
}

/// What an image has to hold: the stamps of its blocks' pages, and pages of tables.
#[derive(Clone)]
struct Frozen {
    stamps: BTreeMap<u32, u64>,
    tables: BTreeMap<u32, Vec<u8>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let config = ArenaConfig { base: 0, main_cells: 8, boot_cells: 4 };
        let arena = Arena::reserve(config).expect("address space");
        let mut space = Space::booting(1);
        space.enter_main();
        space.claim_first_cell(&arena).expect("memory");
        arena.cow().engage();
        let mut writer = Writer {
            space,
            blocks: Vec::new(),
            stamps: BTreeMap::new(),
            next_stamp: 0,
            dirty: Default::default(),
            chunks: 0,
            given: None,
            steps: 0,
            wanted: BLOCKS,
            frozen: BTreeMap::new(),
        };
        for purpose in [Purpose::Scoped; BLOCKS - 1].into_iter().chain([Purpose::Tracked]) {
            writer.take(&arena, purpose);
        }
        Self {
            arena,
            writer: Mutex::new(writer),
            stepping: AtomicBool::new(false),
            at_sync: Mutex::default(),
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().expect("no panic")
    }

    /// The number of the newest snapshot; 0: there is none.
    pub(crate) fn newest(&self) -> u64 {
        self.writer().frozen.keys().last().copied().unwrap_or(0)
    }

    /// Changes outside windows.
    pub(crate) fn change(&self) {
        let mut writer = self.writer();
        (0..4).for_each(|_| writer.write_any(&self.arena, CellKind::Guarded));
        (0..40).for_each(|_| writer.write_any(&self.arena, CellKind::Tracked));
        if writer.blocks.len() < BLOCKS {
            writer.take(&self.arena, Purpose::Scoped);
        }
        if let Some(given) = writer.given.take() {
            assert!(!self.arena.is_deferred(given), "its memory has come back");
        }
    }

    /// The disk is about to make a segment durable.
    pub(crate) fn before_sync(&self, dir: &SimDir) {
        if let Some(fault) = self.at_sync.lock().expect("no panic").take() {
            dir.fail(Some(fault));
        }
    }

    /// One step of a writer in a window. Not on the saver's thread, which has privileges.
    pub(crate) fn step(&self) {
        if self.stepping.load(Relaxed) {
            self.beside(|writer| writer.step(&self.arena));
        }
    }

    /// Has another thread write, and waits for its end.
    fn beside(&self, write: impl FnOnce(&mut Writer) + Send) {
        thread::scope(|scope| scope.spawn(|| write(&mut self.writer())).join().expect("no panic"));
    }
}

impl Writer {
    fn take(&mut self, arena: &Arena, purpose: Purpose) {
        let (first, zeroed) =
            self.space.take_large(arena, purpose, PAGES_PER_CHUNK, 8).expect("room");
        self.add(arena, Block { first, pages: PAGES_PER_CHUNK, kind: purpose.kind() }, zeroed);
    }

    /// A large block that has just been taken.
    fn add(&mut self, arena: &Arena, block: Block, zeroed: bool) {
        self.blocks.push(block);
        // SAFETY: a block of that size, just taken.
        let bytes =
            unsafe { bytes_at(arena.address(block.first), block.pages as usize * PAGE_SIZE) };
        assert!(!zeroed || bytes.iter().step_by(509).all(|byte| *byte == 0), "fresh memory");
        if block.kind == CellKind::Tracked {
            // As the heap does it: pages that nobody writes to are as fresh as the others.
            let pages = block.first.0..block.first.0 + block.pages;
            pages.for_each(|page| arena.cow().announce_tracked(PageIndex(page)));
        }
        // What is not fresh may have anything in it.
        let stride = if zeroed { STRIDE as usize } else { 1 };
        for page in (0..block.pages).step_by(stride) {
            self.write(arena, PageIndex(block.first.0 + page), block.kind);
        }
    }

    /// Gives a block of ordinary memory back, in a window, where it is kept until its end.
    fn give(&mut self, arena: &Arena) {
        let is_chunk = |block: &Block| block.pages == PAGES_PER_CHUNK;
        let place = self.blocks.iter().position(|b| b.kind == CellKind::Guarded && is_chunk(b));
        let block = self.blocks.remove(place.expect("a block"));
        self.forget(block);
        self.space.give_large(arena, block.first);
        self.given = Some(block.first.chunk());
    }

    /// A block is no longer in use.
    fn forget(&mut self, block: Block) {
        let pages = block.first.0..block.first.0 + block.pages;
        let chunks = block.first.chunk().0..=PageIndex(pages.end - 1).chunk().0;
        self.stamps.retain(|page, _| !pages.contains(page));
        self.dirty[0].retain(|page| !pages.contains(page));
        self.dirty[1].retain(|chunk| !chunks.contains(chunk));
    }

    fn write_any(&mut self, arena: &Arena, wanted: CellKind) {
        let random = self.next_stamp.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let fitting: Vec<_> = self.blocks.iter().filter(|block| block.kind == wanted).collect();
        let Block { first, pages, kind } = *fitting[random as usize % fitting.len()];
        let page = match kind {
            CellKind::Guarded => (random >> 20) as u32 % pages.div_ceil(STRIDE) * STRIDE,
            CellKind::Tracked => (random >> 20) as u32 % pages,
        };
        self.write(arena, PageIndex(first.0 + page), kind);
    }

    /// Writes to a page as a program would that has a fault handler.
    fn write(&mut self, arena: &Arena, page: PageIndex, kind: CellKind) {
        self.next_stamp += 1;
        let address = arena.address(page);
        match kind {
            CellKind::Guarded => {
                assert_eq!(arena.cow().on_write_fault(address), Fault::Handled);
                self.dirty[1].insert(page.chunk().0);
            }
            CellKind::Tracked => {
                arena.cow().announce_tracked(page);
                self.dirty[0].insert(page.0);
            }
        }
        for place in [address, address + PAGE_SIZE - 8] {
            let word: *mut u64 = ptr::with_exposed_provenance_mut(place);
            // SAFETY: a word of a block, which has just been made writable.
            unsafe { word.write_volatile(self.next_stamp) };
        }
        self.stamps.insert(page.0, self.next_stamp);
    }

    /// In turn: a chunk, as long as there is room for copies; a tracked page; a block goes, and
    /// another one comes.
    fn step(&mut self, arena: &Arena) {
        self.steps += 1;
        if self.steps > STEPS {
            return;
        }
        let staged = arena.cow().counts().staged_chunks;
        if self.chunks < CHUNKS {
            self.write_any(arena, CellKind::Guarded);
            self.chunks += usize::from(arena.cow().counts().staged_chunks > staged);
        }
        self.write_any(arena, CellKind::Tracked);
        if self.given.is_none() && self.chunks > 1 {
            self.give(arena);
        }
        if self.given.is_some() && self.blocks.len() < self.wanted {
            self.take(arena, Purpose::Scoped);
        }
    }

    /// First writes to three chunks and to 512 pages.
    fn fill_stage(&mut self, arena: &Arena) {
        let all = |kind: CellKind| move |block: &&Block| block.kind == kind;
        let blocks = self.blocks.clone();
        for block in blocks.iter().filter(all(CellKind::Guarded)).take(CHUNKS) {
            self.write(arena, block.first, block.kind);
        }
        let block = *blocks.iter().find(all(CellKind::Tracked)).expect("a block");
        for page in 0..PAGES_PER_CHUNK {
            self.write(arena, PageIndex(block.first.0 + page), block.kind);
        }
    }

    fn freeze(&mut self, arena: &Arena) -> Frozen {
        (self.chunks, self.steps, self.given) = (0, 0, None);
        self.wanted = self.blocks.len().max(BLOCKS);
        Frozen { stamps: self.stamps.clone(), tables: tables(arena) }
    }
}

pub(crate) fn store<'a>(dir: &SimDir, world: &'a World) -> Store<Watched<'a>> {
    store_with(dir, world, Policy::default())
}

pub(crate) fn store_with<'a>(dir: &SimDir, world: &'a World, policy: Policy) -> Store<Watched<'a>> {
    let dir = Watched { dir: dir.clone(), world };
    let host = host_of(&world.arena);
    let opening = Store::open(dir, &host, 1, policy, true, Wish::default());
    opening.expect("a heap").store
}

/// A snapshot, from the freeze to its end, with a failure of the disk.
pub(crate) fn attempt(
    world: &World,
    store: &Store<Watched<'_>>,
    dir: &SimDir,
    fault: Option<(At, sim::Fault)>,
    (beside, saves): (Beside, Saves),
) -> Result<SnapshotRecord, SaveError> {
    let engine = world.arena.cow();
    let number = store.next_snapshot();
    let limit = if beside == Beside::Storm { CHUNK_SIZE as u64 } else { LIMIT };
    engine.stage().prepare(limit);
    let frozen = world.writer().freeze(&world.arena);
    engine.freeze(Some(saves)).expect("a freeze");
    let window = engine.window();
    let changed = engine.note_heat();
    // With what a failed snapshot should have saved.
    let dirty = std::mem::take(&mut world.writer().dirty);
    assert!(changed.pages >= dirty[0].len() as u64, "{changed:?} {}", dirty[0].len());
    assert!(changed.chunks >= dirty[1].len() as u64, "{changed:?} {}", dirty[1].len());
    let window = write_before(world, window, beside);
    match fault {
        Some((At::Commit(_), fault)) => *world.at_sync.lock().expect("no panic") = Some(fault),
        fault => dir.fail(fault.map(|(_, fault)| fault)),
    }
    world.stepping.store(beside == Beside::Steps, Relaxed);
    let stop = AtomicBool::new(false);
    let drafted = thread::scope(|scope| {
        if beside == Beside::Storm {
            scope.spawn(|| storm(world, &stop));
        }
        let drafted = store.draft(&world.arena, &window, number, number, saves);
        stop.store(true, Relaxed);
        drop(window);
        drafted
    });
    world.writer().space.reclaim(&world.arena);
    let result = drafted.and_then(|draft| store.commit(draft));
    store.prune();
    world.stepping.store(false, Relaxed);
    engine.settle(result.is_ok());
    let mut writer = world.writer();
    let in_place = match &result {
        Ok(_) => true,
        Err(SaveError::Commit(error)) => !error.old_in_force(),
        Err(_) => false,
    };
    if in_place {
        writer.frozen.insert(number, frozen);
    }
    if result.is_err() {
        let blocks: BTreeSet<u32> =
            writer.blocks.iter().map(|block| block.first.chunk().0).collect();
        writer.dirty[0].extend(&dirty[0]);
        writer.dirty[1].extend(dirty[1].intersection(&blocks));
    }
    result
}

/// What is written in the window before the draft begins. No writer has to wait: all slots are
/// there.
fn write_before<'a>(world: &World, window: Window<'a>, beside: Beside) -> Window<'a> {
    let engine: &Engine = world.arena.cow();
    let stalls = engine.counts().stalls;
    // Drops what came too late for the window before.
    assert!(window.take_staged().is_empty(), "nobody has written");
    let mut window = Some(window);
    thread::scope(|scope| {
        let arena = &world.arena;
        let writing = scope.spawn(move || match beside {
            Beside::Steps => (0..2).for_each(|_| world.writer().step(arena)),
            Beside::WholeStage => world.writer().fill_stage(arena),
            Beside::Storm => {}
        });
        while !writing.is_finished() {
            if engine.counts().stalls > stalls {
                window = None;
            }
            thread::yield_now();
        }
    });
    window.expect("a slot of the stage has not come back")
}

/// Writes all there is until it is told to stop.
fn storm(world: &World, stop: &AtomicBool) {
    while !stop.load(Relaxed) {
        let blocks = world.writer().blocks.clone();
        for Block { first, pages, kind } in blocks {
            for page in (0..pages).step_by(STRIDE as usize) {
                world.writer().write(&world.arena, PageIndex(first.0 + page), kind);
            }
        }
    }
}

/// The newest sound snapshot is the newest one, and holds exactly what was frozen for it.
pub(crate) fn check_newest(world: &World, dir: &SimDir) {
    let Choice::Sound(sound) = choose(dir, &host_of(&world.arena)).expect("a heap") else {
        panic!("no snapshot");
    };
    assert!(sound.skipped.is_empty(), "{:?}", sound.skipped);
    assert_eq!(sound.snapshot.number, world.newest());
    check_image(world, sound.snapshot.number, &sound.chain);
}

/// A snapshot holds exactly what was frozen for it.
fn check_image(world: &World, number: u64, image: &Chain<SimFile>) {
    let writer = world.writer();
    let frozen = &writer.frozen[&number];
    // Segment by segment, so that frames are decoded once.
    let mut in_force: Vec<InForce> = image.in_force(0, image.segments().len()).collect();
    in_force.sort_by_key(|found| (found.segment, found.place));
    let mut pages = image.pages();
    let mut tables = 0;
    for found in &in_force {
        let page = found.page;
        let bytes = pages.read(*found).expect("a sound page");
        if let Some(expected) = frozen.tables.get(&page.0) {
            tables += 1;
            assert!(*bytes == expected[..], "{number}: table {}", page.0);
            continue;
        }
        let stamp = frozen.stamps.get(&page.0).unwrap_or(&0);
        let mut expected = [0; PAGE_SIZE];
        expected[..8].copy_from_slice(&stamp.to_le_bytes());
        expected[PAGE_SIZE - 8..].copy_from_slice(&stamp.to_le_bytes());
        assert!(*bytes == expected, "{number}: page {} with {stamp}: {:?}", page.0, &bytes[..8]);
    }
    let is_zero = |bytes: &&Vec<u8>| bytes.iter().all(|byte| *byte == 0);
    let zeros = frozen.tables.values().filter(is_zero).count();
    assert_eq!(tables, frozen.tables.len() - zeros, "{number}: all tables");
    let held = in_force.len() - tables;
    assert_eq!(held, frozen.stamps.len(), "{number}: all stamps, and nothing else");
}

/// Removes what failures have left; `may_be` says whether there may be anything.
pub(crate) fn tidy_up(dir: &SimDir, may_be: bool) {
    let left = leftovers(dir, &Manifest::load(dir).expect("a manifest")).expect("names");
    assert!(left.is_empty() || may_be, "{left:?}");
    left.iter().for_each(|name| dir.remove(name).expect("a name"));
}
