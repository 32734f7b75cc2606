//! Keeping signals away for a moment.
#![allow(unsafe_code, reason = "changes the thread's signal mask")]

use crate::os::ErrnoKept;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Signals are blocked in this thread until this is dropped, but for those that a fault raises.
#[derive(Debug)]
pub struct SignalsBlocked {
    before: libc::sigset_t,
}

impl SignalsBlocked {
    /// Blocks them.
    #[must_use]
    pub fn new() -> Self {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: writes the whole set.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP] {
            // SAFETY: the set has been made.
            unsafe { libc::sigdelset(all.as_mut_ptr(), signal) };
        }
        let mut before = MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: reads one set and writes the other.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
        // SAFETY: all bytes have been written.
        Self { before: unsafe { before.assume_init() } }
    }
}

impl Default for SignalsBlocked {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: reads a set that was this thread's.
        let _ = unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, ptr::null_mut())
        };
    }
}

/// Why a signal cannot be used to ask the process for something. `None`: it can.
#[must_use]
pub fn why_unfit(signal: i32) -> Option<&'static str> {
    match signal {
        libc::SIGKILL | libc::SIGSTOP => Some("no process can handle it"),
        // What has faulted does so again when a handler returns: the process would not end.
        libc::SIGSEGV
        | libc::SIGBUS
        | libc::SIGILL
        | libc::SIGFPE
        | libc::SIGTRAP
        | libc::SIGSYS => Some("it tells of a fault, which has to end the process"),
        // Who aborts does so since a change cannot be finished, and is gone at once.
        libc::SIGABRT => Some("it ends a process that must not go on, before anything is saved"),
        1..=31 => None,
        _ if (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&signal) => None,
        32..=64 => Some("the C library keeps it for itself"),
        _ => Some("there is no such signal"),
    }
}

/// What to call when a signal comes, by its number.
static CALLS: [AtomicPtr<()>; 65] = [const { AtomicPtr::new(ptr::null_mut()) }; 65];

/// Has `call`, which must be fit for that, called in a signal's handler.
///
/// # Errors
/// `InvalidInput` for what is no signal, or what the system says.
pub fn on_signal(signal: i32, call: fn()) -> io::Result<()> {
    let index = usize::try_from(signal).ok().filter(|index| (1..CALLS.len()).contains(index));
    let Some(index) = index else { return Err(io::ErrorKind::InvalidInput.into()) };
    CALLS[index].store(call as *mut (), Ordering::Release);
    let entry: extern "C" fn(libc::c_int) = handle;
    // SAFETY: all zero is an action without flags and mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = entry as usize;
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    // SAFETY: the handler is fit to be one.
    match unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn handle(signal: libc::c_int) {
    let index = usize::try_from(signal).unwrap_or(0);
    let call = CALLS.get(index).map_or(ptr::null_mut(), |call| call.load(Ordering::Acquire));
    if !call.is_null() {
        // SAFETY: stored by `on_signal`, which takes nothing else.
        let call: fn() = unsafe { std::mem::transmute(call) };
        let _errno = ErrnoKept::new();
        call();
    }
}
