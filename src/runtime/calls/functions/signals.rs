//! Masks: a thread that writes to a protected chunk must be able to take SIGSEGV, so nobody can
//! block it.
#![allow(unsafe_code, reason = "defines functions of the C library")]

use super::names::real;
use crate::runtime::calls::shadow::Shadows;
use crate::runtime::process;
use libc::{c_int, sigset_t};

/// Whether SIGSEGV is left out of masks. A program in C may start threads before it has a heap,
/// with masks that they keep.
fn keeps_faults() -> bool {
    cfg!(feature = "capi") || process::get().is_some()
}

/// A set of signals without SIGSEGV, in place of the caller's.
pub(super) struct Mask(Option<sigset_t>);

impl Mask {
    /// # Safety
    /// `set` is null or points to a set.
    pub(super) unsafe fn of(set: *const sigset_t) -> Self {
        if set.is_null() || !keeps_faults() {
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

    /// The set to hand on.
    pub(super) fn or(&self, set: *const sigset_t) -> *const sigset_t {
        self.0.as_ref().map_or(set, std::ptr::from_ref)
    }
}

macro_rules! masks {
    ($($name:ident)*) => {$(
        #[cfg_attr(not(miri), unsafe(no_mangle))]
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

#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn sigsuspend(set: *const sigset_t) -> c_int {
    let real = real!(sigsuspend: fn(*const sigset_t) -> c_int);
    // SAFETY: the caller's set.
    let mask = unsafe { Mask::of(set) };
    // SAFETY: passed on from the caller.
    unsafe { real(mask.or(set)) }
}

#[cfg_attr(not(miri), unsafe(no_mangle))]
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

/// Functions of the time when a mask was a number.
macro_rules! number_masks {
    ($($name:ident)*) => {$(
        #[cfg_attr(not(miri), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name(mask: c_int) -> c_int {
            const SEGV: c_int = 1 << (libc::SIGSEGV - 1);
            let real = real!($name: fn(c_int) -> c_int);
            let mask = if keeps_faults() { mask & !SEGV } else { mask };
            // SAFETY: passed on from the caller.
            unsafe { real(mask) }
        }
    )*};
}

number_masks! { sigblock sigsetmask sigpause }

#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn sighold(signal: c_int) -> c_int {
    let real = real!(sighold: fn(c_int) -> c_int);
    if signal == libc::SIGSEGV && keeps_faults() {
        return 0;
    }
    // SAFETY: passed on from the caller.
    unsafe { real(signal) }
}
