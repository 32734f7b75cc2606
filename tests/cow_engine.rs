//! The copy-on-write engine over an arena of its own, step by step in one thread: who copies
//! what, when, and what a window then finds. Faults are reported by hand, as the signal handler
//! would.
#![allow(unsafe_code, reason = "writes to memory of the arena")]

use stillheap::arena::{Arena, ArenaConfig, Purpose, Space};
use stillheap::base::{CHUNK_SIZE, ChunkIndex, PAGE_SIZE, PAGES_PER_CHUNK, PageIndex};
use stillheap::cow::{Changed, Engine, Fault, Saves, Unit, Window};

const CONFIG: ArenaConfig = ArenaConfig { base: 0, main_cells: 16, boot_cells: 4 };

/// An arena in its main space, with an epoch begun.
fn arena() -> (Arena, Space) {
    let arena = Arena::reserve(CONFIG).expect("address space");
    let mut space = Space::booting(1);
    space.enter_main();
    space.claim_first_cell(&arena).expect("memory");
    arena.cow().engage();
    (arena, space)
}

/// A large block of `chunks` chunks.
fn block(arena: &Arena, space: &mut Space, purpose: Purpose, chunks: u32) -> PageIndex {
    space.take_large(arena, purpose, chunks * PAGES_PER_CHUNK, 8).expect("room").0
}

fn byte(arena: &Arena, page: PageIndex) -> *mut u8 {
    arena.pointer(page).as_ptr()
}

fn write(arena: &Arena, page: PageIndex, value: u8) {
    // SAFETY: a page in use, which the test has opened or announced.
    unsafe { byte(arena, page).write_volatile(value) };
}

fn freeze(engine: &Engine) -> Window<'_> {
    engine.stage().prepare(16 << 20);
    engine.freeze(Some(Saves::All)).expect("a freeze");
    engine.window()
}

/// Ends an epoch of which a snapshot became durable, or failed; what it had changed.
fn end_epoch(engine: &Engine, is_durable: bool) -> Changed {
    engine.freeze(None).expect("a freeze");
    let changed = engine.note_heat();
    engine.settle(is_durable);
    changed
}

/// The first byte of the only run of a chunk, as the window saves it; `None`: a writer was first.
fn saved_chunk(window: &Window<'_>, page: PageIndex) -> Option<u8> {
    let mut buffer = vec![0; PAGE_SIZE];
    let frozen = window.frozen_chunk(page.chunk())?;
    frozen.copy(page, &mut buffer);
    frozen.confirm().then(|| buffer[0])
}

#[test]
fn a_chunk_is_copied_once_in_a_window_and_never_outside() {
    let (arena, mut space) = arena();
    let engine = arena.cow();
    let page = block(&arena, &mut space, Purpose::Scoped, 2);
    write(&arena, page, 1);
    let window = freeze(engine);
    assert_eq!(engine.open_chunks(), 0, "all is protected");
    assert_eq!(engine.on_write_fault(byte(&arena, page).addr()), Fault::Handled);
    write(&arena, page, 2);
    assert_eq!(saved_chunk(&window, page), None);
    let mut staged = window.take_staged();
    assert_eq!(
        staged.iter().map(|staged| staged.unit).collect::<Vec<_>>(),
        [Unit::Chunk(page.chunk())]
    );
    assert_eq!(window.stage().bytes(&staged[0])[0], 1, "what was frozen");
    window.stage().give(staged.remove(0));
    let other = PageIndex(page.0 + PAGES_PER_CHUNK);
    assert_eq!(saved_chunk(&window, other), Some(0));
    assert_eq!(engine.on_write_fault(byte(&arena, other).addr()), Fault::Handled);
    assert!(window.take_staged().is_empty(), "it had been saved");
    drop(window);
    assert_eq!(engine.counts().staged_chunks, 1);

    engine.freeze(None).expect("a freeze");
    assert_eq!(engine.on_write_fault(byte(&arena, page).addr()), Fault::Handled);
    write(&arena, page, 3);
    assert_eq!((engine.counts().staged_chunks, engine.open_chunks()), (1, 1));
}

