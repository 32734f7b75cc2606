//! Messages: an address, control messages and scattered buffers, each of which the kernel fills.
#![allow(unsafe_code, reason = "defines functions of the C library")]

use super::names::real;
use super::scatter::{Scatter, deliver_to, parts_at};
use super::tables::{ADDRESS_MAX, INT};
use crate::runtime::calls::seam;
use crate::runtime::calls::shadow::{Shadows, deliver};
use libc::{c_int, c_uint, iovec, mmsghdr, msghdr, ssize_t, timespec};
use std::mem::{offset_of, size_of};
use std::ptr;

/// The kernel takes no more messages with one call.
const MESSAGES_MAX: c_uint = 1024;

#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    let real = real!(recvmsg: fn(c_int, *mut msghdr, c_int) -> ssize_t);
    let call = |message: *mut msghdr| {
        // SAFETY: passed on from the caller, but for shadows in place of outputs.
        unsafe { real(fd, message, flags) }
    };
    if !seam::is_engaged() || message.is_null() {
        return call(message);
    }
    // SAFETY: the caller's message.
    let user = unsafe { message.read() };
    let mut shadows = Shadows::new();
    let mut inner = user;
    // SAFETY: the caller's address buffer.
    inner.msg_name = unsafe { shadows.in_out(user.msg_name, name_len(&user)) };
    // SAFETY: the caller's buffer for control messages.
    inner.msg_control = unsafe { shadows.in_out(user.msg_control, user.msg_controllen) };
    // SAFETY: the caller's buffers.
    let mut scatter = unsafe { Scatter::new(user.msg_iov, user.msg_iovlen) };
    // A message must be taken whole.
    let mut whole = scatter.shadow(usize::MAX);
    if let Some(whole) = &mut whole {
        (inner.msg_iov, inner.msg_iovlen) = (whole, 1);
        if flags & libc::MSG_TRUNC != 0 {
            // The kernel may say that it has written more than it has.
            // SAFETY: the caller's buffers.
            unsafe { scatter.collect() };
        }
    }
    let result = call(&raw mut inner);
    if result >= 0 {
        // SAFETY: the call is over, and has filled so much.
        unsafe { scatter.deliver(usize::try_from(result).unwrap_or(0)) };
        // SAFETY: as above.
        unsafe { shadows.copy_back() };
        // SAFETY: the caller's message.
        unsafe { tell(message, &inner) };
    }
    result
}

fn name_len(message: &msghdr) -> usize {
    usize::try_from(message.msg_namelen).unwrap_or(0).min(ADDRESS_MAX)
}

/// Tells the caller's message what the kernel has told a copy of it.
///
/// # Safety
/// `message` is the caller's.
unsafe fn tell(message: *mut msghdr, inner: &msghdr) {
    // SAFETY: the caller's message.
    let user = unsafe { &mut *message };
    user.msg_namelen = inner.msg_namelen;
    user.msg_controllen = inner.msg_controllen;
    user.msg_flags = inner.msg_flags;
}

/// One block of memory with a copy of each header, and shadows for all that hangs on them, in
/// the same order as the messages.
struct Batch {
    messages: *mut mmsghdr,
    count: usize,
    place: *mut u8,
}

/// Where one message's shadows lie, from the block's start on.
struct Slots {
    name: usize,
    control: usize,
    data: usize,
    part: usize,
    end: usize,
    data_len: usize,
}

impl Batch {
    fn header(&self, index: usize) -> *mut mmsghdr {
        self.messages.wrapping_add(index)
    }

    fn inner(&self, index: usize) -> *mut mmsghdr {
        self.place.cast::<mmsghdr>().wrapping_add(index)
    }

    /// The slots of the caller's message `index`, which begin at `start`.
    ///
    /// # Safety
    /// The messages are the caller's.
    unsafe fn slots(&self, index: usize, start: usize) -> Slots {
        // SAFETY: one of the caller's messages.
        let user = unsafe { &(*self.header(index)).msg_hdr };
        // SAFETY: that message's parts.
        let data_len =
            unsafe { parts(user) }.fold(0_usize, |sum, part| sum.saturating_add(part.iov_len));
        let after = |at: usize, len: usize| at.saturating_add(len).saturating_add(15) & !15;
        let name = start;
        let control = after(name, name_len(user));
        let part = after(control, user.msg_controllen);
        let data = after(part, size_of::<iovec>());
        Slots { name, control, data, part, end: after(data, data_len), data_len }
    }

    /// Bytes of the whole block.
    ///
    /// # Safety
    /// The messages are the caller's.
    unsafe fn len(&self) -> usize {
        let first = self.count * size_of::<mmsghdr>();
        // SAFETY: says the caller.
        (0..self.count).fold(first, |start, index| unsafe { self.slots(index, start) }.end)
    }

    /// Whether the kernel would write to the arena, and a freeze may come.
    ///
    /// # Safety
    /// The messages are the caller's.
    unsafe fn is_exposed(&self) -> bool {
        let is_exposed = |start: usize, len: usize| {
            seam::touch_range(start, len);
            seam::exposure(start, len) == seam::Exposure::Exposed
        };
        let mut any = is_exposed(self.messages.addr(), self.count * size_of::<mmsghdr>());
        for index in 0..self.count {
            // SAFETY: one of the caller's messages.
            let user = unsafe { &(*self.header(index)).msg_hdr };
            any |= is_exposed(user.msg_name.addr(), name_len(user));
            any |= is_exposed(user.msg_control.addr(), user.msg_controllen);
            // SAFETY: that message's parts.
            unsafe { parts(user) }
                .for_each(|part| any |= is_exposed(part.iov_base.addr(), part.iov_len));
        }
        any
    }

