//! The process's heap, made by its first allocation.
#![allow(unsafe_code, reason = "holds the heap's lock across forks; commits memory")]

use crate::arena::{Arena, ArenaConfig, ReserveError};
use crate::base::PAGE_SIZE;
use crate::cow::Gate;
use crate::heap::Heap;
use crate::os::map::{self, Reservation};
use crate::os::{self, ExitHook, segv};
use crate::runtime::ProcessHeap;
use crate::runtime::calls::{self, BOUNCE};
use crate::runtime::defence::Defence;
use crate::runtime::meter::Meter;
use crate::runtime::opened::Opened;
use crate::runtime::thread::{self, ThreadState};
use std::io;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;

/// The one static that the crate's state hangs on.
static PROCESS: OnceLock<Result<Process, StartError>> = OnceLock::new();

/// What the whole process shares.
pub(crate) struct Process {
    /// The allocator.
    pub(crate) heap: Heap,
    /// What scopes and allocator calls pass.
    pub(crate) gate: Gate,
    /// Gives a thread's lane back when the thread ends.
    pub(super) exit_hook: ExitHook,
    /// What `open` has set up.
    pub(crate) opened: Opened,
    /// What freezes cost.
    pub(super) meter: Meter,
    /// What is done about mistakes with freed memory.
    pub(super) defence: Option<Defence>,
    /// How many look at what the heap holds: a freeze for them settles the allocator's maps.
    pub(super) looks: AtomicU32,
    /// Each lane's buffer for system calls.
    bounces: Reservation,
}

/// What a heap has seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Operations, over all its runs.
    pub(super) operations: u64,
    /// A number that stays the same as long as durable state does. `None`: nobody can tell.
    pub(super) changes: Option<u64>,
}

/// Why the process has no heap; its allocations come from the system then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The address range could not be reserved.
    #[error(transparent)]
    Reserve(#[from] ReserveError),
    /// No address space for the threads' lanes.
    #[error("the system refuses address space for the allocator's tables: {0}")]
    Lanes(#[source] io::Error),
    /// The system does not take the hooks for ending threads and forks.
    #[error("the system takes no hook for ending threads or for forks: {0}")]
    Hooks(#[source] io::Error),
}

/// Lanes that there can be.
const LANES: usize = 1 << 16;

impl Process {
    /// What the heap has seen so far; exact while the gate is closed.
    pub(super) fn seen(&self) -> Seen {
        let (changes, operations) = self.heap.begun();
        Seen {
            operations: self.opened.operations(operations),
            changes: (!self.opened.can_change_unseen()).then_some(changes + operations),
        }
    }

    /// All addresses that memory of the heap can have.
    pub(super) fn arena_addresses(&self) -> Range<u64> {
        let Range { start, end } = self.heap.arena().addresses();
        start as u64..end as u64
    }

    /// Where the thread's buffer for system calls lies: `BOUNCE` bytes outside the arena. A thread
    /// without a lane gets none: taking one needs a lock, and this may be a signal handler.
    pub(super) fn bounce(&'static self, state: &ThreadState) -> Option<usize> {
        let known = state.bounce.get();
        if known != 0 {
            return Some(known);
        }
        let lane = state.lane_if_any()?;
        let start = self.bounces.start() + lane.number() as usize * BOUNCE;
        // SAFETY: the lane's part of the reservation; it stays the lane's.
        unsafe { map::commit(start, BOUNCE) }.ok()?;
        state.bounce.set(start);
        Some(start)
    }
}

/// The process's heap, made now if this is the first allocation. `None`: it cannot be had.
#[inline]
pub(super) fn get_or_start(heap: &ProcessHeap) -> Option<&'static Process> {
    PROCESS.get_or_init(|| start(heap)).as_ref().ok()
}

/// The process's heap, if the process allocates from it.
#[inline]
pub(crate) fn get() -> Option<&'static Process> {
    PROCESS.get()?.as_ref().ok()
}

/// Why there is none, if an allocation has tried.
pub(super) fn failure() -> Option<&'static StartError> {
    PROCESS.get()?.as_ref().err()
}

#[cold]
fn start(heap: &ProcessHeap) -> Result<Process, StartError> {
    let defence = Defence::of(heap).map_err(StartError::Lanes)?;
    let arena = Arena::reserve(ArenaConfig::process(heap.base()))?;
    let seed = match heap.boot_seed() {
        0 => os::random_u64(),
        seed => seed,
    };
    let heap = Heap::booting(arena, seed).map_err(StartError::Lanes)?;
    os::at_fork(before_fork, after_fork_in_parent, after_fork_in_child)
        .map_err(StartError::Hooks)?;
    let bounces = Reservation::anywhere(LANES * BOUNCE, PAGE_SIZE).map_err(StartError::Lanes)?;
    let exit_hook = ExitHook::new(thread::give_back).map_err(StartError::Hooks)?;
    // Threads that are started later inherit the mask.
    segv::unblock();
    calls::look_up();
    Ok(Process {
        heap,
        gate: Gate::new(),
        exit_hook,
        opened: Opened::default(),
        meter: Meter::new(),
        defence,
        looks: AtomicU32::new(0),
        bounces,
    })
}

/// A fork copies the heap with whatever locks other threads hold: so it waits for those.
extern "C" fn before_fork() {
    if let Some(process) = get() {
        process.heap.hold();
    }
}

extern "C" fn after_fork_in_parent() {
    if let Some(process) = get() {
        // SAFETY: `before_fork` ran in this thread.
        unsafe { process.heap.let_go() };
    }
}

/// The child's memory is its own; snapshots are its parent's business.
extern "C" fn after_fork_in_child() {
    if let Some(process) = get() {
        process.opened.set_forked(true);
        process.heap.arena().cow().reset_in_fork();
        // The threads that were inside, or were closing the gate, do not exist here.
        let own = thread::with(|state| state.lane_if_any().map(|lane| lane.pass()));
        process.gate.reset_in_fork(process.heap.passes(), own);
        // SAFETY: `before_fork` ran in the thread that this one is a fork of.
        unsafe { process.heap.let_go() };
    }
}
