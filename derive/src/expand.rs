//! From the parsed type to the two impls.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DataEnum, DeriveInput, Fields, GenericParam, Generics, Type, parse_quote};

use crate::attributes::{TypeAttributes, is_recursive, refuse};

/// The impls of `Durable` and `Steady` for the type.
pub(crate) fn expand(input: &DeriveInput) -> syn::Result<TokenStream> {
    if let Some(lifetime) = input.generics.lifetimes().next() {
        let message = "a type that borrows cannot be durable: what it borrows may be gone after a \
                       restart; own the data instead";
        return Err(syn::Error::new_spanned(lifetime, message));
    }
    let attributes = TypeAttributes::read(&input.attrs)?;
    let shapes = match &input.data {
        Data::Struct(data) => vec![Shape::new(None, &data.fields)?],
        Data::Enum(data) => read_variants(data)?,
        Data::Union(data) => {
            let message = "a union cannot be durable: nothing tells which field it holds";
            return Err(syn::Error::new_spanned(data.union_token, message));
        }
    };
    let generics = bounded(&input.generics, &attributes);
    let durable = durable(input, &attributes, &generics, &shapes);
    let steady = steady(input, &attributes, generics, &shapes);
    Ok(quote!(#durable #steady))
}

/// A struct's fields, or an enum's variant with its fields.
struct Shape<'a> {
    variant: Option<&'a syn::Variant>,
    fields: Vec<Field<'a>>,
}

struct Field<'a> {
    /// Its name or number, as in a pattern.
    member: syn::Member,
    /// What a pattern binds it to.
    binding: Ident,
    ty: &'a Type,
    recursive: bool,
}

impl<'a> Shape<'a> {
    fn new(variant: Option<&'a syn::Variant>, fields: &'a Fields) -> syn::Result<Self> {
        let read = fields.iter().zip(fields.members()).enumerate();
        let fields = read.map(|(index, (field, member))| {
            let binding = format_ident!("field_{index}", span = Span::mixed_site());
            Ok(Field { member, binding, ty: &field.ty, recursive: is_recursive(&field.attrs)? })
        });
        Ok(Self { variant, fields: fields.collect::<syn::Result<_>>()? })
    }

