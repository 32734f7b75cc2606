//! State made outside scopes while snapshots are taken back to back, then moved into a root: the
//! next snapshot has it complete, as another process finds. The same for values that are moved
//! out, changed, and moved back; and for memory that is shrunk, freed and allocated anew right
//! after freezes, by threads that free for each other, and that end.
#![allow(clippy::cast_possible_truncation, reason = "indices of a 64-bit machine")]

mod cut_support;
mod support;

use cut_support::{Stage, Stills, mix};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;
use stillheap::{Durable, Heap, ProcessHeap, Root, Rows, Tracked, XTree};

#[global_allocator]
pub(crate) static HEAP: ProcessHeap = ProcessHeap::new();

const SLOTS: u64 = 3;
const ROWS: u64 = 60;
const ENTRIES: u64 = 300;

/// Something of each kind; what is in it hangs on its number alone.
#[derive(Durable, Default)]
struct Piece {
    number: u64,
    large: Vec<u64>,
    ordered: BTreeMap<u64, String>,
    hashed: HashMap<u64, Vec<u64>>,
    tree: XTree<2, u64>,
    pages: Vec<Tracked<[u64; 512]>>,
    tables: Vec<Rows<u64, String>>,
}

fn text(number: u64, key: u64) -> String {
    format!("{key} of piece {number}")
}

fn large_len(number: u64) -> u64 {
    // Below and above a chunk.
    if number.is_multiple_of(2) { 20_000 } else { 300_000 }
}

fn point(number: u64, key: u64) -> [f64; 2] {
    [(mix(number ^ key) & 0xffff) as f64, key as f64]
}

impl Piece {
    fn with_room() -> Self {
        let pages = (0..6).map(|_| Tracked::new([0; 512])).collect();
        Self { pages, tables: (0..4).map(|_| Rows::new(1, 2)).collect(), ..Self::default() }
    }

    /// Gives the piece the contents of another number; freezes fall between the parts of that,
    /// and between the first and the last write through guards.
    fn fill(&mut self, number: u64, stills: &Stills) {
        let old = std::mem::replace(&mut self.number, number);
        self.hashed.clear();
        thread::scope(|scope| {
            scope.spawn(|| {
                self.ordered = (0..ENTRIES).map(|key| (key, text(number, key))).collect();
                self.large.truncate(1000);
                self.large.shrink_to_fit();
                stills.wait_for_freezes(1);
                self.large.clear();
                self.large.extend((0..large_len(number)).map(|index| mix(index ^ number << 32)));
            });
            let hashed = &mut self.hashed;
            scope.spawn(move || {
                hashed.extend((0..ENTRIES / 2).map(|key| (key, vec![number; key as usize])));
                stills.wait_for_freezes(1);
                hashed.extend((ENTRIES / 2..ENTRIES).map(|key| (key, vec![number; key as usize])));
            });
            for key in 0..self.tree.len() as u64 {
                let place = point(old, key).into();
                self.tree.remove(&place, |value| *value == key).expect("an entry of the old ones");
            }
            for key in 0..ENTRIES {
                self.tree.insert(point(number, key), key).expect("finite coordinates");
            }
        });
        self.fill_through_guards(number, stills);
    }

    fn fill_through_guards(&mut self, number: u64, stills: &Stills) {
        let mut pages: Vec<_> = self.pages.iter_mut().map(Tracked::write).collect();
        let mut tables: Vec<_> = self.tables.iter_mut().map(Rows::write).collect();
        tables.iter_mut().for_each(|table| table.clear());
        for half in 0..2 {
            for (page, index) in pages.iter_mut().zip(0..) {
                page[half * 256..][..256].fill(mix(number ^ index << 32 ^ (half as u64) << 40));
            }
            for (table, index) in tables.iter_mut().zip(0..) {
                let rows = ROWS / 2 * half as u64..ROWS / 2 * (half as u64 + 1);
                rows.for_each(|row| table.push(&[number ^ row], text(index, row)));
            }
            stills.wait_for_freezes(1);
        }
        // The last writes come in the time between a freeze and the guards' ends.
        pages.iter_mut().for_each(|page| page[511] = number);
        tables.iter_mut().for_each(|table| table.set_word(1, number));
    }

