//! How a heap is opened and kept.

use crate::image::Compression;
use crate::runtime::Event;
use crate::snapshot::Policy;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(super) type EventCallback = Arc<dyn Fn(&Event) + Send + Sync>;

/// How a snapshot's pages come back when a heap is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Restore {
    /// Mapped from its files, after every page has been verified: opening takes as long as reading
    /// them does.
    #[default]
    Verified,
    /// Mapped at once, and verified in the background: opening takes milliseconds at any size. If
    /// a page is found to be damaged, the process ends with a message, and the next opening
    /// restores an older snapshot. Until all are verified, none that could be it is removed, and
    /// what has changed is saved, not the whole heap.
    Background,
    /// Read into memory, in huge pages from the start, and verified as they are read. Compressed
    /// snapshots come back in this way whatever is asked for.
    Load,
}

pub(super) type ProgressCallback = Arc<dyn Fn(u64, u64) + Send + Sync>;

/// Options for opening a heap, with defaults that suit most programs.
#[derive(Clone)]
pub struct Options {
    pub(super) snapshot_every_ops: Option<u64>,
    pub(super) snapshot_every_bytes: Option<u64>,
    pub(super) snapshot_every: Option<Duration>,
    pub(super) snapshot_on_signal: Option<i32>,
    pub(super) stage_bytes: Option<u64>,
    pub(super) check_tracked: bool,
    pub(super) policy: Policy,
    pub(super) open_at: Option<u64>,
    pub(super) restore: Restore,
    pub(super) scrub: Option<u64>,
    pub(super) sweep: bool,
    pub(super) on_progress: Option<ProgressCallback>,
    pub(super) create: bool,
    pub(super) restart_on_collision: bool,
    pub(super) on_event: Option<EventCallback>,
}

impl Options {
    /// The defaults: snapshots on demand and on closing, the two newest are kept, a heap that
    /// is not there is created, events that a person should see go to standard error.
    #[must_use]
    pub fn new() -> Self {
        Self {
            snapshot_every_ops: None,
            snapshot_every_bytes: None,
            snapshot_every: None,
            snapshot_on_signal: None,
            stage_bytes: None,
            check_tracked: false,
            policy: Policy::default(),
            open_at: None,
            restore: Restore::Verified,
            scrub: None,
            sweep: true,
            on_progress: None,
            create: true,
            restart_on_collision: false,
            on_event: None,
        }
    }

    /// Takes a snapshot whenever `operations` operations (calls of `write` and `share` on any
    /// root) have begun since the last one was asked for. 0 means never.
    #[must_use]
    pub fn snapshot_every_ops(mut self, operations: u64) -> Self {
        self.snapshot_every_ops = (operations > 0).then_some(operations);
        self
    }

    /// Takes a snapshot when `bytes` bytes have been dirtied since the last one, counted in whole
    /// units: 4 KiB pages of tracked memory and of the allocator's tables, 2 MiB chunks of all
    /// other memory. 0 means never.
    #[must_use]
    pub fn snapshot_every_bytes(mut self, bytes: u64) -> Self {
        self.snapshot_every_bytes = (bytes > 0).then_some(bytes);
        self
    }

    /// Takes a snapshot when `interval` has passed since the last one was begun, unless nothing
    /// can have changed. Zero means never.
    #[must_use]
    pub fn snapshot_every(mut self, interval: Duration) -> Self {
        self.snapshot_every = (interval > Duration::ZERO).then_some(interval);
        self
    }

    /// Takes a snapshot whenever the process receives the signal with that number, for example
    /// `SIGUSR1`. The signal's action is replaced for the rest of the process's life.
    ///
    /// Not for signals that tell of a fault (`SIGSEGV`, `SIGBUS`, `SIGILL`, `SIGFPE`, `SIGTRAP`,
    /// `SIGSYS`) or end a process that must not go on (`SIGABRT`), for `SIGKILL`, `SIGSTOP`, and
    /// those that the C library keeps for itself: opening fails then
    /// ([`OpenError::Signal`](crate::OpenError::Signal)).
    #[must_use]
    pub fn snapshot_on_signal(mut self, signal: i32) -> Self {
        self.snapshot_on_signal = Some(signal);
        self
    }

    /// How many bytes writers may copy aside while a snapshot is being saved, before they have
    /// to wait for it. By default a quarter of the heap, and at least 64 MiB. The memory is given
    /// back after each snapshot. At least 4 MiB are used.
    #[must_use]
    pub fn stage_bytes(mut self, bytes: u64) -> Self {
        self.stage_bytes = Some(bytes.max(4 << 20));
        self
    }

    /// Write-protects the memory whose writes are announced by software, to catch writes that
    /// are not: they end the process with a message. And compares what increments leave out with
    /// the snapshot before: a difference fails the snapshot. For tests of unsafe code, on small
    /// heaps; it costs a system call for each page and snapshot.
    #[must_use]
    pub fn check_tracked(mut self, check: bool) -> Self {
        self.check_tracked = check;
        self
    }

