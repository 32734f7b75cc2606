//! The snapshot thread: takes the freezes, saves, commits, and tells who waits.
//!
//! The thread allocates from the system alone, for it closes the gate; user code that it calls
//! (events) runs after the gate is open again, and with the heap's memory. It owns the
//! directory's lock, so that nobody else opens the heap while it may still write.
#![allow(unsafe_code, reason = "the snapshot thread's memory is transient")]

use crate::os::{DirLock, DiskDir, DiskFile};
use crate::runtime::events::SnapshotFailure;
use crate::runtime::options::EventCallback;
use crate::runtime::process::Process;
use crate::runtime::requests::{Ending, Requests};
use crate::runtime::scope::{not_transient, transient};
use crate::runtime::still::{Outcome, StillInfo};
use crate::runtime::{Event, SnapshotError};
use crate::snapshot::{Draft, SaveError, Store};
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// The snapshot thread as its heap holds it.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) requests: Arc<Requests>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread. `saved_changes` is what [`Opened::changes`] says of the heap as the
    /// newest snapshot has it.
    ///
    /// [`Opened::changes`]: super::opened::Opened::changes
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(
        process: &'static Process,
        store: Store<DiskDir>,
        lock: DirLock,
        on_event: Option<EventCallback>,
        saved_changes: Option<u64>,
    ) -> std::io::Result<Self> {
        let start = || {
            let requests = Arc::new(Requests::default());
            let worker = Worker {
                process,
                store,
                on_event,
                requests: Arc::clone(&requests),
                saved_changes,
                last_poisoned: false,
                _lock: lock,
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

    /// Has the thread end without a last snapshot, and does not wait for that: it may be
    /// waiting for the calling thread.
    pub(super) fn abandon(&mut self) {
        if self.thread.take().is_some() {
            self.requests.end(Ending::Unsaved);
        }
    }
}

/// The thread's own side.
struct Worker {
    process: &'static Process,
    store: Store<DiskDir>,
    on_event: Option<EventCallback>,
    requests: Arc<Requests>,
    /// What [`Opened::changes`](super::opened::Opened::changes) said at the last durable
    /// snapshot's freeze.
    saved_changes: Option<u64>,
    /// The last attempt failed because a root is poisoned: to be said once.
    last_poisoned: bool,
    /// Dropped last.
    _lock: DirLock,
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

/// A freeze whose pages are written.
struct Frozen {
    draft: Draft<DiskFile>,
    changes: Option<u64>,
    pause: Duration,
    drain: Duration,
    opened_at: Instant,
    frozen_at: SystemTime,
}

impl Worker {
    fn run(mut self) {
        let _end = EndOnDrop(Arc::clone(&self.requests));
        self.requests.begin();
        let mut answered = 0;
        loop {
            let (asked, ending) = self.requests.next();
            if ending == Some(Ending::Unsaved) {
                return;
            }
            if asked > answered || self.has_changes() {
                self.serve(asked);
                answered = asked;
            }
            if ending.is_some() {
                return;
            }
        }
    }

    /// Whether the newest snapshot may differ from the heap as it is now.
    fn has_changes(&self) -> bool {
        let now = self.process.opened.changes();
        now.is_none() || now != self.saved_changes
    }

    /// Takes a snapshot that answers all requests up to `asked`.
    fn serve(&mut self, asked: u64) {
        let number = self.store.next_snapshot();
        let told = ToldOnDrop(Arc::default());
        let frozen = self.freeze(number);
        let answer = match &frozen {
            Ok(_) => Ok((number, Arc::clone(&told.0))),
            Err(error) => Err(error.clone()),
        };
        self.requests.answer(asked, answer);
        let result = frozen.and_then(|frozen| self.commit(frozen));
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
    }

    /// Closes the gate, writes the pages, opens it again.
    fn freeze(&mut self, number: u64) -> Result<Frozen, SnapshotError> {
        let process = self.process;
        process.opened.check_state()?;
        let closed = process.gate.close(|| process.heap.passes());
        // Again: a panic may have poisoned a root while the gate was closing.
        process.opened.check_state()?;
        let frozen_at = SystemTime::now();
        let operations = process.opened.operations.load(Relaxed);
        let changes = process.opened.changes();
        let draft = self.store.draft(process.heap.arena(), nanoseconds(frozen_at), operations);
        let (pause, drain) = (closed.pause(), closed.drain());
        drop(closed);
        let draft = draft.map_err(|error| write_failure(number, &error))?;
        Ok(Frozen { draft, changes, pause, drain, opened_at: Instant::now(), frozen_at })
    }

    fn commit(&mut self, frozen: Frozen) -> Result<StillInfo, SnapshotError> {
        let Frozen { draft, changes, pause, drain, opened_at, frozen_at } = frozen;
        let number = self.store.next_snapshot();
        let record = self.store.commit(draft).map_err(|error| write_failure(number, &error))?;
        self.saved_changes = changes;
        Ok(StillInfo {
            number: record.number,
            pause,
            drain,
            saving: opened_at.elapsed(),
            pages: record.pages,
            bytes: record.bytes,
            operations: record.operations,
            frozen_at,
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
