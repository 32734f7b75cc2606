//! A schema as bytes, to be stored beside its root.
//!
//! All numbers are little-endian; a string is its length (u32) and UTF-8; a list its length (u32)
//! and its items. `version u8 = 1, compiler string, types list`, where a type is
//! `name string, size u64, align u64, link u8, interior u8, shared u8, parameters list, kind`;
//! a parameter `role string` and `0, type u32` or `1, text string`; a kind `0` (primitive),
//! `1` (std), `2, fields list of (name string, offset u64, type u32)` or `3, repr (0 or 1, string),
//! variants list of (name string, discriminant i128, fields list of (name string, type u32))`.
//!
//! Invariant: the encoding is canonical. `from_bytes(b)` gives an error, or a schema whose
//! `to_bytes` is `b`; it never panics and allocates in proportion to `b`.

use super::model::{
    Argument, Field, Interior, Kind, Link, Parameter, Schema, Type, TypeRef, Variant,
};

const VERSION: u8 = 1;

/// Why bytes are not a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stored schema is damaged at byte {offset}: expected {expected}, found {found}")]
pub struct SchemaBytesError {
    /// Bytes from the schema's start.
    pub offset: usize,
    /// What should be there.
    pub expected: &'static str,
    /// What is there.
    pub found: String,
}

type Result<T> = std::result::Result<T, SchemaBytesError>;

impl Schema {
    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer(vec![VERSION]);
        writer.string(&self.compiler);
        writer.list(&self.types, Writer::ty);
        writer.0
    }

    /// The schema with these canonical bytes.
    ///
    /// # Errors
    /// Names the offset, what was expected there and what was found.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader { bytes, at: 0 };
        reader.tag("the schema format version 1", |version| (version == VERSION).then_some(()))?;
        let compiler = reader.string()?;
        let schema = Self { compiler, types: reader.list(Reader::ty)? };
        if reader.at < bytes.len() {
            return reader.refuse("the end", format!("{} more bytes", bytes.len() - reader.at));
        }
        schema.check_invariants().or_else(|found| reader.refuse("a consistent schema", found))?;
        Ok(schema)
    }

    fn check_invariants(&self) -> std::result::Result<(), String> {
        if self.types.is_empty() {
            return Err("one without types".to_owned());
        }
        for ty in &self.types {
            let parameters = ty.parameters.iter().filter_map(Parameter::as_type);
            let mut parts = ty.parts().into_iter().map(|(_, part)| part).chain(parameters);
            if let Some(wild) = parts.find(|part| part.0 as usize >= self.types.len()) {
                return Err(format!("a reference to type {} of {}", wild.0, self.types.len()));
            }
            if !ty.align.is_power_of_two() {
                return Err(format!("an alignment of {}", ty.align));
            }
        }
        let chosen = self.types().any(Type::depends_on_compiler);
        if chosen == self.compiler.is_empty() {
            return Err("a compiler named without need, or needed and not named".to_owned());
        }
        Ok(())
    }
}

struct Writer(Vec<u8>);

