//! The global allocator: every allocation of the process goes through here.
//!
//! Nothing here allocates or panics. A caller's mistake that would corrupt the heap (a double
//! free, a foreign address) ends the process with a message.
#![allow(unsafe_code, reason = "this is the global allocator")]

use crate::base::CELL_SIZE;
use crate::runtime::passing::{allocate, free, refuse, try_resize};
use crate::runtime::process::{self, Process};
use crate::runtime::thread::{self, ThreadState};
use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr::{self, NonNull};

/// The heap of the process, to be installed as its global allocator.
///
/// ```
/// #[global_allocator]
/// static HEAP: stillheap::ProcessHeap = stillheap::ProcessHeap::new();
/// # fn main() {}
/// ```
///
/// Until [`ProcessHeap::open`] it is an ordinary allocator. If the address range cannot be
/// reserved, allocations come from the system's allocator, and `open` says why.
#[derive(Debug)]
pub struct ProcessHeap {
    base: usize,
    /// Decides where the first boot cell lies; 0: chance does.
    boot_seed: u64,
    zeroes: bool,
    quarantined: u32,
}

impl ProcessHeap {
    /// The address at which the arena starts unless told otherwise.
    pub const DEFAULT_BASE: usize = 0x2000_0000_0000;

    /// The process's heap at the default address: 16 TiB of address space from
    /// [`ProcessHeap::DEFAULT_BASE`] on.
    #[must_use]
    pub const fn new() -> Self {
        Self::at(Self::DEFAULT_BASE)
    }

    /// The same at another address: a multiple of 64 MiB, not 0, at most 2^47 - 2^44. An image
    /// can be opened only at the address at which it was made.
    ///
    /// # Panics
    /// If the address is another one: in a static that is an error of the compiler's.
    #[must_use]
    pub const fn at(base: usize) -> Self {
        assert!(Self::can_be_at(base));
        Self { base, boot_seed: 0, zeroes: false, quarantined: 0 }
    }

    /// Whether a heap can be at that address.
    pub(crate) const fn can_be_at(base: usize) -> bool {
        base > 0 && base.is_multiple_of(CELL_SIZE) && base <= (1 << 47) - (1 << 44)
    }

    /// The same with the place of its early memory decided by `seed`: two runs then want the
    /// same one, which tests of collisions need.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_boot_seed(self, seed: u64) -> Self {
        Self { boot_seed: seed, ..self }
    }

    /// The same, with freed memory overwritten by zeros at once: what was freed can be read neither
    /// by mistake nor in a snapshot. Allocating and freeing take several times as long.
    #[must_use]
    pub const fn zero_on_free(self) -> Self {
        Self { zeroes: true, ..self }
    }

    /// The same, with the last `blocks` freed blocks kept in quarantine, 65,536 at most: they are
    /// filled with bytes 0xdf, and freed when as many others have been. Who reads them finds
    /// nonsense, and who has written to them meanwhile, or frees one twice, ends the process with a
    /// message. Blocks of more than 32 KiB are freed at once. For finding mistakes: allocating and
    /// freeing take several times as long.
    ///
    /// What is in quarantine when the process ends the next run frees, if its heap is open.
    #[must_use]
    pub const fn quarantine(self, blocks: u32) -> Self {
        Self { quarantined: blocks, ..self }
    }

    /// Whether freed memory is to be cleared, and how many blocks are to be quarantined.
    pub(super) fn defence(&self) -> (bool, u32) {
        (self.zeroes, self.quarantined)
    }

    /// Where the process's first allocation starts the heap.
    pub(super) fn boot_seed(&self) -> u64 {
        self.boot_seed
    }

    pub(super) fn base(&self) -> usize {
        self.base
    }
}

impl Default for ProcessHeap {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: blocks come from the process's heap or from the system's allocator, both of which
// hand out memory that is the caller's alone; which of them a block came from is told by its
// address. Neither unwinds.
unsafe impl GlobalAlloc for ProcessHeap {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match at_hand(layout) {
            Some(block) => block.as_ptr(),
            // SAFETY: passed on from the caller.
            None => unsafe { self.alloc_elsewhere(layout) },
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match at_hand(layout) {
            Some(block) => {
                // SAFETY: a fresh block of at least this size.
                unsafe { block.write_bytes(0, layout.size()) };
                block.as_ptr()
            }
            // SAFETY: passed on from the caller.
            None => unsafe { self.alloc_zeroed_elsewhere(layout) },
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        let freed = thread::with(|state| {
            let Some(lane) = state.lane_at_hand() else { return false };
            // SAFETY: the lane is this thread's; the rest says the caller.
            unsafe { lane.free_at_hand(block.addr()) }
        });
        if !freed {
            // SAFETY: passed on from the caller.
            unsafe { dealloc_elsewhere(block) };
        }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let moved = thread::with(|state| {
            let lane = state.lane_at_hand()?;
            let (sizes, scoped) = ((layout.size(), new_size), state.is_scoped());
            let block = NonNull::new(block)?;
            // SAFETY: the lane is this thread's; the rest says the caller.
            unsafe { lane.resize_at_hand(block, sizes, layout.align(), scoped) }
        });
        let Some(moved) = moved.map(NonNull::as_ptr) else {
            // SAFETY: passed on from the caller.
            return unsafe { self.realloc_elsewhere(block, layout, new_size) };
        };
        if moved != block {
            // SAFETY: what was in it has been copied, and it is not used any more.
            unsafe { self.dealloc(block, layout) };
        }
        moved
    }
}

impl ProcessHeap {
    /// # Safety
    /// As for `realloc`.
    #[cold]
    #[inline(never)]
    unsafe fn realloc_elsewhere(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let transient = allocates_transiently(self.started());
        match process_of(block) {
            Some(process) if !transient => {
                // SAFETY: passed on from the caller; the block lies in the arena.
                unsafe { resize(process, block, layout, new_size) }
            }
            // SAFETY: passed on from the caller; the block is the system's and stays so.
            None if transient => unsafe { System.realloc(block, layout, new_size) },
            // SAFETY: passed on from the caller.
            _ => unsafe { self.change_sides(block, layout, new_size) },
        }
    }

