//! `Cow`s whose borrowed side may be a literal of the executable, or a leaked box of the heap.
//!
//! A stale `&'static` is never read as a reference: its place is read and written as that of a raw
//! pointer, which has the same layout.
#![allow(unsafe_code, reason = "implements Durable; shifts stale references as raw pointers")]

use std::borrow::Cow;
use std::ffi::{CStr, OsStr};
use std::path::Path;
use std::ptr;

use crate::typed::{Describe, Durable, Inspect, Link, Relink, Shape, Steady};

macro_rules! texts {
    ($($text:ty)*) => {$(
        // SAFETY: owned text has no pointer but to its own allocation; a borrowed one is reported and
        // shifted, as the link says.
        unsafe impl Durable for Cow<'static, $text> {
            fn describe(_: &mut Describe) -> Shape {
                Shape::std::<Self>("Cow").text("text", stringify!($text)).link(Link::Pinned)
            }

            fn inspect(&self, inspect: &mut Inspect<'_>) {
                if let Cow::Borrowed(place) = self {
                    let place = ptr::from_ref(place).cast::<*const $text>();
                    // SAFETY: a reference lies there; any of its bit patterns is a raw pointer.
                    let text = unsafe { place.read() } as *const [u8];
                    inspect.borrowed::<Self>(text.cast::<u8>() as u64, text.len());
                }
            }

            fn relink(&mut self, relink: &mut Relink<'_>) {
                if let Cow::Borrowed(place) = self {
                    let place = ptr::from_mut(place).cast::<*const $text>();
                    // SAFETY: as above.
                    let text = unsafe { place.read() } as *const [u8];
                    let text = moved(text, relink) as *const $text;
                    // SAFETY: the inspection found that the data is in the heap or, at its shifted
                    // address, in this executable, of the same build.
                    unsafe { place.write(text) };
                }
            }
        }

        impl Steady for Cow<'static, $text> {}
    )*};
}

texts! { str OsStr Path CStr }

// SAFETY: as for text. The elements may not link (`Schema::check` refuses it), but those that the
// value owns are visited all the same.
unsafe impl<T: Steady + Clone> Durable for Cow<'static, [T]> {
    fn describe(describe: &mut Describe) -> Shape {
        let shape = Shape::std::<Self>("Cow").text("form", "slice");
        shape.of("element", describe.visit::<T>()).link(Link::Pinned).shared()
    }

    fn inspect(&self, inspect: &mut Inspect<'_>) {
        match self {
            Cow::Owned(elements) => inspect.visit(elements),
            Cow::Borrowed(place) => {
                let place = ptr::from_ref(place).cast::<*const [T]>();
                // SAFETY: a reference lies there; any of its bit patterns is a raw pointer.
                let slice = unsafe { place.read() };
                let bytes = slice.len().saturating_mul(size_of::<T>());
                inspect.borrowed::<Self>(slice.cast::<T>() as u64, bytes);
            }
        }
    }

    fn relink(&mut self, relink: &mut Relink<'_>) {
        match self {
            Cow::Owned(elements) => relink.visit(elements),
            Cow::Borrowed(place) => {
                let place = ptr::from_mut(place).cast::<*const [T]>();
                // SAFETY: as above.
                let slice = unsafe { place.read() };
                let slice = moved(slice, relink);
                // SAFETY: as for text.
                unsafe { place.write(slice) };
            }
        }
    }
}

impl<T: Steady + Clone> Steady for Cow<'static, [T]> {}

/// Where the slice lies now. One without bytes lies nowhere in particular.
fn moved<T>(slice: *const [T], relink: &mut Relink<'_>) -> *const [T] {
    let address = slice.cast::<T>() as u64;
    let empty = slice.is_empty() || size_of::<T>() == 0;
    if empty && !relink.is_durable(address) {
        return ptr::slice_from_raw_parts(ptr::dangling(), slice.len());
    }
    let address = relink.shifted(address);
    ptr::slice_from_raw_parts(ptr::with_exposed_provenance(address as usize), slice.len())
}
