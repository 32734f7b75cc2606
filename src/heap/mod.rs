//! The allocator: slabs of equal blocks, runs of pages, large blocks, and the root table.
//!
//! What a block's state is stands beside the block, never in it: freeing does not touch the
//! freed memory, and stray writes of user code cannot derail the allocator.
//!
//! * A *lane* is a thread's front end. It owns slabs, and has the free blocks of some words of a
//!   slab of each kind at hand: it hands them out, and frees blocks of its slabs, without a lock,
//!   and without writing to a table. A block freed by another thread sets a bit in the slab's
//!   remote map; the slab's owner merges that map when its own blocks run dry.
//! * A slab is allocated from once an eighth of its blocks is free, and then for some time. So what
//!   is allocated one after the other lies together, and a snapshot finds few pages changed.
//! * Slabs without an owner belong to the heap itself, behind its lock, as do runs of pages,
//!   large blocks, and chunks.
//! * Who owns what lies in the arena's side table and is built anew after a restart.
//!
//! Code here runs inside `alloc`: it allocates nothing, and never panics on the caller's
//! mistakes but ends the process with a message.

mod active;
mod adopt;
mod allocate;
mod check;
mod classes;
mod facade;
mod free;
mod lane;
mod lists;
mod maps;
mod pending;
mod resize;
mod roots;
mod runs;
mod slab;
mod stats;
mod tag;
mod validate;

pub use adopt::{AdoptError, CellRun};
pub use allocate::Allocation;
pub use check::Damage;
pub use classes::{CLASSES, SMALL_MAX, class_pages, class_size};
pub use facade::Heap;
pub use free::BadFree;
pub use lane::{Begun, Lane};
pub use roots::{NAME_MAX, ROOTS_MAX, RootRecord, RootTableError};
pub use stats::HeapStats;
