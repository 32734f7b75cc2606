//! Owned values elsewhere in the heap, in an order of their own: boxes, vectors, lists.
//!
//! None of them points into the executable itself: empty, they hold a dangling but aligned address.
#![allow(unsafe_code, reason = "implements Durable")]

use std::collections::{LinkedList, VecDeque};

use crate::typed::{Describe, Durable, Inspect, Relink, Shape, Steady};

macro_rules! sequences {
    ($($type:ty: $shape:expr;)*) => {$(
        // SAFETY: the value points to its own allocations, which hold the elements; all are visited.
        unsafe impl<T: Durable> Durable for $type {
            fn describe(describe: &mut Describe) -> Shape {
                $shape.of("element", describe.visit::<T>())
            }

            fn inspect(&self, inspect: &mut Inspect<'_>) {
                inspect.each(self.iter());
            }

            fn relink(&mut self, relink: &mut Relink<'_>) {
                relink.each(self.iter_mut());
            }
        }

        impl<T: Steady> Steady for $type {}
    )*};
}

sequences! {
    Vec<T>: Shape::std::<Self>("Vec");
    VecDeque<T>: Shape::std::<Self>("VecDeque");
    LinkedList<T>: Shape::std::<Self>("LinkedList");
    Box<[T]>: Shape::std::<Self>("Box").text("form", "slice");
}

// SAFETY: the box points to its own allocation, which holds the value; it is visited.
unsafe impl<T: Durable> Durable for Box<T> {
    fn describe(describe: &mut Describe) -> Shape {
        Shape::std::<Self>("Box").of("value", describe.visit::<T>())
    }

    fn inspect(&self, inspect: &mut Inspect<'_>) {
        inspect.visit(&**self);
    }

    fn relink(&mut self, relink: &mut Relink<'_>) {
        relink.visit(&mut **self);
    }
}

impl<T: Steady> Steady for Box<T> {}
