//! Collections whose elements lie where their order puts them: `BTreeMap`, `BTreeSet`, `BinaryHeap`.
//!
//! Where keys have to be relinked, the collection is emptied in order, without a comparison, and
//! refilled at the end, when no key is stale any more.
#![allow(unsafe_code, reason = "implements Durable")]

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::mem;

use crate::typed::{Describe, Durable, Inspect, Relink, Shape, Steady};

// SAFETY: the map points to its own allocations, which hold keys and values; all are visited.
unsafe impl<K: Durable + Ord, V: Durable> Durable for BTreeMap<K, V> {
    fn describe(describe: &mut Describe) -> Shape {
        let shape = Shape::std::<Self>("BTreeMap").of("key", describe.visit::<K>());
        shape.of("value", describe.visit::<V>())
    }

    fn inspect(&self, inspect: &mut Inspect<'_>) {
        inspect.each(self.keys());
        inspect.each(self.values());
    }

    fn relink(&mut self, relink: &mut Relink<'_>) {
        if self.is_empty() {
            return;
        }
        if !relink.concerns::<K>() {
            return relink.each(self.values_mut());
        }
        let entries = mem::take(self).into_iter().collect();
        let each = |(key, value): &mut (K, V), relink: &mut Relink<'_>| {
            relink.visit(key);
            relink.visit(value);
        };
        relink.rebuild(self, entries, each, |map, entries| {
            map.extend(entries);
            map.len()
        });
    }
}

impl<K: Steady + Ord, V: Steady> Steady for BTreeMap<K, V> {}

// SAFETY: the set points to its own allocations, which hold the elements; all are visited.
unsafe impl<T: Durable + Ord> Durable for BTreeSet<T> {
    fn describe(describe: &mut Describe) -> Shape {
        Shape::std::<Self>("BTreeSet").of("element", describe.visit::<T>())
    }

    fn inspect(&self, inspect: &mut Inspect<'_>) {
        inspect.each(self.iter());
    }

    fn relink(&mut self, relink: &mut Relink<'_>) {
        if self.is_empty() || !relink.concerns::<T>() {
            return;
        }
        let elements = mem::take(self).into_iter().collect();
        let each = |element: &mut T, relink: &mut Relink<'_>| relink.visit(element);
        relink.rebuild(self, elements, each, |set, elements| {
            set.extend(elements);
            set.len()
        });
    }
}

impl<T: Steady + Ord> Steady for BTreeSet<T> {}

// SAFETY: the heap points to its own allocation, which holds the elements; all are visited.
unsafe impl<T: Durable + Ord> Durable for BinaryHeap<T> {
    fn describe(describe: &mut Describe) -> Shape {
        Shape::std::<Self>("BinaryHeap").of("element", describe.visit::<T>())
    }

    fn inspect(&self, inspect: &mut Inspect<'_>) {
        inspect.each(self.iter());
    }

    fn relink(&mut self, relink: &mut Relink<'_>) {
        if self.is_empty() || !relink.concerns::<T>() {
            return;
        }
        let elements = mem::take(self).into_vec();
        let each = |element: &mut T, relink: &mut Relink<'_>| relink.visit(element);
        relink.rebuild(self, elements, each, |heap, elements| {
            *heap = BinaryHeap::from(elements);
            heap.len()
        });
    }
}

impl<T: Steady + Ord> Steady for BinaryHeap<T> {}