#[test]
fn a_tracked_page_is_copied_at_its_announcement() {
    let (arena, mut space) = arena();
    let engine = arena.cow();
    let page = block(&arena, &mut space, Purpose::Tracked, 1);
    engine.announce_tracked(page);
    write(&arena, page, 1);
    let window = freeze(engine);
    let mut buffer = vec![0; PAGE_SIZE];
    engine.announce_tracked(page);
    engine.announce_tracked(page);
    write(&arena, page, 2);
    assert!(!window.save_tracked(page, &mut buffer));
    let staged = window.take_staged();
    assert_eq!((staged.len(), staged[0].unit), (1, Unit::Tracked(page)));
    assert_eq!(window.stage().bytes(&staged[0])[0], 1);
    staged.into_iter().for_each(|staged| window.stage().give(staged));
    let next = PageIndex(page.0 + 1);
    assert!(window.save_tracked(next, &mut buffer));
    engine.announce_tracked(next);
    assert!(window.take_staged().is_empty());
    drop(window);
    assert_eq!(engine.counts().faults, 0);
}

/// What was handed out after the freeze is nothing that was frozen.
#[test]
fn fresh_memory_is_neither_copied_nor_faulted_on() {
    let (arena, mut space) = arena();
    let engine = arena.cow();
    let window = freeze(engine);
    let guarded = block(&arena, &mut space, Purpose::Ambient, 1);
    write(&arena, guarded, 1);
    let tracked = block(&arena, &mut space, Purpose::Tracked, 1);
    engine.announce_tracked(tracked);
    let staged = window.take_staged();
    let data = staged.iter().filter(|staged| !matches!(staged.unit, Unit::Table(_))).count();
    assert_eq!(data, 0);
    staged.into_iter().for_each(|staged| window.stage().give(staged));
}

/// A block that is freed in a window keeps its bytes until they have been saved, and its chunks
/// are not handed out before.
#[test]
fn freed_memory_is_kept_for_the_snapshot() {
    let (arena, mut space) = arena();
    let engine = arena.cow();
    let page = block(&arena, &mut space, Purpose::Scoped, 1);
    write(&arena, page, 7);
    let window = freeze(engine);
    space.give_large(&arena, page);
    let other = block(&arena, &mut space, Purpose::Scoped, 1);
    assert_ne!(other, page);
    assert_eq!(saved_chunk(&window, page), Some(7));
    window.take_staged().into_iter().for_each(|staged| window.stage().give(staged));
    drop(window);
    space.reclaim(&arena);
    let (again, zeroed) =
        space.take_large(&arena, Purpose::Scoped, PAGES_PER_CHUNK, 8).expect("room");
    assert_eq!(again, page, "the lowest free chunk");
    // SAFETY: a block's first byte.
    let byte = unsafe { byte(&arena, again).read() };
    assert_eq!((byte, zeroed), (7, false), "kept for what comes next");
}

/// A whole span that is freed in a window.
#[test]
fn a_freed_span_is_kept_for_the_snapshot() {
    let (arena, mut space) = arena();
    let engine = arena.cow();
    let page = block(&arena, &mut space, Purpose::Scoped, 40);
    write(&arena, page, 7);
    let window = freeze(engine);
    space.give_large(&arena, page);
    assert!(arena.large_pages(page).is_none(), "freeing it twice would be noticed");
    assert_eq!(saved_chunk(&window, page), Some(7));
    window.take_staged().into_iter().for_each(|staged| window.stage().give(staged));
    drop(window);
    assert!(arena.is_live(page.chunk().cell()));
    space.reclaim(&arena);
    assert!(!arena.is_live(page.chunk().cell()));
}

