//! Which Rust types have pointers into the executable to look after, by `TypeId`: asked for
//! each field visited, so that whole subtrees without such pointers cost nothing.

use std::any::TypeId;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::{Described, Durable, Link, TypeRef};

/// Values are moved on the stack at most this deep before they go to the list of work.
pub(super) const DEPTH_BOUND: usize = 64;

/// The links of all types that a root's type reaches.
pub(super) struct Links {
    pub(super) described: Described,
    by_type: HashMap<TypeId, (Link, TypeRef), BuildHasherDefault<OfTypeId>>,
}

impl Links {
    pub(super) fn of<T: Durable>() -> Self {
        let described = Described::of::<T>();
        let links = described.schema.links();
        let link = |of: &TypeRef| (links[of.0 as usize], *of);
        let by_type = described.ids.iter().map(|(id, of)| (*id, link(of))).collect();
        Self { described, by_type }
    }

    /// The strongest link that a value of `T` holds; the strongest of all for a type that the
    /// schema does not know.
    pub(super) fn link<T: 'static>(&self) -> Link {
        self.by_type.get(&TypeId::of::<T>()).map_or(Link::Pinned, |(link, _)| *link)
    }

    pub(super) fn number<T: 'static>(&self) -> TypeRef {
        self.by_type.get(&TypeId::of::<T>()).map_or(TypeRef(0), |(_, of)| *of)
    }

    /// The type's name, and the first way to it.
    pub(super) fn place(&self, of: TypeRef) -> (String, String) {
        (self.described.schema.type_name(of), self.described.schema.path_through(of, &[]))
    }
}

/// A `TypeId` is a hash already.
#[derive(Default)]
struct OfTypeId(u64);

impl Hasher for OfTypeId {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 ^= value;
    }
}
