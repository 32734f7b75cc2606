//! Types that may lie in a durable heap: the traits, their schemas, and how values get their
//! pointers into the executable right again after a restart.

mod durable;
mod impls;
mod inspect;
mod lazy;
mod links;
mod relink;
mod root_type;
mod schema;

pub use durable::{Durable, Steady};
pub use inspect::Inspect;
pub use lazy::{LazyBound, Met};
pub use relink::{Relink, RelinkError, Relinked, Relinker};
pub use root_type::RootType;
pub use schema::{
    Argument, Describe, Described, Difference, Field, Interior, Kind, Link, Parameter, Schema,
    SchemaBytesError, SchemaError, Shape, Type, TypeMismatch, TypeRef, Variant,
};
pub use stillheap_derive::Durable;