#[test]
fn a_full_stage_keeps_a_writer_until_the_saver_gives_room() {
    let (arena, mut space) = arena();
    let engine = arena.cow();
    let page = block(&arena, &mut space, Purpose::Scoped, 4);
    engine.stage().prepare(CHUNK_SIZE as u64);
    engine.freeze(Some(Saves::All)).expect("a freeze");
    let fault = |chunk: u32| {
        let address = byte(&arena, PageIndex(page.0 + chunk * PAGES_PER_CHUNK)).addr();
        assert_eq!(engine.on_write_fault(address), Fault::Handled);
    };
    std::thread::scope(|scope| {
        // The saver, or else the writers would count as such.
        let window = engine.window();
        let writers = scope.spawn(|| (0..4).for_each(fault));
        let mut seen = 0;
        while seen < 4 {
            for staged in window.take_staged() {
                seen += u32::from(matches!(staged.unit, Unit::Chunk(_)));
                window.stage().give(staged);
            }
            window.stage().wake();
            std::thread::yield_now();
        }
        writers.join().expect("no panic");
    });
    assert_eq!(engine.stage().high_water(), CHUNK_SIZE as u64);
}

#[test]
fn what_an_epoch_changed_is_counted_and_makes_heat() {
    let (arena, mut space) = arena();
    let engine = arena.cow();
    let page = block(&arena, &mut space, Purpose::Scoped, 3);
    let tracked = block(&arena, &mut space, Purpose::Tracked, 1);
    end_epoch(engine, true);
    let before = engine.dirtied_bytes();
    assert_eq!(before, 0);
    engine.open(ChunkIndex(page.chunk().0 + 1));
    engine.announce_tracked(tracked);
    engine.announce_tracked(PageIndex(tracked.0 + 5));
    assert_eq!(engine.dirtied_bytes(), (CHUNK_SIZE + 2 * PAGE_SIZE) as u64);
    engine.freeze(None).expect("a freeze");
    let changed = engine.note_heat();
    assert_eq!((changed.chunks, changed.pages), (1, 2));
    let heat = |chunk: u32| engine.heat(ChunkIndex(page.chunk().0 + chunk));
    assert_eq!((heat(1), heat(2)), (2, 1), "the second was written when it was handed out");
    assert_eq!(engine.heat(tracked.chunk()), 1);
    engine.settle(true);
    engine.freeze(None).expect("a freeze");
    assert_eq!(engine.note_heat(), Changed::default());
    engine.cool(ChunkIndex(page.chunk().0 + 1));
    assert_eq!(heat(1), 2, "nothing to take back");
}

/// What a failed snapshot should have saved is still to be saved.
#[test]
fn changes_are_kept_until_they_are_durable() {
    let (arena, mut space) = arena();
    let engine = arena.cow();
    let page = block(&arena, &mut space, Purpose::Scoped, 3);
    let tracked = block(&arena, &mut space, Purpose::Tracked, 1);
    end_epoch(engine, true);
    engine.open(page.chunk());
    engine.announce_tracked(tracked);
    assert_eq!(end_epoch(engine, false), Changed { pages: 1, chunks: 1 });
    engine.open(ChunkIndex(page.chunk().0 + 1));
    assert_eq!(end_epoch(engine, true), Changed { pages: 1, chunks: 2 });
    engine.freeze(None).expect("a freeze");
    assert_eq!(engine.note_heat(), Changed::default());
}

/// What lies in the arena when announcements begin is in no snapshot; a large block is written
/// as soon as it is handed out.
#[test]
fn what_is_new_counts_as_changed() {
    let arena = Arena::reserve(CONFIG).expect("address space");
    let mut space = Space::booting(1);
    space.enter_main();
    let engine = arena.cow();
    block(&arena, &mut space, Purpose::Scoped, 2);
    engine.engage();
    let changed = end_epoch(engine, true);
    assert!(changed.chunks >= 2 && changed.pages > 0, "{changed:?}");
    block(&arena, &mut space, Purpose::Scoped, 40);
    engine.freeze(None).expect("a freeze");
    assert!(engine.note_heat().chunks >= 40);
}

