//! The snapshot thread: takes the freezes, saves, commits, and tells who waits.
//!
//! The thread allocates from the system alone, for it closes the gate; user code that it calls
//! (events) runs after the gate is open again, and with the heap's memory. It shares the
//! directory, so that nobody else opens the heap while it may still write.
#![allow(unsafe_code, reason = "the snapshot thread's memory is transient")]

use crate::cow::Window;
use crate::runtime::directory::Directory;
use crate::runtime::events::SnapshotFailure;
use crate::runtime::options::EventCallback;
use crate::runtime::process::Process;
use crate::runtime::requests::{Ending, Requests};
use crate::runtime::scope::{not_transient, transient};
use crate::runtime::still::{Outcome, StillInfo};
use crate::runtime::take::{self, Frozen, Preparation};
use crate::runtime::upkeep::Calls;
use crate::runtime::{Event, Options, SnapshotError};
use crate::snapshot::SaveError;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// How often a heap in which nothing had changed is looked at again.
const IDLE_LOOK: Duration = Duration::from_millis(100);
/// How long the threshold of bytes does not ask again after an attempt that failed.
const RETRY: Duration = Duration::from_secs(1);

/// The snapshot thread as its heap holds it.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) requests: Arc<Requests>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread. `saved` tells of the newest snapshot, if there is one.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(
        process: &'static Process,
        directory: Arc<Directory>,
        upkeep: Arc<Calls>,
        options: &Options,
        saved: Option<SavedState>,
    ) -> std::io::Result<Self> {
        let start = || {
            let requests = Arc::new(Requests::new(process.heap.arena().cow().bell()));
            let worker = Worker {
                process,
                directory,
                upkeep,
                on_event: options.on_event.clone(),
                requests: Arc::clone(&requests),
                saved_changes: saved.and_then(|saved| saved.changes),
                preparation: Preparation::new(
                    options.stage_bytes,
                    saved.map_or(0, |saved| saved.bytes),
                ),
                every_bytes: options.snapshot_every_bytes,
                every: options.snapshot_every,
                begun: Instant::now(),
                last_failed: false,
                last_poisoned: false,
            };
            let thread = std::thread::Builder::new()
                .name("stillheap".to_owned())
                // SAFETY: what the thread allocates it keeps to itself; what others get of it
                // is copied, or opaque (see `SnapshotError`).
                .spawn(move || unsafe { transient(|| worker.run()) })?;
            Ok(Self { requests, thread: Some(thread) })
        };
        // SAFETY: what the thread is made of is reachable from its handle alone.
        unsafe { transient(start) }
    }

    /// Whether the thread has not been told to end.
    pub(super) fn is_open(&self) -> bool {
        self.thread.is_some()
    }

    /// Gives the thread up, in a fork, where it does not exist.
    pub(super) fn forget(&mut self) {
        std::mem::forget(self.thread.take());
    }

    /// Takes a last snapshot, if anything may have changed, and ends the thread. Gives what
    /// became of the last attempt of this run.
    pub(super) fn close(&mut self) -> Option<Result<StillInfo, SnapshotError>> {
        let thread = self.thread.take()?;
        self.requests.end(Ending::Saved);
        match thread.join() {
            Ok(()) => self.requests.last(),
            Err(_) => Some(Err(SnapshotFailure::ThreadGone.into())),
        }
    }

    /// Has the thread end without a last snapshot.
    pub(super) fn end_unsaved(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.requests.end(Ending::Unsaved);
            // It has told whoever waited; a panic in it loses nothing that was durable.
            let _ = thread.join();
        }
    }

    /// Has the thread end without a last snapshot, and does not wait for that: it may be
    /// waiting for the calling thread.
    pub(super) fn abandon(&mut self) {
        if self.thread.take().is_some() {
            self.requests.end(Ending::Unsaved);
        }
    }
}

/// The heap as its newest snapshot has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SavedState {
    /// What [`Seen::changes`](super::process::Seen::changes) says of it.
    pub(super) changes: Option<u64>,
    /// Bytes of its pages.
    pub(super) bytes: u64,
}

/// The thread's own side.
struct Worker {
    process: &'static Process,
    directory: Arc<Directory>,
    upkeep: Arc<Calls>,
    on_event: Option<EventCallback>,
    requests: Arc<Requests>,
    /// What [`Seen::changes`](super::process::Seen::changes) said at the last durable
    /// snapshot's freeze.
    saved_changes: Option<u64>,
    preparation: Preparation,
    /// Bytes dirtied between snapshots.
    every_bytes: Option<u64>,
    /// Time between snapshots.
    every: Option<Duration>,
    /// When the last snapshot was begun.
    begun: Instant,
    last_failed: bool,
    /// The last attempt failed because a root is poisoned: to be said once.
    last_poisoned: bool,
}

/// Ends the requests when the thread ends, however it does.
struct EndOnDrop(Arc<Requests>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.ended();
    }
}

/// Tells who waits for a snapshot that there is no thread any more, should it come to that.
struct ToldOnDrop(Arc<Outcome>);

impl Drop for ToldOnDrop {
    fn drop(&mut self) {
        self.0.tell(Err(SnapshotFailure::ThreadGone.into()));
    }
}

