//! The heap that is open through this interface, if one is.
//!
//! Whoever uses it has a handle of its own meanwhile, and holds no lock: a call may wait for a
//! freeze, which waits for other threads' scopes, in which there may be calls again. Closing waits
//! until all have given theirs back.

use crate::Heap;
use crate::ffi::failure::Failure;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

static OPEN: Mutex<Option<Arc<Heap>>> = Mutex::new(None);
/// A handle has been given back.
static RETURNED: Condvar = Condvar::new();

type Guard = MutexGuard<'static, Option<Arc<Heap>>>;

fn lock() -> Guard {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A handle, given back when it is dropped.
struct Handle(Option<Arc<Heap>>);

impl Drop for Handle {
    fn drop(&mut self) {
        let _open = lock();
        self.0 = None;
        RETURNED.notify_all();
    }
}

/// Calls `f` with the open heap.
pub(super) fn with<R>(f: impl FnOnce(&Heap) -> Result<R, Failure>) -> Result<R, Failure> {
    let handle = Handle(Some(lock().clone().ok_or_else(Failure::not_open)?));
    match &handle.0 {
        Some(heap) => f(heap),
        None => Err(Failure::not_open()),
    }
}

pub(super) fn is_open() -> bool {
    lock().is_some()
}

/// The process's heap has been opened here.
pub(super) fn put(heap: Heap) {
    *lock() = Some(Arc::new(heap));
}

/// Takes the heap out, once nobody uses it any more; nobody begins to from now on.
pub(super) fn take() -> Result<Heap, Failure> {
    let mut open = lock();
    let mut shared = open.take().ok_or_else(Failure::not_open)?;
    loop {
        match Arc::try_unwrap(shared) {
            Ok(heap) => return Ok(heap),
            Err(used) => shared = used,
        }
        open = RETURNED.wait(open).unwrap_or_else(PoisonError::into_inner);
    }
}