    fn check(&self, number: u64) {
        assert_eq!(self.number, number);
        assert_eq!(self.large.len() as u64, large_len(number));
        assert!((0..).zip(&self.large).all(|(index, word)| *word == mix(index ^ number << 32)));
        assert_eq!(self.ordered, (0..ENTRIES).map(|key| (key, text(number, key))).collect());
        let hashed = (0..ENTRIES).map(|key| (key, vec![number; key as usize])).collect();
        assert_eq!(self.hashed, hashed);
        self.tree.validate().expect("a sound tree");
        assert_eq!(self.tree.len() as u64, ENTRIES);
        assert!((0..ENTRIES).all(|key| self.tree.contains(&point(number, key).into(), &key)));
        for (page, index) in self.pages.iter().zip(0..) {
            let mut expected = [mix(number ^ index << 32); 512];
            expected[256..].fill(mix(number ^ index << 32 ^ 1 << 40));
            expected[511] = number;
            assert_eq!(**page, expected);
        }
        for (table, index) in self.tables.iter().zip(0..) {
            assert_eq!(table.word(1), number);
            assert!(table.column(0).iter().copied().eq((0..ROWS).map(|row| number ^ row)));
            assert!(table.values().iter().cloned().eq((0..ROWS).map(|row| text(index, row))));
        }
    }
}

/// Pieces in turn: made and moved in, moved out, changed and moved back, moved out for good.
#[derive(Durable, Default)]
struct Moved {
    steps: u64,
    slots: [Option<Piece>; SLOTS as usize],
}

/// Which piece a slot holds after `steps` steps.
fn number_in(slot: u64, steps: u64) -> Option<u64> {
    let last = (0..steps).rev().find(|step| step % SLOTS == slot)?;
    (last / SLOTS).is_multiple_of(2).then_some(last)
}

fn move_writer(dir: &Path) {
    let heap = HEAP.open(dir, cut_support::options()).expect("a heap");
    let moved = heap.root::<Moved>("moved").expect("a root");
    // Only what follows a move.
    let mut stills = Stills::new(&heap, dir);
    stills.backlog = 0;
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut out: [Option<Piece>; SLOTS as usize] = Default::default();
            for step in 0.. {
                move_one(&moved, step, &mut out[(step % SLOTS) as usize], &stills);
            }
        });
        stills.take_for_ever()
    });
}

/// One step. `out` is where a piece is while it is not in its slot.
fn move_one(moved: &Root<Moved>, step: u64, out: &mut Option<Piece>, stills: &Stills) {
    let slot = (step % SLOTS) as usize;
    let moves_in = (step / SLOTS).is_multiple_of(2);
    let piece = moves_in.then(|| {
        let mut piece = out.take().unwrap_or_else(Piece::with_room);
        piece.fill(step, stills);
        piece
    });
    while stills.waiting() > 4 {
        thread::sleep(Duration::from_millis(1));
    }
    // From before the move until the first snapshot after it, all are looked at.
    stills.every.store(true, Relaxed);
    let old = moved.write(|moved| {
        moved.steps = step + 1;
        std::mem::replace(&mut moved.slots[slot], piece)
    });
    stills.ended.store(step + 1, Relaxed);
    // It comes back changed, or ends on another thread.
    match (step / SLOTS) % 4 {
        1 => *out = old,
        _ => drop(thread::spawn(move || drop(old))),
    }
    while stills.copied.load(Relaxed) <= step {
        thread::sleep(Duration::from_micros(100));
    }
    stills.every.store(false, Relaxed);
}

fn check_moved(dir: &Path) {
    let (heap, told) = cut_support::open_still(dir, cut_support::options());
    let moved = heap.root::<Moved>("moved").expect("a root");
    moved.read(|moved| {
        assert_eq!(moved.steps, heap.restored().expect("a snapshot").operations);
        assert!((told.ended..told.ended + 2).contains(&moved.steps));
        for (slot, piece) in (0..).zip(&moved.slots) {
            let number = number_in(slot, moved.steps);
            assert_eq!(piece.as_ref().map(|piece| piece.number), number);
            if let (Some(piece), Some(number)) = (piece, number) {
                piece.check(number);
            }
        }
    });
    // All of it can be dropped.
    moved.write(std::mem::take);
    heap.validate().expect("a sound heap");
    std::process::exit(0);
}

