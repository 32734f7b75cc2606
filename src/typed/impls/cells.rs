//! Cells and locks: durable, but not behind `Rc` or `Arc`, whence no `Steady` here.
#![allow(unsafe_code, reason = "implements Durable; looks into cells that nobody else uses")]

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock, TryLockError};

use crate::typed::{Describe, Durable, Inspect, Interior, Relink, Shape};

macro_rules! cells {
    ($($type:ident: |$this:ident, $inspect:ident| $visit:expr, |$place:ident| $inside:expr;)*) => {$(
        // SAFETY: the value holds at most one of the type described, in itself; it is visited.
        unsafe impl<T: Durable> Durable for $type<T> {
            fn describe(describe: &mut Describe) -> Shape {
                let shape = Shape::std::<Self>(stringify!($type));
                shape.of("value", describe.visit::<T>()).interior(Interior::Cells)
            }

            fn inspect(&self, $inspect: &mut Inspect<'_>) {
                let $this = self;
                $visit
            }

            fn relink(&mut self, relink: &mut Relink<'_>) {
                let $place = self;
                relink.each($inside);
            }
        }
    )*};
}

cells! {
    Cell: |cell, inspect| {
        // SAFETY: nobody else accesses the root during an inspection, so the value stays put.
        inspect.visit(unsafe { &*cell.as_ptr() });
    }, |cell| [cell.get_mut()];
    RefCell: |cell, inspect| {
        // SAFETY: as for `Cell`; a borrow flag can only be a leaked guard's of a dead run.
        inspect.visit(unsafe { &*cell.as_ptr() });
    }, |cell| [cell.get_mut()];
    OnceCell: |cell, inspect| inspect.each(cell.get()), |cell| cell.get_mut();
    OnceLock: |cell, inspect| inspect.each(cell.get()), |cell| cell.get_mut();
    Mutex: |lock, inspect| match lock.try_lock() {
        Ok(value) => inspect.visit(&*value),
        Err(TryLockError::Poisoned(poisoned)) => inspect.visit(&**poisoned.get_ref()),
        Err(TryLockError::WouldBlock) => inspect.locked::<Self>(),
    }, |lock| [lock.get_mut().unwrap_or_else(PoisonError::into_inner)];
    RwLock: |lock, inspect| match lock.try_read() {
        Ok(value) => inspect.visit(&*value),
        Err(TryLockError::Poisoned(poisoned)) => inspect.visit(&**poisoned.get_ref()),
        Err(TryLockError::WouldBlock) => inspect.locked::<Self>(),
    }, |lock| [lock.get_mut().unwrap_or_else(PoisonError::into_inner)];
}
