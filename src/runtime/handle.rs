//! An open heap, as its user holds it.

use crate::heap::Damage;
use crate::image::Chain;
use crate::os::DiskFile;
use crate::runtime::directory::{Directory, Refused, StoreFailure};
use crate::runtime::events::SnapshotFailure;
use crate::runtime::keeper::{Keeper, tell};
use crate::runtime::options::EventCallback;
use crate::runtime::process::Process;
use crate::runtime::thread::{self, ThreadState};
use crate::runtime::upkeep::Upkeep;
use crate::runtime::upper::Upper;
use crate::runtime::{Event, SnapshotError, SnapshotInfo, Stats, Still, StillInfo};
use crate::snapshot::{Compacted, VerifyError};
use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// An open heap. Dropping it closes the heap, as [`Heap::close`] does.
pub struct Heap {
    pub(crate) process: &'static Process,
    keeper: Keeper,
    upkeep: Upkeep,
    directory: Arc<Directory>,
    restored: Option<Restored>,
    upper: Upper,
    on_event: Option<EventCallback>,
}

/// The snapshot that an opening restored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    /// The snapshot's number.
    pub number: u64,
    /// When it was taken.
    pub frozen_at: SystemTime,
    /// Operations that the heap had seen by then, over all its runs.
    pub operations: u64,
    /// Pages that were saved for it.
    pub pages: u64,
    /// Bytes that were written for it.
    pub bytes: u64,
    /// How long opening took, verification included.
    pub elapsed: Duration,
    /// Newer snapshots that are damaged and were passed over, newest first.
    pub skipped: Vec<SkippedSnapshot>,
}

/// A damaged snapshot that was passed over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SkippedSnapshot {
    /// Its number.
    pub number: u64,
    /// What is wrong with it.
    pub reason: String,
}

impl Heap {
    pub(super) fn new(
        process: &'static Process,
        (keeper, upkeep): (Keeper, Upkeep),
        directory: Arc<Directory>,
        restored: Option<Restored>,
        on_event: Option<EventCallback>,
    ) -> Self {
        Self { process, keeper, upkeep, directory, restored, upper: Upper::default(), on_event }
    }

    /// What was restored; `None` if the heap had no snapshot.
    #[must_use]
    pub fn restored(&self) -> Option<&Restored> {
        self.restored.as_ref()
    }

    /// Takes a snapshot: waits for its freeze, not for the disk. All operations that have
    /// ended are in it. Before the freeze the system is asked for memory for copies, for at most a
    /// tenth of a second; writers do not wait for that.
    ///
    /// It waits for other threads' scopes to end: so the calling thread must hold no lock that
    /// such a scope may want.
    ///
    /// # Errors
    /// If none can be taken: inside a scope or while a root is held, in an event's callback,
    /// after a panic inside `write`, after closing, or if its file cannot be written.
    pub fn snapshot(&self) -> Result<Still, SnapshotError> {
        if thread::with(ThreadState::is_inside) {
            return Err(SnapshotFailure::InsideScope.into());
        }
        self.process.opened.check_state()?;
        self.keeper.requests.snapshot()
    }

    /// The durable snapshots that this run has made, oldest first; at most the last 1,024.
    #[must_use]
    pub fn taken(&self) -> Vec<StillInfo> {
        self.keeper.requests.durable()
    }

    /// The snapshots that the heap's directory has, oldest first.
    #[must_use]
    pub fn snapshots(&self) -> Vec<SnapshotInfo> {
        self.directory.store.snapshots().iter().map(SnapshotInfo::of).collect()
    }

    /// Reads and verifies every page of a snapshot in the directory. Gives how many pages it has
    /// saved. Other threads go on meanwhile.
    ///
    /// # Errors
    /// If there is no such snapshot, or it is damaged: which file, where, and how.
    pub fn verify(&self, snapshot: u64) -> Result<u64, VerifyError> {
        let verified = self.directory.store.verify(snapshot, &|_| true)?;
        Ok(verified.map_or(0, |report| report.pages))
    }

    /// Merges the newest snapshot's files into one, now. This happens by itself, in the background,
    /// when it is worth it; to do it by hand makes the next opening fast.
    ///
    /// # Errors
    /// If the files cannot be read or written; all snapshots are then as they were.
    pub fn compact(&self) -> Result<Option<Compacted>, StoreFailure> {
        if self.process.opened.is_forked() {
            return Err(Refused::Forked.into());
        }
        self.directory.change(|store| {
            let merged = store.compact_fully(&|_| true);
            store.prune();
            merged
        })
    }

