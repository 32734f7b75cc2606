//! Attaching: another process's snapshot is mapped at its addresses, to be looked at, while that
//! process goes on. This one allocates in its boot space alone, and saves nothing.
//!
//! The pages are a private mapping: what relinking changes in them is seen here only. No lock is
//! taken: files that the writer removes meanwhile stay readable for who has them open.
#![allow(unsafe_code, reason = "maps an image over unused cells of the arena, and unmaps it")]

use crate::heap::{AdoptError, CellRun, RootRecord};
use crate::image::{Choice, ChooseError, SegmentError, SegmentNumber, Sound, Wish, choose_as};
use crate::os::{DiskDir, DiskFile};
use crate::runtime::directory::SnapshotInfo;
use crate::runtime::faults;
use crate::runtime::open::cell_runs;
use crate::runtime::process::Process;
use crate::runtime::root_slot::stored_schema;
use crate::runtime::upper::Upper;
use crate::runtime::{OpenError, ProcessHeap};
use crate::snapshot::{Prepared, StoreError, Way, host_of};
use std::any::Any;
use std::collections::HashSet;
use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How often a snapshot is looked for anew when its files vanish while they are being opened.
const TRIES: u32 = 20;

/// A snapshot of another process's heap, mapped to be looked at.
///
/// What is found in it lasts as long as this value is not refreshed or dropped, and the compiler
/// sees to that.
pub struct Attached {
    process: &'static Process,
    dir: DiskDir,
    /// None, only if refreshing has failed half way.
    mapped: Option<Mapped>,
    /// Segments whose pages have been verified; files never change.
    verified: HashSet<SegmentNumber>,
    /// Goes with what is mapped.
    upper: Upper,
    /// Whether the process's one place for an open heap is this value's.
    has_place: bool,
}

/// What is mapped.
struct Mapped {
    info: SnapshotInfo,
    runs: Vec<CellRun>,
}

impl ProcessHeap {
    /// Maps a snapshot of the heap in the directory `path` at its addresses, to be looked at: the
    /// one with that number, or the newest that is sound. Another process may have the heap open
    /// and go on writing to it. Every page is verified first.
    ///
    /// The process must not have opened a heap, and cannot while it is attached: its own memory
    /// stays in boot cells, which no heap takes. As with opening, memory that it has used may lie
    /// where the snapshot wants to be ([`OpenError::Collision`]).
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn attach(
        &self,
        path: impl AsRef<Path>,
        snapshot: impl Into<Option<u64>>,
    ) -> Result<Attached, OpenError> {
        let path = path.as_ref();
        let process = self.installed()?;
        let mut claim = process.opened.claim()?;
        faults::tell_lost_memory().map_err(OpenError::System)?;
        let directory = |source| OpenError::Directory { path: path.to_owned(), source };
        let dir = DiskDir::open(path).map_err(directory)?;
        let (verified, upper) = (HashSet::new(), Upper::default());
        let (mapped, has_place) = (None, false);
        let mut attached = Attached { process, dir, mapped, verified, upper, has_place };
        let sound = attached.find(snapshot.into())?;
        attached.map(&sound)?;
        claim.set(attached.dir.path());
        attached.has_place = true;
        Ok(attached)
    }
}

impl Attached {
    /// The snapshot that is mapped.
    ///
    /// # Panics
    /// If refreshing has failed half way.
    #[must_use]
    pub fn snapshot(&self) -> SnapshotInfo {
        match &self.mapped {
            Some(mapped) => mapped.info,
            None => panic!("stillheap: nothing is attached: refreshing has failed"),
        }
    }

    /// Maps the newest sound snapshot in place of the one that is mapped. Gives whether it is
    /// another one. Only files that are new are verified.
    ///
    /// # Errors
    /// See [`OpenError`]. What was mapped stays, unless the new one could be mapped no more than
    /// the old one: then nothing is, and roots are not found.
    pub fn refresh(&mut self) -> Result<bool, OpenError> {
        self.refresh_as(None)
    }

    /// As [`Attached::refresh`], the snapshot with that number.
    ///
    /// # Errors
    /// As there; also if there is none.
    pub fn refresh_to(&mut self, snapshot: u64) -> Result<bool, OpenError> {
        self.refresh_as(Some(snapshot))
    }

    fn refresh_as(&mut self, number: Option<u64>) -> Result<bool, OpenError> {
        let sound = self.find(number)?;
        let found = sound.snapshot.number;
        if self.mapped.as_ref().is_some_and(|mapped| mapped.info.number == found) {
            return Ok(false);
        }
        self.unmap();
        self.map(&sound)?;
        Ok(true)
    }

