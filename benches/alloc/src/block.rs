//! Blocks as the shapes use them: allocated as Rust's collections do, written at the front.

use std::hint::black_box;
use std::mem::MaybeUninit;

/// Memory from the global allocator, aligned to eight bytes. Dropping it does not look at it.
pub(crate) type Block = Box<[MaybeUninit<u64>]>;

/// A block of that many words, at least one; the first is written.
#[inline]
pub(crate) fn block(words: usize) -> Block {
    let mut block = Box::new_uninit_slice(words);
    block[0].write(words as u64);
    // Else the compiler may leave out an allocation that is freed soon.
    black_box(block.as_mut_ptr());
    block
}
