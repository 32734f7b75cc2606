//! Typed durable memory: which types may lie in a heap, their schemas, how values get their
//! pointers into the executable right after a restart, roots, and tracked blocks.

mod attached;
mod audit;
mod branch;
mod durable;
#[cfg(feature = "capi")]
mod foreign;
mod impls;
mod inspect;
mod layout;
mod lazy;
mod links;
mod relink;
mod root;
mod root_cell;
mod root_open;
mod root_type;
mod rows;
mod rows_mut;
mod schema;
mod tracked;
mod vector;

pub use audit::audit;
pub use branch::{Branch, BranchReach};
pub use durable::{Durable, Steady};
#[cfg(feature = "capi")]
pub(crate) use foreign::{ForeignError, ForeignRoot, ForeignType};
pub use inspect::Inspect;
pub use lazy::{LazyBound, Met};
pub use relink::{Relink, RelinkError, Relinked, Relinker};
pub use root::{Poisoned, Root};
pub use root_open::RootError;
pub use root_type::RootType;
pub use rows::{Key, Rows};
pub use rows_mut::{Reach, RowsMut};
pub use schema::{
    Argument, Describe, Described, Difference, Field, Interior, Kind, Link, Parameter, Schema,
    SchemaBytesError, SchemaError, Shape, Type, TypeMismatch, TypeRef, Variant,
};
pub use stillheap_derive::Durable;
pub use tracked::{Tracked, TrackedMut};
pub use vector::{Kernel, LANES, Lane, Vectors, vectorised};
