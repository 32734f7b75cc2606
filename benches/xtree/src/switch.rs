//! The program's allocator: mimalloc (or the system's), the same with counted bytes, or a durable
//! heap. An environment variable decides, once, at the process's first allocation.
//!
//! Invariant: all memory of a process comes from one side.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::CStr;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use stillheap::ProcessHeap;

#[global_allocator]
pub(crate) static ALLOCATOR: Switch = Switch::new();

/// Names the side; without it all comes from outside of a heap.
pub(crate) const VARIABLE: &CStr = c"STILLHEAP_XTREE_SIDE";
pub(crate) const HEAP: &str = "heap";
pub(crate) const COUNTED: &str = "counted";

const UNDECIDED: u8 = 0;
const OUTSIDE: u8 = 1;
const IN_HEAP: u8 = 2;
const OUTSIDE_COUNTED: u8 = 3;

#[cfg(feature = "mimalloc")]
use mimalloc::MiMalloc as Outside;
#[cfg(not(feature = "mimalloc"))]
use std::alloc::System as Outside;

pub(crate) struct Switch {
    side: AtomicU8,
    heap: ProcessHeap,
    asked: AtomicUsize,
    usable: AtomicUsize,
}

/// Bytes that are allocated.
#[derive(Clone, Copy)]
pub(crate) struct Live {
    /// As asked for.
    pub(crate) asked: usize,
    /// As the allocator rounds it up to what it has blocks for.
    pub(crate) usable: usize,
}

impl Switch {
    const fn new() -> Self {
        Self {
            side: AtomicU8::new(UNDECIDED),
            heap: ProcessHeap::new(),
            asked: AtomicUsize::new(0),
            usable: AtomicUsize::new(0),
        }
    }

    pub(crate) fn heap(&self) -> &ProcessHeap {
        &self.heap
    }

    /// What is allocated now, if it is counted.
    pub(crate) fn live(&self) -> Live {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        Live { asked: count(&self.asked), usable: count(&self.usable) }
    }

    #[inline(always)]
    fn side(&self) -> u8 {
        match self.side.load(Ordering::Relaxed) {
            UNDECIDED => self.decide(),
            side => side,
        }
    }

    /// Before `main`, and without allocating.
    #[cold]
    fn decide(&self) -> u8 {
        // SAFETY: the name ends with a zero; nobody changes the environment this early.
        let value = unsafe { libc::getenv(VARIABLE.as_ptr()) };
        let side = if value.is_null() {
            OUTSIDE
        } else {
            // SAFETY: not null, and so a string that ends with a zero.
            match unsafe { CStr::from_ptr(value) }.to_bytes() {
                value if value == HEAP.as_bytes() => IN_HEAP,
                value if value == COUNTED.as_bytes() => OUTSIDE_COUNTED,
                _ => OUTSIDE,
            }
        };
        self.side.store(side, Ordering::Relaxed);
        side
    }

    #[cold]
    fn add(&self, block: *mut u8, layout: Layout) {
        if !block.is_null() {
            self.asked.fetch_add(layout.size(), Ordering::Relaxed);
            self.usable.fetch_add(usable(block), Ordering::Relaxed);
        }
    }

    #[cold]
    fn subtract(&self, block: *mut u8, layout: Layout) {
        self.asked.fetch_sub(layout.size(), Ordering::Relaxed);
        self.usable.fetch_sub(usable(block), Ordering::Relaxed);
    }
}

fn usable(block: *mut u8) -> usize {
    #[cfg(feature = "mimalloc")]
    // SAFETY: the block is mimalloc's, and allocated.
    return unsafe { Outside.usable_size(block) };
    #[cfg(not(feature = "mimalloc"))]
    // SAFETY: the block is the system's, and allocated.
    return unsafe { libc::malloc_usable_size(block.cast()) };
}

// SAFETY: blocks come from an allocator that keeps the contract, and go back to the same one: the
// side never changes once it is decided, and the first allocation decides it.
unsafe impl GlobalAlloc for Switch {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let side = self.side();
        if side == IN_HEAP {
            // SAFETY: passed on from the caller.
            return unsafe { self.heap.alloc(layout) };
        }
        // SAFETY: passed on from the caller.
        let block = unsafe { Outside.alloc(layout) };
        if side == OUTSIDE_COUNTED {
            self.add(block, layout);
        }
        block
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let side = self.side();
        if side == IN_HEAP {
            // SAFETY: passed on from the caller.
            return unsafe { self.heap.alloc_zeroed(layout) };
        }
        // SAFETY: passed on from the caller.
        let block = unsafe { Outside.alloc_zeroed(layout) };
        if side == OUTSIDE_COUNTED {
            self.add(block, layout);
        }
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let side = self.side();
        if side == IN_HEAP {
            // SAFETY: passed on from the caller; all blocks of this process are the heap's.
            return unsafe { self.heap.dealloc(block, layout) };
        }
        if side == OUTSIDE_COUNTED {
            self.subtract(block, layout);
        }
        // SAFETY: passed on from the caller; no block of this process is the heap's.
        unsafe { Outside.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let side = self.side();
        if side == IN_HEAP {
            // SAFETY: passed on from the caller; all blocks of this process are the heap's.
            return unsafe { self.heap.realloc(block, layout, new_size) };
        }
        let counted = side == OUTSIDE_COUNTED;
        if counted {
            self.subtract(block, layout);
        }
        // SAFETY: passed on from the caller; no block of this process is the heap's.
        let moved = unsafe { Outside.realloc(block, layout, new_size) };
        if counted {
            match Layout::from_size_align(new_size, layout.align()) {
                Ok(layout) if !moved.is_null() => self.add(moved, layout),
                _ => self.add(block, layout),
            }
        }
        moved
    }
}
