//! A heap's directory in the hands of the one process that may change it.
//!
//! **Invariant:** the manifest on disk names complete, durable segments only. A failure
//! anywhere leaves the manifest as it was, or, where the system cannot tell whether the new
//! one will last, keeps every file that either of the two names.

use crate::arena::Arena;
use crate::base::PAGE_SIZE;
use crate::cow::Window;
use crate::image::{
    Choice, ChooseError, CommitError, Host, Identity, Machine, Manifest, SegmentInfo, SegmentKind,
    SegmentRecord, SnapshotRecord, Sound, WriteError, choose, choose_before, leftovers,
};
use crate::os::Dir;
use crate::snapshot::save::Reopened;
use crate::snapshot::{Draft, DraftError};

/// An open heap directory.
#[derive(Debug)]
pub struct Store<D> {
    dir: D,
    manifest: Manifest,
    keep: usize,
    /// Segments that the manifest in memory does not name any more, the one on disk still does.
    pruned: Vec<SegmentRecord>,
    /// Segments that no manifest names any more, whose files are still there.
    unnamed: Vec<SegmentRecord>,
    /// What the last window made writable.
    reopened: Reopened,
}

/// A directory just opened, with the snapshot to restore, if it has one.
#[derive(Debug)]
pub struct Opening<D: Dir> {
    /// The directory.
    pub store: Store<D>,
    /// The newest sound snapshot; `None` in a heap that has none yet.
    pub image: Option<Sound<D::File>>,
}

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
    /// Segment numbers have run out.
    #[error("the heap has used up its segment numbers")]
    Numbers,
}

/// What an image has to fit, to be restored into that arena.
#[must_use]
pub fn host_of(arena: &Arena) -> Host {
    let config = arena.config();
    Host {
        base: config.base as u64,
        arena_len: config.byte_len() as u64,
        page_size: u32::try_from(PAGE_SIZE).unwrap_or(0),
        machine: Machine::current(),
    }
}

impl<D: Dir> Store<D> {
    /// Opens the heap in `dir`, or creates one if the directory is new and `create` says so.
    /// `heap_id` names a heap that is created; the newest `keep` snapshots are retained.
    /// The caller holds the directory's lock.
    ///
    /// # Errors
    /// See [`StoreError`]; then nothing has changed.
    pub fn open(
        dir: D,
        host: &Host,
        heap_id: u128,
        keep: usize,
        create: bool,
    ) -> Result<Opening<D>, StoreError> {
        let (manifest, image) = match choose(&dir, host)? {
            Choice::Sound(sound) => (sound.manifest.clone(), Some(sound)),
            Choice::Empty(manifest) => (manifest, None),
            Choice::New if create => {
                let Host { base, arena_len, page_size, machine } = *host;
                let identity = Identity { heap_id, base, arena_len, page_size, machine };
                let manifest = Manifest::new(identity);
                manifest.publish(&dir)?;
                (manifest, None)
            }
            Choice::New => return Err(StoreError::Missing { path: dir.path_of("") }),
        };
        let mut store = Self {
            dir,
            manifest,
            keep,
            pruned: Vec::new(),
            unnamed: Vec::new(),
            reopened: Reopened::new(),
        };
        store.sweep();
        if let Some(sound) = &image {
            store.forget_skipped(sound);
        }
        Ok(Opening { store, image })
    }

    /// The newest sound snapshot before one whose contents were refused. That one, too, counts
    /// no longer among those to be kept.
    ///
    /// # Errors
    /// If there is none.
    pub fn older_than(&mut self, refused: &Sound<D::File>) -> Result<Sound<D::File>, ChooseError> {
        let (host, number) = (self.manifest.identity.host(), refused.snapshot.number);
        let path = self.dir.path_of("");
        match choose_before(&self.dir, &host, number)? {
            Choice::Sound(sound) => {
                self.forget(|snapshot| snapshot == number);
                self.forget_skipped(&sound);
                Ok(sound)
            }
            _ => Err(ChooseError::NoneSound { path, skipped: Vec::new() }),
        }
    }

    /// The number that the next snapshot gets.
    #[must_use]
    pub fn next_snapshot(&self) -> u64 {
        self.manifest.next_snapshot
    }

