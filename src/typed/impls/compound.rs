//! Values that hold a fixed number of others in themselves: tuples, arrays, `Option`, wrappers.
#![allow(unsafe_code, reason = "implements Durable")]

use std::cmp::Reverse;
use std::num::{Saturating, Wrapping};
use std::ops::{Bound, Range};

use crate::typed::{Describe, Durable, Inspect, Relink, Shape, Steady};

/// Types that are taken apart by patterns, the same for inspecting and for relinking.
macro_rules! compound {
    ($($type:ident<$($part:ident $role:literal),*> { $($pattern:pat => [$($place:ident)*]),* })*) => {$(
        // SAFETY: the value holds values of the parts described and nothing else; all are visited.
        unsafe impl<$($part: Durable),*> Durable for $type<$($part),*> {
            fn describe(describe: &mut Describe) -> Shape {
                Shape::std::<Self>(stringify!($type))$(.of($role, describe.visit::<$part>()))*
            }

            fn inspect(&self, inspect: &mut Inspect<'_>) {
                match self {
                    $($pattern => { $(inspect.visit($place);)* })*
                }
            }

            fn relink(&mut self, relink: &mut Relink<'_>) {
                match self {
                    $($pattern => { $(relink.visit($place);)* })*
                }
            }
        }

        impl<$($part: Steady),*> Steady for $type<$($part),*> {}
    )*};
}

compound! {
    Option<T "value"> { None => [], Some(value) => [value] }
    Result<T "value", E "error"> { Ok(value) => [value], Err(error) => [error] }
    Bound<T "bound"> {
        Bound::Included(bound) => [bound],
        Bound::Excluded(bound) => [bound],
        Bound::Unbounded => []
    }
    Range<T "bound"> { Range { start, end } => [start end] }
    Reverse<T "value"> { Reverse(value) => [value] }
    Wrapping<T "value"> { Wrapping(value) => [value] }
    Saturating<T "value"> { Saturating(value) => [value] }
}

macro_rules! tuples {
    ($($($part:ident $index:tt)+;)+) => {$(
        // SAFETY: a tuple holds its elements; all are visited.
        unsafe impl<$($part: Durable),+> Durable for ($($part,)+) {
            fn describe(describe: &mut Describe) -> Shape {
                Shape::std::<Self>("tuple")$(.of(stringify!($index), describe.visit::<$part>()))+
            }

            fn inspect(&self, inspect: &mut Inspect<'_>) {
                $(inspect.visit(&self.$index);)+
            }

            fn relink(&mut self, relink: &mut Relink<'_>) {
                $(relink.visit(&mut self.$index);)+
            }
        }

        impl<$($part: Steady),+> Steady for ($($part,)+) {}
    )+};
}

tuples! {
    A 0;
    A 0 B 1;
    A 0 B 1 C 2;
    A 0 B 1 C 2 D 3;
    A 0 B 1 C 2 D 3 E 4;
    A 0 B 1 C 2 D 3 E 4 F 5;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10;
    A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7 I 8 J 9 K 10 L 11;
}

// SAFETY: an array holds its elements; all are visited.
unsafe impl<T: Durable, const N: usize> Durable for [T; N] {
    fn describe(describe: &mut Describe) -> Shape {
        Shape::std::<Self>("array").of("element", describe.visit::<T>()).text("length", N)
    }

    fn inspect(&self, inspect: &mut Inspect<'_>) {
        inspect.each(self);
    }

    fn relink(&mut self, relink: &mut Relink<'_>) {
        relink.each(self);
    }
}

impl<T: Steady, const N: usize> Steady for [T; N] {}
