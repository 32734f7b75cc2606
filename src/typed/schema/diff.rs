//! What differs between two schemas, field by field, for the error that refuses a root.
//!
//! Differences of size and offset mostly follow from others; they are told only where there
//! is no other.

use std::collections::{HashSet, VecDeque};
use std::fmt;

use super::model::{Argument, Field, Kind, Parameter, Schema, TypeRef, Variant};

/// Differences shown by the error's text.
const SHOWN: usize = 20;
/// Longest path kept, in characters: of a longer one the end matters.
const PATH_BOUND: usize = 200;

/// One difference between the stored type and the program's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where: `Db.by_name.value`.
    pub path: String,
    /// What was stored.
    pub stored: String,
    /// What the program has.
    pub current: String,
}

/// A root holds another type than the program asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct TypeMismatch {
    /// The stored type's name.
    pub stored: String,
    /// The name of the type that was asked for.
    pub current: String,
    /// All differences, the ones nearest to the root first.
    pub differences: Vec<Difference>,
}

impl TypeMismatch {
    /// What to answer to a program that asks for `current` where `stored` is.
    #[must_use]
    pub fn between(stored: &Schema, current: &Schema) -> Self {
        Self {
            stored: stored.type_name(TypeRef(0)),
            current: current.type_name(TypeRef(0)),
            differences: Schema::diff(stored, current),
        }
    }
}

impl fmt::Display for TypeMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stored, current, differences } = self;
        writeln!(f, "the stored type `{stored}` is not the program's `{current}`:")?;
        for Difference { path, stored, current } in differences.iter().take(SHOWN) {
            writeln!(f, "  {path}: stored {stored}, in this program {current}")?;
        }
        if differences.len() > SHOWN {
            writeln!(f, "  and {} more", differences.len() - SHOWN)?;
        }
        write!(
            f,
            "open it with the program that wrote it, or give the type its stored form again (a \
             type that only moved keeps its stored name by #[durable(name = \"...\")])"
        )
    }
}

impl Schema {
    /// How `current` differs from `stored`, nearest to the root first; nothing if they are equal.
    #[must_use]
    pub fn diff(stored: &Schema, current: &Schema) -> Vec<Difference> {
        if stored == current {
            return Vec::new();
        }
        let mut comparison = Comparison::new(stored, current);
        comparison.run();
        let Comparison { mut causes, effects, .. } = comparison;
        if causes.is_empty() {
            causes = effects;
        }
        if causes.is_empty() {
            let path = current.root().short_name().to_owned();
            let [stored, current] = [stored, current].map(|of| of.fingerprint().0);
            causes.push(Difference {
                path,
                stored: format!("with fingerprint {stored:032x}"),
                current: format!("with fingerprint {current:032x}"),
            });
        }
        causes
    }
}

struct Comparison<'a> {
    stored: &'a Schema,
    current: &'a Schema,
    seen: HashSet<(TypeRef, TypeRef)>,
    /// A queue and not recursion: a stored schema may be as deep as it likes.
    next: VecDeque<(String, TypeRef, TypeRef)>,
    causes: Vec<Difference>,
    effects: Vec<Difference>,
}

impl<'a> Comparison<'a> {
    fn new(stored: &'a Schema, current: &'a Schema) -> Self {
        let path = current.root().short_name().to_owned();
        Self {
            stored,
            current,
            seen: HashSet::new(),
            next: VecDeque::from([(path, TypeRef(0), TypeRef(0))]),
            causes: Vec::new(),
            effects: Vec::new(),
        }
    }

    fn run(&mut self) {
        let compilers = [self.stored.compiler(), self.current.compiler()];
        if compilers[0] != compilers[1] && compilers.iter().all(|name| !name.is_empty()) {
            let [stored, current] = compilers.map(|name| format!("laid out by {name}"));
            self.cause(self.current.root().short_name(), stored, current);
        }
        while let Some((path, stored, current)) = self.next.pop_front() {
            if self.seen.insert((stored, current)) {
                self.types(&path, stored, current);
            }
        }
    }