impl Worker {
    fn run(mut self) {
        let _end = EndOnDrop(Arc::clone(&self.requests));
        self.requests.begin();
        let bell = self.process.heap.arena().cow().bell();
        let mut answered = 0;
        loop {
            // In this order: who rings after the look is heard.
            let rung = bell.rung();
            let (asked, ending) = self.requests.look();
            if ending == Some(Ending::Unsaved) {
                return;
            }
            // Asked of both: one snapshot answers requests and triggers alike.
            let is_triggered = self.is_triggered();
            let is_due = asked > answered || is_triggered;
            if is_due || ending.is_some() && self.has_changes() {
                self.serve((asked > answered).then_some(asked));
                answered = asked;
            }
            match ending {
                Some(_) => return,
                None if is_due => {}
                None => bell.wait(rung, self.next_deadline()),
            }
        }
    }

    /// Whether a trigger asks for a snapshot.
    fn is_triggered(&self) -> bool {
        let wanted = self.process.opened.take_wanted();
        let may_retry = !self.last_failed || self.begun.elapsed() >= RETRY;
        let late = self.every.is_some_and(|every| self.begun.elapsed() >= every);
        wanted || (self.is_dirtied() && may_retry || late) && self.has_changes()
    }

    fn is_dirtied(&self) -> bool {
        let dirtied = self.process.heap.arena().cow().dirtied_bytes();
        self.every_bytes.is_some_and(|bytes| dirtied >= bytes)
    }

    /// How long there is nothing to do unless the bell rings.
    fn next_deadline(&self) -> Option<Duration> {
        let by_time = self.every.map(|every| {
            let left = every.saturating_sub(self.begun.elapsed());
            // Nothing had changed at the deadline: looks again later.
            if left.is_zero() { every.min(IDLE_LOOK) } else { left }
        });
        // A threshold that has been crossed does not ring again.
        let by_bytes = self.is_dirtied().then_some(IDLE_LOOK);
        by_time.into_iter().chain(by_bytes).min()
    }

    /// Whether the newest snapshot may differ from the heap as it is now.
    fn has_changes(&self) -> bool {
        let now = self.process.seen().changes;
        now.is_none() || now != self.saved_changes
    }

    /// Takes a snapshot that answers all requests up to `asked`, if there are any.
    fn serve(&mut self, asked: Option<u64>) {
        self.begun = Instant::now();
        let store = &self.directory.store;
        let number = store.next_snapshot();
        let told = ToldOnDrop(Arc::default());
        let saves = store.next_saves(self.process.heap.arena().cow().dirtied_bytes());
        let is_asked = asked.is_some();
        let frozen = take::freeze(self.process, &self.preparation, number, is_asked, saves);
        let answer = match &frozen {
            Ok(_) => Ok((number, Arc::clone(&told.0))),
            Err(error) => Err(error.clone()),
        };
        if let Some(asked) = asked {
            self.requests.answer(asked, answer);
        }
        let result = frozen.and_then(|frozen| {
            let result = self.save(frozen);
            self.process.heap.arena().cow().settle(result.is_ok());
            result
        });
        self.last_failed = result.is_err();
        self.requests.finish(&result);
        told.0.tell(result.clone());
        let poisoned = result.as_ref().is_err_and(SnapshotError::is_poisoned);
        if !(poisoned && self.last_poisoned) {
            let event = match result {
                Ok(info) => Event::Durable(info),
                Err(error) => Event::SnapshotFailed(error),
            };
            tell(self.on_event.as_ref(), &event);
        }
        self.last_poisoned = poisoned;
        self.upkeep.committed();
    }

    /// Saves the frozen pages, and makes them durable.
    fn save(&mut self, frozen: Frozen) -> Result<StillInfo, SnapshotError> {
        let number = frozen.number;
        let (frozen_at, operations) = (nanoseconds(frozen.frozen_at), frozen.operations);
        let heap = &self.process.heap;
        let (store, saves) = (&self.directory.store, frozen.saves);
        let draft =
            |window: &Window<'_>| store.draft(heap.arena(), window, frozen_at, operations, saves);
        let saved = take::save(heap, &mut self.preparation, frozen, draft);
        let mut saved = saved.map_err(|error| write_failure(number, &error))?;
        if let Some(uses) = self.process.opened.uses() {
            saved.draft.set_reads(&uses.by_chunk());
        }
        self.process.meter.add(&saved.info, saved.draft.counts.by_thread);
        let record = store.commit(saved.draft).map_err(|error| write_failure(number, &error))?;
        self.saved_changes = saved.changes;
        self.process.meter.add_bytes(record.bytes);
        Ok(StillInfo {
            saving: saved.opened_at.elapsed(),
            pages: record.pages,
            bytes: record.bytes,
            ..saved.info
        })
    }
}

/// Calls the user's callback, or says what is serious on standard error. A callback's panic
/// ends the callback only.
pub(super) fn tell(on_event: Option<&EventCallback>, event: &Event) {
    match on_event {
        Some(callback) => {
            // User code must find the heap's memory: what it keeps may end up in a root.
            let call = || not_transient(|| callback(event));
            let _ = catch_unwind(AssertUnwindSafe(call));
        }
        None if event.is_serious() => {
            // Nobody may be listening.
            let _ = writeln!(std::io::stderr(), "stillheap: {event}");
        }
        None => {}
    }
}

fn write_failure(number: u64, error: &SaveError) -> SnapshotError {
    SnapshotFailure::Write { number, reason: error.to_string() }.into()
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
