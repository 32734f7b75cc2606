//! Reference-counted pointers. What they share is visited once, whoever leads to it.
//!
//! A `Weak` leads there too: a strong pointer may have escaped from the root in the dead run and
//! keep the value alive. An empty `Arc<str>` or `Arc<[T]>` may be std's static one.
#![allow(unsafe_code, reason = "implements Durable; writes through shared pointers")]

use std::{ptr, rc, sync};

use crate::typed::{Describe, Durable, Inspect, Interior, Link, Relink, Shape, Steady};

macro_rules! counted {
    ($($module:ident::$pointer:ident, $weak:literal, empty: $empty:expr;)*) => {$(
        // SAFETY: the pointer's own allocation holds the value and the counts; it is visited.
        unsafe impl<T: Steady> Durable for $module::$pointer<T> {
            fn describe(describe: &mut Describe) -> Shape {
                let shape = Shape::std::<Self>(stringify!($pointer));
                shape.of("value", describe.visit::<T>()).interior(Interior::Atomics).shared()
            }

            fn inspect(&self, inspect: &mut Inspect<'_>) {
                inspect.shared(&**self);
            }

            fn relink(&mut self, relink: &mut Relink<'_>) {
                let value = $module::$pointer::as_ptr(self).cast_mut();
                // SAFETY: a strong pointer's value is valid, and nobody accesses it but through the
                // root, during the relinking nobody at all.
                unsafe { relink.shared(value) };
            }
        }

        impl<T: Steady> Steady for $module::$pointer<T> {}

        // SAFETY: as for the strong pointer; a value that is alive is visited through it.
        unsafe impl<T: Steady> Durable for $module::Weak<T> {
            fn describe(describe: &mut Describe) -> Shape {
                let shape = Shape::std::<Self>($weak).of("value", describe.visit::<T>());
                shape.interior(Interior::Atomics).shared()
            }

            fn inspect(&self, inspect: &mut Inspect<'_>) {
                self.upgrade().iter().for_each(|strong| inspect.shared(&**strong));
            }

            fn relink(&mut self, relink: &mut Relink<'_>) {
                let Some(strong) = self.upgrade() else {
                    return;
                };
                let value = $module::$pointer::as_ptr(&strong).cast_mut();
                // SAFETY: as for the strong pointer; the value stays alive after `strong` is
                // dropped, because another strong pointer kept it alive until now.
                unsafe { relink.shared(value) };
            }
        }

        impl<T: Steady> Steady for $module::Weak<T> {}

        // SAFETY: the text lies in the pointer's own allocation or, as the link says, is the
        // executable's empty one, which is replaced.
        unsafe impl Durable for $module::$pointer<str> {
            fn describe(_: &mut Describe) -> Shape {
                let shape = Shape::std::<Self>(stringify!($pointer)).text("value", "str");
                shape.interior(Interior::Atomics).link($empty)
            }

            fn inspect(&self, _: &mut Inspect<'_>) {}

            fn relink(&mut self, relink: &mut Relink<'_>) {
                let text = $module::$pointer::as_ptr(self) as *const [u8];
                if text.is_empty() && !relink.is_durable(text.cast::<u8>() as u64) {
                    // SAFETY: `self` is a place for a pointer; the old one's count lay in the
                    // executable of a dead run and needs no decrement.
                    unsafe { ptr::write(self, Self::default()) };
                    relink.refreshed();
                }
            }
        }

        impl Steady for $module::$pointer<str> {}

        // SAFETY: as for the pointer to `str`; each element is visited.
        unsafe impl<T: Steady> Durable for $module::$pointer<[T]> {
            fn describe(describe: &mut Describe) -> Shape {
                let shape = Shape::std::<Self>(stringify!($pointer)).text("form", "slice");
                let shape = shape.of("element", describe.visit::<T>()).shared();
                shape.interior(Interior::Atomics).link($empty)
            }

            fn inspect(&self, inspect: &mut Inspect<'_>) {
                if $module::$pointer::as_ptr(self).is_empty() {
                    return;
                }
                self.iter().for_each(|element| inspect.shared(element));
            }

            fn relink(&mut self, relink: &mut Relink<'_>) {
                let slice = $module::$pointer::as_ptr(self);
                if slice.is_empty() && !relink.is_durable(slice.cast::<T>() as u64) {
                    // SAFETY: as for the pointer to `str`.
                    unsafe { ptr::write(self, Self::from(Vec::new())) };
                    return relink.refreshed();
                }
                if !relink.concerns::<T>() {
                    return;
                }
                let first = slice.cast::<T>().cast_mut();
                for index in 0..slice.len() {
                    // SAFETY: the index is within the slice.
                    let element = unsafe { first.add(index) };
                    // SAFETY: as for the pointer to one value.
                    unsafe { relink.shared(element) };
                }
            }
        }

        impl<T: Steady> Steady for $module::$pointer<[T]> {}
    )*};
}

counted! {
    rc::Rc, "rc::Weak", empty: Link::None;
    sync::Arc, "sync::Weak", empty: Link::Refreshable;
}