    fn types(&mut self, path: &str, of_stored: TypeRef, of_current: TypeRef) {
        let (stored, current) = (self.stored.get(of_stored), self.current.get(of_current));
        let same_kind =
            std::mem::discriminant(&stored.kind) == std::mem::discriminant(&current.kind);
        if stored.name != current.name || !same_kind {
            let mut names = [self.stored.type_name(of_stored), self.current.type_name(of_current)];
            if names[0] == names[1] {
                names = [stored.name.clone(), current.name.clone()];
            }
            let [stored, current] = names.map(|name| format!("`{name}`"));
            return self.cause(path, stored, current);
        }
        if !self.parameters(path, &stored.parameters, &current.parameters) {
            let names = [self.stored.type_name(of_stored), self.current.type_name(of_current)];
            let [stored, current] = names.map(|name| format!("`{name}`"));
            return self.cause(path, stored, current);
        }
        match (&stored.kind, &current.kind) {
            (Kind::Struct(stored), Kind::Struct(current)) => self.fields(path, stored, current),
            (
                Kind::Enum { repr: stored_repr, variants: stored },
                Kind::Enum { repr: current_repr, variants: current },
            ) => {
                if stored_repr != current_repr {
                    let name = |repr: &Option<String>| match repr {
                        Some(repr) => format!("`#[repr({repr})]`"),
                        None => "no `repr`".to_owned(),
                    };
                    self.cause(path, name(stored_repr), name(current_repr));
                }
                self.variants(path, stored, current);
            }
            _ => {}
        }
        let form = |size: u64, align: u64| format!("{size} bytes aligned to {align}");
        let stored_form = form(stored.size, stored.align);
        self.effect(path, stored_form, form(current.size, current.align));
    }

    /// Queues the types; false if the constants or the number of parameters differ.
    fn parameters(&mut self, path: &str, stored: &[Parameter], current: &[Parameter]) -> bool {
        for (stored, current) in stored.iter().zip(current) {
            match (&stored.argument, &current.argument) {
                (&Argument::Type(stored), &Argument::Type(of)) => {
                    self.queue(path, &current.role, stored, of);
                }
                (stored, current) if stored == current => {}
                _ => return false,
            }
        }
        stored.len() == current.len()
    }

    fn fields(&mut self, path: &str, stored: &[Field], current: &[Field]) {
        for field in stored {
            match current.iter().find(|other| other.name == field.name) {
                None => {
                    let stored = format!("`{}`", self.stored.type_name(field.of));
                    self.cause(&join(path, &field.name), stored, absent("field"));
                }
                Some(other) => {
                    self.queue(path, &field.name, field.of, other.of);
                    let at = |field: &Field| format!("at offset {}", field.offset);
                    self.effect(&join(path, &field.name), at(field), at(other));
                }
            }
        }
        for field in current {
            if !stored.iter().any(|other| other.name == field.name) {
                let current = format!("`{}`", self.current.type_name(field.of));
                self.cause(&join(path, &field.name), absent("field"), current);
            }
        }
        let order = |fields: &[Field]| {
            let names: Vec<&str> = fields.iter().map(|field| &*field.name).collect();
            format!("with the fields {}", names.join(", "))
        };
        self.effect(path, order(stored), order(current));
    }

    fn variants(&mut self, path: &str, stored: &[Variant], current: &[Variant]) {
        for variant in stored {
            let path = join(path, &variant.name);
            let Some(other) = current.iter().find(|other| other.name == variant.name) else {
                self.cause(&path, "a variant".to_owned(), absent("variant"));
                continue;
            };
            if variant.discriminant != other.discriminant {
                let [stored, current] = [variant, other].map(|of| of.discriminant.to_string());
                self.cause(
                    &path,
                    format!("discriminant {stored}"),
                    format!("discriminant {current}"),
                );
            }
            self.variant_fields(&path, variant, other);
        }
        for variant in current {
            if !stored.iter().any(|other| other.name == variant.name) {
                let path = join(path, &variant.name);
                self.cause(&path, absent("variant"), "a variant".to_owned());
            }
        }
    }

    fn variant_fields(&mut self, path: &str, stored: &Variant, current: &Variant) {
        let names = |variant: &Variant| {
            let names: Vec<&str> = variant.fields.iter().map(|(name, _)| &**name).collect();
            format!("with the fields ({})", names.join(", "))
        };
        let [stored_names, current_names] = [names(stored), names(current)];
        if stored_names != current_names {
            return self.cause(path, stored_names, current_names);
        }
        for ((name, stored), (_, current)) in stored.fields.iter().zip(&current.fields) {
            self.queue(path, name, *stored, *current);
        }
    }

    fn queue(&mut self, path: &str, step: &str, stored: TypeRef, current: TypeRef) {
        if !self.seen.contains(&(stored, current)) {
            self.next.push_back((join(path, step), stored, current));
        }
    }

    fn cause(&mut self, path: &str, stored: String, current: String) {
        self.causes.push(Difference { path: path.to_owned(), stored, current });
    }

    fn effect(&mut self, path: &str, stored: String, current: String) {
        if stored != current {
            self.effects.push(Difference { path: path.to_owned(), stored, current });
        }
    }
}

fn absent(what: &str) -> String {
    format!("no such {what}")
}

fn join(path: &str, step: &str) -> String {
    let joined = format!("{path}.{step}");
    match joined.char_indices().rev().nth(PATH_BOUND) {
        Some((cut, _)) => format!("…{}", joined.split_at(cut).1),
        None => joined,
    }
}
