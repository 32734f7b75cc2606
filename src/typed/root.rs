//! Typed roots: the values that a program finds again by name.
#![allow(unsafe_code, reason = "a root's value lies at an address that the root table holds")]

use crate::runtime::{Heap, RootHost, Scope};
use crate::typed::root_cell::{RootCell, SharedHold};
use crate::typed::root_open::Share;
use crate::typed::{Durable, RootError};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::ThreadId;

/// A durable value, found by name in every run of the program.
///
/// Cheap to clone; all clones mean the same value. Values that can be shared between threads
/// have roots that can be, too; others are opened by [`Heap::local_root`].
///
/// A root is a lock. Threads that hold several at once must take them in one order, as with all
/// locks, and for reading as well: a writer that waits keeps new readers out. In a fork's child a
/// root that another thread held stays held.
pub struct Root<T> {
    pub(super) cell: Arc<RootCell>,
    pub(super) host: RootHost,
    /// Neither `Send` nor `Sync` by itself: see below.
    pub(super) value: PhantomData<*mut T>,
}

// SAFETY: `write` gives one thread at a time a `&mut T`, which needs `Send`; `read` gives
// several a `&T`, which needs `Sync`.
unsafe impl<T: Send + Sync> Send for Root<T> {}
// SAFETY: as above; a root's own fields are shared freely.
unsafe impl<T: Send + Sync> Sync for Root<T> {}

/// A panic inside `write` or `share` has left the value half changed, perhaps.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the root `{name}` is poisoned: a panic while it was changed may have left it half changed; \
     repair it with `write_poisoned`, or restart to return to the last good snapshot"
)]
pub struct Poisoned {
    /// The root's name.
    pub name: String,
}

impl Heap {
    /// The root `name`, made with `T::default()` if the heap does not have it yet.
    ///
    /// # Errors
    /// See [`RootError`].
    pub fn root<T: Durable + Default + Send + Sync>(
        &self,
        name: &str,
    ) -> Result<Root<T>, RootError> {
        self.root_with(name, T::default)
    }

    /// The root `name`, made with `init` if the heap does not have it yet. `init` runs in a
    /// scope.
    ///
    /// # Errors
    /// See [`RootError`].
    pub fn root_with<T: Durable + Send + Sync>(
        &self,
        name: &str,
        init: impl FnOnce() -> T,
    ) -> Result<Root<T>, RootError> {
        self.open_root(name, Share::AllThreads, init)
    }

    /// As [`Heap::root_with`], for values that threads cannot share (with `Rc` or `Cell` in
    /// them). The thread that first opens such a root is the only one that can open and use
    /// any: they may share values with each other.
    ///
    /// # Errors
    /// See [`RootError`].
    pub fn local_root<T: Durable>(
        &self,
        name: &str,
        init: impl FnOnce() -> T,
    ) -> Result<Root<T>, RootError> {
        self.open_root(name, Share::ThisThread, init)
    }
}

