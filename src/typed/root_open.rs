//! Opening a root: finding or making its value, comparing types, relinking.
#![allow(unsafe_code, reason = "reads a stored value by its address, after checking its type")]

use crate::runtime::{ExecutableIdentity, Heap, RootHost, RootRecord, RootTableError, Scope};
use crate::typed::root_cell::RootCell;
use crate::typed::{
    Durable, Interior, RelinkError, Relinker, Root, RootType, Schema, SchemaBytesError,
    SchemaError, TypeMismatch,
};
use std::any::TypeId;
use std::collections::{HashMap, HashSet};
use std::marker::PhantomData;
use std::sync::Arc;
use std::thread::{self, ThreadId};

/// Why a root could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RootError {
    /// The name cannot be used, or there are too many roots.
    #[error(transparent)]
    Table(#[from] RootTableError),
    /// The type combines durable parts in a way that is not sound.
    #[error("the type of the root `{root}` cannot be durable: {source}")]
    Schema {
        /// The root's name.
        root: String,
        /// What is wrong with it.
        source: SchemaError,
    },
    /// The stored value has another type or layout.
    #[error("the root `{root}` was stored with another type:\n{source}")]
    Type {
        /// The root's name.
        root: String,
        /// The differences, field by field.
        source: Box<TypeMismatch>,
    },
    /// The stored schema cannot be read.
    #[error("the stored schema of the root `{root}` is damaged: {source}; open an older snapshot")]
    StoredSchema {
        /// The root's name.
        root: String,
        /// What is wrong with it.
        source: SchemaBytesError,
    },
    /// The table's entry does not fit the type that its own schema tells of.
    #[error(
        "the entry of the root `{root}` is damaged: a value of {expected} bytes expected, {found} \
         found; open an older copy of the heap"
    )]
    Entry {
        /// The root's name.
        root: String,
        /// Bytes of the value, by its type.
        expected: u64,
        /// Bytes that the entry names.
        found: u64,
    },
    /// The stored value has pointers into an executable that is not this one.
    #[error("the root `{root}` cannot be used by this program: {source}")]
    Relink {
        /// The root's name.
        root: String,
        /// Why not.
        source: Box<RelinkError>,
    },
    /// This run has opened the root as another type.
    #[error("the root `{root}` is open already as another Rust type")]
    OpenAsAnotherType {
        /// The root's name.
        root: String,
    },
    /// The root is confined to another thread, or open to all and asked for one.
    #[error(
        "the root `{root}` is open already {}: `local_root` confines a root to the thread that \
         opens it first",
        if *.confined { "and confined to another thread" } else { "to all threads" }
    )]
    OtherThread {
        /// The root's name.
        root: String,
        /// Whether it is confined to a thread.
        confined: bool,
    },
    /// Local roots are another thread's in this process.
    #[error(
        "the root `{root}` is a local one, and another thread has opened local roots: they may \
         share values with each other, so they belong to one thread together"
    )]
    LocalRootsElsewhere {
        /// The root's name.
        root: String,
    },
    /// An earlier attempt of this run to open it broke off.
    #[error(
        "the root `{root}` is spoiled: an earlier attempt to open it broke off half way. Start the \
         program again; no snapshot of it is taken"
    )]
    Spoiled {
        /// The root's name.
        root: String,
    },
    /// An attached snapshot does not have the root.
    #[error("the snapshot has no root `{root}`; it has {}", list(there))]
    NotThere {
        /// The root's name.
        root: String,
        /// The names of those it has.
        there: Vec<String>,
    },
    /// Values of the type cannot be looked at in an attached snapshot.
    #[error(
        "the root `{root}` cannot be looked at in an attached snapshot: {reason}. Open the heap"
    )]
    NotAttachable {
        /// The root's name.
        root: String,
        /// Why not.
        reason: String,
    },
    /// The value was made inside `transient`.
    #[error("the root `{root}` cannot be made inside `transient`, where memory is not durable")]
    Transient {
        /// The root's name.
        root: String,
    },
}

/// Who may use a root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Share {
    AllThreads,
    ThisThread,
}

/// What this layer keeps for an open heap.
#[derive(Default)]
pub(super) struct Registry {
    cells: HashMap<String, Arc<RootCell>>,
    relinker: Option<Relinker>,
    /// The one thread that uses local roots: they may share `Rc`s with each other.
    local_thread: Option<ThreadId>,
    /// Roots whose relinking broke off: they are half done, and stay refused.
    spoiled: HashSet<String>,
}

