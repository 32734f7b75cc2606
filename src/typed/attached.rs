//! Roots of a snapshot that is attached, not opened: shared references to values that nobody can
//! change, and that nothing can be moved out of.
#![allow(unsafe_code, reason = "a root's value lies at an address that the root table holds")]

use crate::runtime::{Attached, ExecutableIdentity, RootRecord};
use crate::typed::root_open::{RootError, address, check_stored, linked_by};
use crate::typed::{Durable, Interior, Kind, Link, RelinkError, Relinker, RootType};
use std::any::TypeId;
use std::collections::HashMap;

/// What this layer keeps for an attached snapshot.
#[derive(Default)]
struct Looked {
    /// The roots that have been relinked, or need not be, and as which type.
    roots: HashMap<String, TypeId>,
    relinker: Option<Relinker>,
    spoiled: bool,
}

/// Std types that are emptied and filled again when their keys are relinked.
const REFILLED: [&str; 5] = ["HashMap", "HashSet", "BTreeMap", "BTreeSet", "BinaryHeap"];

impl Attached {
    /// The value of the root `name`, as the snapshot has it.
    ///
    /// Not all durable types can be looked at in this way. What could be changed or taken away
    /// through a shared reference would outlast what is mapped here: cells, locks, and shared
    /// pointers (`Rc`, `Arc`, borrowed `Cow`s) are refused, as are maps and sets with keys that
    /// hold empty hash maps.
    ///
    /// # Errors
    /// See [`RootError`]; [`RootError::NotThere`] if there is no such root.
    pub fn root<T: Durable + Sync>(&self, name: &str) -> Result<&T, RootError> {
        let root = || name.to_owned();
        let Some(stored) = self.find_root(name) else {
            return Err(RootError::NotThere { root: root(), there: self.root_names() });
        };
        let kind =
            RootType::of::<T>().map_err(|source| RootError::Schema { root: root(), source })?;
        if let Some(reason) = why_not(&kind) {
            return Err(RootError::NotAttachable { root: root(), reason });
        }
        self.with_upper(|looked: &mut Looked| self.look::<T>(looked, &stored, &kind))?;
        let place: *const T = std::ptr::with_exposed_provenance(address(stored.value));
        // SAFETY: the block is in use and large enough (checked when the snapshot was mapped) and
        // holds a value of this type (its schema is the same), which has been relinked. It stays
        // mapped, and nobody writes to it, as long as `self` is borrowed.
        Ok(unsafe { &*place })
    }

    /// Has a root be fit to be looked at, once.
    fn look<T: Durable>(
        &self,
        looked: &mut Looked,
        stored: &RootRecord,
        kind: &RootType,
    ) -> Result<(), RootError> {
        let root = || stored.name().to_owned();
        if looked.spoiled {
            return Err(RootError::Spoiled { root: root() });
        }
        match looked.roots.get(stored.name()) {
            Some(known) if *known == TypeId::of::<T>() => return Ok(()),
            Some(_) => return Err(RootError::OpenAsAnotherType { root: root() }),
            None => {}
        }
        check_stored::<T>(stored, self.stored_schema(stored), kind)?;
        if kind.link != Link::None {
            self.relink::<T>(looked, stored)
                .map_err(|source| RootError::Relink { root: root(), source: Box::new(source) })?;
        }
        looked.roots.insert(root(), TypeId::of::<T>());
        Ok(())
    }

    fn relink<T: Durable>(
        &self,
        looked: &mut Looked,
        stored: &RootRecord,
    ) -> Result<(), RelinkError> {
        let today = ExecutableIdentity::current();
        let from = linked_by(stored);
        // A panic in here leaves it half done.
        looked.spoiled = true;
        let relinker =
            looked.relinker.get_or_insert_with(|| Relinker::new(today, self.arena_addresses()));
        let place: *mut T = std::ptr::with_exposed_provenance_mut(address(stored.value));
        // SAFETY: as in `root`; nobody has it yet, since `looked` does not know it, and its pages
        // are a private mapping.
        let value = unsafe { &mut *place };
        // SAFETY: the value is as the run left it that the record names; each root is relinked
        // once, under the lock of what is looked at, before anybody can see it.
        let relinked = unsafe { relinker.relink(value, &from) };
        looked.spoiled = false;
        relinked.map(drop)
    }
}

/// Why values of a type cannot be looked at without being opened.
fn why_not(kind: &RootType) -> Option<String> {
    let schema = &kind.schema;
    if kind.interior == Interior::Cells {
        return Some("it has cells or locks in it, whose contents could be taken away".to_owned());
    }
    let links = schema.links();
    for of in schema.types() {
        if of.shared {
            return Some(format!("it holds a `{}`, of which a copy could be kept", of.name));
        }
        let is_refilled = of.kind == Kind::Std && REFILLED.contains(&of.name.as_str());
        let key = of.parameters.first().and_then(|parameter| parameter.as_type());
        if is_refilled && key.is_some_and(|key| links[key.0 as usize] != Link::None) {
            return Some(format!("a `{}` in it would have to be filled anew", of.name));
        }
    }
    None
}
