//! Tracked blocks: their pages hold the values, and relinking is a write like any other.
#![allow(unsafe_code, reason = "implements Durable")]

use crate::typed::{Describe, Durable, Inspect, Key, Relink, Rows, Shape, Steady, Tracked};

/// Goes up when a block's header or the order of its columns changes.
const ROWS_LAYOUT: u32 = 1;

// SAFETY: the pointer owns a block of the heap, which holds the value; it is visited.
unsafe impl<T: Durable> Durable for Tracked<T> {
    fn describe(describe: &mut Describe) -> Shape {
        Shape::structure::<Self>("stillheap::Tracked").holds("value", describe.visit::<T>())
    }

    fn inspect(&self, inspect: &mut Inspect<'_>) {
        inspect.visit(&**self);
    }

    fn relink(&mut self, relink: &mut Relink<'_>) {
        relink.visit(&mut *self.write());
    }
}

impl<T: Steady> Steady for Tracked<T> {}

// SAFETY: the rows own a block of the heap, which holds plain keys and the values; all values
// are visited.
unsafe impl<K: Key + Durable, V: Durable> Durable for Rows<K, V> {
    fn describe(describe: &mut Describe) -> Shape {
        Shape::structure::<Self>("stillheap::Rows")
            .text("layout", ROWS_LAYOUT)
            .holds("key", describe.visit::<K>())
            .holds("value", describe.visit::<V>())
    }

    fn inspect(&self, inspect: &mut Inspect<'_>) {
        inspect.each(self.values());
    }

    fn relink(&mut self, relink: &mut Relink<'_>) {
        if relink.concerns::<V>() {
            relink.each(self.write().values_mut());
        }
    }
}

impl<K: Key + Steady, V: Steady> Steady for Rows<K, V> {}
