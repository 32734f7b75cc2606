//! Shadows: memory outside the arena that the kernel writes to in place of a heap buffer, and
//! from which the bytes are then copied by the thread itself, whose writes may fault.
//!
//! A thread's shadows lie in a buffer that belongs to its lane, one behind the other; calls nest
//! where a signal handler interrupts one. What does not fit gets a mapping of its own.
#![allow(unsafe_code, reason = "hands out raw memory and copies it")]

use super::seam::{self, Exposure, Watch};
use crate::base::PAGE_SIZE;
use crate::os::map::{self, Reservation};
use crate::runtime::process;
use crate::runtime::thread;
use std::ptr;

/// The most that is read by way of a shadow if it can be read another way.
pub(in crate::runtime::calls) const SMALL: usize = 64 << 10;
/// Bytes of a thread's buffer: so much, and an address, and what a handler may need meanwhile.
pub(crate) const BOUNCE: usize = SMALL + (8 << 10);
/// What transfers that bypass the page cache have to be aligned to, mostly.
const SECTOR: usize = 512;
/// The most outputs that one call has.
const OUTPUTS: usize = 8;

/// The most of them that lie by themselves.
const OWN: usize = 4;

/// The shadows of one call.
pub(in crate::runtime::calls) struct Shadows {
    list: [Shadow; OUTPUTS],
    count: usize,
    /// How much of the thread's buffer others used before.
    begun: usize,
    /// Where large shadows lie by themselves.
    own: [Option<Reservation>; OWN],
}

#[derive(Clone, Copy)]
struct Shadow {
    user: *mut u8,
    place: *mut u8,
    len: usize,
}

impl Shadows {
    pub(in crate::runtime::calls) fn new() -> Self {
        let nothing = Shadow { user: ptr::null_mut(), place: ptr::null_mut(), len: 0 };
        let begun = thread::with(|state| state.bounced.get());
        Self { list: [nothing; OUTPUTS], count: 0, begun, own: [const { None }; OWN] }
    }

    /// What to hand to the kernel in place of `user`, `len` bytes that it may read and write.
    ///
    /// # Safety
    /// `user` is null or points to `len` bytes that can be read and written.
    pub(in crate::runtime::calls) unsafe fn in_out<T>(
        &mut self,
        user: *mut T,
        len: usize,
    ) -> *mut T {
        let place = self.out(user, len);
        if place != user {
            // SAFETY: both have `len` bytes, and do not overlap.
            unsafe { ptr::copy_nonoverlapping(user.cast::<u8>(), place.cast(), len) };
        }
        place
    }

    /// The same for bytes that the kernel only writes. If there is no memory for a shadow, it is
    /// `user` itself.
    pub(in crate::runtime::calls) fn out<T>(&mut self, user: *mut T, len: usize) -> *mut T {
        match seam::exposure(user.addr(), len) {
            Exposure::None => return user,
            Exposure::Steady => {
                seam::touch_range(user.addr(), len);
                return user;
            }
            Exposure::Exposed => {}
        }
        let place = if self.count < OUTPUTS { self.place(len) } else { None };
        let Some(place) = place else {
            seam::touch_range(user.addr(), len);
            return user;
        };
        self.list[self.count] = Shadow { user: user.cast(), place, len };
        self.count += 1;
        place.cast()
    }

    /// `len` bytes outside the arena, at a multiple of 16; larger ones fit for `O_DIRECT`.
    pub(in crate::runtime::calls) fn place(&mut self, len: usize) -> Option<*mut u8> {
        if len > isize::MAX.cast_unsigned() {
            return None;
        }
        let align = if len < SECTOR { 16 } else { SECTOR };
        let start = thread::with(|state| {
            let start = state.bounced.get().next_multiple_of(align);
            let end = start.checked_add(len)?.next_multiple_of(16);
            if end > BOUNCE {
                return None;
            }
            let buffer = process::get()?.bounce(state)?;
            state.bounced.set(end);
            Some(buffer + start)
        });
        Some(ptr::with_exposed_provenance_mut(start.or_else(|| self.place_alone(len))?))
    }