    /// Finds a snapshot, and verifies what of it has not been.
    fn find(&mut self, number: Option<u64>) -> Result<Sound<DiskFile>, OpenError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let found = self.try_find(number);
            let is_gone = found.as_ref().is_err_and(has_vanished);
            if !is_gone || tries == TRIES {
                return Ok(found.map_err(StoreError::Choose)?);
            }
        }
    }

    fn try_find(&mut self, number: Option<u64>) -> Result<Sound<DiskFile>, ChooseError> {
        let host = host_of(self.process.heap.arena());
        let mut before = u64::MAX;
        let mut skipped = Vec::new();
        loop {
            let choice = choose_as(&self.dir, &host, Wish { number, before, verify: false })?;
            let (Choice::Sound(sound), path) = (choice, self.dir.path().to_owned()) else {
                let path = self.dir.path().to_owned();
                return Err(ChooseError::NoneSound { path, skipped, openable: Vec::new() });
            };
            let Err(reason) = self.verify(&sound) else { return Ok(sound) };
            let (frozen_at, damaged) = (sound.snapshot.frozen_at, sound.snapshot.number);
            skipped.push(crate::image::Skipped { number: damaged, frozen_at, reason });
            if number.is_some() {
                return Err(ChooseError::NoneSound { path, skipped, openable: Vec::new() });
            }
            before = damaged;
        }
    }

    fn verify(&mut self, sound: &Sound<DiskFile>) -> Result<(), SegmentError> {
        for segment in sound.chain.segments() {
            if !self.verified.contains(&segment.header().number) {
                segment.verify()?;
                self.verified.insert(segment.header().number);
            }
        }
        Ok(())
    }

    fn map(&mut self, sound: &Sound<DiskFile>) -> Result<(), OpenError> {
        let prepared = Prepared::new(sound.chain.clone(), Way::Map, &|_| {})?;
        let runs = cell_runs(&prepared);
        let heap = &self.process.heap;
        // SAFETY: `borrow_image` calls this under the heap's lock, for cells that are not live;
        // nobody changes segments.
        let map = |number: usize| unsafe { prepared.place(number, heap.arena()) };
        // SAFETY: a placement gives memory to the whole of its cells. Roots are handed out as
        // shared references to types that nothing can be moved out of: nobody frees what is there.
        let borrowed = unsafe { heap.borrow_image(&runs, map) };
        let path = || self.dir.path().to_owned();
        match borrowed {
            Ok(()) => {}
            Err(AdoptError::Taken { .. }) => return Err(OpenError::Collision { path: path() }),
            Err(source) => return Err(OpenError::Image { path: path(), source }),
        }
        let info = SnapshotInfo::of(&sound.snapshot);
        self.mapped = Some(Mapped { info, runs });
        Ok(())
    }

    fn unmap(&mut self) {
        self.upper = Upper::default();
        if let Some(mapped) = self.mapped.take() {
            // SAFETY: references to what is mapped borrow this value, which is borrowed mutably.
            unsafe { self.process.heap.return_image(&mapped.runs) };
        }
    }

    /// The entry for a root.
    pub(crate) fn find_root(&self, name: &str) -> Option<RootRecord> {
        self.mapped.as_ref()?;
        self.process.heap.find_root(name).map(|(_, record)| record)
    }

    /// The names of all roots.
    #[must_use]
    pub fn root_names(&self) -> Vec<String> {
        match self.mapped {
            Some(_) => self.process.heap.roots().map(|(_, root)| root.name().to_owned()).collect(),
            None => Vec::new(),
        }
    }

    /// The schema that is stored with a root.
    pub(crate) fn stored_schema(&self, record: &RootRecord) -> &[u8] {
        stored_schema(self.process, record)
    }

    /// All addresses that memory of the snapshot can have.
    pub(crate) fn arena_addresses(&self) -> Range<u64> {
        self.process.arena_addresses()
    }

    /// As [`Heap::with_upper`](crate::Heap::with_upper); the state goes with what is mapped.
    pub(crate) fn with_upper<S, R>(&self, f: impl FnOnce(&mut S) -> R) -> R
    where
        S: Default + Any + Send,
    {
        self.upper.with(f)
    }
}

/// The writer may have removed a file between our reading its name and opening it.
fn has_vanished(error: &ChooseError) -> bool {
    let ChooseError::NoneSound { skipped, .. } = error else { return false };
    skipped.iter().any(|skipped| {
        matches!(&skipped.reason, SegmentError::Io { source, .. }
            if source.kind() == io::ErrorKind::NotFound)
    })
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.unmap();
        if self.has_place {
            self.process.opened.release();
        }
    }
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path: PathBuf = self.dir.path().to_owned();
        let info = self.mapped.as_ref().map(|mapped| &mapped.info);
        f.debug_struct("Attached").field("path", &path).field("snapshot", &info).finish()
    }
}
