//! What a run of the program keeps for an opened root: its value's place, its lock, its state.
//!
//! A thread may hold a root several times for reading, or once for writing. What would wait
//! for itself (a write inside a read or write of the same root) is a panic that says so.

use crate::runtime::Holding;
use static_assertions::const_assert;
use std::any::TypeId;
use std::cell::Cell;
use std::num::NonZeroU32;
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

/// How a thread holds a root: once for writing, or so many times for reading. Of a size that one
/// store writes and one load reads: the load need not wait for the store.
#[derive(Clone, Copy)]
enum Hold {
    Exclusive,
    Shared(NonZeroU32),
}

const_assert!(size_of::<Hold>() == size_of::<u32>());

/// The roots that a thread holds, by their cells' addresses: without a destructor, so that it is
/// at hand as long as the thread is, and outside the heap.
struct HeldRoots {
    len: Cell<usize>,
    /// The first `len` count.
    cells: [Cell<usize>; ROOTS],
    /// How each of them is held.
    holds: [Cell<Hold>; ROOTS],
}

/// As many as there can be.
const ROOTS: usize = crate::runtime::ROOTS_MAX;

thread_local! {
    static HELD: HeldRoots = const {
        HeldRoots {
            len: Cell::new(0),
            cells: [const { Cell::new(0) }; ROOTS],
            holds: [const { Cell::new(Hold::Exclusive) }; ROOTS],
        }
    };
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
    #[inline]
    pub(super) fn hold_shared(&self) -> SharedHold<'_> {
        match self.held_by_this_thread() {
            None => {
                let guard = self.lock.read().unwrap_or_else(PoisonError::into_inner);
                SharedHold { _held: Held::shared(self), _guard: Some(guard) }
            }
            // Not once more: a writer that waits in between would be waited for.
            Some(Hold::Shared(_)) => SharedHold { _held: Held::shared(self), _guard: None },
            Some(Hold::Exclusive) => self.refuse("is being written by this very thread"),
        }
    }

    /// Holds the root for writing, once nobody else holds it.
    ///
    /// # Panics
    /// If the calling thread holds it already.
    #[inline]
    pub(super) fn hold_exclusive(&self) -> ExclusiveHold<'_> {
        if self.held_by_this_thread().is_some() {
            self.refuse("is held by this very thread, so writing it would wait forever");
        }
        let guard = self.lock.write().unwrap_or_else(PoisonError::into_inner);
        ExclusiveHold { _held: Held::exclusive(self), _guard: guard }
    }

    #[inline]
    pub(super) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Relaxed)
    }

    #[inline]
    fn held_by_this_thread(&self) -> Option<Hold> {
        let address = std::ptr::from_ref(self).addr();
        HELD.with(|held| held.find(address).map(|root| held.holds[root].get()))
    }

    #[cold]
    fn refuse(&self, why: &str) -> ! {
        panic!("stillheap: the root `{}` {why}: end the outer `read` or `write` first", self.name)
    }
}

impl HeldRoots {
    /// The root's place.
    #[inline]
    fn find(&self, cell: usize) -> Option<usize> {
        // The newest first: it is the one that ends first.
        (0..self.len.get()).rev().find(|root| self.cells[*root].get() == cell)
    }

    #[inline]
    fn add(&self, cell: usize, hold: Hold) {
        let len = self.len.get();
        self.cells[len].set(cell);
        self.holds[len].set(hold);
        self.len.set(len + 1);
    }

    /// Ends one hold of the root.
    #[inline]
    fn end(&self, cell: usize) {
        let Some(root) = self.find(cell) else { return };
        if let Hold::Shared(count) = self.holds[root].get()
            && let Some(rest) = NonZeroU32::new(count.get() - 1)
        {
            self.holds[root].set(Hold::Shared(rest));
            return;
        }
        let last = self.len.get() - 1;
        self.len.set(last);
        if root != last {
            self.cells[root].set(self.cells[last].get());
            self.holds[root].set(self.holds[last].get());
        }
    }
}

/// A hold's part in `HELD`, which ends with it.
struct Held {
    cell: usize,
    _holding: Holding,
}

impl Held {
    #[inline]
    fn exclusive(cell: &RootCell) -> Self {
        let cell = std::ptr::from_ref(cell).addr();
        HELD.with(|held| held.add(cell, Hold::Exclusive));
        Self { cell, _holding: Holding::begin() }
    }

    #[inline]
    fn shared(cell: &RootCell) -> Self {
        let cell = std::ptr::from_ref(cell).addr();
        HELD.with(|held| match held.find(cell) {
            None => held.add(cell, Hold::Shared(NonZeroU32::MIN)),
            Some(root) => {
                if let Hold::Shared(count) = held.holds[root].get() {
                    held.holds[root].set(Hold::Shared(count.saturating_add(1)));
                }
            }
        });
        Self { cell, _holding: Holding::begin() }
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        HELD.with(|held| held.end(self.cell));
    }
}
