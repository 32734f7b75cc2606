//! Handlers: ours stays in force for SIGSEGV, and who wants to handle it is called after us.
#![allow(unsafe_code, reason = "defines functions of the C library")]

use super::names::real;
use super::signals::Mask;
use crate::os::segv;
use libc::{c_int, sighandler_t};
use std::mem::MaybeUninit;

#[cfg_attr(not(miri), unsafe(no_mangle))]
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
    let mask = unsafe { Mask::of(&raw const action.sa_mask) };
    // SAFETY: that set, or one in its place.
    action.sa_mask = unsafe { mask.or(&raw const action.sa_mask).read() };
    // SAFETY: passed on from the caller.
    unsafe { real(signal, &raw const action, old) }
}

macro_rules! old_ways {
    ($($name:ident: $flags:expr;)*) => {$(
        #[cfg_attr(not(miri), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name(signal: c_int, handler: sighandler_t) -> sighandler_t {
            let real = real!($name: fn(c_int, sighandler_t) -> sighandler_t);
            if signal != libc::SIGSEGV || !segv::is_installed() {
                // SAFETY: passed on from the caller.
                return unsafe { real(signal, handler) };
            }
            set_handler(handler, $flags)
        }
    )*};
}

/// `sigset` alone takes this for a handler: the signal is to be blocked, which it cannot be.
const HOLD: sighandler_t = 2;

fn set_handler(handler: sighandler_t, flags: c_int) -> sighandler_t {
    let before = segv::chain();
    if handler != HOLD {
        // SAFETY: all zero is an action without flags and mask.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        segv::set_chain(&action);
    }
    before.sa_sigaction
}

old_ways! {
    signal: libc::SA_RESTART;
    bsd_signal: libc::SA_RESTART;
    sysv_signal: libc::SA_RESETHAND | libc::SA_NODEFER;
    sigset: 0;
}

#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn sigignore(signal: c_int) -> c_int {
    let real = real!(sigignore: fn(c_int) -> c_int);
    if signal == libc::SIGSEGV && segv::is_installed() {
        set_handler(libc::SIG_IGN, 0);
        return 0;
    }
    // SAFETY: passed on from the caller.
    unsafe { real(signal) }
}
