//! Roots of programs in other languages. What their values are such a program says in a tag of its
//! own choice, a size and an alignment; all three are stored as the root's schema, and compared.
#![allow(unsafe_code, reason = "writes a schema into a block of the heap, and frees one")]

use crate::base::Digest;
use crate::runtime::blocks::{self, BlockError};
use crate::runtime::{ExecutableIdentity, Heap, RootRecord, RootTableError, Scope};
use crate::typed::root_open::{Registry, address};
use crate::typed::{Argument, Interior, Kind, Link, Parameter, Schema, Type};
use std::alloc::Layout;
use std::fmt;
use std::ptr::NonNull;

/// The name that such types have in schemas. No type of a Rust program is a primitive of that name.
const NAME: &str = "extern";
const ROLE: &str = "tag";

/// What a program in another language says of a root's value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ForeignType {
    /// Its own name for the type, and its version.
    pub(crate) tag: String,
    /// Bytes of a value.
    pub(crate) layout: Layout,
}

/// A root of such a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ForeignRoot {
    pub(crate) name: String,
    /// Address of the value.
    pub(crate) value: usize,
    /// `None`: it is a Rust program's.
    pub(crate) ty: Option<ForeignType>,
}

/// Why such a root is not to be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForeignError {
    #[error(transparent)]
    Table(#[from] RootTableError),
    #[error("the heap has no root `{root}`; it has {there}")]
    NotThere { root: String, there: String },
    #[error(
        "the root `{root}` was stored as {stored}, and this program asks for {asked}: open it with \
         the program that wrote it, or give the new form another name"
    )]
    Type { root: String, stored: ForeignType, asked: ForeignType },
    #[error(
        "the root `{root}` is a Rust program's, of type `{ty}`: give this program's another name"
    )]
    OfRust { root: String, ty: String },
    #[error("the entry of the root `{root}` is damaged: {reason}; open an older snapshot")]
    Damaged { root: String, reason: String },
    #[error("the root `{root}` cannot be 0x{value:x}: {reason}")]
    Value { root: String, value: usize, reason: String },
    #[error(transparent)]
    Block(#[from] BlockError),
}

impl fmt::Display for ForeignType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (size, align) = (self.layout.size(), self.layout.align());
        write!(f, "`{}`, {size} bytes at a multiple of {align}", self.tag)
    }
}

impl ForeignType {
    fn schema(&self) -> Schema {
        let argument = Argument::Text(self.tag.clone());
        let ty = Type {
            name: NAME.to_owned(),
            size: self.layout.size() as u64,
            align: self.layout.align() as u64,
            parameters: vec![Parameter { role: ROLE.to_owned(), argument }],
            kind: Kind::Primitive,
            link: Link::None,
            interior: Interior::None,
            shared: false,
        };
        Schema { compiler: String::new(), types: vec![ty] }
    }

    /// The type that a schema tells of. `None`: it is a Rust program's.
    fn of(schema: &Schema) -> Option<Self> {
        let ty = schema.root();
        let [Parameter { role, argument: Argument::Text(tag) }] = &*ty.parameters else {
            return None;
        };
        let is_foreign = ty.kind == Kind::Primitive && ty.name == NAME && role == ROLE;
        let layout = Layout::from_size_align(address(ty.size), address(ty.align)).ok()?;
        is_foreign.then(|| Self { tag: tag.clone(), layout })
    }
}

impl Heap {
    /// The address of a root's value.
    ///
    /// # Errors
    /// If there is no such root, or it is of another type.
    pub(crate) fn foreign_root(&self, name: &str, ty: &ForeignType) -> Result<usize, ForeignError> {
        self.with_upper(|_: &mut Registry| match self.find_root(name) {
            Some(stored) => self.accept(&stored, ty),
            None => Err(self.not_there(name)),
        })
    }

    /// The same. If there is no such root, it is made, all zero: then `true` comes with it.
    ///
    /// # Errors
    /// If it is of another type, or there is no room.
    pub(crate) fn foreign_root_or_new(
        &self,
        name: &str,
        ty: &ForeignType,
    ) -> Result<(usize, bool), ForeignError> {
        self.with_upper(|_: &mut Registry| {
            if let Some(stored) = self.find_root(name) {
                return Ok((self.accept(&stored, ty)?, false));
            }
            let _scope = Scope::enter();
            let block = blocks::alloc(ty.layout, true)?;
            let value = block.as_ptr().expose_provenance();
            let entered = self.enter_foreign(name, ty, value);
            if entered.is_err() {
                // SAFETY: it was made here, and nobody has it.
                unsafe { blocks::free(value)? };
            }
            entered.map(|()| (value, true))
        })
    }

