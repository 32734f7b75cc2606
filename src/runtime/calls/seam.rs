//! What interposed calls ask of the heap: whether the kernel may find memory write-protected.

use crate::runtime::process;
use crate::runtime::thread;

/// What a freeze can do to memory that the kernel is about to write to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Exposure {
    /// Nothing: it lies elsewhere, or no heap has been opened.
    None,
    /// Nothing before the thread's scope ends; it may be protected now.
    Steady,
    /// It may be protected at any time.
    Exposed,
}

/// Whether any memory can be protected: a heap has been opened.
#[inline]
pub(super) fn is_engaged() -> bool {
    process::get().is_some_and(|process| process.heap.arena().cow().epoch_word() != 0)
}

/// The exposure of `start..start + len`.
pub(super) fn exposure(start: usize, len: usize) -> Exposure {
    let Some(process) = process::get() else { return Exposure::None };
    let arena = process.heap.arena().addresses();
    if len == 0 || start >= arena.end || start.saturating_add(len) <= arena.start {
        return Exposure::None;
    }
    if process.heap.arena().cow().epoch_word() == 0 {
        return Exposure::None;
    }
    match thread::with(|state| state.scopes.get() > 0) {
        true => Exposure::Steady,
        false => Exposure::Exposed,
    }
}

/// Makes a buffer ready to be written to by a system call that this crate does not see: one made
/// without the C library, or `io_uring`.
///
/// Such a call finds memory that a snapshot has write-protected, and fails with `EFAULT`. After
/// `touch` it does not, until the next freeze; none comes before the calling thread's scope ends
/// (see [`Scope`](crate::Scope)), so enter one, touch, and call, if the call does not wait for
/// anything. Otherwise use memory that does not lie in the heap.
///
/// ```
/// let mut buffer = vec![0_u8; 4096];
/// let scope = stillheap::Scope::enter();
/// stillheap::touch(&mut buffer);
/// // a raw system call that fills the buffer
/// drop(scope);
/// ```
pub fn touch(buffer: &mut [u8]) {
    touch_range(buffer.as_ptr().addr(), buffer.len());
}

/// Has `start..start + len` writable, as far as it is guarded memory of the heap's.
pub(super) fn touch_range(start: usize, len: usize) {
    if let Some(process) = process::get() {
        process.heap.arena().cow().touch(start, len);
    }
}
