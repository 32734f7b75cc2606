//! What a heap tells its user besides results: events, and why a snapshot failed.

use crate::runtime::{StillInfo, Swept};
use crate::snapshot::Compacted;
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
    /// What earlier runs had left behind has been found and freed, in the background.
    Swept(Swept),
    /// It could not be. It stays, and the next run tries again.
    SweepFailed {
        /// Why.
        reason: String,
    },
    /// Segments have been merged into one, in the background.
    Compacted(Compacted),
    /// Segments could not be merged. All snapshots are as they were, and it is tried again.
    CompactionFailed {
        /// Why.
        reason: String,
    },
    /// A snapshot in the directory is damaged; the one that this process works on is not.
    SnapshotDamaged {
        /// Its number.
        number: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The snapshot that was mapped before it was verified is damaged. The process ends when the
    /// callback returns, and the next opening restores an older snapshot.
    Damaged {
        /// Its number.
        number: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// The system gives no huge pages, so that freezes take longer: some microseconds for each
    /// MiB that was written since the last one.
    SlowFreezes {
        /// Why it gives none.
        reason: String,
    },
}

impl Event {
    /// Whether a person should see it even if the program handles no events.
    pub(super) fn is_serious(&self) -> bool {
        !matches!(self, Self::Durable(_) | Self::Compacted(_) | Self::Swept(_))
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
            Self::Swept(swept) => {
                let (freed, kept) = (swept.freed.all(), swept.kept.all());
                write!(
                    f,
                    "{} blocks ({} bytes) that earlier runs had left behind were freed, {} kept",
                    freed.blocks, freed.bytes, kept.blocks
                )
            }
            Self::SweepFailed { reason } => {
                write!(f, "what earlier runs had left behind could not be freed: {reason}")
            }
            Self::Compacted(merged) => {
                write!(f, "{} segments became one of {} pages", merged.segments, merged.pages)
            }
            Self::CompactionFailed { reason } => f.write_str(reason),
            Self::SnapshotDamaged { number, reason } => {
                write!(f, "snapshot {number} is damaged: {reason}")
            }
            Self::Damaged { number, reason } => {
                write!(f, "snapshot {number}, which this process works on, is damaged: {reason}")
            }
            Self::SlowFreezes { reason } => {
                write!(f, "freezes will take some microseconds for each MiB written: {reason}")
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
        "a snapshot cannot be taken from inside `read`, `write`, `share` or a scope: it might wait \
         for that to end. Take it afterwards, or set a trigger in Options"
    )]
    InsideScope,
    /// An event's callback asked for it.
    #[error(
        "a snapshot cannot be waited for in an event's callback, which runs on the thread that \
         takes them: set a trigger in Options, or ask another thread"
    )]
    OnSnapshotThread,
    /// The heap has been closed.
    #[error("the heap is closed, so no more snapshots are taken")]
    Closed,
    /// This process is a fork of the one that opened the heap.
    #[error("this process is a fork of the one that opened the heap, which alone takes snapshots")]
    Forked,
    /// A panic has left a root half changed.
    #[error(
        "the root `{root}` is poisoned: a panic inside `write` may have left it half changed. \
         The last good snapshot stays; repair the value with `write_poisoned`, or restart"
    )]
    Poisoned {
        /// The root's name.
        root: Arc<str>,
    },
    /// The program could not be frozen.
    #[error("no snapshot could be taken: {reason}. The older snapshots are untouched")]
    Freeze {
        /// What failed.
        reason: String,
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

    /// What has failed.
    #[cfg(feature = "capi")]
    pub(super) fn failure(&self) -> &SnapshotFailure {
        &self.0
    }

    /// Whether the snapshot thread has reported it as an event.
    pub(super) fn has_been_told(&self) -> bool {
        !matches!(
            *self.0,
            SnapshotFailure::InsideScope
                | SnapshotFailure::OnSnapshotThread
                | SnapshotFailure::ThreadGone
        )
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
