//! The structs that C code reads. Times are in nanoseconds, sizes in bytes.

use crate::{Restored, SnapshotInfo, Stats, StillInfo};
use std::ffi::{c_char, c_int, c_void};
use std::time::{Duration, SystemTime};

/// Bytes of a root's name or tag, at most, without the zero behind it.
pub(super) const NAME_MAX: usize = 96;
const TEXT: usize = NAME_MAX + 1;

/// Declares a struct, and the list of its fields, which is compared with the header.
macro_rules! c_struct {
    (
        $(#[$meta:meta])*
        $name:ident as $c_name:literal { $($(#[$doc:meta])* $field:ident: $ty:ty,)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        #[repr(C)]
        pub struct $name {
            $($(#[$doc])* pub $field: $ty,)*
        }

        #[cfg(test)]
        impl $name {
            pub(super) const FIELDS: (&str, &[(&str, &str)]) =
                ($c_name, &[$((stringify!($field), stringify!($ty))),*]);
        }
    };
}

c_struct! {
    /// What a durable snapshot was like.
    CStill as "stillheap_still" {
        /// Its number in the heap.
        number: u64,
        /// 1: written as what had changed; 0: as the whole heap.
        is_delta: u64,
        /// How long allocations and new scopes waited.
        pause_ns: u64,
        /// How long the freeze waited for scopes before that.
        drain_ns: u64,
        /// From the end of the pause until all frozen pages had been saved.
        window_ns: u64,
        /// From the end of the pause until it was durable.
        saving_ns: u64,
        /// Tracked pages and tables written since the snapshot before.
        dirty_pages: u64,
        /// Chunks of 2 MiB of other memory that were.
        dirty_chunks: u64,
        /// Writes that the hardware caught.
        faults: u64,
        /// Pages that writers copied aside in the window.
        pages_copied: u64,
        /// The most bytes that were copied aside at a time.
        stage_high_water: u64,
        /// How often a writer had to wait in the window.
        stalls: u64,
        /// Pages saved.
        pages: u64,
        /// Bytes written.
        bytes: u64,
        /// Operations that the heap had seen.
        operations: u64,
        /// When the freeze was, since 1970.
        frozen_at_ns: u64,
    }
}

c_struct! {
    /// A snapshot in the heap's directory.
    CSnapshot as "stillheap_snapshot_info" {
        /// Its number.
        number: u64,
        /// When its freeze was, since 1970.
        frozen_at_ns: u64,
        /// Operations that the heap had seen.
        operations: u64,
        /// Pages written for it.
        pages: u64,
        /// Bytes written for it.
        bytes: u64,
        /// Files that restore it.
        segments: u64,
        /// 1: it counts no longer.
        set_aside: u64,
    }
}

c_struct! {
    /// What an opening has restored.
    CRestored as "stillheap_restored" {
        /// The snapshot's number.
        number: u64,
        /// When its freeze was, since 1970.
        frozen_at_ns: u64,
        /// Operations that the heap had seen.
        operations: u64,
        /// Pages saved for it.
        pages: u64,
        /// Bytes written for it.
        bytes: u64,
        /// How long opening took.
        elapsed_ns: u64,
        /// Newer snapshots that are damaged and were passed over.
        skipped: u64,
    }
}

c_struct! {
    /// What a heap holds and has done.
    CStats as "stillheap_stats" {
        /// Blocks in use.
        blocks: u64,
        /// Bytes of blocks allocated inside scopes.
        scoped: u64,
        /// Bytes of blocks allocated outside scopes.
        ambient: u64,
        /// Bytes of tracked blocks.
        tracked: u64,
        /// Bytes of chunks in use.
        committed: u64,
        /// Operations that the heap has seen.
        operations: u64,
        /// Bytes dirtied since the last freeze.
        dirtied: u64,
        /// Freezes of this run.
        freezes: u64,
        /// Freezes tried again because scopes did not end.
        freezes_retried: u64,
        /// The last pause.
        pause_last_ns: u64,
        /// The median of the last 1,024.
        pause_p50_ns: u64,
        /// The 99th percentile of these.
        pause_p99_ns: u64,
        /// The longest.
        pause_max_ns: u64,
        /// The last wait for scopes to end.
        drain_last_ns: u64,
        /// The longest.
        drain_max_ns: u64,
        /// The last window.
        window_last_ns: u64,
        /// The longest.
        window_max_ns: u64,
        /// Writes that the hardware caught.
        faults: u64,
        /// Pages that writers copied aside.
        pages_copied: u64,
        /// How often a writer had to wait.
        stalls: u64,
        /// The most bytes that were copied aside at a time.
        stage_high_water: u64,
        /// Bytes written to segments.
        written: u64,
        /// 1: frozen pages are being saved now.
        is_saving: u64,
        /// 1: the last snapshot failed.
        has_failed: u64,
        /// Blocks.
        swept_blocks: u64,
        /// Bytes.
        swept_bytes: u64,
    }
}

c_struct! {
    /// A root.
    CRoot as "stillheap_root_info" {
        /// Its value; null: a Rust program's.
        value: *mut c_void,
        /// Bytes of the value.
        size: usize,
        /// Its alignment.
        align: usize,
        /// Its name.
        name: [c_char; TEXT],
        /// Its tag; empty: a Rust program's.
        tag: [c_char; TEXT],
    }
}

c_struct! {
    /// Something worth knowing.
    CEvent as "stillheap_event" {
        /// Which.
        kind: c_int,
        /// The snapshot's number, or 0.
        number: u64,
        /// What happened, as a text.
        text: *const c_char,
        /// Of a durable snapshot, what it was like; else null.
        still: *const CStill,
    }
}

impl From<&StillInfo> for CStill {
    fn from(info: &StillInfo) -> Self {
        Self {
            number: info.number,
            is_delta: info.is_delta.into(),
            pause_ns: nanoseconds(info.pause),
            drain_ns: nanoseconds(info.drain),
            window_ns: nanoseconds(info.window),
            saving_ns: nanoseconds(info.saving),
            dirty_pages: info.dirty_pages,
            dirty_chunks: info.dirty_chunks,
            faults: info.faults,
            pages_copied: info.pages_by_barrier,
            stage_high_water: info.stage_high_water,
            stalls: info.stalls,
            pages: info.pages,
            bytes: info.bytes,
            operations: info.operations,
            frozen_at_ns: since_1970(info.frozen_at),
        }
    }
}

impl From<&SnapshotInfo> for CSnapshot {
    fn from(info: &SnapshotInfo) -> Self {
        Self {
            number: info.number,
            frozen_at_ns: since_1970(info.frozen_at),
            operations: info.operations,
            pages: info.pages,
            bytes: info.bytes,
            segments: info.segments as u64,
            set_aside: info.set_aside.into(),
        }
    }
}

impl From<&Restored> for CRestored {
    fn from(restored: &Restored) -> Self {
        Self {
            number: restored.number,
            frozen_at_ns: since_1970(restored.frozen_at),
            operations: restored.operations,
            pages: restored.pages,
            bytes: restored.bytes,
            elapsed_ns: nanoseconds(restored.elapsed),
            skipped: restored.skipped.len() as u64,
        }
    }
}

impl CStats {
    pub(super) fn of(stats: &Stats, is_saving: bool) -> Self {
        let Stats { heap, freezes, cow, .. } = stats;
        Self {
            blocks: heap.blocks,
            scoped: heap.scoped,
            ambient: heap.ambient,
            tracked: heap.tracked,
            committed: heap.committed,
            operations: stats.operations,
            dirtied: stats.dirtied,
            freezes: freezes.freezes,
            freezes_retried: stats.freezes_retried,
            pause_last_ns: nanoseconds(freezes.pause_last),
            pause_p50_ns: nanoseconds(freezes.pause_p50),
            pause_p99_ns: nanoseconds(freezes.pause_p99),
            pause_max_ns: nanoseconds(freezes.pause_max),
            drain_last_ns: nanoseconds(freezes.drain_last),
            drain_max_ns: nanoseconds(freezes.drain_max),
            window_last_ns: nanoseconds(freezes.window_last),
            window_max_ns: nanoseconds(freezes.window_max),
            faults: cow.faults,
            pages_copied: freezes.pages_by_barrier,
            stalls: cow.stalls,
            stage_high_water: freezes.stage_high_water,
            written: freezes.bytes,
            is_saving: is_saving.into(),
            has_failed: stats.last_error.is_some().into(),
            swept_blocks: stats.swept.map_or(0, |swept| swept.freed.all().blocks),
            swept_bytes: stats.swept.map_or(0, |swept| swept.freed.all().bytes),
        }
    }
}

/// A text with zeros behind it, cut off where it does not fit.
pub(super) fn text(text: &str) -> [c_char; TEXT] {
    let mut place = [0; TEXT];
    for (to, from) in place[..NAME_MAX].iter_mut().zip(text.bytes()) {
        *to = c_char::from_le_bytes([from]);
    }
    place
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn since_1970(time: SystemTime) -> u64 {
    nanoseconds(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
