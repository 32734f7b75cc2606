//! The addresses of all roots' values: blocks that are not to be freed or moved, or the next
//! opening would find the root table damaged.

use crate::ffi::codes::Code;
use crate::ffi::failure::Failure;
use crate::runtime::ROOTS_MAX;
use crate::typed::ForeignRoot;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Mutex, PoisonError};

static VALUES: [AtomicUsize; ROOTS_MAX] = [const { AtomicUsize::new(0) }; ROOTS_MAX];
/// The first so many of them count.
static COUNT: AtomicUsize = AtomicUsize::new(0);
static CHANGING: Mutex<()> = Mutex::new(());

/// Notes the roots that there are now.
pub(super) fn note(list: impl FnOnce() -> Vec<ForeignRoot>) {
    let _changing = CHANGING.lock().unwrap_or_else(PoisonError::into_inner);
    let roots = list();
    for (place, root) in VALUES.iter().zip(&roots) {
        place.store(root.value, Relaxed);
    }
    COUNT.store(roots.len().min(ROOTS_MAX), Release);
}

/// # Errors
/// If the block is a root's value.
#[inline]
pub(super) fn refuse(block: *mut u8) -> Result<(), Failure> {
    let count = COUNT.load(Acquire);
    let is_value = VALUES[..count].iter().any(|value| value.load(Relaxed) == block.addr());
    if is_value { Err(refusal(block)) } else { Ok(()) }
}

#[cold]
fn refusal(block: *mut u8) -> Failure {
    Failure::new(
        Code::BadBlock,
        format_args!(
            "{block:p} is the value of a root, without which the heap could not be opened again: \
             call stillheap_root_remove first, or give the root another value"
        ),
    )
}
