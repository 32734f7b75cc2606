//! Opening: lock, choose, map, check, go on in main space.
#![allow(unsafe_code, reason = "maps an image over unused cells of the arena")]

use crate::base::{PAGE_SIZE, PageIndex, RunSet};
use crate::heap::{AdoptError, CellRun};
use crate::image::{Chain, ChooseError, Skipped, Sound, Wish, inspect};
use crate::os::{self, DirLock, DiskDir, DiskFile, LockError};
use crate::runtime::directory::{Directory, time};
use crate::runtime::faults;
use crate::runtime::handle::{Heap, Restored, SkippedSnapshot};
use crate::runtime::keeper::{Keeper, SavedState, tell};
use crate::runtime::passing::behind_gate;
use crate::runtime::process::{self, Process};
use crate::runtime::scope::transient;
use crate::runtime::upkeep::{Unverified, Upkeep};
use crate::runtime::uses::Uses;
use crate::runtime::{Event, Options, ProcessHeap, Restore, Scope};
use crate::snapshot::{
    ChunkUse, Opening, PlaceError, Placement, Prepared, Store, StoreError, Way, host_of,
    hottest_first, uses_in,
};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Why a heap could not be opened. Its snapshots are as they were.
///
/// Before the image is taken in nothing else has changed either, but that the lock's text may be
/// another and leftovers of interrupted snapshots may be gone; then `open` can be tried again.
/// After that it fails as [`OpenError::Unfinished`] alone, and can not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The address range could not be reserved when the process started.
    #[error(
        "the process has no durable heap: {reason}.{occupants} Free the range, or install \
         ProcessHeap::at another base (images made at this base cannot be opened there)"
    )]
    Unavailable {
        /// What went wrong.
        reason: String,
        /// What lies in the range, from the process's list of mappings.
        occupants: String,
    },
    /// The `ProcessHeap` is not the program's global allocator.
    #[error(
        "stillheap is not this program's allocator: declare `#[global_allocator] static HEAP: \
         stillheap::ProcessHeap = stillheap::ProcessHeap::new();` and open that"
    )]
    NotInstalled,
    /// The calling thread is in a scope.
    #[error("a heap cannot be opened inside a scope: end the scope first")]
    InsideScope,
    /// That signal cannot ask for snapshots ([`Options::snapshot_on_signal`]).
    #[error(
        "signal {signal} cannot ask for snapshots: {reason}. Take another one, for example \
         SIGUSR1 ({})",
        libc::SIGUSR1
    )]
    Signal {
        /// The signal's number.
        signal: i32,
        /// Why it cannot.
        reason: &'static str,
    },
    /// A process opens one heap in its life.
    #[error(
        "this process has already opened {}, and a process can open one heap only",
        path.display()
    )]
    AlreadyOpen {
        /// The open heap's directory.
        path: PathBuf,
    },
    /// The process is opening a heap already, in another thread, or in the call from which a
    /// callback asks for this.
    #[error(
        "this process is opening a heap at this moment, and can open one only: wait until that \
         has returned, and do not open one in a callback"
    )]
    UnderWay,
    /// The directory could not be made, entered or read.
    #[error("cannot open the directory {}: {source}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else has the heap open, or it cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The directory holds no heap, or a damaged or foreign one.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The image's runs do not fit the arena.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Early memory of this process lies where the image wants to be.
    #[error(
        "memory that this process used before opening {} lies where the heap wants to be: start \
         the program again, the place is picked at random (Options::restart_on_collision does it)",
        path.display()
    )]
    Collision {
        /// The heap's directory.
        path: PathBuf,
    },
    /// The image could not be taken in.
    #[error("{}: {source}. The files were left as they are", path.display())]
    Image {
        /// The segment's file.
        path: PathBuf,
        /// What is wrong.
        source: AdoptError,
    },
    /// The system does not take the handlers of signals, or does not start the program again.
    #[error("cannot set up the heap: {0}")]
    System(#[source] io::Error),
    /// The system gives no thread or no memory, after the image has been taken in, or a new heap
    /// begun. The directory is as it was, and no longer locked; but this process can open no heap
    /// any more.
    #[error(
        "cannot go on with the heap in {}: {reason}. The directory is as it was, but this process \
         cannot open a heap any more: start the program again",
        path.display()
    )]
    Unfinished {
        /// The heap's directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl ProcessHeap {
    /// Opens the heap in the directory `path`: restores its newest sound snapshot, or starts an
    /// empty heap if there is none yet.
    ///
    /// A process can do this once, and try again if it fails, but for [`OpenError::Unfinished`].
    /// Memory allocated before stays valid, and may be moved into
    /// roots.
    ///
    /// # Errors
    /// See [`OpenError`]; snapshots are left as they were. A damaged heap is never taken for an
    /// empty one.
    pub fn open(&self, path: impl AsRef<Path>, options: Options) -> Result<Heap, OpenError> {
        let started = Instant::now();
        open(self.installed()?, path.as_ref(), options, started)
    }

    /// As [`ProcessHeap::open`], for a program whose allocator may be another one, and which takes
    /// its blocks by itself (`runtime::blocks`).
    #[cfg(feature = "capi")]
    pub(crate) fn open_beside(&self, path: &Path, options: Options) -> Result<Heap, OpenError> {
        let started = Instant::now();
        match process::get_or_start(self) {
            Some(process) => open(process, path, options, started),
            None => Err(self.unavailable()),
        }
    }

    /// The process's heap, if this is where its allocations come from.
    pub(super) fn installed(&self) -> Result<&'static Process, OpenError> {
        // A fresh allocation tells: it lies in the arena if, and only if, the program's global
        // allocator is a `ProcessHeap`.
        let probe = Box::new(0_u64);
        let address = std::ptr::from_ref(std::hint::black_box(&*probe)).addr();
        if let Some(process) = process::get() {
            let installed = process.heap.arena().page_of(address).is_some()
                && process.heap.arena().base() == self.base();
            return if installed { Ok(process) } else { Err(OpenError::NotInstalled) };
        }
        match process::failure() {
            None => Err(OpenError::NotInstalled),
            Some(_) => Err(self.unavailable()),
        }
    }

    /// Why the process has no heap, and who lies where it would be.
    fn unavailable(&self) -> OpenError {
        let len = crate::arena::ArenaConfig::process(self.base()).byte_len();
        let occupants = os::occupants(self.base()..self.base() + len);
        let list: Vec<String> =
            occupants.unwrap_or_default().iter().map(|found| format!("\n  {found}")).collect();
        let occupants = match list.is_empty() {
            true => String::new(),
            false => format!(" These lie in it now:{}\n", list.concat()),
        };
        let reason = process::failure().map(ToString::to_string).unwrap_or_default();
        OpenError::Unavailable { reason, occupants }
    }
}