    /// The process's heap; the first allocation starts it. `None`: it cannot be had.
    #[inline]
    fn started(&self) -> Option<&'static Process> {
        process::get_or_start(self)
    }

    /// # Safety
    /// As for `alloc`.
    #[cold]
    #[inline(never)]
    unsafe fn alloc_elsewhere(&self, layout: Layout) -> *mut u8 {
        match allocate(self.started(), layout, None) {
            Some(allocation) => allocation.block.as_ptr(),
            // SAFETY: passed on from the caller.
            None => unsafe { fall_back(|| System.alloc(layout)) },
        }
    }

    /// # Safety
    /// As for `alloc_zeroed`.
    #[cold]
    #[inline(never)]
    unsafe fn alloc_zeroed_elsewhere(&self, layout: Layout) -> *mut u8 {
        match allocate(self.started(), layout, None) {
            Some(allocation) => {
                if !allocation.zeroed {
                    // SAFETY: a fresh block of at least this size.
                    unsafe { allocation.block.write_bytes(0, layout.size()) };
                }
                allocation.block.as_ptr()
            }
            // SAFETY: passed on from the caller.
            None => unsafe { fall_back(|| System.alloc_zeroed(layout)) },
        }
    }

    /// Moves a block between the heap and the system's memory.
    ///
    /// # Safety
    /// As for `realloc`.
    #[cold]
    unsafe fn change_sides(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let Ok(new_layout) = Layout::from_size_align(new_size, layout.align()) else {
            return ptr::null_mut();
        };
        // SAFETY: the new size is not zero, says the caller.
        let moved = unsafe { self.alloc(new_layout) };
        if !moved.is_null() {
            // SAFETY: both blocks hold that much, and do not overlap.
            unsafe { moved.copy_from_nonoverlapping(block, layout.size().min(new_size)) };
            // SAFETY: the old block is the caller's and is not used any more.
            unsafe { self.dealloc(block, layout) };
        }
        moved
    }
}

/// A block that the thread's lane has at hand.
#[inline]
fn at_hand(layout: Layout) -> Option<NonNull<u8>> {
    thread::with(|state| {
        let lane = state.lane_at_hand()?;
        // SAFETY: the lane is this thread's.
        unsafe { lane.take_at_hand(layout.size(), layout.align(), state.is_scoped()) }
    })
}

/// # Safety
/// As for `dealloc`.
#[cold]
#[inline(never)]
unsafe fn dealloc_elsewhere(block: *mut u8) {
    match process_of(block) {
        // SAFETY: passed on from the caller; the block lies in the arena.
        Some(process) => unsafe { free(process, block.addr()) },
        // By that function, so that who frees need not keep the layout for this.
        // SAFETY: what is not the arena's is the system's allocator's, which is `malloc`.
        None => unsafe { libc::free(block.cast()) },
    }
}

/// The process's heap if the block lies in its arena.
#[inline]
fn process_of(block: *mut u8) -> Option<&'static Process> {
    let process = process::get()?;
    process.heap.arena().page_of(block.addr()).map(|_| process)
}

fn allocates_transiently(process: Option<&'static Process>) -> bool {
    process.is_none() || thread::with(|state: &ThreadState| state.is_transient())
}

/// The heap gave nothing: the system's memory if there is no heap or the thread wants it so,
/// else null, for the heap is full.
#[cold]
fn fall_back(system: impl FnOnce() -> *mut u8) -> *mut u8 {
    let transient = thread::with(|state| state.is_transient());
    if transient || process::get().is_none() { system() } else { ptr::null_mut() }
}

/// # Safety
/// As for `realloc`; the block lies in the arena.
unsafe fn resize(
    process: &'static Process,
    block: *mut u8,
    layout: Layout,
    new_size: usize,
) -> *mut u8 {
    let Some(address) = NonNull::new(block) else { return ptr::null_mut() };
    // SAFETY: passed on from the caller.
    match unsafe { try_resize(process, address, layout, new_size) } {
        Ok(moved) => moved.map_or(ptr::null_mut(), NonNull::as_ptr),
        Err(error) => refuse(error, address.addr().get()),
    }
}
