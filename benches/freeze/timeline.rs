//! What a writer did, and when: operations and the longest one of each quarter of a millisecond.
//!
//! The record lies outside the heap, so that keeping it takes no write fault, needs no
//! allocation, and goes on while the heap is protected. Windows are cut out of it afterwards.
#![allow(unsafe_code, reason = "the record is memory of its own, from mmap")]

use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A slot is 2^18 ns long.
const SLOT_BITS: u32 = 18;
/// Slots of an hour.
const SLOTS: usize = (3600 * 1_000_000_000) >> SLOT_BITS;

/// Instants are nanoseconds since it was made.
pub(crate) struct Timeline {
    start: Instant,
    slots: &'static [Slot],
}

/// All zero is a valid value.
#[derive(Default)]
struct Slot {
    operations: AtomicU32,
    /// The longest operation that ended here, in microseconds.
    worst: AtomicU32,
}

impl Timeline {
    pub(crate) fn new() -> io::Result<Self> {
        let place = map(SLOTS * size_of::<Slot>())?.cast();
        // SAFETY: that much fresh memory, zero and never unmapped.
        let slots = unsafe { std::slice::from_raw_parts(place.as_ptr(), SLOTS) };
        Ok(Self { start: Instant::now(), slots })
    }

    pub(crate) fn now(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Notes an operation. One thread does.
    pub(crate) fn note(&self, end: u64, nanoseconds: u64) {
        let Some(slot) = self.slots.get((end >> SLOT_BITS) as usize) else { return };
        slot.operations.store(slot.operations.load(Relaxed) + 1, Relaxed);
        let microseconds = (nanoseconds / 1000) as u32;
        if microseconds > slot.worst.load(Relaxed) {
            slot.worst.store(microseconds, Relaxed);
        }
    }

    /// Operations a second in `span`; slots at its edges count in part.
    pub(crate) fn rate(&self, span: Range<u64>) -> f64 {
        let length = 1 << SLOT_BITS;
        let operations: f64 = (span.start >> SLOT_BITS..=span.end >> SLOT_BITS)
            .filter_map(|number| Some((number, self.slots.get(number as usize)?)))
            .map(|(number, slot)| {
                let slot_start = number << SLOT_BITS;
                let end = span.end.min(slot_start + length);
                let part = end.saturating_sub(span.start.max(slot_start));
                f64::from(slot.operations.load(Relaxed)) * part as f64 / length as f64
            })
            .sum();
        operations / Duration::from_nanos(span.end - span.start).as_secs_f64().max(1e-9)
    }

    /// The longest operation that ended in `span`, in microseconds.
    pub(crate) fn worst(&self, span: Range<u64>) -> u32 {
        (span.start >> SLOT_BITS..=span.end >> SLOT_BITS)
            .filter_map(|number| self.slots.get(number as usize))
            .map(|slot| slot.worst.load(Relaxed))
            .max()
            .unwrap_or(0)
    }
}

/// Fresh memory outside the heap.
pub(crate) fn map(len: usize) -> io::Result<NonNull<u8>> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: replaces no mapping.
    let found = unsafe { libc::mmap(std::ptr::null_mut(), len, access, flags, -1, 0) };
    if found == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(found.cast()).ok_or_else(io::Error::last_os_error)
}