/// Opens the heap in `path` as the process's.
fn open(
    process: &'static Process,
    path: &Path,
    options: Options,
    started: Instant,
) -> Result<Heap, OpenError> {
    if Scope::is_entered() {
        return Err(OpenError::InsideScope);
    }
    options.snapshot_on_signal.map_or(Ok(()), fit_signal)?;
    let mut claim = process.opened.claim()?;
    // A fork of a process that had not opened a heap may open one of its own.
    process.opened.set_forked(false);
    faults::catch().and_then(|()| faults::tell_lost_memory()).map_err(OpenError::System)?;
    faults::engage(process);
    let (dir, lock) = open_directory(path, options.create)?;
    let host = host_of(process.heap.arena());
    let heap_id = u128::from(os::random_u64()) << 64 | u128::from(os::random_u64());
    let (policy, create) = (options.policy, options.create);
    let verify = options.restore == Restore::Verified;
    let wish = Wish { number: options.open_at, verify, ..Wish::default() };
    let open = || Store::open(dir.clone(), &host, heap_id, policy, create, wish);
    // What is wrong is found out once more, so that it is told in the heap's memory.
    let Opening { store, image } = not_in_arena(open).or_else(|_| open())?;
    let restored = match image {
        Some(sound) => match restore_newest(process, &store, sound, &options, started) {
            Err(OpenError::Collision { .. }) if options.restart_on_collision => {
                return Err(os::restart_once()
                    .map_or(OpenError::Collision { path: path.to_owned() }, OpenError::System));
            }
            result => Some(result?),
        },
        None => {
            process.heap.found().map_err(|source| claim.spoil(path, &source))?;
            None
        }
    };
    behind_gate(process, |lane| {
        // What is allocated from now on is not to lie beside what was before, where it would keep
        // this run's early memory in all images that are to come.
        // SAFETY: the lane is this thread's, which does nothing else with it in this call.
        unsafe { process.heap.retire(lane) };
    });
    let (restored, unverified) = restored.unzip();
    let before = restored.as_ref().map_or(0, |restored: &Restored| restored.operations);
    process.opened.set_operations(before, process.heap.begun().1);
    report_skipped(restored.as_ref(), &options);
    if let Some(reason) = os::why_no_huge_pages() {
        tell(options.on_event.as_ref(), &Event::SlowFreezes { reason });
    }
    if restored.is_some() {
        process.meter.set_opening(started);
    }
    claim.set(path);
    note_uses(process, unverified.as_ref());
    let directory = not_in_arena(|| Arc::new(Directory::new(store, lock)));
    let threads = keep(process, &directory, &options, unverified);
    let threads = threads.map_err(|source| claim.spoil(path, &source))?;
    Ok(Heap::new(process, threads, directory, restored, options.on_event))
}

