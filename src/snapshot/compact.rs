//! Compaction: segments in a row are merged into one, in the background and from their files, so
//! that chains stay short and files hold little that is out of date.
//!
//! Nothing is merged across a retained snapshot's end, but when a chain has become too long: so a
//! merger takes no more room on the disk, in the end, than what it replaces. But for one: of two
//! full segments the older one stays, with what the spare snapshot needs on it, so that no damage
//! to a single file takes everything. Deltas are merged when enough of about the same size have
//! gathered, as in a log-structured merge tree, so that no page is copied more often than about
//! the logarithm of its age in snapshots; they are merged into the full segment when together they
//! are half as long.
//!
//! **Invariant:** a merger is complete, synced and verified before the manifest names it, and what
//! it replaces is removed after that.

use crate::image::{
    Chain, CommitError, Compression, Manifest, SegmentError, SegmentKind, SegmentNumber,
    SegmentReader, SegmentRecord, SnapshotRecord, WriteError,
};
use crate::os::Dir;
use crate::snapshot::policy::spare;
use crate::snapshot::{Policy, Store};
use std::ops::Range;

/// Segments in a chain from which on it is merged, whatever that costs.
pub(super) const CHAIN_MAX: usize = 32;
/// Deltas of about the same size that are merged.
pub(super) const GATHERED: usize = 4;

/// Segments that are to be merged.
#[derive(Debug)]
pub(super) struct Merger {
    snapshot: SnapshotRecord,
    /// Their places in the snapshot's chain.
    range: Range<usize>,
}

/// What a merger has done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compacted {
    /// Segments that were merged.
    pub segments: usize,
    /// Pages in the merger.
    pub pages: u64,
    /// Its bytes.
    pub bytes: u64,
}