/// A root's value in its block; never empty, so that the block has an address.
#[repr(C)]
struct Placed<T> {
    value: T,
    not_empty: u8,
}

impl Heap {
    pub(super) fn open_root<T: Durable>(
        &self,
        name: &str,
        share: Share,
        init: impl FnOnce() -> T,
    ) -> Result<Root<T>, RootError> {
        let known = |registry: &mut Registry| self.known_cell::<T>(registry, name, share);
        if let Some(cell) = self.with_upper(known)? {
            return Ok(self.root_of(cell));
        }
        let mut record = RootRecord::named(name)?;
        let kind = RootType::of::<T>()
            .map_err(|source| RootError::Schema { root: name.to_owned(), source })?;
        if let Some(stored) = self.find_root(name) {
            let enter =
                |registry: &mut Registry| self.restored_cell::<T>(registry, &stored, &kind, share);
            let cell = self.with_upper(enter)?;
            self.note_restored_root();
            return Ok(self.root_of(cell));
        }
        let placed = {
            let _scope = Scope::enter();
            Box::new(Placed { value: init(), not_empty: 0 })
        };
        let enter =
            |registry: &mut Registry| self.new_cell(registry, &mut record, &kind, share, placed);
        Ok(self.root_of(self.with_upper(enter)?))
    }

    fn root_of<T>(&self, cell: Arc<RootCell>) -> Root<T> {
        Root { cell, host: self.root_host(), value: PhantomData }
    }

    /// The cell of a root that this run has opened before.
    fn known_cell<T: Durable>(
        &self,
        registry: &mut Registry,
        name: &str,
        share: Share,
    ) -> Result<Option<Arc<RootCell>>, RootError> {
        let root = name.to_owned();
        if registry.spoiled.contains(name) {
            return Err(RootError::Spoiled { root });
        }
        if share == Share::ThisThread {
            let this = thread::current().id();
            if *registry.local_thread.get_or_insert(this) != this {
                return Err(RootError::LocalRootsElsewhere { root });
            }
        }
        let Some(cell) = registry.cells.get(name) else { return Ok(None) };
        if cell.kind != TypeId::of::<T>() {
            return Err(RootError::OpenAsAnotherType { root });
        }
        let this_thread = (share == Share::ThisThread).then(|| thread::current().id());
        if cell.thread != this_thread {
            return Err(RootError::OtherThread { root, confined: cell.thread.is_some() });
        }
        Ok(Some(Arc::clone(cell)))
    }

    /// Takes a stored value over: compares its type, and relinks it.
    fn restored_cell<T: Durable>(
        &self,
        registry: &mut Registry,
        stored: &RootRecord,
        kind: &RootType,
        share: Share,
    ) -> Result<Arc<RootCell>, RootError> {
        if let Some(cell) = self.known_cell::<T>(registry, stored.name(), share)? {
            return Ok(cell);
        }
        check_stored::<T>(stored, self.stored_schema(stored), kind)?;
        self.relink::<T>(registry, stored)?;
        Ok(enter::<T>(self.root_host(), registry, stored, kind, share))
    }

    fn relink<T: Durable>(
        &self,
        registry: &mut Registry,
        stored: &RootRecord,
    ) -> Result<(), RootError> {
        let host = self.root_host();
        let today = ExecutableIdentity::current();
        let from = linked_by(stored);
        let relinker =
            registry.relinker.get_or_insert_with(|| Relinker::new(today, self.arena_addresses()));
        // What is done here would be done again: no reason to save the heap.
        let _scope = Scope::enter_unchanging();
        registry.spoiled.insert(stored.name().to_owned());
        let poison = PoisonOnPanic(host, stored.name());
        let place: *mut T = std::ptr::with_exposed_provenance_mut(address(stored.value));
        // SAFETY: the block is in use and large enough (checked when the image was adopted),
        // and holds a value of this type (its schema is the same); nobody has it yet.
        let value = unsafe { &mut *place };
        // SAFETY: the value is as the run left it that the record names; each root is
        // relinked once a run, under the registry's lock, before anybody can look at it.
        let relinked = unsafe { relinker.relink(value, &from) };
        std::mem::forget(poison);
        if let Err(source) = relinked {
            if matches!(source, RelinkError::KeysMerged { .. }) {
                host.poison(stored.name());
            } else {
                registry.spoiled.remove(stored.name());
            }
            let (root, source) = (stored.name().to_owned(), Box::new(source));
            return Err(RootError::Relink { root, source });
        }
        registry.spoiled.remove(stored.name());
        let mut record = *stored;
        record.program_start = today.start;
        record.program_len = today.len;
        record.program_build = today.build;
        Ok(self.put_root(&record)?)
    }

