//! The two traits that say what may be durable.

use super::{Describe, Inspect, Relink, Shape};

/// A type whose values outlive the process: they are found again after a restart, at the same
/// address, byte for byte.
///
/// Derive it:
/// ```
/// use std::collections::BTreeMap;
/// #[derive(stillheap::typed::Durable, Default)]
/// struct Db {
///     by_name: BTreeMap<String, u64>,
/// }
/// ```
/// Every field has to be durable. References, raw pointers, `dyn` values, file handles, sockets,
/// threads, `Instant`, guards and function pointers are not, and never can be: what they
/// refer to is gone after a restart.
///
/// # Attributes
/// - on the type, `#[durable(name = "path::Type")]`: the name in the schema. The default is the
///   type's path; a type that moved to another module keeps its stored name this way.
/// - on the type, `#[durable(bound = "K: Ord + Durable")]`: bounds in place of `T: Durable` for each
///   type parameter.
/// - on the type, `#[durable(crate = "path")]`: where this crate is, if not at `::stillheap`.
/// - on a field, `#[durable(recursive)]`: see [`Steady`].
///
/// # Safety
/// An implementation promises that
/// - values hold no pointers but plain ones (untagged in the high bits, uncompressed) into the
///   arena, or, as far as [`describe`](Self::describe) admits it, into the executable;
/// - `describe` names every type of which a value holds values, and its link and interior
///   mutability as they are;
/// - `inspect` and `relink` visit every held value whose type links, once (shared ones by
///   [`Inspect::shared`] and [`Relink::shared`]), touch nothing else, and pass the visitors only
///   places that stay where they are until the whole visit is over.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept in a durable heap",
    label = "not `Durable`",
    note = "for a type of your own, add `#[derive(stillheap::Durable)]`",
    note = "references, raw pointers, `dyn` values, files, sockets, threads, `Instant`, guards and \
            function pointers mean nothing after a restart: keep the data itself (`String` for \
            `&str`, an enum for `dyn`, a path for a file, `SystemTime` for `Instant`)"
)]
#[allow(unsafe_code, reason = "a promise that the compiler cannot check is an unsafe trait")]
pub unsafe trait Durable: Sized + 'static {
    /// The type's name, layout and parts.
    fn describe(describe: &mut Describe) -> Shape;

    /// Reports the pointers into the executable, changing nothing. Called only for types that
    /// reach a [`Link::Pinned`](super::Link::Pinned) one; some parts may be stale, so that no part may
    /// be hashed, compared, cloned, or iterated over when empty.
    fn inspect(&self, inspect: &mut Inspect<'_>);

    /// Makes the pointers into the executable valid again. Called only for types that link; under
    /// the same conditions as `inspect`.
    fn relink(&mut self, relink: &mut Relink<'_>);
}

/// A durable type without interior mutability beyond atomics: what `Rc`, `Arc` and their `Weak` may
/// share. A clone that escaped from a scope could otherwise change the heap while a snapshot is taken.
///
/// `#[derive(Durable)]` implements it for types whose fields are all steady. A type that leads back
/// to itself through *another* type and a shared pointer makes the compiler give up ("overflow
/// evaluating the requirement"): mark the field `#[durable(recursive)]`, and the compiler leaves
/// it out. Nothing is lost by that: the exact check is made on the schema when a root is opened.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be shared by `Rc` or `Arc` in a durable heap",
    label = "not `Steady`: not durable, or with interior mutability beyond atomics",
    note = "a clone of the `Rc` or `Arc` kept outside a scope could change the value while a \
            snapshot is taken: use atomics, or own the value in the root instead of sharing it"
)]
pub trait Steady: Durable {}
