//! A global allocator whose heap survives crashes.
//!
//! Install a [`ProcessHeap`], [open](ProcessHeap::open) a directory, and keep the program's state
//! in a [`Root`]: any type that derives [`Durable`]. Snapshots of the whole heap go to the
//! directory; the next run maps the newest sound one at the same addresses. The README shows a
//! program and the limits, ARCHITECTURE.md tells how it works, and `image/FORMAT.md` specifies
//! every byte on disk.
//!
//! Public beside what the crate root exports are the layers, for tests and tools, without a
//! promise of stability.
//!
//! Layers, from the ground up; each may import only from those before it that
//! `tests/tidy.rs` lists for it.

#![cfg_attr(
    not(interposed),
    allow(
        dead_code,
        reason = "what serves system calls serves none where they are not interposed"
    )
)]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64", target_endian = "little")))]
compile_error!("stillheap supports 64-bit little-endian Linux only");

#[cfg(not(loom))]
pub mod arena;
pub mod base;
pub mod cow;
#[cfg(all(feature = "capi", not(loom)))]
pub mod ffi;
#[cfg(not(loom))]
pub mod heap;
#[cfg(not(loom))]
pub mod image;
#[cfg(not(loom))]
#[doc(hidden)]
pub mod os;
#[cfg(not(loom))]
pub mod runtime;
#[cfg(not(loom))]
pub mod snapshot;
#[cfg(not(loom))]
pub mod trace;
#[cfg(not(loom))]
pub mod typed;
#[cfg(not(loom))]
pub mod xtree;

#[cfg(not(loom))]
pub use runtime::{
    Amount, Attached, Audit, Compacted, Compression, Count, Event, Finding, FreezeStats, Heap,
    Leaks, LookError, Lost, LostOfSize, OpenError, Options, ProcessHeap, Purpose, Restore,
    Restored, Scope, SkippedSnapshot, SnapshotError, SnapshotInfo, Stats, Still, StillInfo,
    StoreFailure, Swept, Tally, Target, UseStats, touch, transient,
};
#[cfg(not(loom))]
pub use snapshot::VerifyError;
#[cfg(not(loom))]
pub use typed::{
    Branch, BranchReach, Durable, Kernel, Key, LANES, Lane, Poisoned, Reach, Root, RootError, Rows,
    RowsMut, Steady, Tracked, TrackedMut, Vectors, vectorised,
};
#[cfg(not(loom))]
pub use xtree::{
    BulkLoad, Euclidean, EuclideanSquared, GreatCircle, Metric, Neighbour, Rect, RectError, Scalar,
    Tuning, XTree,
};

/// Keeps the README's example compiling.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