    /// Enters a value that has just been made.
    fn new_cell<T: Durable>(
        &self,
        registry: &mut Registry,
        record: &mut RootRecord,
        kind: &RootType,
        share: Share,
        placed: Box<Placed<T>>,
    ) -> Result<Arc<RootCell>, RootError> {
        // Somebody else, or `init` itself, may have opened it meanwhile.
        if let Some(cell) = self.known_cell::<T>(registry, record.name(), share)? {
            return Ok(cell);
        }
        self.place_root(record, kind, placed)?;
        // Not in the scope: what this layer keeps for itself is no durable memory.
        Ok(enter::<T>(self.root_host(), registry, record, kind, share))
    }

    /// Puts a value and its type into the root table.
    fn place_root<T>(
        &self,
        record: &mut RootRecord,
        kind: &RootType,
        placed: Box<Placed<T>>,
    ) -> Result<(), RootError> {
        let _scope = Scope::enter();
        let schema: Box<[u8]> = kind.schema_bytes.as_slice().into();
        let value = std::ptr::from_ref(&*placed).expose_provenance();
        let stored_schema = schema.as_ptr().expose_provenance();
        if !self.holds_block(value) || !self.holds_block(stored_schema) {
            return Err(RootError::Transient { root: record.name().to_owned() });
        }
        let today = ExecutableIdentity::current();
        record.value = value as u64;
        record.size = size_of::<Placed<T>>() as u64;
        record.align = u32::try_from(align_of::<Placed<T>>()).unwrap_or(u32::MAX);
        record.schema = stored_schema as u64;
        record.schema_len = u32::try_from(schema.len()).unwrap_or(u32::MAX);
        record.fingerprint = kind.fingerprint.0;
        record.program_start = today.start;
        record.program_len = today.len;
        record.program_build = today.build;
        self.put_root(record)?;
        // From now on the table owns them.
        Box::leak(schema);
        Box::leak(placed);
        Ok(())
    }
}

fn enter<T: Durable>(
    host: RootHost,
    registry: &mut Registry,
    record: &RootRecord,
    kind: &RootType,
    share: Share,
) -> Arc<RootCell> {
    let thread = (share == Share::ThisThread).then(|| thread::current().id());
    let read_in_scope = kind.interior == Interior::Cells;
    if kind.interior != Interior::None {
        host.note_unseen_changes();
    }
    let name = record.name();
    let value = address(record.value);
    let cell = Arc::new(RootCell::new(name, TypeId::of::<T>(), value, read_in_scope, thread));
    registry.cells.insert(name.to_owned(), Arc::clone(&cell));
    cell
}

/// Whether a stored value is one of that type, and its entry one of such a value.
pub(super) fn check_stored<T: Durable>(
    stored: &RootRecord,
    schema: &[u8],
    kind: &RootType,
) -> Result<(), RootError> {
    let root = || stored.name().to_owned();
    let schema = Schema::from_bytes(schema)
        .map_err(|source| RootError::StoredSchema { root: root(), source })?;
    kind.accepts(&schema)
        .map_err(|source| RootError::Type { root: root(), source: Box::new(source) })?;
    let (expected, found) = (size_of::<Placed<T>>() as u64, stored.size);
    if found != expected || stored.align as usize != align_of::<Placed<T>>() {
        return Err(RootError::Entry { root: root(), expected, found });
    }
    Ok(())
}

/// The program that last linked a stored value.
pub(super) fn linked_by(stored: &RootRecord) -> ExecutableIdentity {
    ExecutableIdentity {
        start: stored.program_start,
        len: stored.program_len,
        build: stored.program_build,
    }
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        _ => names.join(", "),
    }
}

pub(super) fn address(number: u64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

/// Dropped only by a panic while a root is relinked: it is half done then.
struct PoisonOnPanic<'a>(RootHost, &'a str);

impl Drop for PoisonOnPanic<'_> {
    fn drop(&mut self) {
        self.0.poison(self.1);
    }
}