    /// How many of the newest snapshots stay on disk; at least one does. (See [`Options::spare`]
    /// for another one.) One that was found damaged and passed over does
    /// not count; it is removed when the next snapshot is durable.
    #[must_use]
    pub fn keep(mut self, snapshots: usize) -> Self {
        self.policy.keep = snapshots.max(1);
        self
    }

    /// Whether, if more than one snapshot is kept, another is kept that shares no file with the
    /// newest, so that damage to a single file never takes everything. It takes as much room on the
    /// disk again as the heap. By default it is.
    #[must_use]
    pub fn spare(mut self, spare: bool) -> Self {
        self.policy.spare = spare;
        self
    }

    /// Keeps snapshots that are not older than `age`, too, however many they are. Checked when a
    /// snapshot becomes durable. Zero means that age keeps none.
    #[must_use]
    pub fn keep_for(mut self, age: Duration) -> Self {
        self.policy.keep_for = (age > Duration::ZERO).then_some(age);
        self
    }

    /// Whether snapshots are written as what has changed since the one before, where that is
    /// less. It is what one wants, but for comparing.
    #[must_use]
    pub fn increments(mut self, increments: bool) -> Self {
        self.policy.increments = increments;
        self
    }

    /// How snapshots are compressed: those of the whole heap, and those of what has changed.
    /// Compressed ones take longer to write, and are loaded rather than mapped.
    #[must_use]
    pub fn compression(mut self, full: Compression, increments: Compression) -> Self {
        (self.policy.full, self.policy.delta) = (full, increments);
        self
    }

    /// Restores the snapshot with this number, and not the newest. When the next one is durable,
    /// those in between are set aside, as by [`Heap::revert`](crate::Heap::revert).
    #[must_use]
    pub fn open_at(mut self, snapshot: u64) -> Self {
        self.open_at = Some(snapshot);
        self
    }

    /// How the snapshot's pages come back.
    #[must_use]
    pub fn restore(mut self, restore: Restore) -> Self {
        self.restore = restore;
        self
    }

    /// Verifies everything in the directory in the background, at once and over and over, `bytes`
    /// bytes in a second, with a rest of a minute between two rounds. What is found to be damaged
    /// is told as [`Event::SnapshotDamaged`]. 0 means never.
    #[must_use]
    pub fn scrub(mut self, bytes: u64) -> Self {
        self.scrub = (bytes > 0).then_some(bytes);
        self
    }

    /// Whether what earlier runs left behind is freed, in the background after the opening: blocks
    /// of the snapshot that no root leads to, as the temporary memory of a run that was killed.
    /// It is, unless this says otherwise.
    ///
    /// Say so if roots hold pointers that are not plain: compressed, tagged in their high bits, or
    /// at addresses that are no multiples of 8. Safe code cannot make such ones.
    #[must_use]
    pub fn sweep(mut self, sweep: bool) -> Self {
        self.sweep = sweep;
        self
    }

    /// Calls `progress` while a snapshot is being loaded, with the pages that are there and with
    /// all, on the threads that load it.
    #[must_use]
    pub fn on_progress(mut self, progress: impl Fn(u64, u64) + Send + Sync + 'static) -> Self {
        self.on_progress = Some(Arc::new(progress));
        self
    }

    /// Whether a heap is created where there is none. If not, opening fails then.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// Whether the program starts itself again, once, if the memory that it has used before
    /// opening lies where the image wants to be (about one start in 49,152 for each earlier
    /// run whose early memory is still in use). Without it opening fails with
    /// [`OpenError::Collision`](crate::OpenError::Collision), and starting again by hand helps.
    ///
    /// The program is executed anew from its beginning, with the same arguments and
    /// environment; so what it did before opening happens twice.
    #[must_use]
    pub fn restart_on_collision(mut self, restart: bool) -> Self {
        self.restart_on_collision = restart;
        self
    }

    /// Calls `callback` for each [`Event`], on the thread where it happens, in place of
    /// printing the serious ones to standard error. Some happen inside `open`, where another one
    /// fails ([`OpenError::UnderWay`](crate::OpenError::UnderWay)).
    #[must_use]
    pub fn on_event(mut self, callback: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.on_event = Some(Arc::new(callback));
        self
    }

    /// Takes the callback back.
    #[cfg(feature = "capi")]
    pub(crate) fn no_event(mut self) -> Self {
        self.on_event = None;
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("snapshot_every_ops", &self.snapshot_every_ops)
            .field("snapshot_every_bytes", &self.snapshot_every_bytes)
            .field("snapshot_every", &self.snapshot_every)
            .field("snapshot_on_signal", &self.snapshot_on_signal)
            .field("stage_bytes", &self.stage_bytes)
            .field("check_tracked", &self.check_tracked)
            .field("policy", &self.policy)
            .field("open_at", &self.open_at)
            .field("restore", &self.restore)
            .field("scrub", &self.scrub)
            .field("sweep", &self.sweep)
            .field("create", &self.create)
            .field("restart_on_collision", &self.restart_on_collision)
            .finish_non_exhaustive()
    }
}
