//! The schema of a type: what it is made of, down to the primitives, as data that can be
//! stored beside a root, compared with the program's own, and printed.

mod codec;
mod describe;
mod diff;
mod model;
mod reach;
mod text;

pub use codec::SchemaBytesError;
pub use describe::{Describe, Described, Shape};
pub use diff::{Difference, TypeMismatch};
pub use model::{Argument, Field, Interior, Kind, Link, Parameter, Schema, Type, TypeRef, Variant};
pub use reach::SchemaError;
