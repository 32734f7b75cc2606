//! In which order a window saves chunks, and which of them it makes writable again: hottest
//! first, in the order of addresses otherwise; what was written in most of the last epochs stays
//! open, takes no fault, and is left closed again once it is not written any more.
#![allow(unsafe_code, reason = "writes to memory of the arena")]

use stillheap::arena::{Arena, ArenaConfig, Purpose, Space};
use stillheap::base::{ChunkIndex, PAGES_PER_CHUNK, PageIndex};
use stillheap::cow::{Fault, Saves};
use stillheap::image::{Choice, Wish, choose};
use stillheap::os::sim::{Op, SimDir};
use stillheap::snapshot::{Policy, Store, host_of};

const CONFIG: ArenaConfig = ArenaConfig { base: 0, main_cells: 8, boot_cells: 4 };
/// Blocks of a chunk each.
const BLOCKS: usize = 8;

struct World {
    arena: Arena,
    space: Space,
    blocks: Vec<PageIndex>,
    dir: SimDir,
    store: Store<SimDir>,
}

impl World {
    /// Each block's first word is its number and one, and what was written since.
    fn new() -> Self {
        let arena = Arena::reserve(CONFIG).expect("address space");
        let mut space = Space::booting(1);
        space.enter_main();
        space.claim_first_cell(&arena).expect("memory");
        arena.cow().engage();
        let dir = SimDir::new();
        // All chunks are written, so that the order can be seen.
        let policy = Policy { increments: false, ..Policy::default() };
        let store = Store::open(dir.clone(), &host_of(&arena), 1, policy, true, Wish::default());
        let store = store.expect("a heap").store;
        let blocks = Vec::new();
        let mut world = Self { arena, space, blocks, dir, store };
        for block in 0..BLOCKS {
            let page = world.space.take_large(&world.arena, Purpose::Scoped, PAGES_PER_CHUNK, 8);
            world.blocks.push(page.expect("room").0);
            world.put(block, block as u64 + 1);
        }
        world
    }

    fn chunk(&self, block: usize) -> ChunkIndex {
        self.blocks[block].chunk()
    }

    /// Writes to a block that is open.
    fn put(&self, block: usize, value: u64) {
        let word: *mut u64 = self.arena.pointer(self.blocks[block]).as_ptr().cast();
        // SAFETY: a block's first word; if its chunk is closed, the test ends here.
        unsafe { word.write_volatile(value) };
    }

    /// Writes to a block as a program does that may have to open it.
    fn write(&self, block: usize, value: u64) {
        let address = self.arena.address(self.blocks[block]);
        assert_eq!(self.arena.cow().on_write_fault(address), Fault::Handled);
        self.put(block, value);
    }

    /// A snapshot, from freeze to commit; `prepare` runs right before its pages are saved. Gives
    /// the first words of blocks in the order in which they went to the disk.
    fn snapshot(&mut self, prepare: impl FnOnce(&Self)) -> Vec<u64> {
        let engine = self.arena.cow();
        engine.stage().prepare(16 << 20);
        engine.freeze(Some(Saves::All)).expect("a freeze");
        let window = engine.window();
        engine.note_heat();
        prepare(self);
        self.dir.settle();
        let draft = self.store.draft(&self.arena, &window, 1, 1, Saves::All).expect("room");
        let first_word = |op: &Op| match op {
            Op::Write(_, offset, bytes) if self.is_block(*offset) => {
                bytes.first_chunk().map(|word| u64::from_le_bytes(*word))
            }
            _ => None,
        };
        let order = self.dir.log().iter().filter_map(first_word).collect();
        drop(window);
        self.space.reclaim(&self.arena);
        self.store.commit(draft).expect("room");
        engine.settle(true);
        order
    }

    /// Whether a block begins at that offset of a segment, whose extents are one cell.
    fn is_block(&self, offset: u64) -> bool {
        let page = |block: &PageIndex| 4096 * (1 + u64::from(block.0));
        self.blocks.iter().any(|block| page(block) == offset)
    }

    /// The first word of a block in the newest snapshot.
    fn saved(&self, block: usize) -> u64 {
        let Ok(Choice::Sound(sound)) = choose(&self.dir, &host_of(&self.arena)) else {
            panic!("no snapshot");
        };
        let page = sound.chain.page(self.blocks[block]).expect("a page");
        u64::from_le_bytes(*page.first_chunk().expect("a page"))
    }
}

#[test]
fn the_hottest_chunks_are_saved_first() {
    let mut world = World::new();
    let heat = [1, 5, 0, 8, 1, 2, 5, 0];
    let order = world.snapshot(|world| {
        for (block, epochs) in heat.into_iter().enumerate() {
            world.arena.cow().set_heat(world.chunk(block), epochs);
        }
    });
    assert_eq!(order, [4, 2, 7, 6, 1, 5, 3, 8]);
    let order = world.snapshot(|world| {
        (0..BLOCKS).for_each(|block| world.arena.cow().set_heat(world.chunk(block), 1));
    });
    assert_eq!(order, [1, 2, 3, 4, 5, 6, 7, 8], "of equal heat, as they lie");
}

#[test]
fn what_is_written_all_the_time_stays_open() {
    let mut world = World::new();
    world.snapshot(|_| {});
    for epoch in 1..=4 {
        world.write(3, 100 + epoch);
        world.snapshot(|_| {});
        assert_eq!(world.saved(3), 100 + epoch);
    }
    assert_eq!(world.arena.cow().open_chunks(), 1, "it has been opened once saved");
    let faults = world.arena.cow().counts().faults;
    for epoch in 5..=12 {
        // Nobody handles faults here.
        world.put(3, 100 + epoch);
        world.snapshot(|_| {});
        assert_eq!(world.saved(3), 100 + epoch, "nobody had announced it");
        assert_eq!(world.arena.cow().open_chunks(), 1);
    }
    assert_eq!(world.arena.cow().counts().faults, faults);
    assert_eq!(world.arena.cow().counts().staged_chunks, 0);

    // And once nobody writes to it any more it is left closed.
    let is_open = |world: &mut World| {
        world.snapshot(|_| {});
        world.arena.cow().open_chunks() == 1
    };
    let windows = (0..20).take_while(|_| is_open(&mut world)).count();
    assert!((1..8).contains(&windows), "open in {windows} windows more");
    assert!((0..10).all(|_| !is_open(&mut world)), "it stays closed");
    assert_eq!(world.saved(3), 112);
}

/// A chunk that was hot and is not written again: being open alone does not keep it hot.
#[test]
fn what_is_open_but_not_written_cools_down() {
    let mut world = World::new();
    world.snapshot(|_| {});
    // The latest of these epochs has not changed it, which is found out.
    world.snapshot(|world| world.arena.cow().set_heat(world.chunk(5), 4));
    assert_eq!(world.arena.cow().open_chunks(), 1);
    let heat = |world: &World| world.arena.cow().heat(world.chunk(5));
    let mut heats = Vec::new();
    for _ in 0..10 {
        world.snapshot(|_| {});
        heats.push(heat(&world));
    }
    assert!(heats.is_sorted_by(|before, after| before >= after), "{heats:?}");
    assert_eq!((heats[9], world.arena.cow().open_chunks()), (0, 0), "{heats:?}");
}
