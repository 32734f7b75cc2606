//! Signals: a thread that writes to a protected chunk must be able to take SIGSEGV, so nobody can
//! block it; and who wants to handle it is called after us.
#![allow(unsafe_code, reason = "defines functions of the C library")]
#![allow(
    clippy::missing_safety_doc,
    unreachable_pub,
    missing_docs,
    reason = "these are the C library's functions, with its rules and names"
)]

use super::shadow::Shadows;
use super::tables::bits;
use crate::os::real;
use crate::os::segv;
use crate::runtime::process;
use libc::{c_int, sighandler_t, sigset_t};
use std::mem::{MaybeUninit, size_of};

/// A set of signals without SIGSEGV, in place of the caller's.
struct Mask(Option<sigset_t>);

impl Mask {
    /// # Safety
    /// `set` is null or points to a set.
    unsafe fn of(set: *const sigset_t) -> Self {
        if set.is_null() || process::get().is_none() {
            return Self(None);
        }
        // SAFETY: says the caller; the kernel's part of it.
        if unsafe { libc::sigismember(set, libc::SIGSEGV) } != 1 {
            return Self(None);
        }
        // SAFETY: as above.
        let mut copy = unsafe { set.read() };
        // SAFETY: a set.
        unsafe { libc::sigdelset(&raw mut copy, libc::SIGSEGV) };
        Self(Some(copy))
    }

    fn or(&self, set: *const sigset_t) -> *const sigset_t {
        self.0.as_ref().map_or(set, std::ptr::from_ref)
    }
}

macro_rules! masks {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            how: c_int,
            set: *const sigset_t,
            old: *mut sigset_t,
        ) -> c_int {
            let real = real!($name: fn(c_int, *const sigset_t, *mut sigset_t) -> c_int);
            // SAFETY: the caller's set.
            let mask = unsafe { Mask::of(set) };
            let set = if how == libc::SIG_UNBLOCK { set } else { mask.or(set) };
            let mut shadows = Shadows::new();
            // SAFETY: the caller's set, of which the kernel writes eight bytes.
            let place = unsafe { shadows.in_out(old, 8) };
            // SAFETY: passed on from the caller, but for a shadow in place of the output.
            let result = unsafe { real(how, set, place) };
            // SAFETY: the call is over.
            unsafe { shadows.copy_back() };
            result
        }
    )*};
}

masks! { sigprocmask pthread_sigmask }

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigsuspend(set: *const sigset_t) -> c_int {
    let real = real!(sigsuspend: fn(*const sigset_t) -> c_int);
    // SAFETY: the caller's set.
    let mask = unsafe { Mask::of(set) };
    // SAFETY: passed on from the caller.
    unsafe { real(mask.or(set)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_attr_setsigmask_np(
    attributes: *mut libc::pthread_attr_t,
    set: *const sigset_t,
) -> c_int {
    let real = real!(pthread_attr_setsigmask_np: fn(*mut libc::pthread_attr_t, *const sigset_t)
        -> c_int);
    // SAFETY: the caller's set.
    let mask = unsafe { Mask::of(set) };
    // SAFETY: passed on from the caller.
    unsafe { real(attributes, mask.or(set)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ppoll(
    fds: *mut libc::pollfd,
    count: libc::nfds_t,
    limit: *const libc::timespec,
    set: *const sigset_t,
) -> c_int {
    let real = real!(ppoll: fn(*mut libc::pollfd, libc::nfds_t, *const libc::timespec,
        *const sigset_t) -> c_int);
    // SAFETY: the caller's set.
    let mask = unsafe { Mask::of(set) };
    let len = usize::try_from(count).unwrap_or(0).saturating_mul(size_of::<libc::pollfd>());
    let mut shadows = Shadows::new();
    // SAFETY: the caller's list.
    let place = unsafe { shadows.in_out(fds, len) };
    // SAFETY: passed on from the caller, but for a shadow in place of the output.
    let result = unsafe { real(place, count, limit, mask.or(set)) };
    // SAFETY: the call is over.
    unsafe { shadows.copy_back() };
    result
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pselect(
    count: c_int,
    reads: *mut libc::fd_set,
    writes: *mut libc::fd_set,
    others: *mut libc::fd_set,
    limit: *const libc::timespec,
    set: *const sigset_t,
) -> c_int {
    let real = real!(pselect: fn(c_int, *mut libc::fd_set, *mut libc::fd_set, *mut libc::fd_set,
        *const libc::timespec, *const sigset_t) -> c_int);
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
        #[unsafe(no_mangle)]
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
    epoll_pwait2(*const libc::timespec);
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sigaction(
    signal: c_int,
    new: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> c_int {
    let real = real!(sigaction: fn(c_int, *const libc::sigaction, *mut libc::sigaction) -> c_int);
    if signal == libc::SIGSEGV && segv::is_installed() {
        let before = segv::chain();
        if !new.is_null() {
            // SAFETY: the caller's action.
            segv::set_chain(unsafe { &*new });
        }
        if !old.is_null() {
            // SAFETY: the caller's place for one.
            unsafe { old.write(before) };
        }
        return 0;
    }
    if new.is_null() {
        // SAFETY: passed on from the caller.
        return unsafe { real(signal, new, old) };
    }
    // SAFETY: the caller's action.
    let mut action = unsafe { new.read() };
    // SAFETY: a set of that action.
    if let Some(mask) = unsafe { Mask::of(&raw const action.sa_mask) }.0 {
        action.sa_mask = mask;
    }
    // SAFETY: passed on from the caller.
    unsafe { real(signal, &raw const action, old) }
}

macro_rules! old_ways {
    ($($name:ident: $flags:expr;)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(signal: c_int, handler: sighandler_t) -> sighandler_t {
            let real = real!($name: fn(c_int, sighandler_t) -> sighandler_t);
            if signal != libc::SIGSEGV || !segv::is_installed() {
                // SAFETY: passed on from the caller.
                return unsafe { real(signal, handler) };
            }
            let before = segv::chain();
            // SAFETY: all zero is an action without flags and mask.
            let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
            action.sa_sigaction = handler;
            action.sa_flags = $flags;
            segv::set_chain(&action);
            before.sa_sigaction
        }
    )*};
}

old_ways! {
    signal: libc::SA_RESTART;
    bsd_signal: libc::SA_RESTART;
    sysv_signal: libc::SA_RESETHAND | libc::SA_NODEFER;
}
