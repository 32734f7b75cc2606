//! What `open` sets up for the whole process: counters, triggers, and what stands in the way
//! of a snapshot.

use crate::cow::Bell;
use crate::runtime::events::SnapshotFailure;
use crate::runtime::uses::Uses;
use crate::runtime::{OpenError, Scope, SnapshotError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The process's part in the heap that it has opened.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// What the process has done about its heap. Nobody holds the lock while a heap is opened:
    /// callbacks run in that, and may try to open one.
    place: Mutex<Place>,
    /// Whether it is `Taken`, to be asked without the lock.
    is_taken: AtomicBool,
    /// Operations that the heap had seen before those that this run's threads count.
    operations_before: AtomicU64,
    /// Whether some root can change without a scope, through atomics.
    changes_unseen: AtomicBool,
    /// Operations between snapshots; 0: no such trigger.
    every: AtomicU64,
    /// Operations since the trigger was set.
    since_set: AtomicU64,
    /// At how many of them the next snapshot is due.
    due: AtomicU64,
    /// Snapshots that triggers have asked for, since the snapshot thread last looked.
    wanted: AtomicBool,
    /// Names of the roots that a panic has left half changed.
    poisoned: Mutex<Vec<Arc<str>>>,
    forked: AtomicBool,
    /// Which blocks are read. Not in the arena: `open` makes it transiently.
    uses: OnceLock<Box<Uses>>,
}

/// The process's one place for a heap.
#[derive(Debug, Default)]
enum Place {
    #[default]
    Free,
    /// One is being opened.
    Claimed,
    /// One has been, in this directory.
    Taken(PathBuf),
    /// One in this directory has been taken in, but not opened, for that reason.
    Spoiled(PathBuf, String),
}

/// The right to open a heap; once it is set, nobody else can.
#[derive(Debug)]
pub(super) struct Claim<'a>(&'a Opened);

impl Claim<'_> {
    pub(super) fn set(&mut self, path: &Path) {
        let path = path.to_owned();
        *lock(&self.0.place) = Place::Taken(path);
        self.0.is_taken.store(true, Release);
    }

    /// Opening has failed, when the process worked in main space already: it cannot take in another
    /// image, nor give memory of one that is not saved for such that is.
    pub(super) fn spoil(&mut self, path: &Path, source: &io::Error) -> OpenError {
        let (path, reason) = (path.to_owned(), source.to_string());
        self.0.is_taken.store(false, Release);
        *lock(&self.0.place) = Place::Spoiled(path.clone(), reason.clone());
        OpenError::Unfinished { path, reason }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut place = lock(&self.0.place);
        if matches!(*place, Place::Claimed) {
            *place = Place::Free;
        }
    }
}

impl Opened {
    /// Waits for nothing: who asks may be a callback for which an opening waits.
    ///
    /// # Errors
    /// If a heap is being opened, or has been.
    pub(super) fn claim(&self) -> Result<Claim<'_>, OpenError> {
        let mut place = lock(&self.place);
        match &*place {
            Place::Free => {
                *place = Place::Claimed;
                Ok(Claim(self))
            }
            Place::Claimed => Err(OpenError::UnderWay),
            Place::Taken(path) => Err(OpenError::AlreadyOpen { path: path.clone() }),
            Place::Spoiled(path, reason) => {
                Err(OpenError::Unfinished { path: path.clone(), reason: reason.clone() })
            }
        }
    }

    /// What was attached is so no longer: a heap may be opened.
    pub(super) fn release(&self) {
        self.is_taken.store(false, Release);
        *lock(&self.place) = Place::Free;
    }

    /// Whether a heap has been opened: it may have been closed since.
    #[cfg(feature = "capi")]
    pub(super) fn has_been(&self) -> bool {
        self.is_taken.load(std::sync::atomic::Ordering::Acquire)
    }

    pub(super) fn set_trigger(&self, every: Option<u64>) {
        let every = every.unwrap_or(0);
        self.every.store(every, Relaxed);
        self.due.store(self.since_set.load(Relaxed) + every, Relaxed);
    }

    /// Asks for a snapshot, fit for a signal handler; the bell has then to be rung.
    pub(super) fn want(&self) {
        self.wanted.store(true, Relaxed);
    }

    /// Whether a trigger has asked for a snapshot since the last look.
    pub(super) fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Relaxed)
    }

    /// An operation begins. Rings the bell if it is the one that a snapshot waits for.
    #[inline]
    pub(super) fn trigger(&self, bell: &Bell) {
        let every = self.every.load(Relaxed);
        if every > 0 {
            let operation = self.since_set.fetch_add(1, Relaxed) + 1;
            if operation >= self.due.load(Relaxed) {
                self.ring(operation + every, bell);
            }
        }
    }

    #[cold]
    fn ring(&self, next_due: u64, bell: &Bell) {
        let due = self.due.load(Relaxed);
        let first =
            due < next_due && self.due.compare_exchange(due, next_due, Relaxed, Relaxed).is_ok();
        if first && !self.is_forked() {
            self.want();
            bell.ring();
        }
    }

    /// Notes that an opened root can change without a scope.
    pub(crate) fn note_unseen_changes(&self) {
        self.changes_unseen.store(true, Relaxed);
    }

    /// Whether an opened root can.
    pub(super) fn can_change_unseen(&self) -> bool {
        self.changes_unseen.load(Relaxed)
    }

    /// A panic inside `write` may have left the root half changed.
    pub(crate) fn poison(&self, root: &str) {
        // In a scope, so that nobody waits at the gate while holding the lock: the thread that
        // closes the gate takes it too.
        let _scope = Scope::enter();
        let name = Arc::from(root);
        lock(&self.poisoned).push(name);
    }

    /// The root has been repaired.
    pub(crate) fn clear_poison(&self, root: &str) {
        let _scope = Scope::enter();
        lock(&self.poisoned).retain(|name| **name != *root);
    }

    /// From now on it is noted which blocks are read. What `make` gives must be transient.
    pub(super) fn begin_uses(&self, make: impl FnOnce() -> Box<Uses>) {
        self.uses.get_or_init(make);
    }

    /// Which blocks are read; `None` until a heap has been opened.
    pub(super) fn uses(&self) -> Option<&Uses> {
        self.uses.get().map(Box::as_ref)
    }

    pub(super) fn set_forked(&self, forked: bool) {
        self.forked.store(forked, Relaxed);
    }

    pub(super) fn is_forked(&self) -> bool {
        self.forked.load(Relaxed)
    }

    /// The heap has seen `before` operations, and threads have counted `counted` so far, which are
    /// none of its.
    pub(super) fn set_operations(&self, before: u64, counted: u64) {
        self.operations_before.store(before.wrapping_sub(counted), Relaxed);
    }

    /// Operations that the heap has seen over all its runs, when threads have counted `counted`.
    pub(super) fn operations(&self, counted: u64) -> u64 {
        self.operations_before.load(Relaxed).wrapping_add(counted)
    }

    /// Whether a snapshot may be taken.
    pub(super) fn check_state(&self) -> Result<(), SnapshotError> {
        if self.forked.load(Relaxed) {
            return Err(SnapshotFailure::Forked.into());
        }
        // Nothing is allocated under the lock: who waits at the gate must not hold it.
        let first = lock(&self.poisoned).first().cloned();
        match first {
            Some(root) => Err(SnapshotFailure::Poisoned { root }.into()),
            None => Ok(()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
