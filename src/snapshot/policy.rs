//! What a store keeps, and in which form.

use crate::image::{
    CommitError, Compression, Manifest, SegmentNumber, SegmentRecord, SnapshotRecord,
};
use crate::os::Dir;
use crate::snapshot::Store;
use std::time::Duration;

/// What a store keeps, and in which form.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How many of the newest snapshots stay; at least one does.
    pub keep: usize,
    /// Snapshots that are not older than this stay as well.
    pub keep_for: Option<Duration>,
    /// How full segments are compressed.
    pub full: Compression,
    /// How deltas are.
    pub delta: Compression,
    /// Whether there are deltas at all.
    pub increments: bool,
    /// Whether a snapshot that shares no file with the newest is kept as well, if more than one is.
    pub spare: bool,
}

impl Default for Policy {
    fn default() -> Self {
        let (full, delta) = (Compression::None, Compression::None);
        Self { keep: 2, keep_for: None, full, delta, increments: true, spare: true }
    }
}

impl Policy {
    /// Forgets the snapshots that are not to stay, `now` nanoseconds after 1970. Gives the
    /// segments that are not needed any more.
    pub fn retain(&self, manifest: &mut Manifest, now: u64) -> Vec<SegmentRecord> {
        let oldest = manifest.oldest_of(self.keep);
        let spare = spare(manifest).filter(|_| self.wants_spare()).map(|spare| spare.number);
        let age = self.keep_for.map(|age| u64::try_from(age.as_nanos()).unwrap_or(u64::MAX));
        manifest.retain(|snapshot| {
            let is_young = age.is_some_and(|age| snapshot.frozen_at.saturating_add(age) >= now);
            snapshot.number >= oldest || is_young || Some(snapshot.number) == spare
        })
    }

    /// Whether a spare snapshot is to be kept: of one alone there is none.
    pub(super) fn wants_spare(&self) -> bool {
        self.spare && self.keep > 1
    }
}

impl<D: Dir> Store<D> {
    /// Forgets the snapshots that the policy does not keep, `now` nanoseconds after 1970, and gives
    /// these. Their files go with [`Store::prune`].
    ///
    /// # Errors
    /// If the manifest cannot be replaced.
    pub fn retain(&self, now: u64) -> Result<Vec<SnapshotRecord>, CommitError> {
        let mut state = self.lock();
        let mut next = state.manifest.clone();
        let pruned = self.policy.retain(&mut next, now);
        let mut gone = state.manifest.snapshots.clone();
        gone.retain(|snapshot| next.snapshot(snapshot.number).is_none());
        if !gone.is_empty() {
            self.publish(&mut state, next, pruned)?;
        }
        Ok(gone)
    }
}

/// The newest snapshot that shares no segment with the newest of all: what is left if one of that
/// one's files is damaged.
pub(super) fn spare(manifest: &Manifest) -> Option<&SnapshotRecord> {
    let newest = manifest.newest()?;
    let is_shared = |segment: &SegmentNumber| newest.chain.contains(segment);
    manifest.counting().find(|snapshot| !snapshot.chain.iter().any(is_shared))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Codec, Identity, Machine, SegmentKind};

    fn manifest() -> Manifest {
        let identity = Identity {
            heap_id: 1,
            base: 0x2000_0000_0000,
            arena_len: 1 << 40,
            page_size: 4096,
            machine: Machine::X86_64,
        };
        let mut manifest = Manifest::new(identity);
        for number in 1..=5 {
            let segment = SegmentNumber::new(number).unwrap();
            let snapshot = SnapshotRecord {
                number,
                frozen_at: number * 1_000_000_000,
                operations: 0,
                pages: 0,
                bytes: 0,
                set_aside: false,
                chain: vec![segment],
            };
            let (kind, codec) = (SegmentKind::Full, Codec::Raw);
            let file_len = 9000;
            let record = SegmentRecord { number: segment, kind, codec, file_len, header_crc: 0 };
            manifest.add(snapshot, record);
        }
        manifest
    }

    #[test]
    fn by_count_and_by_age() {
        let kept = |keep, seconds: Option<u64>| {
            let keep_for = seconds.map(Duration::from_secs);
            let mut manifest = manifest();
            let policy = Policy { keep, keep_for, ..Policy::default() };
            let gone = policy.retain(&mut manifest, 5_500_000_000);
            assert_eq!(gone.len() + manifest.segments.len(), 5);
            manifest.snapshots.iter().map(|snapshot| snapshot.number).collect::<Vec<_>>()
        };
        assert_eq!(kept(0, None), [5]);
        assert_eq!(kept(2, None), [4, 5]);
        assert_eq!(kept(2, Some(3)), [3, 4, 5]);
        assert_eq!(kept(1, Some(0)), [5]);
        assert_eq!(kept(9, Some(1)), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn one_that_shares_no_file_is_kept_as_well() {
        let mut manifest = manifest();
        // The last three are deltas on the second.
        for place in 2..5 {
            let before = manifest.snapshots[place - 1].chain.clone();
            let own = manifest.snapshots[place].chain[0];
            manifest.snapshots[place].chain = [&before[..], &[own]].concat();
            manifest.segments[place].kind = SegmentKind::Delta;
        }
        let kept = |spare, keep| {
            let mut manifest = manifest.clone();
            Policy { keep, spare, ..Policy::default() }.retain(&mut manifest, 9);
            manifest.snapshots.iter().map(|snapshot| snapshot.number).collect::<Vec<_>>()
        };
        assert_eq!(kept(true, 2), [1, 4, 5]);
        assert_eq!(kept(false, 2), [4, 5]);
        assert_eq!(kept(true, 1), [5]);
    }
}
