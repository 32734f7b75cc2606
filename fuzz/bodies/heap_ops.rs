//! Operations on a heap against a model: what is allocated keeps its bytes and overlaps
//! nothing, what is freed is gone, and the tables agree all the time.

use std::collections::BTreeMap;
use std::ptr::NonNull;
use stillheap::arena::{Arena, ArenaConfig, Purpose};
use stillheap::heap::{BadFree, Heap, Lane};

const LANES: usize = 3;
const BYTES_MAX: usize = 100 << 20;
/// Bytes written and looked at on either end of a block.
const ENDS: usize = 8 << 10;

/// A block of the model.
struct Block {
    size: usize,
    align: usize,
    tag: u8,
}

struct Model<'a> {
    heap: &'a Heap,
    lanes: [&'a Lane; LANES],
    blocks: BTreeMap<usize, Block>,
    bytes: usize,
    freed: Option<usize>,
}

/// Runs the operations that `data` spells, six bytes each.
pub fn run(data: &[u8]) {
    let config = ArenaConfig { base: 0, main_cells: 4, boot_cells: 4 };
    let Ok(arena) = Arena::reserve(config) else { return };
    let heap = Heap::booting(arena, 3).expect("address space");
    let lanes = std::array::from_fn(|_| heap.attach().expect("a lane"));
    let mut model = Model { heap: &heap, lanes, blocks: BTreeMap::new(), bytes: 0, freed: None };
    let founding = data.len() / 12;
    for (number, operation) in data.as_chunks::<6>().0.iter().take(400).enumerate() {
        if number == founding {
            heap.found().expect("memory");
        }
        model.step(*operation);
        if number % 8 == 0 {
            heap.validate().expect("a sound heap");
        }
    }
    heap.validate().expect("a sound heap");
    for block in model.blocks.keys().copied().collect::<Vec<_>>() {
        model.free(0, block);
    }
    assert_eq!(heap.stats().blocks, 0);
}

impl Model<'_> {
    fn step(&mut self, [operation, lane, a, b, c, d]: [u8; 6]) {
        let lane = usize::from(lane) % LANES;
        let size = size_of_bytes(a, b, c);
        match operation % 8 {
            0..=2 => self.allocate(lane, size, 1 << (d % 24), operation),
            3 | 4 => self.pick(a, b).map_or((), |block| self.free(lane, block)),
            5 => self.pick(b, d).map_or((), |block| self.resize(lane, block, size)),
            6 => self.free_wrongly(lane, usize::from(a)),
            _ => self.change_lane(lane),
        }
    }

    fn pick(&self, a: u8, b: u8) -> Option<usize> {
        let number = usize::from(a) << 8 | usize::from(b);
        self.blocks.keys().nth(number % self.blocks.len().max(1)).copied()
    }

    fn allocate(&mut self, lane: usize, size: usize, align: usize, tag: u8) {
        let purpose = Purpose::ALL[usize::from(tag) % 3];
        let align = if align > 1 << 14 && size < 1 << 20 { 8 } else { align };
        if self.bytes + size > BYTES_MAX {
            return;
        }
        // SAFETY: this thread is the only one, so all lanes are its own.
        let found = unsafe { self.heap.allocate(self.lanes[lane], size, align, purpose) };
        let Some(found) = found else { return };
        self.enter(found.block, Block { size, align, tag });
    }

    fn enter(&mut self, start: NonNull<u8>, block: Block) {
        let address = start.addr().get();
        assert!(address.is_multiple_of(block.align));
        let before = self.blocks.range(..=address).next_back();
        assert!(before.is_none_or(|(at, before)| at + before.size <= address));
        let after = self.blocks.range(address..).next();
        assert!(after.is_none_or(|(at, _)| address + block.size <= *at));
        assert!(self.heap.usable_size(address).expect("a block") >= block.size);
        let end = block.size.min(ENDS);
        // SAFETY: a block of at least that many bytes, this model's own.
        unsafe { start.write_bytes(block.tag, end) };
        // SAFETY: within the block.
        let last = unsafe { start.add(block.size - end) };
        // SAFETY: as above.
        unsafe { last.write_bytes(block.tag, end) };
        self.bytes += block.size;
        self.blocks.insert(address, block);
    }

    fn leave(&mut self, address: usize, len: usize) -> Block {
        let block = self.blocks.remove(&address).expect("a block of the model");
        let end = block.size.min(ENDS);
        let mut parts = vec![(address, end.min(len))];
        if len >= block.size {
            parts.push((address + block.size - end, end));
        }
        for (start, len) in parts {
            let first: *const u8 = std::ptr::with_exposed_provenance(start);
            // SAFETY: an end of the block, written by `enter`.
            let bytes = unsafe { std::slice::from_raw_parts(first, len) };
            assert!(bytes.iter().all(|&byte| byte == block.tag), "bytes of a block changed");
        }
        self.bytes -= block.size;
        block
    }

    fn free(&mut self, lane: usize, address: usize) {
        self.leave(address, usize::MAX);
        // SAFETY: the lanes are this thread's, and the block has left the model.
        unsafe { self.heap.free(self.lanes[lane], address) }.expect("a block in use");
        self.freed = Some(address);
    }

    fn resize(&mut self, lane: usize, address: usize, size: usize) {
        let Some(block) = self.blocks.get(&address) else { return };
        let (old, align, tag) = (block.size, block.align, block.tag);
        if self.bytes + size > BYTES_MAX {
            return;
        }
        let Some(start) = NonNull::new(std::ptr::with_exposed_provenance_mut(address)) else {
            return;
        };
        let lane = self.lanes[lane];
        // SAFETY: the lanes are this thread's, and so is the block.
        let moved = unsafe { self.heap.resize(lane, start, old, size, align, Purpose::Scoped) };
        let Some(moved) = moved.expect("a block in use") else { return };
        // Look at the old bytes where they are now.
        let block = self.blocks.remove(&address).expect("a block of the model");
        self.bytes -= old;
        self.bytes += block.size;
        self.blocks.insert(moved.addr().get(), block);
        self.leave(moved.addr().get(), size);
        self.enter(moved, Block { size, align, tag });
    }

    /// Frees what is no block: must be refused without any change.
    fn free_wrongly(&mut self, lane: usize, offset: usize) {
        let base = self.heap.arena().base();
        let near = self.freed.unwrap_or(base) + offset * 8;
        let wrong = if self.blocks.contains_key(&near) { near + 1 } else { near };
        // SAFETY: the lanes are this thread's; the call must refuse.
        let refused = unsafe { self.heap.free(self.lanes[lane], wrong) };
        assert!(matches!(refused, Err(BadFree::Free | BadFree::NoBlock | BadFree::Foreign)));
    }

    /// The thread of a lane ends, and another begins.
    fn change_lane(&mut self, lane: usize) {
        // SAFETY: the lane is this thread's, and is replaced at once.
        unsafe { self.heap.detach(self.lanes[lane]) };
        self.lanes[lane] = self.heap.attach().expect("a lane");
    }
}

fn size_of_bytes(a: u8, b: u8, c: u8) -> usize {
    let low = usize::from(a) << 8 | usize::from(b);
    1 + (low << (c % 10) >> 6)
}
