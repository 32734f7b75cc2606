//! `HashMap` and `HashSet`. Without capacity they point at a static table of the executable.
//!
//! A stale map of capacity 0 must not even be iterated over: iterating reads the table. Its
//! capacity and its hasher lie in the value itself.
#![allow(unsafe_code, reason = "implements Durable")]

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash};
use std::ptr;

use crate::typed::{Describe, Durable, Inspect, Link, Relink, Shape, Steady};

// SAFETY: the map points to its own allocation, which holds keys and values, or, as its link says,
// to the executable's empty table. All are visited but the hasher, which may not link
// (`Schema::check` refuses it).
unsafe impl<K, V, S> Durable for HashMap<K, V, S>
where
    K: Durable + Eq + Hash,
    V: Durable,
    S: Durable + BuildHasher,
{
    fn describe(describe: &mut Describe) -> Shape {
        Shape::std::<Self>("HashMap")
            .of("key", describe.visit::<K>())
            .of("value", describe.visit::<V>())
            .of("hasher", describe.visit::<S>())
            .link(Link::Refreshable)
    }

    fn inspect(&self, inspect: &mut Inspect<'_>) {
        if self.capacity() > 0 {
            inspect.each(self.keys());
            inspect.each(self.values());
        }
    }

    fn relink(&mut self, relink: &mut Relink<'_>) {
        if self.capacity() == 0 {
            // SAFETY: the hasher is moved: the map it is read from is overwritten, not dropped.
            let hasher = unsafe { ptr::read(self.hasher()) };
            // SAFETY: `self` is a place for a map; the old one owns no allocation.
            unsafe { ptr::write(self, Self::with_hasher(hasher)) };
            return relink.refreshed();
        }
        if !relink.concerns::<K>() {
            return relink.each(self.values_mut());
        }
        let entries = self.drain().collect();
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

impl<K: Steady + Eq + Hash, V: Steady, S: Steady + BuildHasher> Steady for HashMap<K, V, S> {}

// SAFETY: as for `HashMap`.
unsafe impl<T: Durable + Eq + Hash, S: Durable + BuildHasher> Durable for HashSet<T, S> {
    fn describe(describe: &mut Describe) -> Shape {
        Shape::std::<Self>("HashSet")
            .of("element", describe.visit::<T>())
            .of("hasher", describe.visit::<S>())
            .link(Link::Refreshable)
    }

    fn inspect(&self, inspect: &mut Inspect<'_>) {
        if self.capacity() > 0 {
            inspect.each(self.iter());
        }
    }

    fn relink(&mut self, relink: &mut Relink<'_>) {
        if self.capacity() == 0 {
            // SAFETY: the hasher is moved: the set it is read from is overwritten, not dropped.
            let hasher = unsafe { ptr::read(self.hasher()) };
            // SAFETY: `self` is a place for a set; the old one owns no allocation.
            unsafe { ptr::write(self, Self::with_hasher(hasher)) };
            return relink.refreshed();
        }
        if !relink.concerns::<T>() {
            return;
        }
        let elements = self.drain().collect();
        let each = |element: &mut T, relink: &mut Relink<'_>| relink.visit(element);
        relink.rebuild(self, elements, each, |set, elements| {
            set.extend(elements);
            set.len()
        });
    }
}

impl<T: Steady + Eq + Hash, S: Steady + BuildHasher> Steady for HashSet<T, S> {}
