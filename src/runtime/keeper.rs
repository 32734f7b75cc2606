//! The snapshot thread: takes the freezes, saves, commits, and tells who waits.
//!
//! ```text
//! asked --> frozen (gate closed, pages saved) --> durable
//!   \----------------\------------------------> failed
//! ```
//! Requests that arrive before a freeze are served by it together. The thread allocates from
//! the system alone, for it closes the gate; user code that it calls (events) runs after the
//! gate is open again, and with the heap's memory.
#![allow(unsafe_code, reason = "the snapshot thread's memory is transient")]

use crate::os::{DiskDir, DiskFile};
use crate::runtime::events::SnapshotFailure;
use crate::runtime::options::EventCallback;
use crate::runtime::process::Process;
use crate::runtime::scope::{not_transient, transient};
use crate::runtime::{Event, SnapshotError};
use crate::snapshot::{Draft, SaveError, Store};
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// Results kept for those who still wait.
const RESULTS_KEPT: usize = 1024;

/// What a durable snapshot was like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StillInfo {
    /// Its number in the heap.
    pub number: u64,
    /// How long allocator calls and new scopes had to wait. In this version it includes the
    /// writing of the pages.
    pub pause: Duration,
    /// How long the freeze waited, before the pause, for scopes to end.
    pub drain: Duration,
    /// From the end of the pause until everything was durable.
    pub saving: Duration,
    /// Pages saved.
    pub pages: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Operations that the heap had seen, over all its runs.
    pub operations: u64,
    /// When the freeze was.
    pub frozen_at: SystemTime,
}

/// A snapshot that has been taken: the heap's state at a moment, on its way to the disk.
#[derive(Clone, Debug)]
pub struct Still {
    number: u64,
    shared: Arc<Shared>,
}

impl Still {
    /// The snapshot's number in the heap.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Waits until the snapshot is durable: from then on it survives a power cut.
    ///
    /// # Errors
    /// If it could not be made so. What was durable before still is.
    pub fn wait_durable(&self) -> Result<StillInfo, SnapshotError> {
        let state = self.shared.lock();
        let done = |state: &mut State| state.result(self.number).is_none() && !state.ended;
        let state = self.shared.wait_while(state, done);
        match state.result(self.number) {
            Some(result) => result.clone(),
            None => Err(SnapshotFailure::ThreadGone.into()),
        }
    }
}

/// What the snapshot thread shares with everybody else.
#[derive(Debug, Default)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Requests so far.
    asked: u64,
    /// Requests that a freeze, or a failure to freeze, has answered.
    answered: u64,
    /// What the last freeze gave: a snapshot's number, or why there is none.
    last_freeze: Option<Result<u64, SnapshotError>>,
    results: VecDeque<(u64, Result<StillInfo, SnapshotError>)>,
    closing: bool,
    ended: bool,
}

impl State {
    fn result(&self, number: u64) -> Option<&Result<StillInfo, SnapshotError>> {
        self.results.iter().find(|(of, _)| *of == number).map(|(_, result)| result)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'a>(
        &self,
        state: MutexGuard<'a, State>,
        condition: impl FnMut(&mut State) -> bool,
    ) -> MutexGuard<'a, State> {
        self.changed.wait_while(state, condition).unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a snapshot without waiting for anything.
    pub(super) fn ring(&self) {
        self.lock().asked += 1;
        self.changed.notify_all();
    }

    /// Asks for a snapshot and waits for its freeze.
    pub(super) fn snapshot(self: &Arc<Self>) -> Result<Still, SnapshotError> {
        let mut state = self.lock();
        if state.closing || state.ended {
            return Err(SnapshotFailure::Closed.into());
        }
        state.asked += 1;
        let ticket = state.asked;
        self.changed.notify_all();
        let state = self.wait_while(state, |state| state.answered < ticket && !state.ended);
        match &state.last_freeze {
            Some(Ok(number)) if state.answered >= ticket => {
                Ok(Still { number: *number, shared: Arc::clone(self) })
            }
            Some(Err(error)) if state.answered >= ticket => Err(error.clone()),
            _ => Err(SnapshotFailure::ThreadGone.into()),
        }
    }

    /// The durable snapshots of this run, oldest first.
    pub(super) fn durable(&self) -> Vec<StillInfo> {
        self.lock().results.iter().filter_map(|(_, result)| result.clone().ok()).collect()
    }
}

