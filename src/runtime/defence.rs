//! Defences against mistakes with freed memory, for who looks for them: freed blocks are cleared,
//! or kept for a while to see whether somebody still writes to them.
#![allow(unsafe_code, reason = "writes to blocks that are being freed")]

use crate::arena::Purpose;
use crate::base::{PAGE_SIZE, PageIndex};
use crate::heap::{BadFree, SMALL_MAX};
use crate::os;
use crate::os::map::{self, Reservation};
use crate::runtime::ProcessHeap;
use crate::runtime::passing::{behind_gate, refuse};
use crate::runtime::process::Process;
use crate::trace::QUARANTINED as POISON;
use std::io;
use std::ptr;
use std::slice;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

/// Blocks of up to so many bytes are quarantined; larger ones go back to the system soon anyway.
const QUARANTINED_MAX: usize = SMALL_MAX;
/// Blocks that can be in quarantine.
const PLACES_MAX: usize = 1 << 16;

/// Which defences a process has.
pub(super) struct Defence {
    zeroes: bool,
    quarantine: Option<Quarantine>,
}

/// Freed blocks, in a ring. Who frees one more takes out the oldest.
struct Quarantine {
    places: Reservation,
    count: usize,
    next: AtomicUsize,
}

impl Defence {
    /// What was asked for; `None`: nothing.
    pub(super) fn of(heap: &ProcessHeap) -> io::Result<Option<Self>> {
        let (zeroes, blocks) = heap.defence();
        if !zeroes && blocks == 0 {
            return Ok(None);
        }
        let quarantine = match blocks as usize {
            0 => None,
            blocks => Some(Quarantine::new(blocks.min(PLACES_MAX))?),
        };
        Ok(Some(Self { zeroes, quarantine }))
    }

    /// Frees a block, or another one in its place.
    ///
    /// # Errors
    /// See [`BadFree`].
    ///
    /// # Safety
    /// Nothing refers to the block any more.
    pub(super) unsafe fn free(
        &self,
        process: &'static Process,
        address: usize,
    ) -> Result<(), BadFree> {
        let len = process.heap.usable_size(address)?;
        if !process.heap.is_live_block(address) {
            return Err(BadFree::Free);
        }
        let quarantine = self.quarantine.as_ref();
        let Some(quarantine) = quarantine.filter(|_| len <= QUARANTINED_MAX) else {
            // SAFETY: passed on from the caller.
            return unsafe { self.end(process, address, len) };
        };
        // SAFETY: a block of that length, which is the caller's.
        let block =
            unsafe { slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(address), len) };
        // Only what looks as if it were there already is looked for; it may have been written to.
        let is_left = block.starts_with(&[POISON; 8]) || block.ends_with(&[POISON; 8]);
        if is_left && quarantine.has(address) {
            return Err(BadFree::Free);
        }
        behind_gate(process, |_| overwrite(process, address, len, POISON));
        if let Some(oldest) = quarantine.exchange(address) {
            // SAFETY: it has been in quarantine, so nothing refers to it.
            unsafe { self.release(process, oldest) };
        }
        Ok(())
    }

    /// Frees all that is in quarantine.
    pub(super) fn empty(&self, process: &'static Process) {
        let Some(quarantine) = &self.quarantine else { return };
        for place in quarantine.places() {
            let address = place.swap(0, AcqRel);
            if address != 0 {
                // SAFETY: it has been in quarantine, so nothing refers to it.
                unsafe { self.release(process, address) };
            }
        }
    }

    /// Frees a block that was in quarantine, if it is as it was left: else ends the process.
    ///
    /// # Safety
    /// Nothing refers to the block.
    unsafe fn release(&self, process: &'static Process, address: usize) {
        let free = || {
            let len = process.heap.usable_size(address)?;
            // SAFETY: a block of that length, which is nobody's.
            let block =
                unsafe { slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(address), len) };
            if let Some(place) = block.iter().position(|&byte| byte != POISON) {
                tell(address, place);
            }
            // SAFETY: passed on from the caller.
            unsafe { self.end(process, address, len) }
        };
        if let Err(error) = free() {
            refuse(error, address);
        }
    }

    /// Frees a block for good.
    ///
    /// # Safety
    /// Nothing refers to the block of that length.
    unsafe fn end(
        &self,
        process: &'static Process,
        address: usize,
        len: usize,
    ) -> Result<(), BadFree> {
        let freed = behind_gate(process, |lane| {
            self.erase(process, address, len);
            // SAFETY: the lane is this thread's; the rest says the caller.
            unsafe { process.heap.free(lane, address) }
        });
        freed.unwrap_or(Ok(()))
    }

    /// Clears so many bytes that are nobody's any more, if that is asked for. The caller is behind
    /// the gate.
    pub(super) fn erase(&self, process: &Process, address: usize, len: usize) {
        if self.zeroes {
            overwrite(process, address, len, 0);
        }
    }
}

/// Fills bytes that are nobody's any more. The caller is behind the gate, so that no snapshot falls
/// between what is announced and the write.
fn overwrite(process: &Process, address: usize, len: usize, byte: u8) {
    let arena = process.heap.arena();
    let Some(first) = arena.page_of(address) else { return };
    if arena.purpose(first.chunk()) == Some(Purpose::Tracked) {
        for page in (first.0..).take((address % PAGE_SIZE + len).div_ceil(PAGE_SIZE)) {
            arena.cow().announce_tracked(PageIndex(page));
        }
    }
    let block: *mut u8 = ptr::with_exposed_provenance_mut(address);
    // SAFETY: bytes of a block, which are nobody's any more.
    unsafe { block.write_bytes(byte, len) };
}

#[cold]
fn tell(address: usize, place: usize) -> ! {
    let (mut block, mut byte) = ([0; 16], [0; 16]);
    os::fatal(&[
        "stillheap: memory was written to after it had been freed: 0x",
        os::hex(address + place, &mut byte),
        ", in the block at 0x",
        os::hex(address, &mut block),
        "\n",
    ])
}

impl Quarantine {
    fn new(count: usize) -> io::Result<Self> {
        let bytes = (count * size_of::<AtomicUsize>()).next_multiple_of(PAGE_SIZE);
        let places = Reservation::anywhere(bytes, PAGE_SIZE)?;
        // SAFETY: the reservation just made.
        unsafe { map::commit(places.start(), bytes)? };
        Ok(Self { places, count, next: AtomicUsize::new(0) })
    }

    fn places(&self) -> &[AtomicUsize] {
        let first: *const AtomicUsize = ptr::with_exposed_provenance(self.places.start());
        // SAFETY: committed, of this length; zeros are what they start with.
        unsafe { slice::from_raw_parts(first, self.count) }
    }

    fn has(&self, address: usize) -> bool {
        self.places().iter().any(|place| place.load(Acquire) == address)
    }

    /// Puts a block in, and takes out the one whose place that is.
    fn exchange(&self, address: usize) -> Option<usize> {
        let place = self.next.fetch_add(1, Relaxed) % self.count;
        let oldest = self.places()[place].swap(address, AcqRel);
        (oldest != 0).then_some(oldest)
    }
}