fn moved_values_are_complete_in_the_next_snapshot() {
    let stills = if cut_support::is_long() { 400 } else { 30 };
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = support::child("move_writer", &folder.path().join("heap"));
    cut_support::all_good(&mut writer, "check_moved", stills);
}

/// Blocks that a thread shrinks, grows, and frees and makes anew.
#[derive(Durable, Default)]
struct Churn {
    turns: u64,
    blocks: Vec<Vec<u64>>,
}

const BLOCKS: usize = 40;
/// Changes in a turn.
const CHANGES: u64 = 8;

/// What becomes of a block.
struct Change {
    index: usize,
    /// What a new block is made of.
    random: u64,
    len: usize,
    kind: u64,
}

impl Change {
    fn of(turn: u64, change: u64) -> Self {
        let random = mix(turn << 8 | change);
        // Mostly small ones, some of pages, and a few that are larger than a chunk.
        let longest = [50, 50, 2_000, 20_000, 300_000][(random >> 20) as usize % 5];
        let len = (random >> 32) as usize % longest;
        Self { index: random as usize % BLOCKS, random, len, kind: random >> 8 & 3 }
    }
}

fn words(made_of: u64, len: usize) -> impl Iterator<Item = u64> {
    (0..len as u64).map(move |place| mix(made_of ^ place))
}

impl Churn {
    fn new() -> Self {
        Self { turns: 0, blocks: vec![Vec::new(); BLOCKS] }
    }

    /// Changes some blocks. What is left over is for another thread to free.
    fn turn(&mut self, made_of: &mut [u64]) -> Vec<Vec<u64>> {
        let mut over = Vec::new();
        for change in (0..CHANGES).map(|change| Change::of(self.turns, change)) {
            let Change { index, random, len, kind } = change;
            let block = &mut self.blocks[index];
            match kind {
                0 => {
                    block.truncate(len);
                    block.shrink_to_fit();
                }
                1 => block.extend(words(made_of[index], len).skip(block.len())),
                _ => {
                    made_of[index] = random;
                    let old = std::mem::replace(block, words(random, len).collect());
                    over.extend((kind == 3).then_some(old));
                }
            }
        }
        self.turns += 1;
        over
    }

    fn check(&self) {
        let mut model = [(0, 0); BLOCKS];
        for turn in 0..self.turns {
            for change in (0..CHANGES).map(|change| Change::of(turn, change)) {
                let (made_of, len) = &mut model[change.index];
                match change.kind {
                    0 => *len = change.len.min(*len),
                    1 => *len = change.len.max(*len),
                    _ => (*made_of, *len) = (change.random, change.len),
                }
            }
        }
        for (block, (made_of, len)) in self.blocks.iter().zip(model) {
            let right = block.iter().copied().eq(words(made_of, len));
            assert!(right, "a block after {} turns is not the model's", self.turns);
        }
    }
}

const CHURNING: usize = 3;

fn churns(heap: &Heap) -> Vec<Root<Churn>> {
    let root = |index| heap.root_with(&format!("churn {index}"), Churn::new).expect("a root");
    (0..CHURNING).map(root).collect()
}

/// Works in bursts that begin right after a freeze; every other burst is a thread of its own,
/// which ends with it.
fn churn(root: &Root<Churn>, over: &Sender<Vec<Vec<u64>>>, stills: &Stills) {
    let mut made_of = [0; BLOCKS];
    let mut burst = || {
        for _ in 0..2 {
            let left = root.write(|churn| churn.turn(&mut made_of));
            over.send(left).expect("who frees it");
            stills.ended.fetch_add(1, Relaxed);
        }
    };
    for turn in 0_u64.. {
        stills.wait_for_a_freeze();
        match turn % 2 {
            0 => burst(),
            _ => thread::scope(|scope| drop(scope.spawn(&mut burst))),
        }
    }
}

/// Frees what others made, outside scopes, while a snapshot is under way.
fn free(over: &Receiver<Vec<Vec<u64>>>, stills: &Stills) {
    let mut held = Vec::new();
    for blocks in over {
        held.push(blocks);
        if held.len() == 20 {
            stills.wait_for_freezes(1);
            held.clear();
        }
    }
}