/// Crossing the threshold rings once.
#[test]
fn dirtied_bytes_ring_the_bell() {
    let (arena, mut space) = arena();
    let engine = arena.cow();
    let page = block(&arena, &mut space, Purpose::Scoped, 3);
    engine.freeze(None).expect("a freeze");
    engine.set_dirty_threshold(2 * CHUNK_SIZE as u64);
    let rung = engine.bell().rung();
    engine.open(page.chunk());
    assert_eq!(engine.bell().rung(), rung);
    engine.open(ChunkIndex(page.chunk().0 + 1));
    engine.open(ChunkIndex(page.chunk().0 + 2));
    assert_eq!(engine.bell().rung(), rung + 1);
}

#[test]
fn what_is_protected_ahead_of_a_freeze_opens_again() {
    let (arena, mut space) = arena();
    let engine = arena.cow();
    let page = block(&arena, &mut space, Purpose::Scoped, 160);
    engine.freeze(None).expect("a freeze");
    for chunk in 0..160 {
        engine.open(ChunkIndex(page.chunk().0 + chunk));
    }
    let buffer = ChunkIndex(page.chunk().0 + 7);
    engine.touch(byte(&arena, buffer.first_page()).addr(), 1);
    let closings = engine.closings();
    engine.protect_early();
    assert_eq!(engine.open_chunks(), 1, "what a system call may write to stays open");
    assert!(engine.closings() > closings && engine.closings().is_multiple_of(2));
    engine.freeze(None).expect("a freeze");
    engine.open(page.chunk());
    engine.protect_early();
    assert_eq!(engine.open_chunks(), 1, "few are left to the freeze");
    for chunk in 0..160 {
        engine.open(ChunkIndex(page.chunk().0 + chunk));
    }
    engine.protect_early();
    assert_eq!(engine.open_chunks(), 0, "no longer after a freeze");
    let dirtied = engine.dirtied_bytes();
    assert_eq!(engine.on_write_fault(byte(&arena, page).addr()), Fault::Handled);
    write(&arena, page, 1);
    assert_eq!((engine.open_chunks(), engine.dirtied_bytes()), (1, dirtied));
}

#[test]
fn undeclared_writes_are_noticed_when_they_are_looked_for() {
    let (arena, mut space) = arena();
    let engine = arena.cow();
    let page = block(&arena, &mut space, Purpose::Tracked, 1);
    let address = byte(&arena, page).addr();
    engine.announce_tracked(page);
    assert_eq!(engine.counts().tracked_faults, 0);
    assert_eq!(engine.on_write_fault(address), Fault::Foreign, "nobody looks");
    assert_eq!(engine.counts().tracked_faults, 1, "but it is counted");
    engine.set_checked(true);
    engine.hold(page);
    engine.freeze(None).expect("a freeze");
    assert_eq!(engine.on_write_fault(address), Fault::Handled, "announced before the freeze");
    write(&arena, page, 1);
    engine.let_go(page);
    engine.freeze(None).expect("a freeze");
    assert_eq!(engine.on_write_fault(address), Fault::Undeclared);
    engine.announce_tracked(page);
    write(&arena, page, 2);
    assert_eq!(engine.on_write_fault(0x1000), Fault::Foreign);
    assert_eq!(engine.on_write_fault(arena.addresses().end), Fault::Foreign);
}

#[test]
fn cells_are_not_forgotten_while_they_have_to_be_saved() {
    let (arena, mut space) = arena();
    let engine = arena.cow();
    let cell = block(&arena, &mut space, Purpose::Scoped, 40).chunk().cell();
    let is_known = |window: &Window<'_>| window.frozen_cells().iter().any(|known| known.0 == cell);
    let window = freeze(engine);
    assert!(!engine.remove_cells(cell, 2), "its tables are to be saved");
    assert!(is_known(&window));
    drop(window);
    end_epoch(engine, true);
    assert!(engine.remove_cells(cell, 2));
    assert!(!is_known(&freeze(engine)));
}