/// The snapshot thread as its heap holds it.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(
        process: &'static Process,
        store: Store<DiskDir>,
        on_event: Option<EventCallback>,
        saved_changes: Option<u64>,
    ) -> std::io::Result<Self> {
        let start = || {
            let shared = Arc::new(Shared::default());
            let worker = Worker {
                process,
                store,
                on_event,
                shared: Arc::clone(&shared),
                answered: 0,
                saved_changes,
            };
            let thread = std::thread::Builder::new()
                .name("stillheap".to_owned())
                // SAFETY: what the thread allocates it keeps to itself; what others get of it
                // is copied, or opaque (see `SnapshotError`).
                .spawn(move || unsafe { transient(|| worker.run()) })?;
            Ok(Self { shared, thread: Some(thread) })
        };
        // SAFETY: what the thread is made of is reachable from its handle alone.
        unsafe { transient(start) }
    }

    /// Gives the thread up, in a fork, where it does not exist.
    pub(super) fn forget(&mut self) {
        std::mem::forget(self.thread.take());
    }

    /// Takes a last snapshot, if anything may have changed, and ends the thread. Gives that
    /// snapshot's result.
    pub(super) fn close(&mut self) -> Option<Result<StillInfo, SnapshotError>> {
        let thread = self.thread.take()?;
        self.shared.lock().closing = true;
        self.shared.changed.notify_all();
        let _ = thread.join();
        let state = self.shared.lock();
        match &state.last_freeze {
            Some(Ok(number)) => state.result(*number).cloned(),
            Some(Err(error)) => Some(Err(error.clone())),
            None => None,
        }
    }
}

/// The thread's own side.
struct Worker {
    process: &'static Process,
    store: Store<DiskDir>,
    on_event: Option<EventCallback>,
    shared: Arc<Shared>,
    /// Requests that have been served.
    answered: u64,
    /// What [`Opened::changes`](super::opened::Opened::changes) said at the last durable
    /// snapshot's freeze.
    saved_changes: Option<u64>,
}

/// Ends the shared state when the thread ends, however it does.
struct EndOnDrop(Arc<Shared>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_all();
    }
}

impl Worker {
    fn run(mut self) {
        let _end = EndOnDrop(Arc::clone(&self.shared));
        loop {
            let idle = |state: &mut State| state.asked == state.answered && !state.closing;
            let (asked, closing) = {
                let state = self.shared.wait_while(self.shared.lock(), idle);
                (state.asked, state.closing)
            };
            if asked > self.answered || self.has_changes() {
                self.serve(asked);
            }
            if closing {
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
        self.answered = asked;
        let number = self.store.next_snapshot();
        let frozen = self.freeze(number);
        {
            let mut state = self.shared.lock();
            state.answered = asked;
            state.last_freeze = Some(frozen.as_ref().map(|_| number).map_err(SnapshotError::clone));
        }
        self.shared.changed.notify_all();
        let result = frozen.and_then(|frozen| self.commit(frozen));
        let event = match &result {
            Ok(info) => Event::Durable(*info),
            Err(error) => Event::SnapshotFailed(error.clone()),
        };
        {
            let mut state = self.shared.lock();
            if state.results.len() == RESULTS_KEPT {
                state.results.pop_front();
            }
            state.results.push_back((number, result));
        }
        self.shared.changed.notify_all();
        tell(self.on_event.as_ref(), &event);
    }

    /// Closes the gate, writes the pages, opens it again.
    fn freeze(&mut self, number: u64) -> Result<Frozen, SnapshotError> {
        self.process.opened.check_state()?;
        let process = self.process;
        let closed = process.gate.close(|| process.heap.passes());
        // Again: a panic may have poisoned a root while the gate was closing.
        self.process.opened.check_state()?;
        let frozen_at = SystemTime::now();
        let operations = self.process.opened.operations.load(Relaxed);
        let changes = self.process.opened.changes();
        let draft = self.store.draft(self.process.heap.arena(), nanoseconds(frozen_at), operations);
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

/// A freeze whose pages are written.
struct Frozen {
    draft: Draft<DiskFile>,
    changes: Option<u64>,
    pause: Duration,
    drain: Duration,
    opened_at: Instant,
    frozen_at: SystemTime,
}

/// Calls the user's callback, or says what is serious on standard error.
pub(super) fn tell(on_event: Option<&EventCallback>, event: &Event) {
    match on_event {
        // User code must find the heap's memory: what it keeps may end up in a root.
        Some(callback) => not_transient(|| callback(event)),
        None if event.is_serious() => eprintln!("stillheap: {event}"),
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
