//! What a root remembers of its type, and compares when it is opened again.

use super::{Durable, Interior, Link, Schema, SchemaError, TypeMismatch, TypeRef};
use crate::base::Digest;

/// A root's type, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RootType {
    /// Its name as in the program: `Db`, `Vec<u64>`.
    pub name: String,
    /// Bytes of a value.
    pub size: u64,
    /// Alignment of a value in bytes.
    pub align: u64,
    /// Digest of `schema_bytes`.
    pub fingerprint: Digest,
    /// The schema.
    pub schema: Schema,
    /// The schema's canonical bytes, to be stored.
    pub schema_bytes: Vec<u8>,
    /// The most that a shared reference to a value can change.
    pub interior: Interior,
    /// Whether, and how, a restart has to relink values.
    pub link: Link,
}

impl RootType {
    /// That of a root of type `T`.
    ///
    /// # Errors
    /// If `T` combines durable parts in a way that is not sound: see [`SchemaError`].
    pub fn of<T: Durable>() -> Result<Self, SchemaError> {
        let schema = Schema::of::<T>();
        schema.check()?;
        let schema_bytes = schema.to_bytes();
        Ok(Self {
            name: schema.type_name(TypeRef(0)),
            size: schema.root().size,
            align: schema.root().align,
            fingerprint: schema.fingerprint(),
            interior: schema.interior(),
            link: schema.link(),
            schema,
            schema_bytes,
        })
    }

    /// Whether a root with the stored schema may be opened as this type.
    ///
    /// # Errors
    /// Shows the differences field by field.
    pub fn accepts(&self, stored: &Schema) -> Result<(), TypeMismatch> {
        if *stored == self.schema {
            return Ok(());
        }
        Err(TypeMismatch::between(stored, &self.schema))
    }
}
