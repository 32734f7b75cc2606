//! What interposed calls ask of the heap: whether the kernel may find memory write-protected.

use crate::runtime::process;
use crate::runtime::thread;

/// What a freeze can do to memory that the kernel is about to write to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::runtime::calls) enum Exposure {
    /// Nothing: it lies elsewhere.
    None,
    /// Nothing before the thread's scope ends; it may be protected now.
    Steady,
    /// It may be protected at any time.
    Exposed,
}

/// Whether any memory can be protected: there is a heap. It need not be open: a call that waits
/// now may wait still when it is, and the first freeze comes.
#[inline]
pub(in crate::runtime::calls) fn is_engaged() -> bool {
    process::get().is_some()
}

/// Whether any of `start..start + len` lies in the arena.
pub(in crate::runtime::calls) fn lies_in_arena(start: usize, len: usize) -> bool {
    let Some(process) = process::get() else { return false };
    let arena = process.heap.arena().addresses();
    len > 0 && start < arena.end && start.saturating_add(len) > arena.start
}

/// The exposure of `start..start + len`.
pub(in crate::runtime::calls) fn exposure(start: usize, len: usize) -> Exposure {
    if !lies_in_arena(start, len) {
        return Exposure::None;
    }
    // What is touched before the heap is open is not known to the guard yet.
    match thread::with(|state| state.scopes.get() > 0) && epoch() != 0 {
        true => Exposure::Steady,
        false => Exposure::Exposed,
    }
}

fn epoch() -> u64 {
    process::get().map_or(0, |process| process.heap.arena().cow().epoch_word())
}

/// Tells whether memory has been protected since it was made: only then is a call's failure, or its
/// giving less than it could, perhaps not the call's own.
pub(in crate::runtime::calls) struct Watch(u64);

impl Watch {
    /// To be made before the memory is touched.
    pub(in crate::runtime::calls) fn begin() -> Self {
        Self(closings())
    }

    pub(in crate::runtime::calls) fn is_disturbed(&self) -> bool {
        self.0 % 2 == 1 || closings() != self.0
    }
}

fn closings() -> u64 {
    process::get().map_or(0, |process| process.heap.arena().cow().closings())
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

/// Has `start..start + len` writable, as far as it is guarded memory of the heap's. Leaves `errno`
/// as it was: this comes between a call and whoever asks why it failed.
pub(in crate::runtime::calls) fn touch_range(start: usize, len: usize) {
    if !lies_in_arena(start, len) {
        return;
    }
    if let Some(process) = process::get() {
        process.heap.arena().cow().touch(start, len);
    }
}
