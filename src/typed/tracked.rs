//! [`Tracked`]: a box of whole pages whose writes are announced by software, without page faults.
//!
//! Invariants: a value lies at the start of a page-aligned block of its own; safe code
//! gets `&mut T` from a [`TrackedMut`] only, which calls the barrier before the first write
//! and once more after the last one.
#![allow(unsafe_code, reason = "owns a block of raw pages")]

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, needs_drop};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::base::PAGE_SIZE;
use crate::runtime::pages::{self, Announced};

/// An owning pointer to a value in pages of its own, of which writes are announced page by page. So
/// while a snapshot is being saved, the first write to a page copies these 4 KiB and nothing more,
/// and no write takes a page fault for a snapshot's sake.
///
/// Reading derefs. Writing goes through [`write`](Self::write), the software write barrier:
/// there is no `DerefMut`. A value takes at least one page (4 KiB), so this is for nodes and
/// tables, not for small values.
///
/// A value that changes through `&T` (cells, locks, atomics) is not announced when it does: a root
/// with such a value in tracked pages is refused when it is opened. In memory of its own, behind a
/// `Box` or in a `Vec`, it may be.
///
/// ```
/// let mut value = stillheap::Tracked::new([0_u32; 4]);
/// value.write()[2] = 7;
/// assert_eq!(*value, [0, 0, 7, 0]);
/// ```
/// ```compile_fail,E0594
/// let mut value = stillheap::Tracked::new(1);
/// *value = 2; // nobody would announce this write
/// ```
pub struct Tracked<T> {
    value: NonNull<T>,
    owns: PhantomData<T>,
}

// SAFETY: a `Tracked<T>` owns its value alone, as a `Box<T>` does; sending it sends the value.
unsafe impl<T: Send> Send for Tracked<T> {}
// SAFETY: a shared `Tracked<T>` gives out `&T` and nothing more.
unsafe impl<T: Sync> Sync for Tracked<T> {}

impl<T> Tracked<T> {
    /// Moves `value` to pages of its own. Does not return when memory is exhausted.
    ///
    /// A type whose alignment exceeds a page does not compile.
    #[must_use]
    pub fn new(value: T) -> Self {
        const { assert!(align_of::<T>() <= PAGE_SIZE, "alignment above a page") };
        let (block, _announced) = pages::alloc(Self::BYTES);
        let place = block.cast::<T>();
        // SAFETY: the block is at least `size_of::<T>()` long, page-aligned, and ours alone.
        unsafe { place.write(value) };
        Self { value: place, owns: PhantomData }
    }

    /// Announces a write, and lends the value for it.
    ///
    /// The guard announces the pages again when it is dropped: outside a scope a freeze may
    /// fall between the two. One that is leaked leaves them held: they count as written between
    /// any two snapshots from then on.
    pub fn write(&mut self) -> TrackedMut<'_, T> {
        let announced = self.announce();
        TrackedMut { owner: self, _announced: announced }
    }

    /// The value itself; its pages are given back.
    #[must_use]
    pub fn into_inner(self) -> T {
        let this = ManuallyDrop::new(self);
        // SAFETY: the value is initialised, and `ManuallyDrop` keeps it from being dropped again.
        let value = unsafe { this.value.read() };
        // SAFETY: `new` made the block with this size; the value has been moved out of it.
        unsafe { pages::free(this.value.cast(), Self::BYTES) };
        value
    }

    const BYTES: usize =
        if size_of::<T>() == 0 { PAGE_SIZE } else { size_of::<T>().next_multiple_of(PAGE_SIZE) };

    #[inline]
    fn announce(&self) -> Announced {
        Announced::begin(self.value.cast(), Self::BYTES)
    }
}

impl<T> Drop for Tracked<T> {
    fn drop(&mut self) {
        let block = Pages { block: self.value.cast(), bytes: Self::BYTES };
        if needs_drop::<T>() {
            let _announced = self.announce();
            // SAFETY: the value is initialised and is not used afterwards; `block` outlives the
            // call.
            unsafe { self.value.drop_in_place() };
        }
        drop(block);
    }
}

