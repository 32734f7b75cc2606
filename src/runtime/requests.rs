//! Requests for snapshots, and what answers them: shared by the snapshot thread and everybody
//! else.
//!
//! ```text
//! asked --> frozen (answered with a number) --> durable
//!   \----------------\------------------------> failed
//! ```
//! Requests that arrive before a freeze are answered by it together.

use crate::cow::Bell;
use crate::runtime::SnapshotError;
use crate::runtime::events::SnapshotFailure;
use crate::runtime::still::{Outcome, Still, StillInfo};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

/// Answers kept for those who are slow to look.
const ANSWERS_KEPT: usize = 64;
/// Durable snapshots that a run remembers.
pub(super) const DURABLE_KEPT: usize = 1024;

/// What the snapshot thread shares with everybody else.
#[derive(Debug)]
pub(super) struct Requests {
    state: Mutex<State>,
    /// For those who wait for an answer.
    changed: Condvar,
    /// For the snapshot thread.
    bell: &'static Bell,
}

#[derive(Debug, Default)]
struct State {
    /// Requests so far.
    asked: u64,
    /// How many of them have been answered, and how: by a snapshot, or by a failure to freeze.
    answers: VecDeque<(u64, Answer)>,
    /// The durable snapshots of this run.
    durable: VecDeque<StillInfo>,
    /// What became of the last attempt.
    last: Option<Result<StillInfo, SnapshotError>>,
    thread: Option<ThreadId>,
    ending: Option<Ending>,
    ended: bool,
}

type Answer = Result<(u64, Arc<Outcome>), SnapshotError>;

/// How the snapshot thread is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// After a last snapshot.
    Saved,
    /// At once.
    Unsaved,
}

impl State {
    fn answered(&self) -> u64 {
        self.answers.back().map_or(0, |(upto, _)| *upto)
    }

    fn answer_to(&self, ticket: u64) -> Option<&Answer> {
        self.answers.iter().find(|(upto, _)| *upto >= ticket).map(|(_, answer)| answer)
    }
}

impl Requests {
    pub(super) fn new(bell: &'static Bell) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), bell }
    }

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

    /// Asks for a snapshot and waits for its freeze.
    pub(super) fn snapshot(&self) -> Result<Still, SnapshotError> {
        let mut state = self.lock();
        if state.ending.is_some() {
            return Err(SnapshotFailure::Closed.into());
        }
        if state.thread == Some(thread::current().id()) {
            return Err(SnapshotFailure::OnSnapshotThread.into());
        }
        state.asked += 1;
        let ticket = state.asked;
        self.bell.ring();
        let open = |state: &mut State| state.answered() < ticket && !state.ended;
        let state = self.wait_while(state, open);
        match state.answer_to(ticket) {
            Some(Ok((number, outcome))) => {
                Ok(Still { number: *number, outcome: Arc::clone(outcome) })
            }
            Some(Err(error)) => Err(error.clone()),
            None => Err(SnapshotFailure::ThreadGone.into()),
        }
    }

    /// The durable snapshots of this run, oldest first.
    pub(super) fn durable(&self) -> Vec<StillInfo> {
        // Room is made before the lock is taken: nothing waits at the gate while it holds it.
        let mut list = Vec::with_capacity(DURABLE_KEPT);
        list.extend(self.lock().durable.iter().copied());
        list
    }

    /// What became of the last attempt of this run.
    pub(super) fn last(&self) -> Option<Result<StillInfo, SnapshotError>> {
        self.lock().last.clone()
    }

    /// Whether the calling thread is the snapshot thread.
    pub(super) fn is_own_thread(&self) -> bool {
        self.lock().thread == Some(thread::current().id())
    }

    /// Has the snapshot thread end.
    pub(super) fn end(&self, ending: Ending) {
        self.lock().ending.get_or_insert(ending);
        self.bell.ring();
    }

    /// The snapshot thread begins.
    pub(super) fn begin(&self) {
        self.lock().thread = Some(thread::current().id());
    }

    /// The requests so far, and whether the snapshot thread is to end.
    pub(super) fn look(&self) -> (u64, Option<Ending>) {
        let state = self.lock();
        (state.asked, state.ending)
    }

    /// Answers all requests up to `upto`.
    pub(super) fn answer(&self, upto: u64, answer: Answer) {
        let mut state = self.lock();
        if state.answers.len() == ANSWERS_KEPT {
            state.answers.pop_front();
        }
        state.answers.push_back((upto, answer));
        drop(state);
        self.changed.notify_all();
    }

    /// Notes what became of an attempt.
    pub(super) fn finish(&self, result: &Result<StillInfo, SnapshotError>) {
        let mut state = self.lock();
        if let Ok(info) = result {
            if state.durable.len() == DURABLE_KEPT {
                state.durable.pop_front();
            }
            state.durable.push_back(*info);
        }
        state.last = Some(result.clone());
    }

    /// The snapshot thread has ended, however it did.
    pub(super) fn ended(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }
}
