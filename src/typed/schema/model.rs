//! What a schema consists of.
//!
//! Invariants: type 0 is the described type itself; every [`TypeRef`] is below the number of
//! types; `compiler` is empty exactly if no type's layout is the compiler's choice.

use crate::base::{Digest, digest};

/// A type and everything that it holds, as a graph: recursive types refer back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schema {
    pub(crate) compiler: String,
    pub(crate) types: Vec<Type>,
}

/// The number of a type in its schema.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TypeRef(pub(crate) u32);

/// One type of a schema.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Type {
    /// Its name, with its path if the program defines it, without its parameters.
    pub name: String,
    /// Bytes of a value.
    pub size: u64,
    /// Alignment of a value in bytes.
    pub align: u64,
    /// What it was instantiated with. A std type holds the types among these.
    pub parameters: Vec<Parameter>,
    /// What it is made of.
    pub kind: Kind,
    /// Whether it holds pointers into the executable itself, not through its parts.
    pub link: Link,
    /// Its own interior mutability, not that of its parts.
    pub interior: Interior,
    /// Whether a copy of the pointer may leave the scope (`Rc`, `Arc`, borrowed `Cow`).
    pub shared: bool,
}

/// What a type was instantiated with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parameter {
    /// What it is for: `key`, `value`, `N`.
    pub role: String,
    /// The type or constant.
    pub argument: Argument,
}

/// A parameter's value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Argument {
    /// A type of the schema.
    Type(TypeRef),
    /// A constant's value, or the name of a type of which no value is held.
    Text(String),
}

/// What a type is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A type of the language with one layout on this machine.
    Primitive,
    /// A type whose inside only std, or another crate that vouches for it, knows.
    Std,
    /// A struct, with the offset of each field.
    Struct(Vec<Field>),
    /// An enum.
    Enum {
        /// Its `repr`; without one the compiler chooses the layout.
        repr: Option<String>,
        /// Its variants in the order of declaration.
        variants: Vec<Variant>,
    },
}

/// A field of a struct.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// Its name, or number in a tuple.
    pub name: String,
    /// Bytes from the struct's start.
    pub offset: u64,
    /// Its type.
    pub of: TypeRef,
}

/// A variant of an enum.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// Its discriminant.
    pub discriminant: i128,
    /// The names, or numbers, and types of its fields.
    pub fields: Vec<(String, TypeRef)>,
}

/// Whether values hold pointers into the executable, which moves from run to run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Link {
    /// No such pointers.
    None,
    /// Only to empty singletons, for which any program has its own: an empty `HashMap`.
    Refreshable,
    /// To data of this very build: `Cow::Borrowed("literal")`.
    Pinned,
}

/// What can be changed through a shared reference.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Interior {
    /// Nothing.
    None,
    /// Single words, atomically (or, for `Rc`'s counts, by one thread).
    Atomics,
    /// More: cells and locks.
    Cells,
}

impl Schema {
    /// The described type itself.
    #[must_use]
    pub fn root(&self) -> &Type {
        self.get(TypeRef(0))
    }

    /// A type of this schema.
    #[must_use]
    pub fn get(&self, of: TypeRef) -> &Type {
        &self.types[of.0 as usize]
    }

    /// All types: the described one first, each before what only it holds.
    pub fn types(&self) -> impl Iterator<Item = &Type> {
        self.types.iter()
    }

    /// The compiler that chose the layouts, or nothing where it chose none.
    #[must_use]
    pub fn compiler(&self) -> &str {
        &self.compiler
    }

    /// Digest of the canonical bytes: equal exactly for equal schemas.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        digest(&self.to_bytes())
    }
}

impl Type {
    /// Whether the compiler's version decides its layout.
    #[must_use]
    pub fn depends_on_compiler(&self) -> bool {
        matches!(self.kind, Kind::Std | Kind::Enum { repr: None, .. })
    }

    /// The types of which a value holds values, with the name each goes by.
    #[must_use]
    pub fn parts(&self) -> Vec<(&str, TypeRef)> {
        match &self.kind {
            Kind::Primitive => Vec::new(),
            Kind::Std => {
                self.parameters.iter().filter_map(|of| Some((&*of.role, of.as_type()?))).collect()
            }
            Kind::Struct(fields) => fields.iter().map(|field| (&*field.name, field.of)).collect(),
            Kind::Enum { variants, .. } => variants
                .iter()
                .flat_map(|variant| variant.fields.iter().map(|(name, of)| (&**name, *of)))
                .collect(),
        }
    }
}

impl Parameter {
    /// The type, if it is one.
    #[must_use]
    pub fn as_type(&self) -> Option<TypeRef> {
        match self.argument {
            Argument::Type(of) => Some(of),
            Argument::Text(_) => None,
        }
    }
}