impl<T: Durable> Root<T> {
    /// The root's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.cell.name
    }

    /// Changes the value. This is a scope and an operation: every snapshot holds all of the
    /// change or nothing of it. Other threads' reads and writes of this root wait.
    ///
    /// # Panics
    /// If `change` does: then the root is poisoned, and no snapshot is taken until it has been
    /// repaired. If it is poisoned. If the calling thread holds this root already.
    pub fn write<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        match self.try_write(change) {
            Ok(result) => result,
            Err(poisoned) => panic!("{poisoned}"),
        }
    }

    /// As [`Root::write`], but an error if the root is poisoned.
    ///
    /// # Errors
    /// [`Poisoned`], after a panic inside an earlier call.
    ///
    /// # Panics
    /// As `write`, but not for poisoning.
    pub fn try_write<R>(&self, change: impl FnOnce(&mut T) -> R) -> Result<R, Poisoned> {
        let (hold, scope) = self.enter(|| {
            let hold = self.cell.hold_exclusive();
            self.check().map(|()| hold)
        })?;
        let result = self.change(&scope, change);
        drop(scope);
        drop(hold);
        Ok(result)
    }

    /// Repairs a poisoned value. If `repair` returns, the root counts as sound again. Nothing
    /// happens if the root is not poisoned.
    ///
    /// # Panics
    /// If `repair` does; the root stays poisoned. If the calling thread holds this root already.
    pub fn write_poisoned<R>(&self, repair: impl FnOnce(&mut T) -> R) -> Option<R> {
        let poisoned = self.enter(|| {
            let hold = self.cell.hold_exclusive();
            self.check_thread();
            if self.cell.is_poisoned() { Ok(hold) } else { Err(()) }
        });
        let (_hold, scope) = poisoned.ok()?;
        let result = self.change(&scope, repair);
        self.cell.poisoned.store(false, Relaxed);
        self.host.clear_poison(&self.cell.name);
        Some(result)
    }

    /// Looks at the value. Other reads go on beside it; snapshots too, unless the value can
    /// change while it is read (it has cells or locks in it), in which case this is a scope.
    ///
    /// # Panics
    /// If the root is poisoned. If the calling thread is writing this root.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        let _hold = self.hold_shared().unwrap_or_else(|poisoned| panic!("{poisoned}"));
        if !self.cell.read_in_scope {
            return look(self.value());
        }
        let _scope = Scope::enter_unchanging();
        let poison = PoisonOnPanic(self);
        let result = look(self.value());
        std::mem::forget(poison);
        result
    }

    /// Changes the value through its own locks, cells and atomics, beside others that do so.
    /// This is a scope and an operation, as `write` is.
    ///
    /// # Panics
    /// As `write`.
    pub fn share<R>(&self, change: impl FnOnce(&T) -> R) -> R {
        let entered = self.enter(|| self.hold_shared());
        let (_hold, _scope) = entered.unwrap_or_else(|poisoned| panic!("{poisoned}"));
        let poison = PoisonOnPanic(self);
        let result = change(self.value());
        std::mem::forget(poison);
        result
    }

    /// Holds the root for reading, if it is sound.
    #[inline]
    fn hold_shared(&self) -> Result<SharedHold<'_>, Poisoned> {
        let hold = self.cell.hold_shared();
        self.check().map(|()| hold)
    }

    /// Holds the root by `hold`, and enters an operation's scope.
    ///
    /// Who would have to wait for a freeze gives the root back meanwhile, so that readers wait for
    /// none; and nobody waits for the root in such a scope, which the freeze would wait for.
    #[inline]
    fn enter<H, E>(&self, hold: impl Fn() -> Result<H, E>) -> Result<(H, Scope), E> {
        loop {
            let held = hold()?;
            if let Some(scope) = Scope::try_enter_operation() {
                return Ok((held, scope));
            }
            drop(held);
            Scope::wait_for_freeze();
        }
    }

    /// The root is held for writing, within a scope.
    fn change<R>(&self, _: &Scope, change: impl FnOnce(&mut T) -> R) -> R {
        let poison = PoisonOnPanic(self);
        let place: *mut T = std::ptr::with_exposed_provenance_mut(self.cell.value);
        // SAFETY: the value was checked when the root was opened; it is never freed, and the
        // hold keeps everybody else away from it.
        let result = change(unsafe { &mut *place });
        std::mem::forget(poison);
        result
    }

    /// The root is held.
    fn value(&self) -> &T {
        let place: *const T = std::ptr::with_exposed_provenance(self.cell.value);
        // SAFETY: as in `change`; the hold keeps writers away while the reference is used.
        unsafe { &*place }
    }

    fn check(&self) -> Result<(), Poisoned> {
        self.check_thread();
        match self.cell.is_poisoned() {
            true => Err(Poisoned { name: self.cell.name.clone() }),
            false => Ok(()),
        }
    }

    fn check_thread(&self) {
        let other = |thread: ThreadId| thread != std::thread::current().id();
        assert!(
            !self.cell.thread.is_some_and(other),
            "stillheap: the root `{}` belongs to another thread",
            self.cell.name
        );
    }
}

/// Dropped only when the user's code panics; its scope is still open then.
struct PoisonOnPanic<'a, T>(&'a Root<T>);

impl<T> Drop for PoisonOnPanic<'_, T> {
    fn drop(&mut self) {
        self.0.cell.poisoned.store(true, Relaxed);
        self.0.host.poison(&self.0.cell.name);
    }
}

impl<T> Clone for Root<T> {
    fn clone(&self) -> Self {
        Self { cell: Arc::clone(&self.cell), host: self.host, value: PhantomData }
    }
}

impl<T> fmt::Debug for Root<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root").field("name", &self.cell.name).finish_non_exhaustive()
    }
}
