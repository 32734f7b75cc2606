//! `#[derive(Durable)]` for stillheap: the schema of a type, field by field, and the visits that
//! make its pointers valid after a restart.
//!
//! The generated `unsafe impl` names every field, so that each has to be durable, and contains no
//! unsafe block: it compiles in modules that forbid unsafe code.

mod attributes;
mod expand;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `Durable`, and `Steady` where all fields are steady. The attributes are explained at
/// the trait.
#[proc_macro_derive(Durable, attributes(durable))]
pub fn derive_durable(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::expand(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}