/// Pages that are given back when this is dropped, also while a destructor's panic unwinds.
pub(super) struct Pages {
    pub(super) block: NonNull<u8>,
    pub(super) bytes: usize,
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: made only in destructors of the blocks' owners, with the size they were allocated
        // with.
        unsafe { pages::free(self.block, self.bytes) };
    }
}

impl<T> Deref for Tracked<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the value is initialised as long as `self` lives; `&self` excludes writers.
        unsafe { self.value.as_ref() }
    }
}

/// The right to write to a [`Tracked`] value, announced at both ends.
pub struct TrackedMut<'a, T> {
    owner: &'a mut Tracked<T>,
    _announced: Announced,
}

impl<T> Deref for TrackedMut<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.owner
    }
}

impl<T> DerefMut for TrackedMut<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard borrows the owner mutably, so this is the only way to the value.
        unsafe { self.owner.value.as_mut() }
    }
}

impl<T: fmt::Debug> fmt::Debug for TrackedMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TrackedMut").field(&**self).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Tracked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tracked").field(&**self).finish()
    }
}

impl<T: Clone> Clone for Tracked<T> {
    fn clone(&self) -> Self {
        Self::new(T::clone(self))
    }
}

impl<T: Default> Default for Tracked<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Tracked<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T> AsRef<T> for Tracked<T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T> Borrow<T> for Tracked<T> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<T: PartialEq> PartialEq for Tracked<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Tracked<T> {}

impl<T: PartialOrd> PartialOrd for Tracked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<T: Ord> Ord for Tracked<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (**self).cmp(&**other)
    }
}

impl<T: std::hash::Hash> std::hash::Hash for Tracked<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;

    use super::*;
    use crate::runtime::pages::tests::announced;

    struct Counts(Rc<Cell<usize>>);

    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn lies_on_whole_pages() {
        for _ in 0..10 {
            let small = Tracked::new(7_u8);
            let large = Tracked::new([1_u64; 1000]);
            assert_eq!((&raw const *small).addr() % PAGE_SIZE, 0);
            assert_eq!((&raw const *large).addr() % PAGE_SIZE, 0);
            assert_eq!((*small, large[999]), (7, 1));
            assert_eq!(Tracked::new(()).into_inner(), ());
        }
    }

    #[test]
    fn a_write_is_announced_at_both_ends_and_a_read_never() {
        let mut value = Tracked::new(vec![1]);
        let before = announced();
        assert_eq!(value.len(), 1);
        assert_eq!(announced(), before);
        let mut guard = value.write();
        assert_eq!(announced(), before + 1);
        guard.push(2);
        guard.push(3);
        drop(guard);
        assert_eq!(announced(), before + 2);
        assert_eq!(*value, [1, 2, 3]);
    }

    #[test]
    fn drops_once_or_hands_the_value_over() {
        let drops = Rc::new(Cell::new(0));
        drop(Tracked::new(Counts(drops.clone())));
        assert_eq!(drops.get(), 1);
        let inner = Tracked::new(Counts(drops.clone())).into_inner();
        assert_eq!(drops.get(), 1);
        drop(inner);
        assert_eq!(drops.get(), 2);
    }

    #[test]
    fn a_panicking_write_is_announced_again() {
        let mut value = Tracked::new(1);
        let before = announced();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            *value.write() = 2;
            let _guard = value.write();
            panic!("in the middle");
        }));
        assert!(outcome.is_err());
        assert_eq!(announced(), before + 4);
        assert_eq!(value.clone(), Tracked::new(2));
    }

    #[test]
    fn traits_see_the_value() {
        fn sendable<T: Send + Sync>(_: &T) {}
        let value = Tracked::new(3);
        sendable(&value);
        assert!(value < Tracked::from(4));
        assert_eq!(format!("{value:?}"), "Tracked(3)");
        assert_eq!(Tracked::<u8>::default().into_inner(), 0);
    }
}