/// Why segments could not be merged. All snapshots are as they were.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// One of them, or the merger, is damaged.
    #[error("segments cannot be merged: {0}")]
    Damage(#[from] SegmentError),
    /// The merger could not be written.
    #[error("segments cannot be merged: {0}")]
    Write(#[from] WriteError),
    /// It could not be committed.
    #[error("merged segments could not be committed: {0}")]
    Commit(#[from] CommitError),
    /// Segment numbers have run out.
    #[error("the heap has used up its segment numbers")]
    Numbers,
}

impl<D: Dir> Store<D> {
    /// Whether there is something to be merged.
    #[must_use]
    pub fn wants_compaction(&self) -> bool {
        next_merger(&self.lock().manifest, &self.policy).is_some()
    }

    /// Merges segments, if that is due; `watch` is told of pages as they are written, and ends the
    /// work by answering `false`. `None`: nothing was due, or the work was ended.
    ///
    /// # Errors
    /// See [`CompactError`].
    pub fn compact(
        &self,
        watch: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Option<Compacted>, CompactError> {
        let merger = next_merger(&self.lock().manifest, &self.policy);
        merger.map_or(Ok(None), |merger| self.merge(&merger, watch))
    }

    /// Merges the newest snapshot's whole chain into one segment, whether that is due or not.
    ///
    /// # Errors
    /// See [`CompactError`].
    pub fn compact_fully(
        &self,
        watch: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Option<Compacted>, CompactError> {
        let newest = self.lock().manifest.newest().cloned();
        let Some(snapshot) = newest.filter(|newest| newest.chain.len() > 1) else {
            return Ok(None);
        };
        let range = 0..snapshot.chain.len();
        self.merge(&Merger { snapshot, range }, watch)
    }

    fn merge(
        &self,
        merger: &Merger,
        watch: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Option<Compacted>, CompactError> {
        let (manifest, number) = {
            let mut state = self.lock();
            let number = state.take_number().ok_or(CompactError::Numbers)?;
            (state.manifest.clone(), number)
        };
        let is_full = merger.range.start == 0;
        let kind = if is_full { SegmentKind::Full } else { SegmentKind::Delta };
        let compression = if is_full { self.policy.full } else { self.policy.delta };
        let merged = self.write_merger(&manifest, merger, number, compression, watch);
        if !matches!(merged, Ok(Some(_))) {
            // What cannot be removed now is a leftover, which the next opening removes.
            let _ = self.dir.remove(&number.file_name(kind));
        }
        let sources = &merger.snapshot.chain[merger.range.clone()];
        let of_sources = |error: &CompactError| {
            matches!(error, CompactError::Damage(_) | CompactError::Write(WriteError::Source(_)))
        };
        if merged.as_ref().is_err_and(of_sources) {
            if !self.has(sources) {
                // They were pruned before they were opened: a newer snapshot needs none of them.
                return Ok(None);
            }
            self.distrust(sources);
        }
        merged
    }

    /// Whether the manifest still names all these segments.
    fn has(&self, numbers: &[SegmentNumber]) -> bool {
        let state = self.lock();
        numbers.iter().all(|&number| state.manifest.segment(number).is_some())
    }

    fn write_merger(
        &self,
        manifest: &Manifest,
        merger: &Merger,
        number: SegmentNumber,
        compression: Compression,
        watch: &(dyn Fn(u64) -> bool + Sync),
    ) -> Result<Option<Compacted>, CompactError> {
        let chain = Chain::open(&self.dir, manifest, &merger.snapshot)?;
        let range = merger.range.clone();
        let written = chain.merge(&self.dir, range, number, compression, watch)?;
        let Some(summary) = written else { return Ok(None) };
        // The kernel may have copied it, and nobody has looked at it.
        let merged = SegmentReader::open(&self.dir, &summary.record, &manifest.identity)?;
        match merged.verify_watched(watch) {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(None),
            Err(error) => {
                // What is damaged in a source is damaged here: the file to be named is that one.
                chain.verify()?;
                return Err(error.into());
            }
        }
        let numbers = &merger.snapshot.chain[merger.range.clone()];
        let is_committed = self.replace(numbers, summary.record)?;
        let segments = numbers.len();
        let (pages, bytes) = (summary.pages, summary.bytes);
        Ok(is_committed.then_some(Compacted { segments, pages, bytes }))
    }

    /// Has the merger take its place in the manifest, and in the chain that the next delta
    /// applies to. `false`: meanwhile there is no such place any more.
    fn replace(
        &self,
        numbers: &[SegmentNumber],
        record: SegmentRecord,
    ) -> Result<bool, CommitError> {
        let mut state = self.lock();
        let mut next = state.manifest.clone();
        let spare = self.policy.wants_spare() && record.kind == SegmentKind::Full;
        let gone = next.replace(numbers, record, spare);
        if gone.iter().any(|segment| segment.number == record.number) {
            return Ok(false);
        }
        let identity = next.identity;
        match self.publish(&mut state, next, gone) {
            Ok(()) => {}
            Err(error) if error.old_in_force() => return Err(error),
            // The file stays, and so do those that it replaces.
            Err(_) => return Ok(true),
        }
        if let Some(parent) = &mut state.parent {
            let of = |chain: &Chain<D::File>| {
                chain.segments().iter().map(|segment| segment.header().number).collect::<Vec<_>>()
            };
            let held = of(&parent.chain);
            let at = held.windows(numbers.len()).position(|part| part == numbers);
            let reader = SegmentReader::open(&self.dir, &record, &identity).ok();
            // With the old ones open, the next delta can be made all the same.
            if let (Some(at), Some(reader)) = (at, reader) {
                parent.chain.replace(at..at + numbers.len(), reader);
            }
        }
        Ok(true)
    }
}

/// What is to be merged next.
fn next_merger(manifest: &Manifest, policy: &Policy) -> Option<Merger> {
    let newest = manifest.newest()?;
    if policy.wants_spare() && newest.chain.len() > 1 && spare(manifest).is_none() {
        return Some(Merger { snapshot: newest.clone(), range: 0..newest.chain.len() });
    }
    let lens: Vec<u64> = newest
        .chain
        .iter()
        .map(|&number| manifest.segment(number).map_or(0, |segment| segment.file_len))
        .collect();
    // Whether some snapshot ends with that segment of the chain, so that it is needed as it is.
    let ends: Vec<bool> = (1..=newest.chain.len())
        .map(|len| manifest.snapshots.iter().any(|other| other.chain == newest.chain[..len]))
        .collect();
    let range = choose_range(&lens, &ends)?;
    Some(Merger { snapshot: newest.clone(), range })
}

/// Which segments of a chain with these lengths to merge; `ends`: at which of them a retained
/// snapshot ends.
fn choose_range(lens: &[u64], ends: &[bool]) -> Option<Range<usize>> {
    let last = lens.len().checked_sub(1)?;
    let first_end = ends.iter().position(|&end| end)?;
    let deltas: u64 = lens.iter().skip(1).take(first_end).sum();
    if first_end > 0 && deltas >= lens[0] / 2 {
        return Some(0..first_end + 1);
    }
    let mut end = last;
    while end > 0 {
        // The deltas that no snapshot needs, and the one after them.
        let start = (1..end).rev().find(|&place| ends[place]).map_or(1, |place| place + 1);
        if let Some(start) = gathered(&lens[start..=end]).map(|skip| start + skip) {
            return Some(start..end + 1);
        }
        end = start - 1;
    }
    (lens.len() > CHAIN_MAX).then_some(0..lens.len())
}

/// From which of these deltas on they are to be merged: each is at most twice as long as those
/// after it together.
fn gathered(lens: &[u64]) -> Option<usize> {
    let (newest, older) = lens.split_last()?;
    let mut sum = *newest;
    let mut start = older.len();
    for (place, len) in older.iter().enumerate().rev() {
        if *len > 2 * sum {
            break;
        }
        sum += len;
        start = place;
    }
    (lens.len() - start >= GATHERED).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only the newest snapshots are retained: the last `kept` places of the chain.
    fn choose(lens: &[u64], kept: usize) -> Option<Range<usize>> {
        let ends: Vec<bool> = (0..lens.len()).map(|place| place + kept >= lens.len()).collect();
        choose_range(lens, &ends)
    }

    #[test]
    fn few_small_deltas_are_left_alone() {
        assert_eq!(choose(&[1000], 1), None);
        assert_eq!(choose(&[1000, 10, 10, 10, 10], 2), None);
        assert_eq!(choose(&[1000, 400, 10], 1), None);
    }

    #[test]
    fn deltas_of_one_size_are_merged_up_to_a_retained_snapshot() {
        assert_eq!(choose(&[1000, 10, 10, 10, 10, 10], 2), Some(1..5));
        assert_eq!(choose(&[1000, 100, 10, 10, 10, 10, 10], 2), Some(2..6));
        assert_eq!(choose(&[1000, 40, 10, 10, 10, 10], 1), Some(1..6));
    }

    #[test]
    fn the_full_segment_is_merged_when_half_of_it_is_old() {
        assert_eq!(choose(&[1000, 400, 100, 10], 2), Some(0..3));
        assert_eq!(choose(&[1000, 400, 90, 10], 2), None);
        // Not while a snapshot needs it as it is.
        assert_eq!(choose(&[1000, 900], 2), None);
    }

    #[test]
    fn a_long_history_gets_a_full_segment_now_and_then() {
        assert_eq!(choose(&[10; 32], 32), None);
        assert_eq!(choose(&[10; 33], 33), Some(0..33));
    }

    #[test]
    fn chains_stay_short_and_pages_are_copied_seldom() {
        let (mut lens, mut written, mut longest) = (vec![1_000_000_u64], 0, 0);
        for _ in 0..2000 {
            lens.push(1000);
            while let Some(range) = choose(&lens, 2) {
                let len =
                    if range.start == 0 { 1_000_000 } else { lens[range.clone()].iter().sum() };
                written += len;
                lens.splice(range, [len]);
            }
            longest = longest.max(lens.len());
        }
        assert!(longest <= 16, "{longest} segments");
        assert!(written <= 8 * 2000 * 1000, "{written} bytes for 2,000,000 of deltas");
    }
}