fn churn_writer(dir: &Path) {
    let heap = HEAP.open(dir, cut_support::options()).expect("a heap");
    let roots = churns(&heap);
    let stills = Stills::new(&heap, dir);
    let (send, receive) = channel();
    thread::scope(|scope| {
        for root in &roots {
            let (send, stills) = (send.clone(), &stills);
            scope.spawn(move || churn(root, &send, stills));
        }
        let stills = &stills;
        scope.spawn(move || free(&receive, stills));
        stills.take_for_ever()
    });
}

fn check_churn(dir: &Path) {
    let (heap, told) = cut_support::open_still(dir, cut_support::options());
    let roots = churns(&heap);
    roots.iter().for_each(|root| root.read(Churn::check));
    let turns: u64 = roots.iter().map(|root| root.read(|churn| churn.turns)).sum();
    assert_eq!(turns, heap.restored().expect("a snapshot").operations);
    assert!(turns >= told.ended);
    std::process::exit(0);
}

fn memory_freed_and_used_again_in_windows_is_as_it_was() {
    let stills = if cut_support::is_long() { 300 } else { 20 };
    for stage in [Stage::Usual, Stage::Small] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = support::child("churn_writer", &folder.path().join("heap"));
        stage.set(&mut writer);
        cut_support::all_good(&mut writer, "check_churn", stills);
    }
}

/// Words of blocks of 3 and 66 MiB.
const HUGE: [usize; 2] = [3 << 17, 66 << 17];

#[derive(Durable, Default)]
struct Huge {
    turns: u64,
    blocks: [Vec<u64>; 2],
}

impl Huge {
    /// Frees the blocks and makes them anew, or the other way round: at the same addresses, or
    /// at those of the turn before. A word of each page is set, the rest stays zero.
    fn turn(&mut self) {
        self.turns += 1;
        let turns = self.turns;
        for (index, words) in HUGE.into_iter().enumerate() {
            if turns.is_multiple_of(2) {
                self.blocks[index] = Vec::new();
            }
            let mut block = vec![0; words];
            block.chunks_mut(512).for_each(|page| page[(turns % 512) as usize] = turns);
            self.blocks[index] = block;
        }
    }

    fn check(&self) {
        for (block, words) in self.blocks.iter().zip(HUGE) {
            assert_eq!(block.len(), if self.turns == 0 { 0 } else { words });
            let mut expected = [0; 512];
            expected[(self.turns % 512) as usize] = self.turns;
            assert!(block.chunks(512).all(|page| page == expected), "at turn {}", self.turns);
        }
    }
}

fn huge_writer(dir: &Path) {
    let heap = HEAP.open(dir, cut_support::options()).expect("a heap");
    let huge = heap.root::<Huge>("huge").expect("a root");
    let stills = Stills::new(&heap, dir);
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                stills.wait_for_a_freeze();
                huge.write(Huge::turn);
                stills.ended.fetch_add(1, Relaxed);
            }
        });
        stills.take_for_ever()
    });
}

fn check_huge(dir: &Path) {
    let (heap, told) = cut_support::open_still(dir, cut_support::options());
    heap.root::<Huge>("huge").expect("a root").read(|huge| {
        assert_eq!(huge.turns, heap.restored().expect("a snapshot").operations);
        assert!(huge.turns >= told.ended);
        huge.check();
    });
    std::process::exit(0);
}

fn large_blocks_made_anew_right_after_a_freeze_are_whole() {
    let stills = if cut_support::is_long() { 60 } else { 6 };
    let folder = tempfile::tempdir().expect("a folder");
    let mut writer = support::child("huge_writer", &folder.path().join("heap"));
    cut_support::all_good(&mut writer, "check_huge", stills);
}

const ROLES: &[support::Role] = &[
    ("move_writer", move_writer),
    ("check_moved", check_moved),
    ("churn_writer", churn_writer),
    ("check_churn", check_churn),
    ("huge_writer", huge_writer),
    ("check_huge", check_huge),
];

fn main() {
    if support::plays(ROLES) {
        return;
    }
    support::run_all(&[
        (
            "moved_values_are_complete_in_the_next_snapshot",
            moved_values_are_complete_in_the_next_snapshot,
        ),
        (
            "memory_freed_and_used_again_in_windows_is_as_it_was",
            memory_freed_and_used_again_in_windows_is_as_it_was,
        ),
        (
            "large_blocks_made_anew_right_after_a_freeze_are_whole",
            large_blocks_made_anew_right_after_a_freeze_are_whole,
        ),
    ]);
}