/// Has snapshots taken from now on, and the directory kept in order.
fn keep(
    process: &'static Process,
    directory: &Arc<Directory>,
    options: &Options,
    unverified: Option<Unverified>,
) -> io::Result<(Keeper, Upkeep)> {
    faults::set_up(process, options)?;
    process.opened.set_trigger(options.snapshot_every_ops);
    // A restored heap is as its snapshot has it; an empty one has none yet.
    let saved = unverified.as_ref().map(|unverified| SavedState {
        changes: process.seen().changes,
        bytes: saved_pages(&unverified.chain) * PAGE_SIZE as u64,
    });
    let mut upkeep = Upkeep::start(process, directory, options, unverified)?;
    let shared = Arc::clone(directory);
    match Keeper::start(process, shared, upkeep.calls(), options, saved) {
        Ok(keeper) => Ok((keeper, upkeep)),
        Err(error) => {
            upkeep.end();
            Err(error)
        }
    }
}

/// # Errors
/// If that signal cannot ask for snapshots.
pub(crate) fn fit_signal(signal: i32) -> Result<(), OpenError> {
    match os::signals::why_unfit(signal) {
        Some(reason) => Err(OpenError::Signal { signal, reason }),
        None => Ok(()),
    }
}

fn open_directory(path: &Path, create: bool) -> Result<(DiskDir, DirLock), OpenError> {
    let failed = |source| OpenError::Directory { path: path.to_owned(), source };
    let made = if create { DiskDir::create(path) } else { DiskDir::open(path) };
    let dir = match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => DiskDir::open(path),
        made => made,
    }
    .map_err(failed)?;
    // Before anything is made in it: a directory of somebody else's is left as it is.
    inspect(&dir).map_err(|error| StoreError::Choose(ChooseError::Inspect(error)))?;
    let lock = DirLock::acquire(dir.path())?;
    Ok((dir, lock))
}

/// Restores the snapshot, or the newest older one whose tables are not damaged.
fn restore_newest(
    process: &'static Process,
    store: &Store<DiskDir>,
    newest: Sound<DiskFile>,
    options: &Options,
    started: Instant,
) -> Result<(Restored, Unverified), OpenError> {
    let mut sound = newest;
    let mut refused = Vec::new();
    loop {
        let error = match restore(process, &sound, options, started) {
            Ok((mut restored, unverified)) => {
                refused.append(&mut restored.skipped);
                restored.skipped = refused;
                return Ok((restored, unverified));
            }
            Err(error) => error,
        };
        let is_damaged = matches!(
            &error,
            OpenError::Image { source: AdoptError::Damage(_), .. }
                | OpenError::Place(PlaceError::Damage(_))
        );
        if !is_damaged || options.open_at.is_some() {
            return Err(error);
        }
        let Ok(older) = not_in_arena(|| store.older_than(&sound)) else { return Err(error) };
        refused.extend(sound.skipped.iter().map(skipped_snapshot));
        let (number, reason) = (sound.snapshot.number, error.to_string());
        refused.push(SkippedSnapshot { number, reason });
        sound = older;
    }
}

/// The store's own memory is the system's: the snapshot thread changes it within windows, when the
/// heap's must not be written to without need.
fn not_in_arena<R>(make: impl FnOnce() -> R) -> R {
    // SAFETY: what is made is the store and what is read from it, which `open` keeps to itself:
    // what it gives away is copied from that.
    unsafe { transient(make) }
}

fn skipped_snapshot(skipped: &Skipped) -> SkippedSnapshot {
    SkippedSnapshot { number: skipped.number, reason: skipped.reason.to_string() }
}