    /// Makes a block the value of a root, in place of the one that it has, if it has one.
    ///
    /// # Errors
    /// If the root is of another type, the block is none or too small, or there is no room.
    pub(crate) fn put_foreign_root(
        &self,
        name: &str,
        ty: &ForeignType,
        value: usize,
    ) -> Result<(), ForeignError> {
        let unfit = |reason| ForeignError::Value { root: name.to_owned(), value, reason };
        let usable = blocks::usable_size(value).map_err(|error| unfit(error.to_string()))?;
        let (size, align) = (ty.layout.size(), ty.layout.align());
        if usable < size {
            return Err(unfit(format!("the block has room for {usable} bytes, not {size}")));
        }
        if !value.is_multiple_of(align) {
            return Err(unfit(format!("it is not a multiple of {align}")));
        }
        self.with_upper(|_: &mut Registry| {
            let _scope = Scope::enter();
            let Some(mut stored) = self.find_root(name) else {
                return self.enter_foreign(name, ty, value);
            };
            self.accept(&stored, ty)?;
            stored.value = value as u64;
            Ok(self.put_root(&stored)?)
        })
    }

    /// Takes a root out of the table. Its value stays in use: this gives its address.
    ///
    /// # Errors
    /// If there is no such root, or it is a Rust program's.
    pub(crate) fn remove_foreign_root(&self, name: &str) -> Result<usize, ForeignError> {
        self.with_upper(|_: &mut Registry| {
            let stored = self.find_root(name).ok_or_else(|| self.not_there(name))?;
            self.type_of(&stored)?;
            let _scope = Scope::enter();
            self.remove_root(name);
            // SAFETY: made by `enter_foreign`, and known to the entry alone, which is gone.
            unsafe { blocks::free(address(stored.schema))? };
            Ok(address(stored.value))
        })
    }

    /// All roots of the heap, also those of Rust programs.
    pub(crate) fn foreign_roots(&self) -> Vec<ForeignRoot> {
        self.with_upper(|_: &mut Registry| {
            let root = |record: RootRecord| ForeignRoot {
                name: record.name().to_owned(),
                value: address(record.value),
                ty: self.type_of(&record).ok(),
            };
            self.root_records().map(root).collect()
        })
    }

    /// Enters a root that is not in the table. In a scope.
    fn enter_foreign(
        &self,
        name: &str,
        ty: &ForeignType,
        value: usize,
    ) -> Result<(), ForeignError> {
        let mut record = RootRecord::named(name)?;
        let schema = ty.schema();
        let Digest(fingerprint) = schema.fingerprint();
        let bytes = schema.to_bytes();
        let block = copy(&bytes)?;
        let today = ExecutableIdentity::current();
        record.value = value as u64;
        record.size = ty.layout.size() as u64;
        record.align = u32::try_from(ty.layout.align()).unwrap_or(u32::MAX);
        record.schema = block.as_ptr().expose_provenance() as u64;
        record.schema_len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        record.fingerprint = fingerprint;
        record.program_start = today.start;
        record.program_len = today.len;
        record.program_build = today.build;
        let entered = self.put_root(&record);
        if entered.is_err() {
            // SAFETY: made above, and nobody has it.
            unsafe { blocks::free(address(record.schema))? };
        }
        Ok(entered?)
    }

    /// The address of a stored value, if it is one of that type.
    fn accept(&self, stored: &RootRecord, asked: &ForeignType) -> Result<usize, ForeignError> {
        let (root, found) = (stored.name().to_owned(), self.type_of(stored)?);
        if found != *asked {
            return Err(ForeignError::Type { root, stored: found, asked: asked.clone() });
        }
        if stored.size != found.layout.size() as u64 {
            let reason = format!("a value of {found} cannot have {} bytes", stored.size);
            return Err(ForeignError::Damaged { root, reason });
        }
        self.note_restored_root();
        Ok(address(stored.value))
    }

    fn type_of(&self, stored: &RootRecord) -> Result<ForeignType, ForeignError> {
        let root = || stored.name().to_owned();
        let schema = Schema::from_bytes(self.stored_schema(stored))
            .map_err(|error| ForeignError::Damaged { root: root(), reason: error.to_string() })?;
        ForeignType::of(&schema)
            .ok_or_else(|| ForeignError::OfRust { root: root(), ty: schema.name() })
    }

    fn not_there(&self, name: &str) -> ForeignError {
        let names: Vec<String> =
            self.root_records().map(|record| format!("`{}`", record.name())).collect();
        let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        ForeignError::NotThere { root: name.to_owned(), there }
    }
}

/// A block of the heap with these bytes.
fn copy(bytes: &[u8]) -> Result<NonNull<u8>, BlockError> {
    let layout = Layout::array::<u8>(bytes.len().max(1))
        .map_err(|_| BlockError::NoRoom { bytes: bytes.len() })?;
    let block = blocks::alloc(layout, false)?;
    // SAFETY: a fresh block of that many bytes.
    unsafe { block.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    Ok(block)
}