impl Writer {
    fn word(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    fn long(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    fn len(&mut self, len: usize) {
        self.word(u32::try_from(len).expect("a schema's lists and names are shorter than 4 GiB"));
    }

    fn string(&mut self, text: &str) {
        self.len(text.len());
        self.0.extend(text.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], each: impl Fn(&mut Self, &T)) {
        self.len(items.len());
        items.iter().for_each(|item| each(self, item));
    }

    fn ty(&mut self, ty: &Type) {
        self.string(&ty.name);
        self.long(ty.size);
        self.long(ty.align);
        self.0.extend([link_tag(ty.link), interior_tag(ty.interior), u8::from(ty.shared)]);
        self.list(&ty.parameters, Self::parameter);
        self.kind(&ty.kind);
    }

    fn parameter(&mut self, parameter: &Parameter) {
        self.string(&parameter.role);
        match &parameter.argument {
            Argument::Type(of) => {
                self.0.push(0);
                self.word(of.0);
            }
            Argument::Text(text) => {
                self.0.push(1);
                self.string(text);
            }
        }
    }

    fn kind(&mut self, kind: &Kind) {
        match kind {
            Kind::Primitive => self.0.push(0),
            Kind::Std => self.0.push(1),
            Kind::Struct(fields) => {
                self.0.push(2);
                self.list(fields, Self::field);
            }
            Kind::Enum { repr, variants } => {
                self.0.extend([3, u8::from(repr.is_some())]);
                repr.iter().for_each(|repr| self.string(repr));
                self.list(variants, Self::variant);
            }
        }
    }

    fn field(&mut self, field: &Field) {
        self.string(&field.name);
        self.long(field.offset);
        self.word(field.of.0);
    }

    fn variant(&mut self, variant: &Variant) {
        self.string(&variant.name);
        self.0.extend(variant.discriminant.to_le_bytes());
        self.list(&variant.fields, |writer, (name, of)| {
            writer.string(name);
            writer.word(of.0);
        });
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn refuse<T>(&self, expected: &'static str, found: impl ToString) -> Result<T> {
        Err(SchemaBytesError { offset: self.at, expected, found: found.to_string() })
    }

    fn take(&mut self, len: usize, expected: &'static str) -> Result<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let Some(taken) = rest.get(..len) else {
            return self.refuse(expected, format!("the end after {} of {len} bytes", rest.len()));
        };
        self.at += len;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N]> {
        let mut number = [0; N];
        number.copy_from_slice(self.take(N, expected)?);
        Ok(number)
    }

    fn word(&mut self, expected: &'static str) -> Result<u32> {
        self.number(expected).map(u32::from_le_bytes)
    }

    fn long(&mut self, expected: &'static str) -> Result<u64> {
        self.number(expected).map(u64::from_le_bytes)
    }

    fn tag<T>(&mut self, expected: &'static str, read: impl Fn(u8) -> Option<T>) -> Result<T> {
        let [tag] = self.number(expected)?;
        match read(tag) {
            Some(value) => Ok(value),
            None => {
                self.at -= 1;
                self.refuse(expected, tag)
            }
        }
    }

    fn string(&mut self) -> Result<String> {
        let len = self.word("the length of a name")? as usize;
        let bytes = self.take(len, "a name")?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => self.refuse("a name in UTF-8", error),
        }
    }

    /// An item takes at least a byte, so that a false length ends at the end of the bytes.
    fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let len = self.word("the length of a list")?;
        let mut items = Vec::new();
        for _ in 0..len {
            items.push(each(self)?);
        }
        Ok(items)
    }

    fn ty(&mut self) -> Result<Type> {
        Ok(Type {
            name: self.string()?,
            size: self.long("a size")?,
            align: self.long("an alignment")?,
            link: self.tag("a link of 0 to 2", link_of)?,
            interior: self.tag("an interior mutability of 0 to 2", interior_of)?,
            shared: self.flag()?,
            parameters: self.list(Self::parameter)?,
            kind: self.kind()?,
        })
    }

    fn flag(&mut self) -> Result<bool> {
        self.tag("0 or 1", |tag| (tag < 2).then_some(tag == 1))
    }

    fn reference(&mut self) -> Result<TypeRef> {
        self.word("a type's number").map(TypeRef)
    }

    fn parameter(&mut self) -> Result<Parameter> {
        let role = self.string()?;
        let argument = match self.flag()? {
            false => Argument::Type(self.reference()?),
            true => Argument::Text(self.string()?),
        };
        Ok(Parameter { role, argument })
    }

    fn kind(&mut self) -> Result<Kind> {
        Ok(match self.tag("a kind of 0 to 3", |tag| (tag < 4).then_some(tag))? {
            0 => Kind::Primitive,
            1 => Kind::Std,
            2 => Kind::Struct(self.list(Self::field)?),
            _ => {
                let repr = if self.flag()? { Some(self.string()?) } else { None };
                Kind::Enum { repr, variants: self.list(Self::variant)? }
            }
        })
    }

    fn field(&mut self) -> Result<Field> {
        Ok(Field { name: self.string()?, offset: self.long("an offset")?, of: self.reference()? })
    }

    fn variant(&mut self) -> Result<Variant> {
        Ok(Variant {
            name: self.string()?,
            discriminant: i128::from_le_bytes(self.number("a discriminant")?),
            fields: self.list(|reader| Ok((reader.string()?, reader.reference()?)))?,
        })
    }
}

fn link_tag(link: Link) -> u8 {
    match link {
        Link::None => 0,
        Link::Refreshable => 1,
        Link::Pinned => 2,
    }
}

fn link_of(tag: u8) -> Option<Link> {
    [Link::None, Link::Refreshable, Link::Pinned].get(usize::from(tag)).copied()
}

fn interior_tag(interior: Interior) -> u8 {
    match interior {
        Interior::None => 0,
        Interior::Atomics => 1,
        Interior::Cells => 2,
    }
}

fn interior_of(tag: u8) -> Option<Interior> {
    [Interior::None, Interior::Atomics, Interior::Cells].get(usize::from(tag)).copied()
}