    /// An arm that calls `visitor.visit` with each field.
    fn arm(&self, visitor: &Ident) -> TokenStream {
        let path = match self.variant {
            Some(syn::Variant { ident, .. }) => quote!(Self::#ident),
            None => quote!(Self),
        };
        let members = self.fields.iter().map(|field| &field.member);
        let bindings: Vec<_> = self.fields.iter().map(|field| &field.binding).collect();
        quote!(#path { #(#members: #bindings),* } => { #(#visitor.visit(#bindings);)* })
    }
}

fn read_variants(data: &DataEnum) -> syn::Result<Vec<Shape<'_>>> {
    let shapes = data.variants.iter().map(|variant| {
        refuse(&variant.attrs, "a variant")?;
        Shape::new(Some(variant), &variant.fields)
    });
    shapes.collect()
}

/// The type's generics with the bounds that its parts need.
fn bounded(generics: &Generics, attributes: &TypeAttributes) -> Generics {
    let mut generics = generics.clone();
    let parameters: Vec<Ident> = generics.type_params().map(|of| of.ident.clone()).collect();
    let krate = &attributes.krate;
    let predicates = &mut generics.make_where_clause().predicates;
    match &attributes.bound {
        Some(bounds) => predicates.extend(bounds.iter().cloned()),
        None => predicates.extend(
            parameters
                .iter()
                .map(|of| -> syn::WherePredicate { parse_quote!(#of: #krate::typed::Durable) }),
        ),
    }
    generics
}

fn durable(
    input: &DeriveInput,
    attributes: &TypeAttributes,
    generics: &Generics,
    shapes: &[Shape<'_>],
) -> TokenStream {
    let TypeAttributes { krate, .. } = attributes;
    let ident = &input.ident;
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let describe = describe(input, attributes, shapes);
    let describer = visitor("describe");
    let visits = shapes.iter().any(|shape| !shape.fields.is_empty());
    let [inspector, relinker] = ["inspect", "relink"].map(visitor);
    let (inspect, relink) = (arms(shapes, &inspector), arms(shapes, &relinker));
    let [inspector, relinker] = [inspector, relinker].map(|name| match visits {
        true => name.into_token_stream(),
        false => quote!(_),
    });
    quote! {
        #[automatically_derived]
        unsafe impl #impl_generics #krate::typed::Durable for #ident #type_generics #where_clause {
            fn describe(#describer: &mut #krate::typed::Describe) -> #krate::typed::Shape {
                #describe
            }

            fn inspect(&self, #inspector: &mut #krate::typed::Inspect<'_>) {
                #inspect
            }

            fn relink(&mut self, #relinker: &mut #krate::typed::Relink<'_>) {
                #relink
            }
        }
    }
}

fn visitor(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

/// A `match` that takes every field of every variant.
fn arms(shapes: &[Shape<'_>], visitor: &Ident) -> TokenStream {
    if shapes.is_empty() {
        return quote!(match *self {});
    }
    let arms = shapes.iter().map(|shape| shape.arm(visitor));
    quote!(match self { #(#arms)* })
}

/// The body of `describe`.
fn describe(input: &DeriveInput, attributes: &TypeAttributes, shapes: &[Shape<'_>]) -> TokenStream {
    let TypeAttributes { krate, name, repr, .. } = attributes;
    let ident = &input.ident;
    let name = match name {
        Some(name) => quote!(#name),
        None => quote!(::core::concat!(::core::module_path!(), "::", ::core::stringify!(#ident))),
    };
    let parameters = parameters(&input.generics, attributes.bound.is_some());
    let parts = shapes.iter().map(parts);
    if !matches!(input.data, Data::Enum(_)) {
        return quote!(#krate::typed::Shape::structure::<Self>(#name) #parameters #(#parts)*);
    }
    let discriminants = discriminants(shapes, attributes);
    let repr = match repr.as_ref().map(|repr| &repr.text) {
        Some(repr) => quote!(::core::option::Option::Some(#repr)),
        None => quote!(::core::option::Option::None),
    };
    quote! {
        #discriminants
        #krate::typed::Shape::enumeration::<Self>(#name, #repr) #parameters #(#parts)*
    }
}

/// What the type was instantiated with; types only where they are known to be durable.
fn parameters(generics: &Generics, own_bounds: bool) -> TokenStream {
    let describe = visitor("describe");
    let parameters = generics.params.iter().map(|parameter| match parameter {
        GenericParam::Type(of) if !own_bounds => {
            let ident = &of.ident;
            let role = ident.to_string();
            quote!(.of(#role, #describe.visit::<#ident>()))
        }
        GenericParam::Const(of) => {
            let ident = &of.ident;
            let role = ident.to_string();
            quote!(.text(#role, #ident))
        }
        GenericParam::Type(_) | GenericParam::Lifetime(_) => TokenStream::new(),
    });
    quote!(#(#parameters)*)
}

/// The variant, if any, and the fields, as calls on the shape.
fn parts(shape: &Shape<'_>) -> TokenStream {
    let describe = visitor("describe");
    let variant = shape.variant.map(|variant| {
        let name = variant.ident.unraw().to_string();
        let discriminant = discriminant_of(variant);
        quote!(.variant(#name, #discriminant))
    });
    let fields = shape.fields.iter().map(|Field { member, ty, .. }| {
        let name = match member {
            syn::Member::Named(ident) => ident.unraw().to_string(),
            syn::Member::Unnamed(index) => index.index.to_string(),
        };
        let visit = quote_spanned!(ty.span()=> #describe.visit::<#ty>());
        let offset = match shape.variant {
            Some(_) => quote!(0),
            None => quote!(::core::mem::offset_of!(Self, #member)),
        };
        quote!(.field(#name, #offset, #visit))
    });
    quote!(#variant #(#fields)*)
}

fn discriminant_of(variant: &syn::Variant) -> Ident {
    format_ident!("of_{}", variant.ident, span = Span::mixed_site())
}

/// A `let` for each variant's discriminant: as written, or one more than the one before.
fn discriminants(shapes: &[Shape<'_>], attributes: &TypeAttributes) -> TokenStream {
    let integer = match &attributes.repr {
        Some(repr) => repr.integer.to_token_stream(),
        None => quote!(isize),
    };
    let mut before: Option<Ident> = None;
    let variants = shapes.iter().filter_map(|shape| shape.variant);
    let lets = variants.map(|variant| {
        let name = discriminant_of(variant);
        let value = match (&variant.discriminant, &before) {
            (Some((_, value)), _) => quote!({ let value: #integer = #value; value as i128 }),
            (None, Some(before)) => quote!(#before + 1),
            (None, None) => quote!(0),
        };
        before = Some(name.clone());
        quote!(#[allow(non_snake_case, reason = "named as the variant")] let #name: i128 = #value;)
    });
    quote!(#(#lets)*)
}

/// The impl of `Steady`, conditional on each field's. The unused `for<'lazy>` keeps the compiler
/// from judging a condition without type parameters where it stands, instead of where it is needed.
fn steady(
    input: &DeriveInput,
    attributes: &TypeAttributes,
    mut generics: Generics,
    shapes: &[Shape<'_>],
) -> TokenStream {
    let TypeAttributes { krate, .. } = attributes;
    let ident = &input.ident;
    let predicates = &mut generics.make_where_clause().predicates;
    for field in shapes.iter().flat_map(|shape| &shape.fields) {
        let ty = field.ty;
        if !field.recursive && !mentions(ty.to_token_stream(), ident) {
            predicates.push(parse_quote!(for<'lazy> #ty: #krate::typed::Steady));
        }
    }
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    quote! {
        #[automatically_derived]
        impl #impl_generics #krate::typed::Steady for #ident #type_generics #where_clause {}
    }
}

/// Whether the tokens name the type itself, as `ident` or as `Self`.
fn mentions(tokens: TokenStream, ident: &Ident) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(word) => word == *ident || word == "Self",
        TokenTree::Group(group) => mentions(group.stream(), ident),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}
