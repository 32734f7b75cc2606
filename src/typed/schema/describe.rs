//! How a type tells what it is: `Durable::describe` builds a [`Shape`], and [`Describe`]
//! collects the shapes of all types reached, each once, so that recursive types end.

use std::any::{TypeId, type_name};
use std::collections::HashMap;

use super::model::{
    Argument, Field, Interior, Kind, Link, Parameter, Schema, Type, TypeRef, Variant,
};
use crate::typed::Durable;

const COMPILER: &str = env!("STILLHEAP_COMPILER");

/// Collects the types that a type reaches.
#[derive(Debug, Default)]
pub struct Describe {
    ids: HashMap<TypeId, TypeRef>,
    types: Vec<Option<Type>>,
}

/// A schema, and which Rust type each of its types is in this run of the program.
#[derive(Debug)]
pub struct Described {
    /// The schema.
    pub schema: Schema,
    /// The number of each type.
    pub ids: HashMap<TypeId, TypeRef>,
}

/// What `Durable::describe` answers: the type's name, layout and parts.
#[derive(Debug)]
#[must_use = "a shape is what `describe` returns"]
pub struct Shape(Type);

impl Schema {
    /// The schema of `T`.
    #[must_use]
    pub fn of<T: Durable>() -> Self {
        Described::of::<T>().schema
    }
}

impl Described {
    /// The schema of `T`, with the identity of its types.
    #[must_use]
    pub fn of<T: Durable>() -> Self {
        let mut describe = Describe::default();
        describe.visit::<T>();
        let types: Vec<Type> = describe.types.into_iter().flatten().collect();
        let chosen = types.iter().any(Type::depends_on_compiler);
        let compiler = if chosen { COMPILER.to_owned() } else { String::new() };
        Self { schema: Schema { compiler, types }, ids: describe.ids }
    }
}

impl Describe {
    /// The number of `T`, which is described first if it is new.
    pub fn visit<T: Durable>(&mut self) -> TypeRef {
        let id = TypeId::of::<T>();
        if let Some(&known) = self.ids.get(&id) {
            return known;
        }
        let number = u32::try_from(self.types.len()).expect("a program has fewer than 2^32 types");
        self.ids.insert(id, TypeRef(number));
        self.types.push(None);
        let Shape(shape) = T::describe(self);
        self.types[number as usize] = Some(shape);
        TypeRef(number)
    }
}

impl Shape {
    /// A type of the language with one layout on this machine.
    pub fn primitive<T>() -> Self {
        Self::new::<T>(type_name::<T>(), Kind::Primitive)
    }

    /// A type whose inside is the compiler's and std's affair.
    pub fn std<T>(name: &str) -> Self {
        Self::new::<T>(name, Kind::Std)
    }

    /// A struct whose fields follow.
    pub fn structure<T>(name: &str) -> Self {
        Self::new::<T>(name, Kind::Struct(Vec::new()))
    }

    /// An enum whose variants follow.
    pub fn enumeration<T>(name: &str, repr: Option<&str>) -> Self {
        let repr = repr.map(str::to_owned);
        Self::new::<T>(name, Kind::Enum { repr, variants: Vec::new() })
    }

    fn new<T>(name: &str, kind: Kind) -> Self {
        Self(Type {
            name: name.to_owned(),
            size: size_of::<T>() as u64,
            align: align_of::<T>() as u64,
            parameters: Vec::new(),
            kind,
            link: Link::None,
            interior: Interior::None,
            shared: false,
        })
    }

    /// Adds a type parameter. A std type holds values of it; a struct or enum holds only fields.
    pub fn of(mut self, role: &str, of: TypeRef) -> Self {
        let argument = Argument::Type(of);
        self.0.parameters.push(Parameter { role: role.to_owned(), argument });
        self
    }

    /// Adds a field that leads to values of a type elsewhere, in tracked memory.
    pub(crate) fn holds(self, role: &str, of: TypeRef) -> Self {
        self.field(role, 0, of)
    }

    /// Adds a parameter that is a constant, or a type of which no value is held.
    pub fn text(mut self, role: &str, text: impl ToString) -> Self {
        let argument = Argument::Text(text.to_string());
        self.0.parameters.push(Parameter { role: role.to_owned(), argument });
        self
    }

    /// Adds a field: to a struct at `offset` bytes, to an enum's last variant (without offset).
    ///
    /// # Panics
    /// If the type is neither, or an enum without a variant yet.
    pub fn field(mut self, name: &str, offset: usize, of: TypeRef) -> Self {
        let name = name.to_owned();
        match &mut self.0.kind {
            Kind::Struct(fields) => fields.push(Field { name, offset: offset as u64, of }),
            Kind::Enum { variants, .. } => {
                let last = variants.last_mut().expect("a field of an enum follows its variant");
                last.fields.push((name, of));
            }
            Kind::Primitive | Kind::Std => panic!("`{}` is described without fields", self.0.name),
        }
        self
    }

    /// Adds a variant to an enum.
    ///
    /// # Panics
    /// If the type is not an enum.
    pub fn variant(mut self, name: &str, discriminant: i128) -> Self {
        let Kind::Enum { variants, .. } = &mut self.0.kind else {
            panic!("`{}` is not described as an enum", self.0.name);
        };
        variants.push(Variant { name: name.to_owned(), discriminant, fields: Vec::new() });
        self
    }

    /// Says that values themselves hold pointers into the executable.
    pub fn link(mut self, link: Link) -> Self {
        self.0.link = link;
        self
    }

    /// Says what can be changed through a shared reference to the value itself.
    pub fn interior(mut self, interior: Interior) -> Self {
        self.0.interior = interior;
        self
    }

    /// Says that a second pointer to the parts may be alive outside a scope, as with `Rc`.
    pub fn shared(mut self) -> Self {
        self.0.shared = true;
        self
    }
}
