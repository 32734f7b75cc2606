//! The process heap: the one heap that the global allocator serves, scopes, opening and
//! closing, the thread that takes snapshots, and the one that looks after their files.
//!
//! The one static that the crate's state hangs on lies here. **Invariant:** whatever runs
//! inside an allocator call allocates nothing, and the snapshot thread allocates from the system
//! alone, because it closes the gate that every other allocation passes.

mod attach;
#[cfg(feature = "capi")]
pub(crate) mod blocks;
mod calls;
mod defence;
mod directory;
mod events;
mod faults;
mod global;
mod handle;
mod keeper;
#[cfg(feature = "capi")]
pub(crate) mod kinds;
mod look;
mod meter;
mod open;
mod opened;
mod options;
pub(crate) mod pages;
mod passing;
mod process;
mod requests;
mod root_slot;
mod scope;
mod stats;
mod still;
mod sweep;
mod take;
mod thread;
mod upkeep;
mod upper;
pub(crate) mod uses;

pub use crate::arena::Purpose;
pub(crate) use crate::heap::ROOTS_MAX;
pub use crate::heap::{RootRecord, RootTableError};
pub use crate::image::Compression;
pub use crate::os::exe::ExecutableIdentity;
pub use crate::snapshot::Compacted;
pub use crate::trace::{Amount, Audit, Count, Finding, Leaks, Lost, LostOfSize, Tally, Target};
pub use attach::Attached;
pub use calls::touch;
pub use directory::{SnapshotInfo, StoreFailure};
pub use events::{Event, SnapshotError};
pub use global::ProcessHeap;
pub use handle::{Heap, Restored, SkippedSnapshot};
pub use look::LookError;
pub use meter::FreezeStats;
pub use open::OpenError;
pub use options::{Options, Restore};
pub(crate) use root_slot::RootHost;
pub(crate) use scope::Holding;
pub use scope::{Scope, transient};
pub use stats::Stats;
pub use still::{Still, StillInfo};
pub use sweep::Swept;
pub use uses::UseStats;
#[cfg(feature = "capi")]
pub(crate) use {faults::let_faults_through, open::fit_signal};
