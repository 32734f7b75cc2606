//! The allocator under random operations from several threads, with frees crossing between
//! them: every block keeps its bytes, no two overlap, and the tables agree all the time.
//!
//! The long form, 10 million operations, runs with `STILLHEAP_LONG=1`.
#![allow(clippy::unwrap_used, reason = "a failing test panics")]
#![allow(unsafe_code, reason = "allocates by hand and writes into the blocks")]

use std::ptr::NonNull;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Barrier, Mutex};
use stillheap::arena::{Arena, ArenaConfig, Purpose};
use stillheap::heap::{Heap, Lane};

const THREADS: usize = 4;

struct Block {
    start: NonNull<u8>,
    size: usize,
    align: usize,
    tag: u8,
}

// SAFETY: a block is plain memory that its holder alone uses.
unsafe impl Send for Block {}

impl Block {
    fn fill(&self) {
        // SAFETY: the block has `size` bytes and is this test's.
        unsafe { self.start.write_bytes(self.tag, self.size) };
    }

    fn check(&self, len: usize) {
        assert!(self.start.addr().get().is_multiple_of(self.align));
        // SAFETY: as in `fill`.
        let bytes = unsafe { std::slice::from_raw_parts(self.start.as_ptr(), len) };
        assert!(
            bytes.iter().all(|&byte| byte == self.tag),
            "a block of {} bytes changed",
            self.size
        );
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % end
    }

    fn size(&mut self) -> usize {
        match self.below(1000) {
            0..700 => 1 + self.below(256),
            700..900 => 1 + self.below(4 << 10),
            900..980 => 1 + self.below(40 << 10),
            980..998 => 1 + self.below(600 << 10),
            _ => 1 + self.below(7 << 20),
        }
    }

    fn align(&mut self) -> usize {
        match self.below(20) {
            0 => 1 << self.below(14),
            _ => 8,
        }
    }

    fn purpose(&mut self) -> Purpose {
        if self.below(2) == 0 { Purpose::Ambient } else { Purpose::Scoped }
    }
}

struct Worker<'a> {
    heap: &'a Heap,
    lane: &'a Lane,
    random: Random,
    blocks: Vec<Block>,
    bytes: usize,
    others: &'a [Mutex<Sender<Block>>],
    incoming: Receiver<Block>,
}

impl Worker<'_> {
    fn step(&mut self) {
        match self.random.below(10) {
            0..5 if self.bytes < 24 << 20 => self.allocate(),
            0..5 => self.free_any(),
            5..7 => self.resize(),
            7 => self.send(),
            _ => self.free_any(),
        }
        if let Ok(block) = self.incoming.try_recv() {
            block.check(block.size);
            self.free(&block);
        }
    }

    fn allocate(&mut self) {
        let (size, align) = (self.random.size(), self.random.align());
        let purpose = self.random.purpose();
        // SAFETY: the lane is this thread's.
        let allocation = unsafe { self.heap.allocate(self.lane, size, align, purpose) }.unwrap();
        let tag = u8::try_from(self.random.below(255)).unwrap() + 1;
        let mut block = Block { start: allocation.block, size, align, tag };
        if allocation.zeroed {
            block.tag = 0;
            block.check(size);
            block.tag = tag;
        }
        block.fill();
        self.bytes += size;
        self.blocks.push(block);
    }

    fn pick(&mut self) -> Option<Block> {
        if self.blocks.is_empty() {
            return None;
        }
        let index = self.random.below(self.blocks.len());
        let block = self.blocks.swap_remove(index);
        self.bytes -= block.size;
        Some(block)
    }

    fn free_any(&mut self) {
        if let Some(block) = self.pick() {
            block.check(block.size);
            self.free(&block);
        }
    }

    fn free(&self, block: &Block) {
        // SAFETY: the lane is this thread's, and the block is not used any more.
        unsafe { self.heap.free(self.lane, block.start.addr().get()) }.unwrap();
    }

    fn send(&mut self) {
        if let Some(block) = self.pick() {
            let other = self.random.below(self.others.len());
            self.others[other].lock().unwrap().send(block).unwrap();
        }
    }

    fn resize(&mut self) {
        let Some(mut block) = self.pick() else { return };
        let new = if self.random.below(2) == 0 {
            self.random.size()
        } else {
            1 + self.random.below(2 * block.size)
        };
        let (old, purpose) = (block.size, self.random.purpose());
        // SAFETY: the lane is this thread's, and so is the block.
        let moved =
            unsafe { self.heap.resize(self.lane, block.start, old, new, block.align, purpose) };
        block.start = moved.unwrap().unwrap();
        block.size = new;
        block.check(old.min(new));
        block.fill();
        self.bytes += new;
        self.blocks.push(block);
    }
}

fn run(operations: usize, seed: u64) {
    let arena = Arena::reserve(ArenaConfig { base: 0, main_cells: 24, boot_cells: 8 }).unwrap();
    let heap = Heap::booting(arena, seed).unwrap();
    heap.found().unwrap();
    let rounds = 10;
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| channel()).unzip();
    let senders: Vec<_> = senders.into_iter().map(Mutex::new).collect();
    let barrier = Barrier::new(THREADS);
    std::thread::scope(|scope| {
        for (number, incoming) in receivers.into_iter().enumerate() {
            let (heap, senders, barrier) = (&heap, &senders, &barrier);
            scope.spawn(move || {
                let lane = heap.attach().unwrap();
                let random = Random(seed * 77 + number as u64 + 1);
                let blocks = Vec::new();
                let mut worker =
                    Worker { heap, lane, random, blocks, bytes: 0, others: senders, incoming };
                for _ in 0..rounds {
                    for _ in 0..operations / rounds / THREADS {
                        worker.step();
                    }
                    if barrier.wait().is_leader() {
                        heap.validate().unwrap();
                    }
                    barrier.wait();
                }
                while worker.pick().map(|block| worker.free(&block)).is_some() {}
                barrier.wait();
                while let Ok(block) = worker.incoming.try_recv() {
                    worker.free(&block);
                }
                barrier.wait();
                // SAFETY: the lane is this thread's and is not used any more.
                unsafe { heap.detach(lane) };
            });
        }
    });
    heap.validate().unwrap();
    let lane = heap.attach().unwrap();
    // SAFETY: the lane is this thread's. The allocation drains what lies on retired lanes.
    unsafe { heap.allocate(lane, 3000, 8, Purpose::Ambient) }.unwrap();
    heap.validate().unwrap();
    assert_eq!(heap.stats().blocks, 1, "everything else was freed");
}

#[test]
fn random_operations_from_several_threads() {
    let long = std::env::var_os("STILLHEAP_LONG").is_some();
    let operations = if long { 10_000_000 } else { 200_000 };
    run(operations, 1);
    run(operations / 10, 2);
}
