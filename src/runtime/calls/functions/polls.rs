//! Waiting for many descriptors. The kernel writes only what each entry of `poll`'s list has
//! become; the rest of an entry may be changed by another thread meanwhile.
#![allow(unsafe_code, reason = "defines functions of the C library")]

use super::names::real;
use super::signals::Mask;
use super::tables::bits;
use crate::runtime::calls::shadow::Shadows;
use libc::{c_int, nfds_t, pollfd, sigset_t, size_t, timespec};
use std::mem::{offset_of, size_of};

/// Calls with a shadow in place of the list.
///
/// # Safety
/// `fds` is a list of `count` entries of the caller's.
unsafe fn polled(
    fds: *mut pollfd,
    count: nfds_t,
    call: impl FnOnce(*mut pollfd) -> c_int,
) -> c_int {
    let entries = usize::try_from(count).unwrap_or(usize::MAX);
    let mut shadows = Shadows::new();
    let place = match entries.checked_mul(size_of::<pollfd>()) {
        // SAFETY: says the caller.
        Some(len) if entries <= ENTRIES_MAX => unsafe { shadows.in_out(fds, len) },
        // A list of an impossible length is left to the kernel.
        _ => fds,
    };
    let result = call(place);
    // SAFETY: the call is over.
    unsafe { shadows.copy_back_fields(fds, entries, offset_of!(pollfd, revents), 2) };
    result
}

/// More descriptors a process cannot have.
const ENTRIES_MAX: usize = 1 << 30;

#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn poll(fds: *mut pollfd, count: nfds_t, limit: c_int) -> c_int {
    let real = real!(poll: fn(*mut pollfd, nfds_t, c_int) -> c_int);
    // SAFETY: passed on from the caller, but for a shadow in place of the list.
    let call = |place: *mut pollfd| unsafe { real(place, count, limit) };
    // SAFETY: the caller's list.
    unsafe { polled(fds, count, call) }
}

#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn ppoll(
    fds: *mut pollfd,
    count: nfds_t,
    limit: *const timespec,
    set: *const sigset_t,
) -> c_int {
    let real = real!(ppoll: fn(*mut pollfd, nfds_t, *const timespec, *const sigset_t) -> c_int);
    // SAFETY: the caller's set.
    let mask = unsafe { Mask::of(set) };
    // SAFETY: passed on from the caller, but for a shadow in place of the list.
    let call = |place: *mut pollfd| unsafe { real(place, count, limit, mask.or(set)) };
    // SAFETY: the caller's list.
    unsafe { polled(fds, count, call) }
}

#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn __poll_chk(
    fds: *mut pollfd,
    count: nfds_t,
    limit: c_int,
    _room: size_t,
) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { poll(fds, count, limit) }
}

#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn __ppoll_chk(
    fds: *mut pollfd,
    count: nfds_t,
    limit: *const timespec,
    set: *const sigset_t,
    _room: size_t,
) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { ppoll(fds, count, limit, set) }
}

#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn pselect(
    count: c_int,
    reads: *mut libc::fd_set,
    writes: *mut libc::fd_set,
    others: *mut libc::fd_set,
    limit: *const timespec,
    set: *const sigset_t,
) -> c_int {
    let real = real!(pselect: fn(c_int, *mut libc::fd_set, *mut libc::fd_set, *mut libc::fd_set,
        *const timespec, *const sigset_t) -> c_int);
    // SAFETY: the caller's set.
    let mask = unsafe { Mask::of(set) };
    let mut shadows = Shadows::new();
    // SAFETY: the caller's sets, of which so much is looked at.
    let sets = [reads, writes, others].map(|set| unsafe { shadows.in_out(set, bits(count)) });
    // SAFETY: passed on from the caller, but for shadows in place of outputs.
    let result = unsafe { real(count, sets[0], sets[1], sets[2], limit, mask.or(set)) };
    // SAFETY: the call is over.
    unsafe { shadows.copy_back() };
    result
}

macro_rules! epoll_waits {
    ($($name:ident($limit:ty);)*) => {$(
        #[cfg_attr(not(miri), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name(
            fd: c_int,
            events: *mut libc::epoll_event,
            most: c_int,
            limit: $limit,
            set: *const sigset_t,
        ) -> c_int {
            const EVENT: usize = size_of::<libc::epoll_event>();
            let real = real!($name: fn(c_int, *mut libc::epoll_event, c_int, $limit,
                *const sigset_t) -> c_int);
            // SAFETY: the caller's set.
            let mask = unsafe { Mask::of(set) };
            let mut shadows = Shadows::new();
            let place = shadows.out(events, usize::try_from(most).unwrap_or(0) * EVENT);
            // SAFETY: passed on from the caller, but for a shadow in place of the output.
            let result = unsafe { real(fd, place, most, limit, mask.or(set)) };
            let found = usize::try_from(result).unwrap_or(0);
            // SAFETY: the call is over, and has written so many.
            unsafe { shadows.copy_back_of(events, found * EVENT) };
            result
        }
    )*};
}

epoll_waits! {
    epoll_pwait(c_int);
    epoll_pwait2(*const timespec);
}
