//! Why a command failed, as a message and an exit code.

use std::{fmt::Display, io, path::Path};
use stillheap::{
    image::{
        ChooseError, CommitError, ExportError, ImportError, InspectError, ManifestError, Mismatch,
        SegmentError, WriteError,
    },
    os::LockError,
    snapshot::{CompactError, RevertError, StoreError},
};

/// Something is damaged, or was lost.
pub(crate) const DAMAGED: u8 = 1;
/// The command cannot be meant so. (Also what the parser of arguments ends with.)
pub(crate) const USAGE: u8 = 2;
/// No heap, or no such snapshot or file.
pub(crate) const NOT_FOUND: u8 = 3;
/// Somebody else has the heap.
pub(crate) const LOCKED: u8 = 4;
/// The system refused: input, output, a full disk.
pub(crate) const SYSTEM: u8 = 5;
/// Sound, but not for this build.
pub(crate) const UNSUITED: u8 = 6;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Display) -> Self {
        Self { code, message: message.to_string() }
    }

    pub(crate) fn system(message: impl Display) -> Self {
        Self::new(SYSTEM, message)
    }

    /// The system refused something about a file.
    pub(crate) fn io(action: &str, path: &Path, error: &io::Error) -> Self {
        let code = if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { SYSTEM };
        Self::new(code, format!("cannot {action} {}: {error}", path.display()))
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "error": { "code": self.code, "message": self.message } })
    }
}

impl From<SegmentError> for Failure {
    fn from(error: SegmentError) -> Self {
        Self::new(code_of_segment(&error), error)
    }
}

/// A file that the manifest names and that is gone is damage as well.
pub(crate) fn code_of_segment(error: &SegmentError) -> u8 {
    match error {
        unread if unread.is_unread() => SYSTEM,
        SegmentError::Mismatch { mismatch, .. } => code_of_mismatch(mismatch),
        SegmentError::Frame { reason, .. } if reason.starts_with("this build") => UNSUITED,
        _ => DAMAGED,
    }
}

fn code_of_mismatch(mismatch: &Mismatch) -> u8 {
    // A heap's file in another heap's directory is no matter of the build.
    if matches!(mismatch, Mismatch::OtherHeap { .. }) { DAMAGED } else { UNSUITED }
}

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Self {
        let code = match &error {
            ManifestError::Io { .. } => SYSTEM,
            ManifestError::Checksum { .. } | ManifestError::Defect(_) => DAMAGED,
            ManifestError::Mismatch(mismatch) => code_of_mismatch(mismatch),
        };
        Self::new(code, error)
    }
}

impl From<InspectError> for Failure {
    fn from(error: InspectError) -> Self {
        let code = match &error {
            InspectError::Io { .. } => SYSTEM,
            InspectError::NotAHeap { .. } => NOT_FOUND,
            InspectError::ManifestLost { .. } => DAMAGED,
        };
        Self::new(code, error)
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        let code = match &error {
            WriteError::Compression { .. } => UNSUITED,
            WriteError::Source(source) => code_of_segment(source),
            _ => SYSTEM,
        };
        Self::new(code, error)
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        let code = if matches!(error, LockError::Held { .. }) { LOCKED } else { SYSTEM };
        Self::new(code, error)
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        Self::system(error)
    }
}

impl From<ChooseError> for Failure {
    fn from(error: ChooseError) -> Self {
        match error {
            ChooseError::Inspect(error) => error.into(),
            ChooseError::Manifest { source, path } => {
                let failure = Self::from(source);
                Self::new(failure.code, format!("{}: {}", path.display(), failure.message))
            }
            ChooseError::Mismatch { .. } => Self::new(UNSUITED, error),
            ChooseError::NoneSound { .. } => Self::new(DAMAGED, error),
            ChooseError::Unread { .. } => Self::system(error),
            ChooseError::NoSuch { .. } => Self::new(NOT_FOUND, error),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Choose(error) => error.into(),
            StoreError::Create(error) => error.into(),
            StoreError::Missing { .. } => Self::new(NOT_FOUND, error),
        }
    }
}

impl From<RevertError> for Failure {
    fn from(error: RevertError) -> Self {
        match error {
            RevertError::Choose(error) => error.into(),
            RevertError::Commit(error) => error.into(),
        }
    }
}

impl From<CompactError> for Failure {
    fn from(error: CompactError) -> Self {
        let code = match &error {
            CompactError::Damage(source) => code_of_segment(source),
            CompactError::Write(WriteError::Source(source)) => code_of_segment(source),
            CompactError::Write(WriteError::Compression { .. }) => UNSUITED,
            _ => SYSTEM,
        };
        Self::new(code, error)
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Taken { .. } => Self::new(USAGE, error),
            ExportError::Write(error) => error.into(),
            ExportError::Damage(error) => error.into(),
        }
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Inspect(error) => error.into(),
            ImportError::Taken { .. } | ImportError::NotWhole { .. } => Self::new(USAGE, error),
            ImportError::Damage(error) => error.into(),
            ImportError::Write(error) => error.into(),
            ImportError::Commit(error) => error.into(),
        }
    }
}
