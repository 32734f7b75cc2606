//! The C interface. Its manual is `include/stillheap.h`, which declares what is defined here.
//!
//! A program in C keeps its own allocator. What is to last it takes from here, block by block; so
//! no block is made before the heap is open, and no boot cell.
//!
//! Invariants: no panic leaves a function, and none is begun with a null pointer where the manual
//! asks for another. Memory that is this interface's own (what an error said, a heap's handle)
//! comes from the Rust side's allocator, and no durable block points to it.
//!
//! In a Rust program that has installed a [`ProcessHeap`](crate::ProcessHeap) C code shares the
//! heap: blocks and scopes are the same for both, whoever has opened it. What is asked of an open
//! heap (roots, snapshots, figures, closing) is for the side that did.

pub mod codes;
pub mod errors;
pub mod events;
pub mod files;
pub mod heap;
pub mod memory;
pub mod mistakes;
pub mod options;
pub mod roots;
pub mod scopes;
pub mod snapshots;

mod calls;
mod failure;
mod open_heap;
mod root_values;
mod structs;
#[cfg(test)]
mod tests;
mod text;

pub use options::COptions;
pub use structs::{CEvent, CRestored, CRoot, CSnapshot, CStats, CStill};