/// Puts the image in place and hands its cells to the allocator.
fn restore(
    process: &'static Process,
    sound: &Sound<DiskFile>,
    options: &Options,
    started: Instant,
) -> Result<(Restored, Unverified), OpenError> {
    let chain = &sound.chain;
    let path = chain.segments().last().map(|last| last.path().to_owned()).unwrap_or_default();
    let way = if options.restore == Restore::Load { Way::Load } else { Way::Map };
    // Not those that later segments hide: they are not loaded.
    let count = || chain.in_force(0, chain.segments().len()).count() as u64;
    let all = options.on_progress.as_ref().map_or(0, |_| count());
    let loaded = AtomicU64::new(0);
    let watch = |pages: u64| {
        let loaded = loaded.fetch_add(pages, Relaxed) + pages;
        if let Some(progress) = &options.on_progress {
            progress(loaded, all);
        }
    };
    let prepared = Prepared::new(chain.clone(), way, &watch)?;
    let mut runs = cell_runs(&prepared);
    let is_later = options.restore == Restore::Background && !prepared.is_loaded();
    runs.iter_mut().for_each(|run| run.is_later = is_later);
    let arena = process.heap.arena();
    // SAFETY: `adopt` calls this under the heap's lock, for cells that are not live; the directory
    // is locked, and segments are never changed.
    let map = |number: usize| unsafe { prepared.place(number, arena) };
    // SAFETY: a placement gives memory to the whole of its cells, readable and writable.
    let adopted = unsafe { process.heap.adopt(&runs, map) };
    match adopted {
        Ok(()) => arena.cow().set_haste(is_later),
        Err(AdoptError::Taken { .. }) => {
            let path = path.parent().unwrap_or(&path).to_owned();
            return Err(OpenError::Collision { path });
        }
        Err(source) => return Err(OpenError::Image { path, source }),
    }
    let uses = take_uses(process, chain);
    let record = &sound.snapshot;
    let restored = Restored {
        number: record.number,
        frozen_at: time(record.frozen_at),
        operations: record.operations,
        pages: record.pages,
        bytes: record.bytes,
        elapsed: started.elapsed(),
        skipped: sound.skipped.iter().map(skipped_snapshot).collect(),
    };
    let (number, chain, fetch) = (record.number, chain.clone(), !prepared.is_loaded());
    Ok((restored, Unverified { number, chain, uses, fetch, verify: is_later, started }))
}

/// The cells that a prepared snapshot takes.
pub(super) fn cell_runs(prepared: &Prepared<DiskFile>) -> Vec<CellRun> {
    let file_backed = !prepared.is_loaded();
    let run = |placement: &Placement| CellRun {
        first: placement.first,
        count: placement.cells,
        file_backed,
        is_later: false,
    };
    prepared.placements().iter().map(run).collect()
}

/// What the snapshot knows of how its chunks are used, hottest first.
fn take_uses(process: &Process, chain: &Chain<DiskFile>) -> Vec<ChunkUse> {
    let notes = chain.segments().last().map_or(&[][..], |last| last.notes());
    let mut uses: Vec<ChunkUse> = uses_in(notes).collect();
    // Notes are read as they come, and may name chunks that no arena has.
    uses.retain(|known| known.chunk.0 <= PageIndex(u32::MAX).chunk().0);
    for known in &uses {
        process.heap.arena().cow().set_heat(known.chunk, known.written);
    }
    let runs = RunSet::of(chain.runs().iter().copied());
    uses.retain(|known| runs.contains(known.chunk.first_page()));
    hottest_first(&mut uses);
    uses
}

/// From now on it is noted which blocks are read.
fn note_uses(process: &Process, unverified: Option<&Unverified>) {
    let before = unverified.map_or(&[][..], |unverified| &unverified.uses);
    let before = before.iter().filter(|known| known.read > 0).copied();
    process.opened.begin_uses(|| not_in_arena(|| Box::new(Uses::new(before.collect()))));
}

/// Pages that a snapshot's segments have saved.
fn saved_pages(chain: &Chain<DiskFile>) -> u64 {
    chain.segments().iter().map(|segment| segment.index().len() as u64).sum()
}

fn report_skipped(restored: Option<&Restored>, options: &Options) {
    for skipped in restored.iter().flat_map(|restored| &restored.skipped) {
        let SkippedSnapshot { number, reason } = skipped.clone();
        tell(options.on_event.as_ref(), &Event::SnapshotSkipped { number, reason });
    }
}
