//! A snapshot that has been restored before its pages are verified: what is saved meanwhile
//! takes no sound one's place, and goes with it if it is found to be damaged.
#![allow(unsafe_code, reason = "writes to memory of the arena")]

use stillheap::arena::{Arena, ArenaConfig, Purpose, Space};
use stillheap::base::{PAGES_PER_CHUNK, PageIndex};
use stillheap::cow::{Fault, Saves};
use stillheap::image::{Choice, Wish, choose};
use stillheap::os::sim::SimDir;
use stillheap::snapshot::{Policy, Store, host_of};

const CONFIG: ArenaConfig = ArenaConfig { base: 0, main_cells: 8, boot_cells: 4 };

struct World {
    arena: Arena,
    space: Space,
    block: PageIndex,
    dir: SimDir,
    store: Store<SimDir>,
    time: u64,
}

impl World {
    /// A heap with snapshots 1 and 2, opened again without verifying 2.
    fn new(policy: Policy) -> Self {
        let arena = Arena::reserve(CONFIG).expect("address space");
        let mut space = Space::booting(1);
        space.enter_main();
        space.claim_first_cell(&arena).expect("memory");
        arena.cow().engage();
        let dir = SimDir::new();
        let (block, _) =
            space.take_large(&arena, Purpose::Scoped, PAGES_PER_CHUNK, 8).expect("room");
        let store = open(&arena, &dir, policy, true);
        let mut world = Self { arena, space, block, dir, store, time: 0 };
        world.snapshot(Saves::All);
        world.snapshot(Saves::All);
        world.store = open(&world.arena, &world.dir, policy, false);
        world
    }

    /// Changes something, and takes a snapshot of that.
    fn snapshot(&mut self, saves: Saves) {
        let engine = self.arena.cow();
        let address = self.arena.address(self.block);
        if self.time > 0 {
            assert_eq!(engine.on_write_fault(address), Fault::Handled);
        }
        let word: *mut u64 = self.arena.pointer(self.block).as_ptr().cast();
        self.time += 1;
        // SAFETY: a block's first word, which is open.
        unsafe { word.write_volatile(self.time) };
        engine.stage().prepare(16 << 20);
        engine.freeze(Some(saves)).expect("a freeze");
        let window = engine.window();
        engine.note_heat();
        let draft = self.store.draft(&self.arena, &window, self.time, 1, saves).expect("room");
        drop(window);
        self.space.reclaim(&self.arena);
        self.store.commit(draft).expect("room");
        self.arena.cow().settle(true);
        self.store.prune();
    }

    fn numbers(&self) -> Vec<u64> {
        self.store.snapshots().iter().map(|snapshot| snapshot.number).collect()
    }

    /// The snapshot that the next opening restores.
    fn next(&self) -> u64 {
        match choose(&self.dir, &host_of(&self.arena)) {
            Ok(Choice::Sound(sound)) => sound.snapshot.number,
            other => panic!("{other:?}"),
        }
    }
}

fn open(arena: &Arena, dir: &SimDir, policy: Policy, verify: bool) -> Store<SimDir> {
    let wish = Wish { verify, ..Wish::default() };
    Store::open(dir.clone(), &host_of(arena), 1, policy, true, wish).expect("a heap").store
}

fn policy(increments: bool) -> Policy {
    Policy { increments, spare: false, ..Policy::default() }
}

#[test]
fn it_is_built_on_until_it_is_verified() {
    for increments in [true, false] {
        let world = World::new(policy(increments));
        assert_eq!(world.store.next_saves(1 << 40), Saves::Changed, "so that damage is found");
        world.store.verified();
        assert_eq!(world.store.next_saves(1 << 40), Saves::All);
    }
}

#[test]
fn what_could_take_its_place_is_kept_until_it_is_verified() {
    let mut world = World::new(policy(true));
    (0..4).for_each(|_| world.snapshot(Saves::Changed));
    assert_eq!(world.numbers(), [1, 2, 3, 4, 5, 6]);
    world.store.verified();
    world.snapshot(Saves::Changed);
    assert_eq!(world.numbers(), [6, 7]);
    assert_eq!(world.next(), 7);
}

#[test]
fn not_more_is_kept_than_at_first() {
    let mut world = World::new(policy(true));
    (0..5).for_each(|_| {
        world.snapshot(Saves::Changed);
        world.store = open(&world.arena, &world.dir, policy(true), false);
    });
    assert_eq!(world.numbers(), [5, 6, 7], "what there was, and what is new");
}

#[test]
fn damage_takes_with_it_what_was_made_of_it() {
    for saves in [Saves::Changed, Saves::All] {
        let mut world = World::new(policy(true));
        (0..4).for_each(|_| world.snapshot(saves));
        world.store.set_aside(2).expect("room");
        assert_eq!(world.next(), 1, "{saves:?}");
        let mut counting = world.store.snapshots();
        counting.retain(|snapshot| !snapshot.set_aside);
        assert_eq!(counting.len(), 1, "{saves:?}");
    }
}
