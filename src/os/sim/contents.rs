//! The bytes of each file for the outcome that is being looked at, with their digests.
//!
//! Invariant: a file's bytes are copied only if some unsynced change to them arrives, and built
//! and digested anew only when the fate of one of its changes is another than before.

use super::{
    pending::Pending,
    state::{FileId, Names, State},
    tear::{Fate, arrive},
};
use crate::base::{Digest, digest};
use std::{collections::BTreeMap, sync::Arc};

/// The bytes of all files that a name may lead to.
#[derive(Debug)]
pub(super) struct Contents {
    files: BTreeMap<FileId, Content>,
}

#[derive(Debug)]
struct Content {
    bytes: Arc<Vec<u8>>,
    digest: Digest,
    /// The places of its unsynced changes, and what became of each.
    changes: Vec<(usize, Fate)>,
}

impl Contents {
    /// Only what is durable.
    pub(super) fn durable(pending: &Pending) -> Self {
        let mut files: BTreeMap<FileId, Content> = BTreeMap::new();
        for (&id, bytes) in &pending.files {
            let (bytes, digest) = (Arc::clone(bytes), digest(bytes));
            files.insert(id, Content { bytes, digest, changes: Vec::new() });
        }
        for (place, change) in pending.data.iter().enumerate() {
            if let Some(content) = files.get_mut(&change.file) {
                content.changes.push((place, Fate::Lost));
            }
        }
        Self { files }
    }

    /// What is durable, and of the changes what their fates leave.
    pub(super) fn set(&mut self, pending: &Pending, fates: &[Fate]) {
        for (id, content) in &mut self.files {
            let mut changed = false;
            for (place, fate) in &mut content.changes {
                changed |= *fate != fates[*place];
                *fate = fates[*place];
            }
            if changed {
                content.build(&pending.files[id], pending);
            }
        }
    }

    /// The state in which the files have these names.
    pub(super) fn named(&self, names: Names) -> State {
        let content = |id: &FileId| Some((*id, Arc::clone(&self.files.get(id)?.bytes)));
        let files = names.values().filter_map(content).collect();
        State { names, files }
    }

    /// The same for two states if, and only if, they have the same names with the same bytes.
    pub(super) fn fingerprint(&self, names: &Names) -> Digest {
        let mut bytes = Vec::new();
        for (name, id) in names {
            let found = self.files.get(id).map_or_else(Digest::default, |content| content.digest);
            bytes.extend((name.len() as u64).to_le_bytes());
            bytes.extend(name.as_bytes());
            bytes.extend(found.0.to_le_bytes());
        }
        digest(&bytes)
    }
}

impl Content {
    fn build(&mut self, durable: &Arc<Vec<u8>>, pending: &Pending) {
        if self.changes.iter().all(|&(_, fate)| fate == Fate::Lost) {
            self.bytes = Arc::clone(durable);
        } else {
            let mut bytes = durable.to_vec();
            for &(place, fate) in &self.changes {
                arrive(&mut bytes, pending.op(pending.data[place].at), fate);
            }
            self.bytes = Arc::new(bytes);
        }
        self.digest = digest(&self.bytes);
    }
}
