//! Changing a block's size, where it lies or by moving it.
#![allow(unsafe_code, reason = "copies a block's bytes")]

use crate::arena::Purpose;
use crate::base::{PAGE_SIZE, PAGES_PER_CHUNK};
use crate::heap::allocate::Located;
use crate::heap::lane::Lane;
use crate::heap::runs::pages_for;
use crate::heap::{BadFree, Heap, classes};
use std::ptr::NonNull;

impl Heap {
    /// The bytes that the block at `address` can hold.
    ///
    /// # Errors
    /// See [`BadFree`].
    pub fn usable_size(&self, address: usize) -> Result<usize, BadFree> {
        Ok(match self.locate(address)? {
            Located::Slab { class, .. } => class.size as usize,
            Located::Run { pages, .. } | Located::Large { pages, .. } => pages as usize * PAGE_SIZE,
        })
    }

    /// Gives the block at `address`, of `old` bytes, a size of `new` bytes; moves it if it
    /// must. `Ok(None)`: out of capacity, and the old block is as it was.
    ///
    /// # Errors
    /// See [`BadFree`].
    ///
    /// # Safety
    /// The calling thread holds the lane; the block was allocated with that size and
    /// alignment, and is the caller's alone.
    pub unsafe fn resize(
        &self,
        lane: &Lane,
        address: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
        purpose: Purpose,
    ) -> Result<Option<NonNull<u8>>, BadFree> {
        if self.fits_in_place(address.addr().get(), new, align)? {
            return Ok(Some(address));
        }
        // SAFETY: passed on from the caller.
        let Some(moved) = (unsafe { self.allocate(lane, new, align, purpose) }) else {
            return Ok(None);
        };
        // SAFETY: both blocks hold the shorter length, and a new block overlaps no old one.
        unsafe { moved.block.copy_from_nonoverlapping(address, old.min(new)) };
        // SAFETY: the old block is the caller's and is not used any more.
        unsafe { self.free(lane, address.addr().get())? };
        Ok(Some(moved.block))
    }

    /// Whether the block can hold `new` bytes where it is, without wasting what a smaller
    /// block would save. A run is lengthened or shortened for it.
    fn fits_in_place(&self, address: usize, new: usize, align: usize) -> Result<bool, BadFree> {
        Ok(match self.locate(address)? {
            Located::Slab { class, .. } => {
                let wanted = classes::class_for(new, align);
                wanted.is_some_and(|wanted| classes::class_size(wanted) == class.size as usize)
            }
            Located::Run { first, pages } => match pages_for(new) {
                Some(wanted) if new > classes::SMALL_MAX => self.resize_run(first, pages, wanted),
                _ => false,
            },
            Located::Large { pages, .. } => match pages_for(new) {
                Some(wanted) => wanted >= PAGES_PER_CHUNK && wanted <= pages && wanted > pages / 2,
                None => false,
            },
        })
    }
}
