//! Shadows: memory outside the arena that the kernel writes to in place of a heap buffer, and
//! from which the bytes are then copied by the thread itself, whose writes may fault.
//!
//! A thread's shadows lie in a buffer that belongs to its lane, one behind the other; calls nest
//! where a signal handler interrupts one. What does not fit gets a mapping of its own.
#![allow(unsafe_code, reason = "hands out raw memory and copies it")]

use super::seam::{self, Exposure};
use crate::os::map::{self, Reservation};
use crate::runtime::process;
use crate::runtime::thread;
use libc::c_void;
use std::ptr;

/// Bytes of a thread's buffer.
pub(crate) const BOUNCE: usize = 64 << 10;
/// The most outputs that one call has.
const OUTPUTS: usize = 8;

/// The shadows of one call.
pub(super) struct Shadows {
    list: [Shadow; OUTPUTS],
    count: usize,
    /// How much of the thread's buffer others used before.
    begun: usize,
    /// Where a large shadow lies by itself.
    own: Option<Reservation>,
}

#[derive(Clone, Copy)]
struct Shadow {
    user: *mut u8,
    place: *mut u8,
    len: usize,
}

impl Shadows {
    pub(super) fn new() -> Self {
        let nothing = Shadow { user: ptr::null_mut(), place: ptr::null_mut(), len: 0 };
        let begun = thread::with(|state| state.bounced.get());
        Self { list: [nothing; OUTPUTS], count: 0, begun, own: None }
    }

    /// What to hand to the kernel in place of `user`, `len` bytes that it may read and write.
    ///
    /// # Safety
    /// `user` is null or points to `len` bytes that can be read and written.
    pub(super) unsafe fn in_out<T>(&mut self, user: *mut T, len: usize) -> *mut T {
        let place = self.out(user, len);
        if place != user {
            // SAFETY: both have `len` bytes, and do not overlap.
            unsafe { ptr::copy_nonoverlapping(user.cast::<u8>(), place.cast(), len) };
        }
        place
    }

    /// The same for bytes that the kernel only writes. If there is no memory for a shadow, it is
    /// `user` itself.
    pub(super) fn out<T>(&mut self, user: *mut T, len: usize) -> *mut T {
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

    /// `len` bytes outside the arena, at a multiple of 16.
    pub(super) fn place(&mut self, len: usize) -> Option<*mut u8> {
        let start = thread::with(|state| {
            let start = state.bounced.get();
            let end = start.checked_add(len)?.next_multiple_of(16);
            if end > BOUNCE {
                return None;
            }
            let buffer = process::get()?.bounce(state)?;
            state.bounced.set(end);
            Some(buffer + start)
        });
        let start = start.or_else(|| {
            let len = len.next_multiple_of(crate::base::PAGE_SIZE);
            let own = Reservation::anywhere(len, crate::base::PAGE_SIZE).ok()?;
            // SAFETY: the reservation just made.
            unsafe { map::commit(own.start(), len) }.ok()?;
            let start = own.start();
            // A second large one replaces none: the first stays mapped until the process ends,
            // which no call of the table makes happen.
            if let Some(first) = self.own.replace(own) {
                std::mem::forget(first);
            }
            Some(start)
        })?;
        Some(ptr::with_exposed_provenance_mut(start))
    }

    /// Copies all shadows back.
    ///
    /// # Safety
    /// The kernel is done with them, and the user's memory is as it was said to be.
    pub(super) unsafe fn copy_back(&self) {
        for index in 0..self.count {
            // SAFETY: says the caller.
            unsafe { self.copy_back_some(index, self.list[index].len) };
        }
    }

    /// Copies the first `len` bytes of a shadow back: the one of `user`, if it has one.
    ///
    /// # Safety
    /// As for `copy_back`.
    pub(super) unsafe fn copy_back_of<T>(&self, user: *mut T, len: usize) {
        for index in 0..self.count {
            if self.list[index].user == user.cast() {
                // SAFETY: says the caller.
                unsafe { self.copy_back_some(index, len) };
            }
        }
    }

    /// # Safety
    /// As for `copy_back`.
    unsafe fn copy_back_some(&self, index: usize, len: usize) {
        let Shadow { user, place, len: most } = self.list[index];
        // Every page of it: in a chunk that is written for the first time this opens it.
        seam::touch_range(user.addr(), len.min(most));
        // SAFETY: both have that many bytes, and do not overlap. The write may fault, which the
        // handler deals with.
        unsafe { ptr::copy_nonoverlapping(place, user, len.min(most)) };
    }
}

impl Drop for Shadows {
    fn drop(&mut self) {
        thread::with(|state| state.bounced.set(self.begun));
    }
}

/// Calls again while the kernel finds the memory protected: for calls that lose nothing by that.
pub(super) fn retried(start: *mut c_void, len: usize, mut call: impl FnMut() -> isize) -> isize {
    /// More freezes than this do not fall into one call: the address is a wrong one.
    const TRIES: u32 = 1000;
    let mut tries = 0;
    loop {
        seam::touch_range(start.addr(), len);
        let result = call();
        tries += 1;
        if result != -1
            || std::io::Error::last_os_error().raw_os_error() != Some(libc::EFAULT)
            || tries == TRIES
        {
            return result;
        }
    }
}
