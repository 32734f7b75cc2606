//! Values without parts: numbers, text, times, addresses. None links, none needs a visit.
#![allow(unsafe_code, reason = "implements Durable")]

use std::any::type_name;
use std::cmp::Ordering;
use std::ffi::{CString, OsString};
use std::hash::{BuildHasherDefault, RandomState};
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::NonZero;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16,
    AtomicU32, AtomicU64, AtomicUsize,
};
use std::time::{Duration, SystemTime};

use crate::typed::{Describe, Durable, Inspect, Interior, Relink, Shape, Steady};

macro_rules! plain {
    ($([$($generic:ident)?] $type:ty: $shape:expr;)*) => {$(
        // SAFETY: the value holds no pointer but, in owned text, one to its own allocation.
        unsafe impl<$($generic: ?Sized + 'static)?> Durable for $type {
            fn describe(_: &mut Describe) -> Shape {
                $shape
            }

            fn inspect(&self, _: &mut Inspect<'_>) {}

            fn relink(&mut self, _: &mut Relink<'_>) {}
        }

        impl<$($generic: ?Sized + 'static)?> Steady for $type {}
    )*};
}

macro_rules! numbers {
    (primitives: $($primitive:ident)*; integers: $($integer:ident)*; atomics: $($atomic:ident)*;
     text and others: $($other:ident)*;) => {plain! {
        $([] $primitive: Shape::primitive::<Self>();)*
        $([] $integer: Shape::primitive::<Self>();)*
        $([] NonZero<$integer>: Shape::std::<Self>("NonZero").text("number", stringify!($integer));)*
        $([] RangeInclusive<$integer>:
            Shape::std::<Self>("RangeInclusive").text("bound", stringify!($integer));)*
        $([] $atomic: Shape::std::<Self>(stringify!($atomic)).interior(Interior::Atomics);)*
        $([] $other: Shape::std::<Self>(stringify!($other));)*
    }};
}

numbers! {
    primitives: bool char f32 f64;
    integers: u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize;
    atomics: AtomicBool AtomicU8 AtomicU16 AtomicU32 AtomicU64 AtomicUsize
        AtomicI8 AtomicI16 AtomicI32 AtomicI64 AtomicIsize;
    text and others: String PathBuf OsString CString Duration SystemTime Ordering RandomState
        IpAddr Ipv4Addr Ipv6Addr SocketAddr SocketAddrV4 SocketAddrV6;
}

plain! {
    [] (): Shape::primitive::<Self>();
    [] Box<str>: Shape::std::<Self>("Box").text("value", "str");
    [] RangeInclusive<char>: Shape::std::<Self>("RangeInclusive").text("bound", "char");
    [] RangeInclusive<f32>: Shape::std::<Self>("RangeInclusive").text("bound", "f32");
    [] RangeInclusive<f64>: Shape::std::<Self>("RangeInclusive").text("bound", "f64");
    [T] PhantomData<T>: Shape::std::<Self>("PhantomData").text("of", type_name::<T>());
}

// SAFETY: the value is empty; which hasher it makes is part of its schema, because the places of
// a map's entries hang on it.
unsafe impl<H: 'static> Durable for BuildHasherDefault<H> {
    fn describe(_: &mut Describe) -> Shape {
        Shape::std::<Self>("BuildHasherDefault").text("makes", type_name::<H>())
    }

    fn inspect(&self, _: &mut Inspect<'_>) {}

    fn relink(&mut self, _: &mut Relink<'_>) {}
}

impl<H: 'static> Steady for BuildHasherDefault<H> {}
