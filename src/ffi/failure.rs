//! Failures: a code and a text, and where each kind of error belongs.

use crate::ffi::codes::Code;
use crate::runtime::RootTableError;
use crate::runtime::blocks::BlockError;
use crate::runtime::kinds::{self, FailureKind};
use crate::typed::ForeignError;
use crate::{OpenError, SnapshotError, StoreFailure, VerifyError};
use std::fmt::Display;

/// Why a function has not done what it was asked to.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) text: String,
}

impl Failure {
    pub(super) fn new(code: Code, text: impl Display) -> Self {
        Self { code, text: text.to_string() }
    }

    pub(super) fn invalid(text: impl Display) -> Self {
        Self::new(Code::Invalid, text)
    }

    /// Nothing is open.
    pub(super) fn not_open() -> Self {
        Self::new(
            Code::NotOpen,
            "no heap is open: call stillheap_open first. (One that was closed, or that the Rust \
             side of the program has opened, is not open here)",
        )
    }

    /// A callback asks for what its caller would have to do.
    pub(super) fn in_callback() -> Self {
        Self::new(
            Code::InCallback,
            "this cannot be done in an event's callback, which runs on a thread that would have to \
             do it: have another thread do it",
        )
    }

    fn of_kind(kind: FailureKind, text: impl Display) -> Self {
        let code = match kind {
            FailureKind::Invalid => Code::Invalid,
            FailureKind::NoRange => Code::NoRange,
            FailureKind::InsideScope => Code::InScope,
            FailureKind::InCallback => Code::InCallback,
            FailureKind::AlreadyOpen => Code::AlreadyOpen,
            FailureKind::Closed => Code::NotOpen,
            FailureKind::Locked => Code::Locked,
            FailureKind::Missing => Code::NotFound,
            FailureKind::Damaged => Code::Damaged,
            FailureKind::Unsuited => Code::Unsuited,
            FailureKind::Collision => Code::Collision,
            FailureKind::Forked => Code::Forked,
            FailureKind::System => Code::System,
        };
        Self::new(code, text)
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match (error.kind(), &error) {
            (kind, OpenError::Unavailable { reason, occupants }) => Self::of_kind(
                kind,
                format_args!(
                    "the process has no durable heap: {reason}.{occupants} Free the range, or give \
                     another with stillheap_options_base (a heap opens at the address at which it \
                     was made)"
                ),
            ),
            (kind, error) => Self::of_kind(kind, error),
        }
    }
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Self {
        match error.kind() {
            FailureKind::System => Self::new(Code::Snapshot, error),
            kind => Self::of_kind(kind, error),
        }
    }
}

impl From<StoreFailure> for Failure {
    fn from(error: StoreFailure) -> Self {
        Self::of_kind(error.kind(), error)
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        Self::of_kind(kinds::of_verification(&error), error)
    }
}

impl From<BlockError> for Failure {
    fn from(error: BlockError) -> Self {
        let code = match error {
            BlockError::NotOpen => return Self::not_open(),
            BlockError::NoRoom { .. } => Code::NoMemory,
            BlockError::Bad { .. } | BlockError::Tracked { .. } | BlockError::Outside { .. } => {
                Code::BadBlock
            }
            BlockError::NoScope => Code::NoScope,
        };
        Self::new(code, error)
    }
}

impl From<ForeignError> for Failure {
    fn from(error: ForeignError) -> Self {
        let code = match error {
            ForeignError::Table(RootTableError::Full) => Code::TooManyRoots,
            ForeignError::Table(RootTableError::Name { .. }) => Code::Invalid,
            ForeignError::NotThere { .. } => Code::NotFound,
            ForeignError::Type { .. } | ForeignError::OfRust { .. } => Code::RootType,
            ForeignError::Damaged { .. } => Code::Damaged,
            ForeignError::Value { .. } => Code::BadBlock,
            ForeignError::Block(error) => return error.into(),
        };
        Self::new(code, error)
    }
}
