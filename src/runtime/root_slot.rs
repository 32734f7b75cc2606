//! Roots without their types: entries of the root table, and the values that they name.
#![allow(unsafe_code, reason = "reads bytes of the arena by address")]

use crate::heap::{RootRecord, RootTableError};
use crate::runtime::handle::Heap;
use crate::runtime::process::Process;
use std::slice;

/// What a root needs of the process that its heap is in.
#[derive(Clone, Copy)]
pub(crate) struct RootHost(&'static Process);

impl RootHost {
    /// A panic may have left the root half changed: no snapshots until it is repaired.
    pub(crate) fn poison(self, root: &str) {
        self.0.opened.poison(root);
    }

    /// The root can change without a scope, through cells or atomics.
    pub(crate) fn note_unseen_changes(self) {
        self.0.opened.note_unseen_changes();
    }

    /// The root has been repaired.
    pub(crate) fn clear_poison(self, root: &str) {
        self.0.opened.clear_poison(root);
    }
}

impl Heap {
    /// What this heap's roots need.
    pub(crate) fn root_host(&self) -> RootHost {
        RootHost(self.process)
    }

    /// A restored root can be asked now.
    pub(crate) fn note_restored_root(&self) {
        self.process.meter.set_ready();
    }

    /// The table's entry for a root.
    pub(crate) fn find_root(&self, name: &str) -> Option<RootRecord> {
        self.process.heap.find_root(name).map(|(_, record)| record)
    }

    /// Writes an entry. The caller is in a scope, and its value and schema are blocks in use.
    pub(crate) fn put_root(&self, record: &RootRecord) -> Result<(), RootTableError> {
        debug_assert!(crate::runtime::Scope::is_entered());
        self.process.heap.put_root(record)
    }

    /// All entries.
    #[cfg(feature = "capi")]
    pub(crate) fn root_records(&self) -> impl Iterator<Item = RootRecord> {
        self.process.heap.roots().map(|(_, record)| record)
    }

    /// Takes an entry out of the table. The caller is in a scope.
    #[cfg(feature = "capi")]
    pub(crate) fn remove_root(&self, name: &str) -> Option<RootRecord> {
        debug_assert!(crate::runtime::Scope::is_entered());
        self.process.heap.remove_root(name)
    }

    /// Whether a block of the heap starts at that address.
    pub(crate) fn holds_block(&self, address: usize) -> bool {
        self.process.heap.is_live_block(address)
    }

    /// The schema that is stored with a root. It is never changed, nor freed while the root is in
    /// the table.
    pub(crate) fn stored_schema(&self, record: &RootRecord) -> &'static [u8] {
        stored_schema(self.process, record)
    }
}

/// The schema that is stored with a root.
pub(super) fn stored_schema<'a>(process: &Process, record: &RootRecord) -> &'a [u8] {
    let Ok(address) = usize::try_from(record.schema) else { return &[] };
    let usable = process.heap.usable_size(address).unwrap_or(0);
    let len = (record.schema_len as usize).min(usable);
    let first: *const u8 = std::ptr::with_exposed_provenance(address);
    if len == 0 || !process.heap.is_live_block(address) {
        return &[];
    }
    // SAFETY: a block in use of at least that length; schemas are written once, before
    // their address enters the table.
    unsafe { slice::from_raw_parts(first, len) }
}