    /// Closes the heap without a last snapshot, and makes an older snapshot the one that is opened
    /// next. Those after it are set aside: they stay in the directory, and can be opened by number
    /// ([`Options::open_at`](crate::Options::open_at)), until as many newer ones have been made as
    /// are kept. A running process cannot be put back itself: its threads hold on to the present.
    ///
    /// # Errors
    /// If there is no such snapshot, or the change cannot be made durable; or inside a scope, while
    /// a root is held, or in an event's callback. The heap is closed all the same.
    pub fn revert(mut self, snapshot: u64) -> Result<(), StoreFailure> {
        let refused = match self.process.opened.is_forked() {
            true => Some(Refused::Forked),
            false => self.why_not_wait().map(|_| Refused::Inside),
        };
        if let Some(refused) = refused {
            // Its threads are given up, without a word.
            let _ = self.shut();
            return Err(refused.into());
        }
        self.keeper.end_unsaved();
        self.upkeep.end();
        self.directory.change(|store| store.revert(snapshot))
    }

    /// Takes a last snapshot, unless nothing can have changed since the last one, and ends
    /// the snapshot thread. Gives what the last snapshot of this run was like, if there is
    /// one. The memory stays usable, as an ordinary heap; changes after this are not saved.
    ///
    /// # Errors
    /// If the last snapshot failed, or none can be waited for: inside a scope, while a root is
    /// held, or in an event's callback. The heap is closed all the same, without a last
    /// snapshot; the older ones are untouched.
    pub fn close(mut self) -> Result<Option<StillInfo>, SnapshotError> {
        self.empty_quarantine();
        self.shut()
    }

    /// What is in quarantine would be saved.
    fn empty_quarantine(&self) {
        if let Some(defence) = &self.process.defence {
            defence.empty(self.process);
        }
    }

    /// What the heap holds and has done. Walks the allocator's tables, microseconds for each MiB
    /// in use, and reads what the kernel says of the process's memory.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats::of(self.process, self.keeper.requests.last())
    }

    /// Whether frozen pages are being saved at this moment.
    #[must_use]
    pub fn is_saving(&self) -> bool {
        self.process.heap.arena().cow().is_window_open()
    }

    /// Checks the allocator's tables against each other, with the gate closed: every scope and
    /// allocator call of the process waits, some microseconds for each MiB in use.
    ///
    /// # Errors
    /// The first contradiction found. It means that something has written into the
    /// allocator's tables: the process should end, and start again from the last snapshot.
    ///
    /// # Panics
    /// If called inside a scope, or while a root is held.
    pub fn validate(&self) -> Result<(), Damage> {
        let inside = thread::with(ThreadState::is_inside);
        assert!(!inside, "stillheap: `validate` would wait for the scope that it is in");
        let process = self.process;
        let _closed = process.gate.close(|| process.heap.passes());
        process.heap.validate()
    }

    /// Calls `f` with what the layer above keeps, under a lock; it is made at the first call.
    pub(crate) fn with_upper<S, R>(&self, f: impl FnOnce(&mut S) -> R) -> R
    where
        S: Default + Any + Send,
    {
        self.upper.with(f)
    }

    /// The files of the newest snapshot, and its number.
    pub(super) fn newest_files(&self) -> Option<(u64, Chain<DiskFile>)> {
        self.directory.store.newest()
    }

    /// All addresses that memory of this heap can have.
    pub(crate) fn arena_addresses(&self) -> Range<u64> {
        self.process.arena_addresses()
    }

    /// Why the heap's threads cannot be waited for: they may be waiting for the calling thread, or
    /// be that.
    fn why_not_wait(&self) -> Option<SnapshotFailure> {
        if thread::with(ThreadState::is_inside) {
            return Some(SnapshotFailure::InsideScope);
        }
        let is_own = self.keeper.requests.is_own_thread() || self.upkeep.is_own_thread();
        is_own.then_some(SnapshotFailure::OnSnapshotThread)
    }

    fn shut(&mut self) -> Result<Option<StillInfo>, SnapshotError> {
        if self.process.opened.is_forked() {
            // The thread is the parent's, and so is the directory.
            self.keeper.forget();
            self.upkeep.forget();
            return Ok(None);
        }
        let Some(failure) = self.why_not_wait() else {
            let last = self.keeper.close();
            self.upkeep.end();
            return last.transpose();
        };
        self.keeper.abandon();
        self.upkeep.abandon();
        Err(failure.into())
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        if self.keeper.is_open()
            && let Err(error) = self.shut()
            && !error.has_been_told()
        {
            tell(self.on_event.as_ref(), &Event::SnapshotFailed(error));
        }
    }
}

impl fmt::Debug for Heap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heap").field("restored", &self.restored).finish_non_exhaustive()
    }
}
