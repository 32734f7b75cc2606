//! A heap's directory in the hands of the one process that may change it.
//!
//! **Invariant:** the manifest on disk names complete, durable segments only. A failure
//! anywhere leaves the manifest as it was, or, where the system cannot tell whether the new
//! one will last, keeps every file that either of the two names.
//!
//! The snapshot thread drafts and commits, another one merges and removes; the lock is held for
//! the manifest's replacement, and never while pages are written.

use crate::arena::Arena;
use crate::base::PAGE_SIZE;
use crate::cow::{Saves, Window};
use crate::image::{
    Chain, Choice, ChooseError, CommitError, Host, Identity, Machine, Manifest, SegmentInfo,
    SegmentNumber, SegmentReader, SegmentRecord, SnapshotRecord, Sound, VerifyReport, Wish,
    choose_as, leftovers,
};
use crate::os::Dir;
use crate::snapshot::compact::{CHAIN_MAX, GATHERED};
use crate::snapshot::forecast::Forecast;
use crate::snapshot::policy::spare;
use crate::snapshot::{Draft, Policy, RevertError, SaveError, StoreError, VerifyError, heat};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// An open heap directory.
#[derive(Debug)]
pub struct Store<D: Dir> {
    pub(super) dir: D,
    pub(super) policy: Policy,
    state: Mutex<State<D::File>>,
}

/// What changes with each snapshot.
#[derive(Debug)]
pub(super) struct State<F> {
    pub(super) manifest: Manifest,
    /// Segments that the manifest in memory does not name any more, the one on disk still does.
    pruned: Vec<SegmentRecord>,
    /// Segments that no manifest names any more, whose files are still there.
    pub(super) unnamed: Vec<SegmentRecord>,
    /// The snapshot that the next delta applies to: the newest durable one, or the one that was
    /// restored.
    pub(super) parent: Option<Parent<F>>,
    /// The snapshot after which others are set aside when the next one is durable.
    goes_on_from: Option<u64>,
    /// The first snapshot that this process can make.
    first_here: u64,
    /// Whether the restored snapshot's pages are still to be verified.
    unverified: bool,
    /// A segment that the next delta would build on is damaged.
    is_distrusted: bool,
    forecast: Forecast,
}

/// A snapshot that deltas apply to.
#[derive(Debug)]
pub(super) struct Parent<F> {
    pub(super) number: u64,
    pub(super) chain: Chain<F>,
}

