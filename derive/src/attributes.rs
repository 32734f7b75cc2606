//! `#[durable(...)]` and `#[repr(...)]`, read; what is not known is an error.

use syn::punctuated::Punctuated;
use syn::{Attribute, LitStr, Path, Token, WherePredicate, parse_quote};

/// What stands in front of a type.
pub(crate) struct TypeAttributes {
    /// The path to the crate.
    pub(crate) krate: Path,
    /// The name in the schema, if not the type's path.
    pub(crate) name: Option<LitStr>,
    /// Bounds in place of those that are added to each type parameter.
    pub(crate) bound: Option<Vec<WherePredicate>>,
    /// The `repr`, if it fixes an enum's layout.
    pub(crate) repr: Option<Repr>,
}

/// A representation that fixes an enum's layout.
pub(crate) struct Repr {
    /// As written.
    pub(crate) text: String,
    /// The type of the discriminants.
    pub(crate) integer: syn::Type,
}

impl TypeAttributes {
    pub(crate) fn read(attributes: &[Attribute]) -> syn::Result<Self> {
        let repr = read_repr(attributes)?;
        let mut read = Self { krate: parse_quote!(::stillheap), name: None, bound: None, repr };
        for attribute in attributes.iter().filter(|attribute| is_ours(attribute)) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("crate") {
                    read.krate = meta.value()?.parse::<LitStr>()?.parse()?;
                } else if meta.path.is_ident("name") {
                    read.name = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("bound") {
                    let parser = Punctuated::<WherePredicate, Token![,]>::parse_terminated;
                    let bounds = meta.value()?.parse::<LitStr>()?.parse_with(parser)?;
                    read.bound = Some(bounds.into_iter().collect());
                } else {
                    let known =
                        "a type knows `name = \"...\"`, `bound = \"...\"`, `crate = \"...\"`";
                    return Err(meta.error(format!("unknown `durable` attribute: {known}")));
                }
                Ok(())
            })?;
        }
        Ok(read)
    }
}

/// Whether a field is marked `#[durable(recursive)]`.
pub(crate) fn is_recursive(attributes: &[Attribute]) -> syn::Result<bool> {
    let mut recursive = false;
    for attribute in attributes.iter().filter(|attribute| is_ours(attribute)) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("recursive") {
                let known = "a field knows `recursive` only";
                return Err(meta.error(format!("unknown `durable` attribute: {known}")));
            }
            recursive = true;
            Ok(())
        })?;
    }
    Ok(recursive)
}

/// Refuses `#[durable(...)]` where it has no meaning.
pub(crate) fn refuse(attributes: &[Attribute], place: &str) -> syn::Result<()> {
    match attributes.iter().find(|attribute| is_ours(attribute)) {
        Some(attribute) => {
            let message = format!("unknown `durable` attribute: {place} knows none");
            Err(syn::Error::new_spanned(attribute, message))
        }
        None => Ok(()),
    }
}

fn is_ours(attribute: &Attribute) -> bool {
    attribute.path().is_ident("durable")
}

fn read_repr(attributes: &[Attribute]) -> syn::Result<Option<Repr>> {
    let mut words = Vec::new();
    let mut integer: syn::Type = parse_quote!(isize);
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("repr")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("packed") {
                return Err(
                    meta.error("a packed type cannot be durable: its fields cannot be borrowed")
                );
            }
            if meta.input.peek(syn::token::Paren) {
                let content;
                syn::parenthesized!(content in meta.input);
                content.parse::<syn::Lit>()?;
                return Ok(());
            }
            let word = meta.path.require_ident()?;
            match &*word.to_string() {
                "C" | "transparent" => {}
                "Rust" => return Ok(()),
                _ => integer = parse_quote!(#word),
            }
            words.push(word.to_string());
            Ok(())
        })?;
    }
    let text = words.join(", ");
    Ok((!text.is_empty()).then_some(Repr { text, integer }))
}
