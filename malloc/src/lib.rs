//! stillheap's allocator as the C library's: to be loaded into any program with `LD_PRELOAD`.
//!
//! The heap is never opened and no snapshots are taken: what runs is the allocator alone, under
//! programs that were not written for it.
//!
//! - `exports`: the functions that take the place of the C library's
//! - `blocks`: what they do, with the heap or the system
//! - `thread`: each thread's way into the heap; `tls`: where it finds it
//! - `process`: the heap, and how it starts
//! - `system`: the C library's own allocator, for when there is no heap
//!
//! **Invariant:** nothing here, and nothing that it calls in an allocation, allocates from Rust's
//! global allocator: that would be this library again.

mod blocks;
mod exports;
mod process;
mod system;
mod thread;
mod tls;

// The unwinder, as an archive: the shared one would be one more library to load into each process,
// which takes as long as starting the heap. Nothing unwinds here, but std refers to it.
#[allow(unsafe_code, reason = "links a library, of which nothing is declared")]
#[link(name = "gcc_eh")]
unsafe extern "C" {}