    /// `len` bytes in a mapping that ends with the call.
    #[cold]
    fn place_alone(&mut self, len: usize) -> Option<usize> {
        let free = self.own.iter_mut().find(|own| own.is_none())?;
        let len = len.next_multiple_of(PAGE_SIZE);
        let own = Reservation::anywhere(len, PAGE_SIZE).ok()?;
        // SAFETY: the reservation just made.
        unsafe { map::commit(own.start(), len) }.ok()?;
        let start = own.start();
        *free = Some(own);
        Some(start)
    }

    /// Copies all shadows back.
    ///
    /// # Safety
    /// The kernel is done with them, and the user's memory is as it was said to be.
    pub(in crate::runtime::calls) unsafe fn copy_back(&self) {
        for index in 0..self.count {
            // SAFETY: says the caller.
            unsafe { self.copy_back_some(index, self.list[index].len) };
        }
    }

    /// Copies the first `len` bytes of a shadow back: the one of `user`, if it has one.
    ///
    /// # Safety
    /// As for `copy_back`.
    pub(in crate::runtime::calls) unsafe fn copy_back_of<T>(&self, user: *mut T, len: usize) {
        for index in 0..self.count {
            if self.list[index].user == user.cast() {
                // SAFETY: says the caller.
                unsafe { self.copy_back_some(index, len) };
            }
        }
    }

    /// Copies back `len` bytes of each of `count` entries of `user`'s shadow, from byte `at` on:
    /// the rest of an entry is the caller's alone, who may have changed it meanwhile.
    ///
    /// # Safety
    /// As for `copy_back`.
    pub(in crate::runtime::calls) unsafe fn copy_back_fields<T>(
        &self,
        user: *mut T,
        count: usize,
        at: usize,
        len: usize,
    ) {
        let found = self.list[..self.count].iter().find(|shadow| shadow.user == user.cast());
        let Some(shadow) = found else { return };
        for index in 0..count.min(shadow.len / size_of::<T>()) {
            let offset = index * size_of::<T>() + at;
            // SAFETY: within both, which do not overlap.
            unsafe {
                deliver(shadow.place.wrapping_add(offset), shadow.user.wrapping_add(offset), len)
            };
        }
    }

    /// # Safety
    /// As for `copy_back`.
    unsafe fn copy_back_some(&self, index: usize, len: usize) {
        let Shadow { user, place, len: most } = self.list[index];
        // SAFETY: both have that many bytes, and do not overlap.
        unsafe { deliver(place, user, len.min(most)) };
    }
}

/// Copies what the kernel has written from where it was to write it to where the caller wants it.
///
/// # Safety
/// Both have that many bytes, and do not overlap.
pub(in crate::runtime::calls) unsafe fn deliver(place: *const u8, user: *mut u8, len: usize) {
    // Cheaper than the fault, which may come all the same: a freeze may fall in between.
    seam::touch_range(user.addr(), len);
    // SAFETY: says the caller.
    unsafe { ptr::copy_nonoverlapping(place, user, len) };
}

impl Drop for Shadows {
    fn drop(&mut self) {
        thread::with(|state| state.bounced.set(self.begun));
    }
}

/// Calls again while the kernel finds the memory protected: for calls that lose nothing by that.
/// `touch` makes it writable.
pub(in crate::runtime::calls) fn retried(
    touch: impl Fn(),
    mut call: impl FnMut() -> isize,
) -> isize {
    for _ in 0..TRIES {
        let watch = Watch::begin();
        touch();
        let result = call();
        if !is_fault(result) || !watch.is_disturbed() {
            return result;
        }
    }
    call()
}

/// More freezes than this do not fall into one call.
pub(in crate::runtime::calls) const TRIES: u32 = 1000;

/// Whether a call has failed because of the memory that it was given.
pub(in crate::runtime::calls) fn is_fault(result: isize) -> bool {
    result == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
}