    /// Copies the headers, with shadows in place of what they point to.
    ///
    /// # Safety
    /// The messages are the caller's, and the block has `len` bytes.
    unsafe fn prepare(&self) {
        let mut start = self.count * size_of::<mmsghdr>();
        for index in 0..self.count {
            // SAFETY: says the caller.
            let slots = unsafe { self.slots(index, start) };
            start = slots.end;
            // SAFETY: one of the caller's messages.
            let mut header = unsafe { self.header(index).read() };
            let inner = &mut header.msg_hdr;
            if !inner.msg_name.is_null() {
                inner.msg_name = self.place.wrapping_add(slots.name).cast();
            }
            if !inner.msg_control.is_null() {
                inner.msg_control = self.place.wrapping_add(slots.control).cast();
            }
            if slots.data_len > 0 {
                let part: *mut iovec = self.place.wrapping_add(slots.part).cast();
                let iov_base = self.place.wrapping_add(slots.data).cast();
                // SAFETY: within the block.
                unsafe { part.write(iovec { iov_base, iov_len: slots.data_len }) };
                (inner.msg_iov, inner.msg_iovlen) = (part, 1);
            }
            // SAFETY: within the block.
            unsafe { self.inner(index).write(header) };
        }
    }

    /// Hands the first `count` messages to the caller.
    ///
    /// # Safety
    /// As for `prepare`, which has been called; the kernel has filled so many.
    unsafe fn hand_over(&self, count: usize) {
        let mut start = self.count * size_of::<mmsghdr>();
        for index in 0..count.min(self.count) {
            // SAFETY: says the caller.
            let slots = unsafe { self.slots(index, start) };
            start = slots.end;
            // SAFETY: one of the caller's messages.
            let user = unsafe { (*self.header(index)).msg_hdr };
            // SAFETY: within the block.
            let inner = unsafe { self.inner(index).read() };
            let copy = |slot: usize, to: *mut u8, len: usize| {
                // SAFETY: the kernel has written so much there, of at most what the caller has.
                unsafe { deliver(self.place.wrapping_add(slot), to, len) };
            };
            let name = name_len(&inner.msg_hdr).min(name_len(&user));
            copy(slots.name, user.msg_name.cast(), name);
            let control = inner.msg_hdr.msg_controllen.min(user.msg_controllen);
            copy(slots.control, user.msg_control.cast(), control);
            let data = usize::try_from(inner.msg_len).unwrap_or(0).min(slots.data_len);
            let from = self.place.wrapping_add(slots.data);
            // SAFETY: that message's parts.
            let parts = unsafe { parts(&user) };
            // SAFETY: the kernel has written so much there.
            unsafe { deliver_to(parts, from, data) };
            // SAFETY: one of the caller's messages.
            let header = unsafe { &mut *self.header(index) };
            header.msg_len = inner.msg_len;
            // SAFETY: as above.
            unsafe { tell(&raw mut header.msg_hdr, &inner.msg_hdr) };
        }
    }
}

/// A message's parts.
///
/// # Safety
/// The message is the caller's.
unsafe fn parts(message: &msghdr) -> impl Iterator<Item = iovec> {
    // SAFETY: says the caller.
    unsafe { parts_at(message.msg_iov, message.msg_iovlen) }
}

#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn recvmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
    limit: *mut timespec,
) -> c_int {
    let real = real!(recvmmsg: fn(c_int, *mut mmsghdr, c_uint, c_int, *mut timespec) -> c_int);
    let call = |messages: *mut mmsghdr, limit: *mut timespec| {
        // SAFETY: passed on from the caller, but for shadows in place of outputs.
        unsafe { real(fd, messages, count, flags, limit) }
    };
    if !seam::is_engaged() || messages.is_null() {
        return call(messages, limit);
    }
    let mut shadows = Shadows::new();
    // SAFETY: the caller's limit, in which the kernel leaves what is left of it.
    let left = unsafe { shadows.in_out(limit, size_of::<timespec>()) };
    let count = usize::try_from(count.min(MESSAGES_MAX)).unwrap_or(0);
    let mut batch = Batch { messages, count, place: ptr::null_mut() };
    // SAFETY: the caller's messages.
    if unsafe { batch.is_exposed() } {
        // SAFETY: as above.
        let len = unsafe { batch.len() };
        batch.place = shadows.place(len).unwrap_or(ptr::null_mut());
    }
    let result = if batch.place.is_null() {
        call(messages, left)
    } else {
        // SAFETY: the caller's messages, and a block as long as they need.
        unsafe { batch.prepare() };
        let result = call(batch.place.cast(), left);
        // SAFETY: the call is over, and has filled so many.
        unsafe { batch.hand_over(usize::try_from(result).unwrap_or(0)) };
        result
    };
    // SAFETY: the call is over.
    unsafe { shadows.copy_back() };
    result
}

/// The kernel tells each message how much of it was sent, after it was.
#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn sendmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: c_uint,
    flags: c_int,
) -> c_int {
    let real = real!(sendmmsg: fn(c_int, *mut mmsghdr, c_uint, c_int) -> c_int);
    let mut shadows = Shadows::new();
    let len = usize::try_from(count.min(MESSAGES_MAX)).unwrap_or(0) * size_of::<mmsghdr>();
    // SAFETY: the caller's messages.
    let place = unsafe { shadows.in_out(messages, len) };
    // SAFETY: passed on from the caller, but for a shadow in place of the headers.
    let result = unsafe { real(fd, place, count, flags) };
    let sent = usize::try_from(result).unwrap_or(0);
    // SAFETY: the call is over, and has told so many.
    unsafe { shadows.copy_back_fields(messages, sent, offset_of!(mmsghdr, msg_len), INT) };
    result
}
