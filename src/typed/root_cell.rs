//! What a run of the program keeps for an opened root: its value's place, its lock, its state.
//!
//! A thread may hold a root several times for reading, or once for writing. What would wait
//! for itself (a write inside a read or write of the same root) is a panic that says so.

use crate::runtime::Holding;
use std::any::TypeId;
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::ThreadId;

/// A root as this run of the program knows it.
#[derive(Debug)]
pub(super) struct RootCell {
    pub(super) name: String,
    pub(super) kind: TypeId,
    /// Address of the value.
    pub(super) value: usize,
    /// Whether reading may change the value (it has cells or locks), so that it needs a scope.
    pub(super) read_in_scope: bool,
    /// The only thread that may use it; `None`: all may.
    pub(super) thread: Option<ThreadId>,
    lock: RwLock<()>,
    pub(super) poisoned: AtomicBool,
}

/// How a thread holds a root.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    Shared,
    Exclusive,
}

thread_local! {
    /// The roots that the thread holds, by their cells' addresses.
    static HELD: RefCell<Vec<(usize, Hold)>> = const { RefCell::new(Vec::new()) };
}

/// A root held for reading.
pub(super) struct SharedHold<'a> {
    _held: Held,
    /// `None`: the thread holds it already.
    _guard: Option<RwLockReadGuard<'a, ()>>,
}

/// A root held for writing.
pub(super) struct ExclusiveHold<'a> {
    _held: Held,
    _guard: RwLockWriteGuard<'a, ()>,
}

impl RootCell {
    pub(super) fn new(
        name: &str,
        kind: TypeId,
        value: usize,
        read_in_scope: bool,
        thread: Option<ThreadId>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            value,
            read_in_scope,
            thread,
            lock: RwLock::new(()),
            poisoned: AtomicBool::new(false),
        }
    }

    /// Holds the root for reading, once no other thread writes it.
    ///
    /// # Panics
    /// If the calling thread is writing it.
    pub(super) fn hold_shared(&self) -> SharedHold<'_> {
        match self.held_by_this_thread() {
            None => {
                let guard = self.lock.read().unwrap_or_else(PoisonError::into_inner);
                SharedHold { _held: Held::new(self, Hold::Shared), _guard: Some(guard) }
            }
            // Not once more: a writer that waits in between would be waited for.
            Some(Hold::Shared) => SharedHold { _held: Held::new(self, Hold::Shared), _guard: None },
            Some(Hold::Exclusive) => self.refuse("is being written by this very thread"),
        }
    }

    /// Holds the root for writing, once nobody else holds it.
    ///
    /// # Panics
    /// If the calling thread holds it already.
    pub(super) fn hold_exclusive(&self) -> ExclusiveHold<'_> {
        if self.held_by_this_thread().is_some() {
            self.refuse("is held by this very thread, so writing it would wait forever");
        }
        let guard = self.lock.write().unwrap_or_else(PoisonError::into_inner);
        ExclusiveHold { _held: Held::new(self, Hold::Exclusive), _guard: guard }
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Relaxed)
    }

    fn held_by_this_thread(&self) -> Option<Hold> {
        let address = std::ptr::from_ref(self).addr();
        // While the thread ends its list may be gone; then it holds nothing.
        let find = |held: &RefCell<Vec<(usize, Hold)>>| {
            held.borrow().iter().rev().find(|(cell, _)| *cell == address).map(|(_, hold)| *hold)
        };
        HELD.try_with(find).ok().flatten()
    }

    fn refuse(&self, why: &str) -> ! {
        panic!("stillheap: the root `{}` {why}: end the outer `read` or `write` first", self.name)
    }
}

/// The entry in `HELD`, removed when the hold ends.
struct Held {
    cell: usize,
    _holding: Holding,
}

impl Held {
    fn new(cell: &RootCell, hold: Hold) -> Self {
        let address = std::ptr::from_ref(cell).addr();
        let _ = HELD.try_with(|held| held.borrow_mut().push((address, hold)));
        Self { cell: address, _holding: Holding::begin() }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = HELD.try_with(|held| {
            let mut held = held.borrow_mut();
            if let Some(last) = held.iter().rposition(|(cell, _)| *cell == self.cell) {
                held.remove(last);
            }
        });
    }
}