/// A directory just opened, with the snapshot to restore, if it has one.
#[derive(Debug)]
pub struct Opening<D: Dir> {
    /// The directory.
    pub store: Store<D>,
    /// The snapshot that was asked for; `None` in a heap that has none yet.
    pub image: Option<Sound<D::File>>,
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
    /// `heap_id` names a heap that is created. The caller holds the directory's lock.
    ///
    /// # Errors
    /// See [`StoreError`]; then nothing has changed.
    pub fn open(
        dir: D,
        host: &Host,
        heap_id: u128,
        policy: Policy,
        create: bool,
        wish: Wish,
    ) -> Result<Opening<D>, StoreError> {
        let (manifest, image) = match choose_as(&dir, host, wish)? {
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
        let store = Self { dir, policy, state: Mutex::new(State::new(manifest)) };
        store.sweep();
        if let Some(sound) = &image {
            store.go_on_from(sound);
            store.lock().unverified = !wish.verify;
        }
        Ok(Opening { store, image })
    }

    /// The newest sound snapshot before one whose contents were refused. That one, too, counts
    /// no longer among those to be kept.
    ///
    /// # Errors
    /// If there is none.
    pub fn older_than(&self, refused: &Sound<D::File>) -> Result<Sound<D::File>, ChooseError> {
        let (host, before) = (refused.manifest.identity.host(), refused.snapshot.number);
        let wish = Wish { before, ..Wish::default() };
        match choose_as(&self.dir, &host, wish)? {
            Choice::Sound(sound) => {
                self.lock().forget(|number| number == before);
                self.go_on_from(&sound);
                Ok(sound)
            }
            _ => {
                let (path, skipped) = (self.dir.path_of(""), Vec::new());
                Err(ChooseError::NoneSound { path, skipped, openable: Vec::new() })
            }
        }
    }

    /// The next snapshot builds on this one. Damaged ones that were passed over do not count among
    /// those to be kept; their files go when the next snapshot is durable.
    fn go_on_from(&self, sound: &Sound<D::File>) {
        let mut state = self.lock();
        state.forget(|number| sound.skipped.iter().any(|skipped| skipped.number == number));
        let number = sound.snapshot.number;
        let chain = sound.chain.clone();
        // Pages that are in several segments count several times: an upper bound does here.
        let saved = chain.segments().iter().map(|segment| segment.index().len() as u64);
        state.forecast.in_use = saved.sum();
        state.parent = Some(Parent { number, chain });
        state.goes_on_from = Some(number);
    }

    /// The number that the next snapshot gets.
    #[must_use]
    pub fn next_snapshot(&self) -> u64 {
        self.lock().manifest.next_snapshot
    }

    /// The snapshots that there are, oldest first.
    #[must_use]
    pub fn snapshots(&self) -> Vec<SnapshotRecord> {
        self.lock().manifest.snapshots.clone()
    }

    /// The snapshot that the next delta would build on, and its open files: the newest durable one,
    /// or the one that was restored. Files that are removed meanwhile stay readable.
    #[must_use]
    pub fn newest(&self) -> Option<(u64, Chain<D::File>)> {
        let state = self.lock();
        state.parent.as_ref().map(|parent| (parent.number, parent.chain.clone()))
    }

    /// What the next window should save, when `dirtied` bytes have been dirtied since the last
    /// one, in whole pages and chunks: all, if there is nothing sound to build on, if most of the
    /// heap has changed, so that a delta would be no gain, or if too many have gathered.
    #[must_use]
    pub fn next_saves(&self, dirtied: u64) -> Saves {
        let mut state = self.lock();
        state.forecast.dirtied = dirtied / PAGE_SIZE as u64;
        let is_small = state.forecast.is_small();
        let chain = state.manifest.newest().map_or(0, |newest| newest.chain.len());
        // Nobody has had the time to merge: programs that run for a moment only.
        let is_left_alone = chain >= CHAIN_MAX
            || chain >= GATHERED && self.policy.wants_spare() && spare(&state.manifest).is_none();
        let is_sound = !state.is_distrusted;
        let is_worth_it = self.policy.increments && is_sound && is_small && !is_left_alone;
        // What is made of pages that may be damaged builds on these, so that it is not believed
        // without them.
        let has_to = state.unverified && chain < CHAIN_MAX;
        match state.parent.is_some() && (is_worth_it || has_to) {
            true => Saves::Changed,
            false => Saves::All,
        }
    }

    /// Writes the arena's frozen pages into a new segment: what `saves` says, and the freeze was
    /// told. The window is one that a freeze has just opened; it can be closed when this is done.
    ///
    /// # Errors
    /// See [`SaveError`]. The segment is gone then, as far as the system lets it be removed.
    pub fn draft(
        &self,
        arena: &Arena,
        window: &Window<'_>,
        frozen_at: u64,
        operations: u64,
        saves: Saves,
    ) -> Result<Draft<D::File>, SaveError> {
        let (info, chain) = {
            let mut state = self.lock();
            let parent = state.parent.as_ref();
            let chain = parent.map(|parent| parent.chain.clone());
            let parent = parent.map(|parent| parent.number).filter(|_| saves == Saves::Changed);
            if saves == Saves::Changed && parent.is_none() {
                return Err(SaveError::NoParent);
            }
            let info = SegmentInfo {
                identity: state.manifest.identity,
                // A number is never used again, whatever becomes of its file.
                number: state.take_number().ok_or(SaveError::Numbers)?,
                parent,
                snapshot: state.manifest.next_snapshot,
                frozen_at,
                operations,
                compression: if parent.is_some() { self.policy.delta } else { self.policy.full },
            };
            (info, chain)
        };
        let drafted = Draft::write(&self.dir, info, arena.cow(), window, chain.as_ref());
        let draft = drafted.map_err(|error| self.abandon(&info, error.into()))?;
        self.lock().forecast.learn(&draft.counts, chain.is_some());
        Ok(draft)
    }

    /// Makes a draft durable. What the retention no longer wants is then removed by
    /// [`Store::prune`].
    ///
    /// # Errors
    /// See [`SaveError`]. The older snapshots are untouched.
    pub fn commit(&self, draft: Draft<D::File>) -> Result<SnapshotRecord, SaveError> {
        let Draft { writer, info, uses, .. } = draft;
        let summary = writer
            .finish(&heat::encode(&uses))
            .and_then(|finished| finished.sync())
            .map_err(|error| self.abandon(&info, error.into()))?;
        let mut state = self.lock();
        let before = info.parent.and_then(|parent| state.manifest.snapshot(parent));
        let mut chain = match (info.parent, before) {
            (None, _) => Vec::new(),
            (Some(_), Some(before)) => before.chain.clone(),
            (Some(_), None) => return Err(self.abandon(&info, SaveError::NoParent)),
        };
        chain.push(info.number);
        let record = SnapshotRecord {
            number: info.snapshot,
            frozen_at: info.frozen_at,
            operations: info.operations,
            pages: summary.pages,
            bytes: summary.bytes,
            set_aside: false,
            chain,
        };
        let mut next = state.manifest.clone();
        if let Some(number) = state.goes_on_from {
            next.revert(number);
        }
        // Until the restored snapshot is verified, those that can take its place are kept.
        let (first, unverified) = (info.snapshot == state.first_here, state.unverified);
        let mut pruned = Vec::new();
        if unverified && first {
            pruned = self.policy.retain(&mut next, info.frozen_at);
        }
        next.add(record.clone(), summary.record);
        if !unverified {
            pruned = self.policy.retain(&mut next, info.frozen_at);
        }
        match self.publish(&mut state, next, pruned) {
            Ok(()) => {
                state.goes_on_from = None;
                state.is_distrusted &= info.parent.is_some();
                state.parent = self.next_parent(state.parent.take(), &info, &summary.record);
                Ok(record)
            }
            Err(error) if error.old_in_force() => Err(self.abandon(&info, error.into())),
            Err(error) => {
                // Nobody can tell which snapshot the next one could build on. The manifest in
                // memory is the new one, in which those in between are set aside.
                (state.goes_on_from, state.parent) = (None, None);
                Err(error.into())
            }
        }
    }

    /// Replaces the manifest, without the segments that it has ceased to name. If the old one may
    /// come back after a power cut, the files of both stay.
    pub(super) fn publish(
        &self,
        state: &mut State<D::File>,
        next: Manifest,
        mut pruned: Vec<SegmentRecord>,
    ) -> Result<(), CommitError> {
        let published = next.publish(&self.dir);
        match &published {
            Ok(()) => {
                state.manifest = next;
                state.unnamed.append(&mut pruned);
                let before = std::mem::take(&mut state.pruned);
                state.unnamed.extend(before);
            }
            Err(error) if error.old_in_force() => {}
            Err(_) => {
                state.manifest = next;
                state.pruned.extend(pruned);
            }
        }
        published
    }

    /// What the next snapshot is compared with, once the segment is durable. Without it, if it
    /// cannot be opened, the next one is full.
    fn next_parent(
        &self,
        before: Option<Parent<D::File>>,
        info: &SegmentInfo,
        record: &SegmentRecord,
    ) -> Option<Parent<D::File>> {
        let reader = SegmentReader::open(&self.dir, record, &info.identity).ok()?;
        let mut chain = match info.parent {
            Some(_) => before?.chain,
            None => Chain::default(),
        };
        chain.push(reader).ok()?;
        Some(Parent { number: info.snapshot, chain })
    }

    /// Removes the files of segments that no manifest names any more. Freeing their blocks may
    /// take the file system longer than writing did, so nobody should have to wait for it.
    /// Whoever has them open keeps them.
    pub fn prune(&self) {
        let unnamed = std::mem::take(&mut self.lock().unnamed);
        for segment in unnamed {
            // What cannot be removed now is a leftover, which the next opening removes.
            let _ = self.dir.remove(&segment.file_name());
        }
    }

    /// Makes an older snapshot the one that is opened next: those after it are set aside.
    ///
    /// # Errors
    /// If there is no such snapshot, or the manifest cannot be replaced.
    pub fn revert(&self, number: u64) -> Result<(), RevertError> {
        let mut state = self.lock();
        let mut next = state.manifest.clone();
        if !next.revert(number) {
            return Err(ChooseError::no_such(&self.dir, &next, number).into());
        }
        self.publish(&mut state, next, Vec::new())?;
        state.parent = None;
        Ok(())
    }

    /// The restored snapshot's pages have been verified.
    pub fn verified(&self) {
        self.lock().unverified = false;
    }

    /// Sets aside the restored snapshot, which has been found to be damaged, with all those that
    /// share its last segment or have been made since; unless there would be none left.
    ///
    /// # Errors
    /// If the manifest cannot be replaced.
    pub fn set_aside(&self, number: u64) -> Result<(), CommitError> {
        let mut state = self.lock();
        let mut next = state.manifest.clone();
        let last = next.snapshot(number).and_then(|snapshot| snapshot.chain.last().copied());
        let first = state.first_here;
        for snapshot in &mut next.snapshots {
            let is_shared = last.is_some_and(|last| snapshot.chain.contains(&last));
            let is_made_of_it = snapshot.number == number || snapshot.number >= first;
            snapshot.set_aside |= is_shared || is_made_of_it;
        }
        if next.newest().is_none() {
            return Ok(());
        }
        self.publish(&mut state, next, Vec::new())?;
        (state.goes_on_from, state.parent) = (None, None);
        Ok(())
    }

    /// Verifies every page of a snapshot's segments; `watch` as in
    /// [`SegmentReader::verify_watched`]. `None`: it has ended the work.
    ///
    /// # Errors
    /// If there is no such snapshot, or it is damaged.
    pub fn verify(
        &self,
        number: u64,
        watch: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Option<VerifyReport>, VerifyError> {
        let manifest = self.lock().manifest.clone();
        let Some(snapshot) = manifest.snapshot(number) else {
            return Err(ChooseError::no_such(&self.dir, &manifest, number).into());
        };
        let opened = Chain::open(&self.dir, &manifest, snapshot);
        let verified = opened.and_then(|chain| chain.verify_watched(watch));
        if verified.is_err() {
            self.distrust(&snapshot.chain);
        }
        Ok(verified?)
    }

    /// One of these segments is damaged. If the next snapshot would build on any, it is to be a
    /// full one: what is in memory may be the only sound copy that there is.
    pub(super) fn distrust(&self, damaged: &[SegmentNumber]) {
        let mut state = self.lock();
        let segments = state.parent.iter().flat_map(|parent| parent.chain.segments());
        let is_damaged = segments.map(|held| held.header().number).any(|n| damaged.contains(&n));
        state.is_distrusted |= is_damaged;
    }

    pub(super) fn abandon(&self, info: &SegmentInfo, error: SaveError) -> SaveError {
        // What cannot be removed now is a leftover, which the next opening removes.
        let _ = self.dir.remove(&info.file_name());
        error
    }

    /// Removes what an interrupted snapshot left.
    fn sweep(&self) {
        for name in leftovers(&self.dir, &self.lock().manifest).unwrap_or_default() {
            let _ = self.dir.remove(&name);
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State<D::File>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> State<F> {
    fn new(manifest: Manifest) -> Self {
        let first_here = manifest.next_snapshot;
        Self {
            manifest,
            pruned: Vec::new(),
            unnamed: Vec::new(),
            parent: None,
            goes_on_from: None,
            first_here,
            unverified: false,
            is_distrusted: false,
            forecast: Forecast::new(),
        }
    }

    /// A number for a new segment; `None`: they have run out.
    pub(super) fn take_number(&mut self) -> Option<SegmentNumber> {
        let number = self.manifest.next_segment;
        self.manifest.next_segment = number.next()?;
        Some(number)
    }

    /// Forgets damaged snapshots.
    fn forget(&mut self, damaged: impl Fn(u64) -> bool) {
        let manifest = &mut self.manifest;
        manifest.snapshots.retain(|snapshot| !damaged(snapshot.number));
        self.pruned.extend(manifest.take_unnamed());
    }
}
