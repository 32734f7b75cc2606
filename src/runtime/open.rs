//! Opening: lock, choose, map, check, go on in main space.
#![allow(unsafe_code, reason = "maps an image over unused cells of the arena")]

use crate::base::PAGE_SIZE;
use crate::heap::{AdoptError, CellRun};
use crate::image::{ChooseError, Skipped, Sound, inspect};
use crate::os::{self, DirLock, DiskDir, DiskFile, LockError};
use crate::runtime::faults;
use crate::runtime::handle::{Heap, Restored, SkippedSnapshot};
use crate::runtime::keeper::{Keeper, SavedState, tell};
use crate::runtime::process::{self, Process};
use crate::runtime::{Event, Options, ProcessHeap, Scope};
use crate::snapshot::{
    Opening, PlaceError, Placement, Store, StoreError, heat_in, host_of, placements,
};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Why a heap could not be opened. Its snapshots are as they were.
///
/// Before the image is taken in nothing else has changed either, but that the lock's text may be
/// another and leftovers of interrupted snapshots may be gone; then `open` can be tried again.
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
    /// A process opens one heap in its life.
    #[error(
        "this process has already opened {}, and a process can open one heap only",
        path.display()
    )]
    AlreadyOpen {
        /// The open heap's directory.
        path: PathBuf,
    },
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
    /// The system gives no memory or no thread for a new heap.
    #[error("cannot set up the heap: {0}")]
    System(#[source] io::Error),
}

impl ProcessHeap {
    /// Opens the heap in the directory `path`: restores its newest sound snapshot, or starts an
    /// empty heap if there is none yet.
    ///
    /// A process can do this once. Memory allocated before stays valid, and may be moved into
    /// roots.
    ///
    /// # Errors
    /// See [`OpenError`]; snapshots are left as they were. A damaged heap is never taken for an
    /// empty one.
    pub fn open(&self, path: impl AsRef<Path>, options: Options) -> Result<Heap, OpenError> {
        let path = path.as_ref();
        let started = Instant::now();
        let process = self.installed()?;
        if Scope::is_entered() {
            return Err(OpenError::InsideScope);
        }
        let mut claim = process.opened.claim().map_err(|path| OpenError::AlreadyOpen { path })?;
        // A fork of a process that had not opened a heap may open one of its own.
        process.opened.set_forked(false);
        faults::catch().map_err(OpenError::System)?;
        faults::engage(process);
        let (dir, lock) = open_directory(path, options.create)?;
        let host = host_of(process.heap.arena());
        let heap_id = u128::from(os::random_u64()) << 64 | u128::from(os::random_u64());
        let opening = Store::open(dir, &host, heap_id, options.keep, options.create)?;
        let Opening { mut store, image } = opening;
        let restored = match image {
            Some(sound) => match restore_newest(process, &mut store, sound, started) {
                Err(OpenError::Collision { .. }) if options.restart_on_collision => {
                    return Err(os::restart_once().map_or(
                        OpenError::Collision { path: path.to_owned() },
                        OpenError::System,
                    ));
                }
                result => Some(result?),
            },
            None => {
                process.heap.found().map_err(OpenError::System)?;
                None
            }
        };
        let before = restored.as_ref().map_or(0, |restored| restored.operations);
        process.opened.set_operations(before, process.heap.begun().1);
        report_skipped(restored.as_ref(), &options);
        if let Some(reason) = os::why_no_huge_pages() {
            tell(options.on_event.as_ref(), &Event::SlowFreezes { reason });
        }
        claim.set(path);
        faults::set_up(process, &options).map_err(OpenError::System)?;
        process.opened.set_trigger(options.snapshot_every_ops);
        // A restored heap is as its snapshot has it; an empty one has none yet.
        let saved = restored.as_ref().map(|restored| SavedState {
            changes: process.seen().changes,
            bytes: restored.pages * PAGE_SIZE as u64,
        });
        let keeper =
            Keeper::start(process, store, lock, &options, saved).map_err(OpenError::System)?;
        Ok(Heap::new(process, keeper, restored, options.on_event))
    }

