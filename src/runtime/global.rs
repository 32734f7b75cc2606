//! The global allocator: every allocation of the process goes through here.
//!
//! Nothing here allocates or panics. A caller's mistake that would corrupt the heap (a double
//! free, a foreign address) ends the process with a message.
#![allow(unsafe_code, reason = "this is the global allocator")]

use crate::arena::Purpose;
use crate::base::CELL_SIZE;
use crate::heap::{Allocation, BadFree, Lane};
use crate::os;
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
        // Not by `at_hand`, which has another caller: the compiler puts this one in place.
        let block = thread::with(|state| {
            let lane = state.lane_at_hand()?;
            // SAFETY: the lane is this thread's.
            unsafe { lane.take_at_hand(layout.size(), layout.align(), state.is_scoped()) }
        });
        match block {
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
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let freed = thread::with(|state| {
            let Some(lane) = state.lane_at_hand() else { return false };
            // SAFETY: the lane is this thread's; the rest says the caller.
            unsafe { lane.free_at_hand(block.addr()) }
        });
        if !freed {
            // SAFETY: passed on from the caller.
            unsafe { dealloc_elsewhere(block, layout) };
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
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
}

impl ProcessHeap {
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
unsafe fn dealloc_elsewhere(block: *mut u8, layout: Layout) {
    match process_of(block) {
        // SAFETY: passed on from the caller; the block lies in the arena.
        Some(process) => unsafe { free(process, block.addr()) },
        // SAFETY: passed on from the caller; what is not the arena's is the system's.
        None => unsafe { System.dealloc(block, layout) },
    }
}

/// A block from the heap. `None`: it is the system's turn (see `fall_back`).
pub(super) fn allocate(
    process: Option<&'static Process>,
    layout: Layout,
    purpose: Option<Purpose>,
) -> Option<Allocation> {
    let process = process?;
    thread::with(|state| {
        if state.is_transient() {
            return None;
        }
        let scoped = state.is_scoped();
        let ambient = if scoped { Purpose::Scoped } else { Purpose::Ambient };
        let purpose = purpose.unwrap_or(ambient);
        let call = |lane: &Lane| {
            passing(process, lane, scoped, || {
                // SAFETY: the lane is this thread's.
                unsafe { process.heap.allocate(lane, layout.size(), layout.align(), purpose) }
            })
        };
        state.with_lane(process, call).flatten()
    })
}

/// Frees a block of the arena.
///
/// # Safety
/// Nothing refers to the block any more.
#[inline]
pub(super) unsafe fn free(process: &'static Process, address: usize) {
    // SAFETY: passed on from the caller.
    if let Err(error) = unsafe { try_free(process, address) } {
        refuse(error, address);
    }
}

/// The same; what cannot be freed is an error.
///
/// # Safety
/// Nothing refers to the block any more.
#[inline]
pub(super) unsafe fn try_free(process: &'static Process, address: usize) -> Result<(), BadFree> {
    if let Some(defence) = &process.defence {
        // SAFETY: passed on from the caller.
        return unsafe { defence.free(process, address) };
    }
    thread::with(|state| {
        let scoped = state.is_scoped();
        let call = |lane: &Lane| {
            // SAFETY: the lane is this thread's; the rest says the caller.
            if unsafe { process.heap.free_of_other_lane(lane, address) } {
                return Ok(());
            }
            passing(process, lane, scoped, || {
                // SAFETY: as above.
                unsafe { process.heap.free(lane, address) }
            })
        };
        state.with_lane(process, call).unwrap_or(Ok(()))
    })
}

/// The same without defences, after something else that is to be done behind the gate.
///
/// # Safety
/// Nothing refers to the block any more.
pub(super) unsafe fn free_now(
    process: &'static Process,
    address: usize,
    first: impl Fn(),
) -> Result<(), BadFree> {
    thread::with(|state| {
        let call = |lane: &Lane| {
            passing(process, lane, state.is_scoped(), || {
                first();
                // SAFETY: the lane is this thread's; the rest says the caller.
                unsafe { process.heap.free(lane, address) }
            })
        };
        state.with_lane(process, call).unwrap_or(Ok(()))
    })
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

/// Resizes a block of the arena. `Ok(None)`: out of capacity, and the block is as it was.
///
/// # Safety
/// As for `realloc`.
pub(super) unsafe fn try_resize(
    process: &'static Process,
    block: NonNull<u8>,
    layout: Layout,
    new_size: usize,
) -> Result<Option<NonNull<u8>>, BadFree> {
    if process.defence.is_some() {
        // SAFETY: passed on from the caller.
        return unsafe { resize_defended(process, block, layout, new_size) };
    }
    thread::with(|state| {
        let scoped = state.is_scoped();
        let purpose = if scoped { Purpose::Scoped } else { Purpose::Ambient };
        let (old, align) = (layout.size(), layout.align());
        let call = |lane: &Lane| {
            passing(process, lane, scoped, || {
                // SAFETY: the lane is this thread's; the block was allocated with that layout.
                unsafe { process.heap.resize(lane, block, old, new_size, align, purpose) }
            })
        };
        state.with_lane(process, call).unwrap_or(Ok(None))
    })
}

/// As `try_resize`, by moving whatever is not of about the right size: what is left is freed in the
/// way of a process with defences.
///
/// # Safety
/// As for `realloc`.
#[cold]
unsafe fn resize_defended(
    process: &'static Process,
    block: NonNull<u8>,
    layout: Layout,
    new_size: usize,
) -> Result<Option<NonNull<u8>>, BadFree> {
    let room = process.heap.usable_size(block.addr().get())?;
    if new_size <= room && new_size > room / 2 {
        return Ok(Some(block));
    }
    let wanted = Layout::from_size_align(new_size, layout.align()).ok();
    let Some(moved) = wanted.and_then(|wanted| allocate(Some(process), wanted, None)) else {
        return Ok(None);
    };
    // SAFETY: both blocks hold the shorter length, and a new block overlaps no old one.
    unsafe { moved.block.copy_from_nonoverlapping(block, layout.size().min(new_size)) };
    // SAFETY: the old block is the caller's and is not used any more.
    unsafe { try_free(process, block.addr().get())? };
    Ok(Some(moved.block))
}

/// Runs an allocator call, outside scopes behind the gate; a scope is behind it already.
#[inline]
pub(super) fn passing<R>(
    process: &Process,
    lane: &Lane,
    scoped: bool,
    call: impl FnOnce() -> R,
) -> R {
    if scoped {
        return call();
    }
    process.gate.enter_call(lane.pass());
    let result = call();
    process.gate.leave_call(lane.pass());
    result
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

#[cold]
fn refuse(error: BadFree, address: usize) -> ! {
    let what = match error {
        BadFree::Foreign => "the address does not lie in the heap",
        BadFree::NoBlock => "no block starts there",
        BadFree::Free => "the block is free already (a double free)",
    };
    let mut digits = [0; 16];
    os::fatal(&["stillheap: cannot free 0x", os::hex(address, &mut digits), ": ", what, "\n"])
}
