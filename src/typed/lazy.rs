//! A condition on a type that the compiler judges where it is needed, not where it is written.
//!
//! `where Cell<u32>: Steady` is an error wherever it stands, since it can never hold, and for types
//! that lead to each other the compiler would go round in circles. `where for<'lazy>
//! LazyBound<'lazy, Cell<u32>>: Met` names a lifetime, which makes the compiler wait.

use std::marker::PhantomData;

use super::Steady;

/// Stands for `T` in a condition; there are no values of it.
#[doc(hidden)]
#[derive(Debug)]
pub struct LazyBound<'lazy, T>(PhantomData<(&'lazy (), T)>);

/// Holds for `LazyBound<T>` if `T` is [`Steady`].
#[doc(hidden)]
pub trait Met {}

impl<T: Steady> Met for LazyBound<'_, T> {}
