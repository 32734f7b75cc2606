//! Functions that read into many buffers at once.
#![allow(unsafe_code, reason = "defines functions of the C library")]

use super::names::real;
use super::transfers::Origin;
use crate::runtime::calls::seam::{self, Exposure, Watch};
use crate::runtime::calls::shadow::{self, SMALL, Shadows, TRIES, is_fault, retried};
use libc::{c_int, c_ulong, iovec, off_t, off64_t, pid_t, ssize_t};
use std::ptr;

/// The kernel takes no more parts, nor more bytes.
const PARTS_MAX: usize = 1024;

/// The parts of a scattered transfer, and one shadow for all of them.
pub(super) struct Scatter {
    parts: *const iovec,
    count: usize,
    /// Bytes of all parts.
    len: usize,
    exposed: bool,
    shadows: Shadows,
    /// The shadow; null: the parts have none.
    place: *mut u8,
    place_len: usize,
}

impl Scatter {
    /// Looks at the parts, and makes them writable if the thread's scope lets them stay so.
    /// What the kernel refuses counts as not exposed.
    ///
    /// # Safety
    /// `parts` are `count` parts of the caller's.
    pub(super) unsafe fn new(parts: *const iovec, count: usize) -> Self {
        let (shadows, place) = (Shadows::new(), ptr::null_mut());
        let mut scatter =
            Self { parts, count, len: 0, exposed: false, shadows, place, place_len: 0 };
        if count > PARTS_MAX {
            return scatter;
        }
        // SAFETY: says the caller.
        for part in unsafe { parts_at(parts, count) } {
            scatter.len = scatter.len.saturating_add(part.iov_len);
            match seam::exposure(part.iov_base.addr(), part.iov_len) {
                Exposure::None => {}
                Exposure::Steady => seam::touch_range(part.iov_base.addr(), part.iov_len),
                Exposure::Exposed => scatter.exposed = true,
            }
        }
        scatter.exposed &= scatter.len <= isize::MAX.cast_unsigned();
        scatter
    }

    /// Makes a shadow for the first `most` bytes, if the parts need one. `None`: they need none,
    /// or there is no memory for it; they are writable then.
    pub(super) fn shadow(&mut self, most: usize) -> Option<iovec> {
        if !self.exposed {
            return None;
        }
        self.place_len = self.len.min(most);
        let Some(place) = self.shadows.place(self.place_len) else {
            self.touch(0);
            return None;
        };
        self.place = place;
        Some(iovec { iov_base: place.cast(), iov_len: self.place_len })
    }

    /// The parts of what comes after the first `done` bytes.
    fn after(&self, done: usize) -> impl Iterator<Item = iovec> {
        let mut done = done;
        // SAFETY: as many as `new` was told.
        unsafe { parts_at(self.parts, self.count) }.filter_map(move |part| {
            let skipped = part.iov_len.min(done);
            done -= skipped;
            let iov_base = part.iov_base.wrapping_byte_add(skipped);
            (skipped < part.iov_len).then_some(iovec { iov_base, iov_len: part.iov_len - skipped })
        })
    }

    fn touch(&self, done: usize) {
        self.after(done).for_each(|part| seam::touch_range(part.iov_base.addr(), part.iov_len));
    }

    /// Copies the parts to the shadow.
    ///
    /// # Safety
    /// The parts are the caller's.
    pub(super) unsafe fn collect(&self) {
        let mut done = 0;
        for part in self.after(0) {
            let count = part.iov_len.min(self.place_len - done);
            let to = self.place.wrapping_add(done);
            // SAFETY: both have that many bytes, and do not overlap.
            unsafe { ptr::copy_nonoverlapping(part.iov_base.cast(), to, count) };
            done += count;
        }
    }

    /// Copies the first `len` bytes of the shadow, if there is one, to the parts.
    ///
    /// # Safety
    /// The kernel has written so many bytes; the parts are the caller's.
    pub(super) unsafe fn deliver(&self, len: usize) {
        if !self.place.is_null() {
            // SAFETY: says the caller; the shadow is no longer.
            unsafe { deliver_to(self.after(0), self.place, len.min(self.place_len)) };
        }
    }
}

/// The parts of a list.
///
/// # Safety
/// There are `count` of them at `first`, as long as this is in use.
pub(super) unsafe fn parts_at(first: *const iovec, count: usize) -> impl Iterator<Item = iovec> {
    // SAFETY: says the caller.
    (0..count).map(move |index| unsafe { first.wrapping_add(index).read() })
}

/// Copies `len` bytes, one after the other, to as many parts as they fill.
///
/// # Safety
/// `from` has so many bytes, which the parts do not overlap; these are the caller's.
pub(super) unsafe fn deliver_to(parts: impl Iterator<Item = iovec>, from: *const u8, len: usize) {
    let mut done = 0;
    for part in parts {
        let count = part.iov_len.min(len - done);
        // SAFETY: says the caller.
        unsafe { shadow::deliver(from.wrapping_add(done), part.iov_base.cast(), count) };
        done += count;
    }
}

