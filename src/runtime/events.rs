//! What a heap tells its user besides results: events, and why a snapshot failed.

use crate::runtime::StillInfo;
use std::fmt;
use std::sync::Arc;

/// Something worth knowing about a heap.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A snapshot has become durable.
    Durable(StillInfo),
    /// A snapshot failed; the older ones are untouched.
    SnapshotFailed(SnapshotError),
    /// A snapshot is damaged and was not restored.
    SnapshotSkipped {
        /// Its number.
        number: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The freeze has been tried so many times now, because scopes would not end. Not sent in
    /// this version: see [`Stats::freezes_retried`](crate::Stats::freezes_retried).
    FreezeDelayed {
        /// Attempts so far.
        attempts: u64,
    },
}

impl Event {
    /// Whether a person should see it even if the program handles no events.
    pub(super) fn is_serious(&self) -> bool {
        !matches!(self, Self::Durable(_) | Self::FreezeDelayed { .. })
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Durable(info) => write!(f, "snapshot {} is durable", info.number),
            Self::SnapshotFailed(error) => write!(f, "{error}"),
            Self::SnapshotSkipped { number, reason } => {
                write!(f, "snapshot {number} is damaged and was NOT restored: {reason}")
            }
            Self::FreezeDelayed { attempts } => {
                write!(f, "a snapshot waits for scopes to end ({attempts} attempts)")
            }
        }
    }
}

/// Why a snapshot was not taken or did not become durable. What was durable before still is.
///
/// Cheap to clone: all who wait for a snapshot get the same error.
#[derive(Clone, Debug)]
pub struct SnapshotError(Arc<SnapshotFailure>);

/// The kinds of [`SnapshotError`].
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotFailure {
    /// The calling thread is inside a scope.
    #[error(
        "a snapshot cannot be taken from inside `write`, `share` or a scope: it would wait for \
         that scope to end. Take it after the scope, or set a trigger in Options"
    )]
    InsideScope,
    /// The heap has been closed.
    #[error("the heap is closed, so no more snapshots are taken")]
    Closed,
    /// This process is a fork of the one that opened the heap.
    #[error("this process is a fork of the one that opened the heap, which alone takes snapshots")]
    Forked,
    /// A panic has left a root half changed.
    #[error(
        "the root `{root}` is poisoned: a panic inside `write` may have left it half changed. \
         The last good snapshot stays; repair the value and call `clear_poison`, or restart"
    )]
    Poisoned {
        /// The root's name.
        root: String,
    },
    /// Writing it failed.
    #[error("snapshot {number} could not be written: {reason}. The older snapshots are untouched")]
    Write {
        /// The snapshot's number.
        number: u64,
        /// What failed.
        reason: String,
    },
    /// The snapshot thread is gone.
    #[error("the snapshot thread has ended unexpectedly; the older snapshots are untouched")]
    ThreadGone,
}

impl SnapshotError {
    /// Whether a panic inside `write` stands in the way.
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        matches!(*self.0, SnapshotFailure::Poisoned { .. })
    }

    /// Whether the heap is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(*self.0, SnapshotFailure::Closed)
    }
}

impl From<SnapshotFailure> for SnapshotError {
    fn from(failure: SnapshotFailure) -> Self {
        Self(Arc::new(failure))
    }
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SnapshotError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}