    /// The process's heap, if this is where its allocations come from.
    fn installed(&self) -> Result<&'static Process, OpenError> {
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
            Some(failure) => {
                let len = crate::arena::ArenaConfig::process(self.base()).byte_len();
                let occupants = os::occupants(self.base()..self.base() + len);
                let list: Vec<String> = occupants
                    .unwrap_or_default()
                    .iter()
                    .map(|found| format!("\n  {found}"))
                    .collect();
                let occupants = match list.is_empty() {
                    true => String::new(),
                    false => format!(" These lie in it now:{}\n", list.concat()),
                };
                Err(OpenError::Unavailable { reason: failure.to_string(), occupants })
            }
        }
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
    store: &mut Store<DiskDir>,
    newest: Sound<DiskFile>,
    started: Instant,
) -> Result<Restored, OpenError> {
    let mut sound = newest;
    let mut refused = Vec::new();
    loop {
        let error = match restore(process, &sound, started) {
            Ok(mut restored) => {
                refused.append(&mut restored.skipped);
                restored.skipped = refused;
                return Ok(restored);
            }
            Err(error) => error,
        };
        let OpenError::Image { source: AdoptError::Damage(_), .. } = &error else {
            return Err(error);
        };
        let Ok(older) = store.older_than(&sound) else { return Err(error) };
        refused.extend(sound.skipped.iter().map(skipped_snapshot));
        let (number, reason) = (sound.snapshot.number, error.to_string());
        refused.push(SkippedSnapshot { number, reason });
        sound = older;
    }
}

fn skipped_snapshot(skipped: &Skipped) -> SkippedSnapshot {
    SkippedSnapshot { number: skipped.number, reason: skipped.reason.to_string() }
}

/// Maps the image and hands its cells to the allocator.
fn restore(
    process: &'static Process,
    sound: &Sound<DiskFile>,
    started: Instant,
) -> Result<Restored, OpenError> {
    // A sound snapshot has a full segment; deltas come with a later format.
    let segment = &sound.chain[0];
    let path = segment.path().to_owned();
    let placements = placements(&sound.chain)?;
    let runs: Vec<CellRun> = placements.iter().map(run_of).collect();
    let arena = process.heap.arena();
    let map = |index: usize| match placements.get(index) {
        // SAFETY: `adopt` calls this under the heap's lock, for cells that are not live; the
        // directory is locked, and segments are never changed.
        Some(placement) => unsafe { placement.map(arena, segment.file()) },
        None => Ok(()),
    };
    // SAFETY: a placement maps the whole of its cells, readable and writable.
    let adopted = unsafe { process.heap.adopt(&runs, map) };
    match adopted {
        Ok(()) => {}
        Err(AdoptError::Taken { .. }) => {
            let path = path.parent().unwrap_or(&path).to_owned();
            return Err(OpenError::Collision { path });
        }
        Err(source) => return Err(OpenError::Image { path, source }),
    }
    for (chunk, heat) in sound.chain.iter().flat_map(|segment| heat_in(segment.notes())) {
        arena.cow().set_heat(chunk, heat);
    }
    let record = &sound.snapshot;
    Ok(Restored {
        number: record.number,
        frozen_at: SystemTime::UNIX_EPOCH + Duration::from_nanos(record.frozen_at),
        operations: record.operations,
        pages: record.pages,
        bytes: record.bytes,
        elapsed: started.elapsed(),
        skipped: sound.skipped.iter().map(skipped_snapshot).collect(),
    })
}

fn run_of(placement: &Placement) -> CellRun {
    CellRun { first: placement.first, count: placement.cells, file_backed: true }
}

fn report_skipped(restored: Option<&Restored>, options: &Options) {
    for skipped in restored.iter().flat_map(|restored| &restored.skipped) {
        let SkippedSnapshot { number, reason } = skipped.clone();
        tell(options.on_event.as_ref(), &Event::SnapshotSkipped { number, reason });
    }
}