/// Reads into scattered buffers, by way of `call`, which gets the parts to be filled, and how
/// many bytes earlier calls have read.
///
/// # Safety
/// `parts` are `count` buffers of the caller's.
unsafe fn scattered(
    fd: c_int,
    parts: *const iovec,
    count: c_int,
    mut call: impl FnMut(*const iovec, c_int, usize) -> ssize_t,
) -> ssize_t {
    // SAFETY: says the caller.
    let mut scatter = unsafe { Scatter::new(parts, usize::try_from(count).unwrap_or(0)) };
    let is_large = scatter.exposed && scatter.len > SMALL;
    let origin = if is_large { Origin::of(fd) } else { Origin::Odd };
    match origin {
        Origin::File => return filled_up(&scatter, call),
        Origin::Stream => return retried(|| scatter.touch(0), || call(parts, count, 0)),
        Origin::Direct | Origin::Endless | Origin::Odd => {}
    }
    let Some(whole) = scatter.shadow(origin.most()) else { return call(parts, count, 0) };
    let result = call(&raw const whole, 1, 0);
    // SAFETY: the call is over, and has filled so much.
    unsafe { scatter.deliver(usize::try_from(result).unwrap_or(0)) };
    result
}

/// Reads straight into the parts, and goes on where a freeze has cut the call short: part by
/// part, since the caller's list starts where it starts.
fn filled_up(
    scatter: &Scatter,
    mut call: impl FnMut(*const iovec, c_int, usize) -> ssize_t,
) -> ssize_t {
    let mut done = 0;
    for round in 0..TRIES {
        let watch = Watch::begin();
        scatter.touch(done);
        let next = scatter.after(done).next();
        let (result, asked) = match next {
            Some(part) if round > 0 => (call(&raw const part, 1, done), part.iov_len),
            _ => {
                let count = c_int::try_from(scatter.count).unwrap_or(c_int::MAX);
                (call(scatter.parts, count, 0), scatter.len)
            }
        };
        let got = usize::try_from(result).unwrap_or(0);
        done += got;
        let cut_short = (is_fault(result) || got > 0) && watch.is_disturbed();
        let goes_on = cut_short || round > 0 && got == asked;
        if !goes_on || done >= scatter.len {
            return if done > 0 { done.cast_signed() } else { result };
        }
    }
    done.cast_signed()
}

macro_rules! scattered_reads {
    ($($name:ident($($offset:ident: $ty:ty $(, $flags:ident: $flags_ty:ty)?)?);)*) => {$(
        #[cfg_attr(not(miri), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name(
            fd: c_int, parts: *const iovec, count: c_int $(, $offset: $ty $(, $flags: $flags_ty)?)?
        ) -> ssize_t {
            let real = real!($name: fn(c_int, *const iovec, c_int $(, $ty $(, $flags_ty)?)?)
                -> ssize_t);
            let call = |parts: *const iovec, count: c_int, done: usize| {
                let _ = done;
                $(
                    // Less than 0 stands for where the descriptor is.
                    let step = if $offset < 0 { 0 } else { done.cast_signed() as $ty };
                    let $offset = $offset.wrapping_add(step);
                )?
                // SAFETY: passed on from the caller, but for a shadow in place of the buffers.
                unsafe { real(fd, parts, count $(, $offset $(, $flags)?)?) }
            };
            if !seam::is_engaged() {
                return call(parts, count, 0);
            }
            // SAFETY: the caller's buffers.
            unsafe { scattered(fd, parts, count, call) }
        }
    )*};
}

scattered_reads! {
    readv();
    preadv(offset: off_t);
    preadv64(offset: off64_t);
    preadv2(offset: off_t, flags: c_int);
    preadv64v2(offset: off64_t, flags: c_int);
}

#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn process_vm_readv(
    process: pid_t,
    parts: *const iovec,
    count: c_ulong,
    from: *const iovec,
    from_count: c_ulong,
    flags: c_ulong,
) -> ssize_t {
    let real = real!(process_vm_readv: fn(pid_t, *const iovec, c_ulong, *const iovec, c_ulong,
        c_ulong) -> ssize_t);
    let call = |parts: *const iovec, count: c_ulong| {
        // SAFETY: passed on from the caller, but for a shadow in place of the buffers.
        unsafe { real(process, parts, count, from, from_count, flags) }
    };
    if !seam::is_engaged() {
        return call(parts, count);
    }
    // SAFETY: the caller's buffers.
    let mut scatter = unsafe { Scatter::new(parts, usize::try_from(count).unwrap_or(0)) };
    let Some(whole) = scatter.shadow(usize::MAX) else { return call(parts, count) };
    let result = call(&raw const whole, 1);
    // SAFETY: the call is over, and has filled so much.
    unsafe { scatter.deliver(usize::try_from(result).unwrap_or(0)) };
    result
}
