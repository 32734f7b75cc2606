//! The process's heap, made by its first allocation.
#![allow(unsafe_code, reason = "holds the heap's lock across forks")]

use crate::thread;
use std::io;
use std::sync::OnceLock;
use stillheap::ProcessHeap;
use stillheap::arena::{Arena, ArenaConfig, ReserveError};
use stillheap::heap::Heap;
use stillheap::os::{self, ExitHook};

/// What the process's threads share.
pub(crate) struct Process {
    pub(crate) heap: Heap,
    /// Gives a thread's lane back when the thread ends.
    pub(crate) exit_hook: ExitHook,
}

/// `None`: it cannot be had, and the system's allocator serves.
static PROCESS: OnceLock<Option<Process>> = OnceLock::new();

/// The process's heap, made now if this is the first allocation. What is allocated meanwhile by
/// the same thread must not come here.
pub(crate) fn get_or_start() -> Option<&'static Process> {
    PROCESS.get_or_init(start).as_ref()
}

/// The process's heap, if there is one already.
#[inline]
pub(crate) fn get() -> Option<&'static Process> {
    PROCESS.get()?.as_ref()
}

#[cold]
fn start() -> Option<Process> {
    let Ok(arena) = reserve() else { return refuse("no room for the heap in its address space") };
    let Ok(heap) = Heap::booting(arena, os::random_u64()) else {
        return refuse("no address space for its threads");
    };
    match hooks() {
        Ok(exit_hook) => Some(Process { heap, exit_hook }),
        Err(_) => refuse("the system takes no hook for ending threads or for forks"),
    }
}

/// Where the crate's own heaps lie, or elsewhere if something is there.
fn reserve() -> Result<Arena, ReserveError> {
    let usual = Arena::reserve(ArenaConfig::process(ProcessHeap::DEFAULT_BASE));
    match usual {
        Err(ReserveError::Taken { .. }) => Arena::reserve(ArenaConfig::process(0)),
        other => other,
    }
}

fn hooks() -> io::Result<ExitHook> {
    os::at_fork(before_fork, after_fork, after_fork)?;
    ExitHook::new(thread::give_back)
}

/// Tells whoever believes that this allocator runs.
fn refuse(why: &str) -> Option<Process> {
    thread::report(&["stillheap: the C library's allocator serves this process: ", why, "\n"]);
    None
}

/// A fork copies the heap with whatever locks other threads hold: so it waits for those.
extern "C" fn before_fork() {
    if let Some(process) = get() {
        process.heap.hold();
    }
}

/// In the parent and in the child. Lanes of threads that the child does not have stay theirs:
/// nobody allocates from these, and what is freed to them is lost.
extern "C" fn after_fork() {
    if let Some(process) = get() {
        // SAFETY: `before_fork` ran in the thread that this one is, or is a fork of.
        unsafe { process.heap.let_go() };
    }
}
