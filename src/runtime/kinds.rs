//! What kind of failure an error is: for callers that get a number in place of a type.

use crate::heap::AdoptError;
use crate::image::{ChooseError, InspectError, ManifestError, Mismatch, SegmentError, WriteError};
use crate::os::LockError;
use crate::runtime::OpenError;
use crate::runtime::directory::{Refused, StoreFailure};
use crate::runtime::events::{SnapshotError, SnapshotFailure};
use crate::runtime::look::Unread;
use crate::snapshot::{CompactError, PlaceError, RevertError, StoreError, VerifyError};

/// A kind of failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum FailureKind {
    /// It cannot be meant so.
    Invalid,
    /// The address range cannot be had.
    NoRange,
    /// It cannot be done inside a scope.
    InsideScope,
    /// It cannot be done in an event's callback.
    InCallback,
    /// A heap is open already, or has been.
    AlreadyOpen,
    /// The heap has been closed.
    Closed,
    /// Another process has the heap.
    Locked,
    /// There is no such heap or snapshot, or it is no heap.
    Missing,
    /// It is damaged.
    Damaged,
    /// It is sound, and not for this program.
    Unsuited,
    /// Memory of this process lies where the heap's has to be.
    Collision,
    /// This process is a fork of the one that has the heap open.
    Forked,
    /// The system refused: input, output, memory, threads.
    System,
}

impl OpenError {
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::Unavailable { .. } => FailureKind::NoRange,
            // Nobody else than this process's allocator can be the one that is not installed.
            Self::NotInstalled | Self::AlreadyOpen { .. } | Self::UnderWay => {
                FailureKind::AlreadyOpen
            }
            Self::InsideScope => FailureKind::InsideScope,
            Self::Signal { .. } => FailureKind::Invalid,
            Self::Directory { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                FailureKind::Missing
            }
            Self::Directory { .. } | Self::System(_) | Self::Unfinished { .. } => {
                FailureKind::System
            }
            Self::Lock(LockError::Held { .. }) => FailureKind::Locked,
            Self::Lock(_) => FailureKind::System,
            Self::Store(StoreError::Choose(error)) => of_choice(error),
            Self::Store(StoreError::Create(_)) => FailureKind::System,
            Self::Store(StoreError::Missing { .. }) => FailureKind::Missing,
            Self::Place(PlaceError::Damage(error)) => of_segment(error),
            Self::Place(PlaceError::Misplaced { .. }) => FailureKind::Damaged,
            Self::Place(PlaceError::Memory(_)) => FailureKind::System,
            Self::Collision { .. } => FailureKind::Collision,
            Self::Image { source: AdoptError::Damage(_), .. } => FailureKind::Damaged,
            Self::Image { .. } => FailureKind::System,
        }
    }
}

impl SnapshotError {
    pub(crate) fn kind(&self) -> FailureKind {
        match self.failure() {
            SnapshotFailure::InsideScope => FailureKind::InsideScope,
            SnapshotFailure::OnSnapshotThread => FailureKind::InCallback,
            SnapshotFailure::Closed => FailureKind::Closed,
            SnapshotFailure::Forked => FailureKind::Forked,
            SnapshotFailure::Poisoned { .. }
            | SnapshotFailure::Freeze { .. }
            | SnapshotFailure::Write { .. }
            | SnapshotFailure::ThreadGone => FailureKind::System,
        }
    }
}

impl StoreFailure {
    pub(crate) fn kind(&self) -> FailureKind {
        let cause = self.cause();
        if let Some(refused) = cause.downcast_ref::<Refused>() {
            return match refused {
                Refused::Forked => FailureKind::Forked,
                Refused::Inside => FailureKind::InsideScope,
            };
        }
        if let Some(Unread::Segment(error)) = cause.downcast_ref::<Unread>() {
            return of_segment(error);
        }
        match (cause.downcast_ref::<RevertError>(), cause.downcast_ref::<CompactError>()) {
            (Some(RevertError::Choose(error)), _) => of_choice(error),
            (_, Some(CompactError::Damage(error))) => of_segment(error),
            (_, Some(CompactError::Write(WriteError::Source(error)))) => of_segment(error),
            _ => FailureKind::System,
        }
    }
}

/// What kind of failure it is that a snapshot is not verified.
pub(crate) fn of_verification(error: &VerifyError) -> FailureKind {
    match error {
        VerifyError::Choose(error) => of_choice(error),
        VerifyError::Damage(error) => of_segment(error),
    }
}

fn of_choice(error: &ChooseError) -> FailureKind {
    match error {
        ChooseError::Inspect(InspectError::Io { .. }) => FailureKind::System,
        ChooseError::Inspect(InspectError::NotAHeap { .. }) => FailureKind::Missing,
        ChooseError::Inspect(InspectError::ManifestLost { .. }) => FailureKind::Damaged,
        ChooseError::Manifest { source, .. } => of_manifest(source),
        ChooseError::Mismatch { source, .. } => of_mismatch(source),
        ChooseError::NoneSound { .. } => FailureKind::Damaged,
        ChooseError::Unread { .. } => FailureKind::System,
        ChooseError::NoSuch { .. } => FailureKind::Missing,
    }
}

fn of_manifest(error: &ManifestError) -> FailureKind {
    match error {
        ManifestError::Io { .. } => FailureKind::System,
        ManifestError::Checksum { .. } | ManifestError::Defect(_) => FailureKind::Damaged,
        ManifestError::Mismatch(mismatch) => of_mismatch(mismatch),
    }
}

fn of_mismatch(mismatch: &Mismatch) -> FailureKind {
    match mismatch {
        // A heap's file in another heap's directory is no matter of the program.
        Mismatch::OtherHeap { .. } => FailureKind::Damaged,
        _ => FailureKind::Unsuited,
    }
}

fn of_segment(error: &SegmentError) -> FailureKind {
    match error {
        unread if unread.is_unread() => FailureKind::System,
        SegmentError::Mismatch { mismatch, .. } => of_mismatch(mismatch),
        SegmentError::Frame { reason, .. } if reason.starts_with("this build") => {
            FailureKind::Unsuited
        }
        _ => FailureKind::Damaged,
    }
}
