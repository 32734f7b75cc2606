//! A schema as text, in the manner of Rust's own declarations; `{:#}` leaves out where fields lie.
//!
//! A schema may come from a file: names are cut off at a bound, so that types that
//! claim to be their own parameters end as well.

use std::fmt::{self, Write};

use super::model::{Argument, Field, Kind, Parameter, Schema, Type, TypeRef, Variant};

/// Longest name of a type that is printed, in bytes.
const NAME_BOUND: usize = 400;
/// Deepest nesting of parameters that is printed.
const DEPTH_BOUND: usize = 24;

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "root {}", self.name())?;
        for (ty, number) in self.types().zip(0..) {
            match &ty.kind {
                Kind::Primitive | Kind::Std => {}
                Kind::Struct(fields) => self.write_struct(f, TypeRef(number), ty, fields)?,
                Kind::Enum { repr, variants } => {
                    self.write_enum(f, TypeRef(number), ty, repr.as_deref(), variants)?;
                }
            }
        }
        match self.compiler() {
            "" => Ok(()),
            compiler => writeln!(f, "\nlaid out by {compiler}"),
        }
    }
}

impl Schema {
    /// The described type's name as in a Rust program.
    #[must_use]
    pub fn name(&self) -> String {
        self.type_name(TypeRef(0))
    }

    /// A type's name as in a Rust program: `BTreeMap<String, u64>`.
    #[must_use]
    pub fn type_name(&self, of: TypeRef) -> String {
        let mut name = String::new();
        self.push_name(&mut name, of, 0);
        name
    }

    /// Where a value of the described type has a byte: `in `Db.cache.entry` (Box<u64>, byte 3)`.
    #[must_use]
    pub fn place_of(&self, offset: u64) -> String {
        let (mut of, mut at, mut path) = (TypeRef(0), offset, self.root().short_name().to_owned());
        for _ in 0..DEPTH_BOUND {
            let ty = self.get(of);
            let inside = |field: &&Field| {
                let size = self.get(field.of).size;
                at.checked_sub(field.offset).is_some_and(|at| at < size) && size <= ty.size
            };
            match (&ty.kind, &*ty.parameters) {
                (Kind::Struct(fields), _) if let Some(field) = fields.iter().find(inside) => {
                    path.push('.');
                    path.push_str(&field.name);
                    (of, at) = (field.of, at - field.offset);
                }
                (Kind::Std, [Parameter { argument: Argument::Type(element), .. }, _])
                    if ty.name == "array" && self.get(*element).size > 0 =>
                {
                    let size = self.get(*element).size;
                    path.push_str(&format!("[{}]", at / size));
                    (of, at) = (*element, at % size);
                }
                _ => break,
            }
        }
        format!("`{path}`: {}, byte {at}", self.type_name(of))
    }

    fn push_name(&self, out: &mut String, of: TypeRef, depth: usize) {
        if out.len() > NAME_BOUND || depth > DEPTH_BOUND {
            out.push('…');
            return;
        }
        let ty = self.get(of);
        match (ty.short_name(), &*ty.parameters) {
            ("tuple", parameters) => {
                let single = if parameters.len() == 1 { ",)" } else { ")" };
                self.push_arguments(out, ty, depth, ["(", ", ", single]);
            }
            (name, [form, _]) if form.role == "form" => {
                out.push_str(name);
                self.push_arguments(out, ty, depth, ["<[", ", ", "]>"]);
            }
            ("array", [_, _]) => self.push_arguments(out, ty, depth, ["[", "; ", "]"]),
            (name, []) => out.push_str(name),
            (name, _) => {
                out.push_str(name);
                self.push_arguments(out, ty, depth, ["<", ", ", ">"]);
            }
        }
    }

    fn push_arguments(&self, out: &mut String, ty: &Type, depth: usize, marks: [&str; 3]) {
        let [open, between, close] = marks;
        let mut mark = open;
        for parameter in ty.parameters.iter().filter(|parameter| parameter.role != "form") {
            if out.len() > NAME_BOUND {
                out.push('…');
                break;
            }
            out.push_str(mark);
            mark = between;
            match &parameter.argument {
                Argument::Type(of) => self.push_name(out, *of, depth + 1),
                Argument::Text(text) => out.push_str(text),
            }
        }
        out.push_str(close);
    }

    fn write_struct(
        &self,
        f: &mut fmt::Formatter<'_>,
        of: TypeRef,
        ty: &Type,
        fields: &[Field],
    ) -> fmt::Result {
        self.write_head(f, "struct", of, ty)?;
        for field in fields {
            let name = self.type_name(field.of);
            match f.alternate() {
                true => writeln!(f, "    {}: {name},", field.name)?,
                false => writeln!(f, "    {}: {name}, // at {}", field.name, field.offset)?,
            }
        }
        writeln!(f, "}}")
    }

    fn write_enum(
        &self,
        f: &mut fmt::Formatter<'_>,
        of: TypeRef,
        ty: &Type,
        repr: Option<&str>,
        variants: &[Variant],
    ) -> fmt::Result {
        if let Some(repr) = repr {
            write!(f, "\n#[repr({repr})]")?;
        }
        self.write_head(f, "enum", of, ty)?;
        for variant in variants {
            let mut fields = String::new();
            for (name, of) in &variant.fields {
                let mark = if fields.is_empty() { " {" } else { "," };
                write!(fields, "{mark} {name}: {}", self.type_name(*of))?;
            }
            let close = if fields.is_empty() { "" } else { " }" };
            writeln!(f, "    {}{fields}{close} = {},", variant.name, variant.discriminant)?;
        }
        writeln!(f, "}}")
    }

    fn write_head(
        &self,
        f: &mut fmt::Formatter<'_>,
        keyword: &str,
        of: TypeRef,
        ty: &Type,
    ) -> fmt::Result {
        let name = self.type_name(of);
        let Type { size, align, .. } = ty;
        writeln!(f, "\n{keyword} {name} {{ // {}: {size} bytes, aligned to {align}", ty.name)
    }
}

impl Type {
    /// The name without its path.
    #[must_use]
    pub fn short_name(&self) -> &str {
        self.name.rsplit("::").next().unwrap_or(&self.name)
    }
}
