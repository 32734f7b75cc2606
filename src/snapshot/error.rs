//! Why a store could not be opened, or could not do what it was asked for.

use crate::image::{ChooseError, CommitError, SegmentError, WriteError};
use crate::snapshot::DraftError;

/// Why a directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is no heap, or a damaged one, or one for another process.
    #[error(transparent)]
    Choose(#[from] ChooseError),
    /// A new heap's manifest could not be written.
    #[error("a new heap could not be created: {0}")]
    Create(#[from] CommitError),
    /// There is no heap, and none may be created.
    #[error(
        "there is no heap in {}, and Options::create(false) forbids to create one",
        path.display()
    )]
    Missing {
        /// The directory.
        path: std::path::PathBuf,
    },
}

/// Why a snapshot could not be saved. The older snapshots are untouched.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// Its pages could not be saved.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// Its segment could not be completed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// It could not be committed.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A delta was to be written, and there is no snapshot any more that it could apply to.
    #[error("the snapshot that this one was to build on is gone")]
    NoParent,
    /// Segment numbers have run out.
    #[error("the heap has used up its segment numbers")]
    Numbers,
}

/// Why an older snapshot could not be made the next one.
#[derive(Debug, thiserror::Error)]
pub enum RevertError {
    /// There is no such snapshot.
    #[error(transparent)]
    Choose(#[from] ChooseError),
    /// The manifest could not be replaced.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why a snapshot is not sound.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// There is no such snapshot.
    #[error(transparent)]
    Choose(#[from] ChooseError),
    /// It is damaged.
    #[error(transparent)]
    Damage(#[from] SegmentError),
}
