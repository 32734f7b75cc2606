//! Events, as a C function is told of them.
#![allow(unsafe_code, reason = "calls a function of the user's")]

use crate::Event;
use crate::ffi::failure::Failure;
use crate::ffi::structs::{CEvent, CStill};
use std::cell::Cell;
use std::ffi::{CString, c_int, c_void};
use std::ptr;

/// What is called: the event lasts as long as the call.
pub type CEventCallback = unsafe extern "C" fn(event: *const CEvent, user: *mut c_void);

/// Which event it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum EventKind {
    /// A snapshot has become durable.
    Durable = 1,
    /// A snapshot failed.
    SnapshotFailed = 2,
    /// A snapshot is damaged, and was passed over when the heap was opened.
    SnapshotSkipped = 3,
    /// Files have been merged.
    Compacted = 4,
    /// They could not be.
    CompactionFailed = 5,
    /// A snapshot in the directory is damaged.
    SnapshotDamaged = 6,
    /// The snapshot that the process works on is; the process ends.
    Damaged = 7,
    /// The system gives no huge pages.
    SlowFreezes = 8,
    /// What earlier runs had left behind has been freed.
    Swept = 9,
    /// It could not be.
    SweepFailed = 10,
}

thread_local! {
    static IN_CALLBACK: Cell<bool> = const { Cell::new(false) };
}

/// # Errors
/// If this is an event's callback.
pub(super) fn outside() -> Result<(), Failure> {
    if IN_CALLBACK.with(Cell::get) { Err(Failure::in_callback()) } else { Ok(()) }
}

/// The user's function, and what it wants back.
#[derive(Clone, Copy)]
pub(super) struct Listener {
    pub(super) call: CEventCallback,
    pub(super) user: *mut c_void,
}

// SAFETY: the manual says that the function is called by several threads.
unsafe impl Send for Listener {}
// SAFETY: as above.
unsafe impl Sync for Listener {}

impl Listener {
    pub(super) fn hear(&self, event: &Event) {
        let text = CString::new(event.to_string().replace('\0', "")).unwrap_or_default();
        let still = match event {
            Event::Durable(info) => Some(CStill::from(info)),
            _ => None,
        };
        let (kind, number) = kind_of(event);
        let told = CEvent {
            kind: kind as c_int,
            number,
            text: text.as_ptr(),
            still: still.as_ref().map_or(ptr::null(), ptr::from_ref),
        };
        let before = IN_CALLBACK.with(|inside| inside.replace(true));
        // SAFETY: the function is one for this, and does not unwind, says the manual.
        unsafe { (self.call)(&raw const told, self.user) };
        IN_CALLBACK.with(|inside| inside.set(before));
    }
}

fn kind_of(event: &Event) -> (EventKind, u64) {
    match event {
        Event::Durable(info) => (EventKind::Durable, info.number),
        Event::SnapshotFailed(_) => (EventKind::SnapshotFailed, 0),
        Event::SnapshotSkipped { number, .. } => (EventKind::SnapshotSkipped, *number),
        Event::Compacted(_) => (EventKind::Compacted, 0),
        Event::CompactionFailed { .. } => (EventKind::CompactionFailed, 0),
        Event::SnapshotDamaged { number, .. } => (EventKind::SnapshotDamaged, *number),
        Event::Damaged { number, .. } => (EventKind::Damaged, *number),
        Event::SlowFreezes { .. } => (EventKind::SlowFreezes, 0),
        Event::Swept(_) => (EventKind::Swept, 0),
        Event::SweepFailed { .. } => (EventKind::SweepFailed, 0),
    }
}