    /// Writes the arena's frozen pages into a new segment. The window is one that a freeze has
    /// just opened; it can be closed when this is done.
    ///
    /// # Errors
    /// See [`SaveError`]. The segment is gone then, as far as the system lets it be removed.
    pub fn draft(
        &mut self,
        arena: &Arena,
        window: &Window<'_>,
        frozen_at: u64,
        operations: u64,
    ) -> Result<Draft<D::File>, SaveError> {
        let number = self.manifest.next_segment;
        // A number is never used again, whatever becomes of its file.
        self.manifest.next_segment = number.next().ok_or(SaveError::Numbers)?;
        let info = SegmentInfo {
            identity: self.manifest.identity,
            number,
            parent: None,
            snapshot: self.manifest.next_snapshot,
            frozen_at,
            operations,
        };
        let before = std::mem::take(&mut self.reopened);
        let mut draft = Draft::write(&self.dir, info, arena.cow(), window, &before)
            .map_err(|error| self.abandon(&info, error.into()))?;
        self.reopened = std::mem::take(&mut draft.reopened);
        Ok(draft)
    }

    /// Makes a draft durable. What the retention no longer wants is then removed by
    /// [`Store::prune`].
    ///
    /// # Errors
    /// See [`SaveError`]. The older snapshots are untouched.
    pub fn commit(&mut self, draft: Draft<D::File>) -> Result<SnapshotRecord, SaveError> {
        let Draft { writer, info, notes, .. } = draft;
        let summary = writer
            .finish(&notes)
            .and_then(|finished| finished.sync())
            .map_err(|error| self.abandon(&info, error.into()))?;
        let record = SnapshotRecord {
            number: info.snapshot,
            frozen_at: info.frozen_at,
            operations: info.operations,
            pages: summary.pages,
            bytes: summary.bytes,
            chain: vec![info.number],
        };
        let mut next = self.manifest.clone();
        next.add(record.clone(), summary.record);
        let mut pruned = next.keep_newest(self.keep);
        match next.publish(&self.dir) {
            Ok(()) => {
                self.manifest = next;
                self.unnamed.append(&mut pruned);
                self.unnamed.append(&mut self.pruned);
                Ok(record)
            }
            Err(error) if error.old_in_force() => Err(self.abandon(&info, error.into())),
            Err(error) => {
                // Either manifest may be there after a power cut: keep the files of both.
                self.manifest = next;
                self.pruned.extend(pruned);
                Err(error.into())
            }
        }
    }

    /// Removes the files of segments that no manifest names any more. Freeing their blocks may
    /// take the file system longer than writing did, so nobody should have to wait for it.
    pub fn prune(&mut self) {
        for segment in self.unnamed.drain(..) {
            // What cannot be removed now is a leftover, which the next opening removes.
            let _ = self.dir.remove(&segment.file_name());
        }
    }

    /// Forgets the damaged snapshots that were passed over, so that they do not count among
    /// those to be kept. Their files go when the next snapshot is durable.
    fn forget_skipped(&mut self, sound: &Sound<D::File>) {
        self.forget(|number| sound.skipped.iter().any(|skipped| skipped.number == number));
    }

    fn forget(&mut self, damaged: impl Fn(u64) -> bool) {
        let manifest = &mut self.manifest;
        manifest.snapshots.retain(|snapshot| !damaged(snapshot.number));
        let snapshots = &manifest.snapshots;
        let needed = |segment: &SegmentRecord| {
            snapshots.iter().any(|snapshot| snapshot.chain.contains(&segment.number))
        };
        let (kept, pruned): (Vec<_>, Vec<_>) = manifest.segments.drain(..).partition(needed);
        manifest.segments = kept;
        self.pruned.extend(pruned);
    }

    fn abandon(&self, info: &SegmentInfo, error: SaveError) -> SaveError {
        // What cannot be removed now is a leftover, which the next opening removes.
        let _ = self.dir.remove(&info.number.file_name(SegmentKind::Full));
        error
    }

    /// Removes what an interrupted snapshot left.
    fn sweep(&self) {
        for name in leftovers(&self.dir, &self.manifest).unwrap_or_default() {
            let _ = self.dir.remove(&name);
        }
    }
}
