//! The handler for SIGBUS: memory is mapped, and the system cannot give it.
//!
//! **Invariant:** as in `segv`: what runs here is fit for signal handlers. A program that sets a
//! handler of its own takes this one's place.
#![allow(unsafe_code, reason = "installs a signal handler")]

use crate::os::ErrnoKept;
use crate::os::segv::Action;
use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Looks at an address whose memory cannot be had. It ends the process if it knows why.
pub type LostMemoryHandler = fn(usize);

static HANDLER: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());
/// Who was there before.
static BEFORE: Action = Action::new();

/// Has `handler` called when memory cannot be had. Once it has returned, whoever was there before
/// has SIGBUS again, beginning with this one. A second call changes the handler only.
///
/// # Errors
/// What the system says.
pub fn install(handler: LostMemoryHandler) -> io::Result<()> {
    if !HANDLER.swap(handler as *mut (), Ordering::AcqRel).is_null() {
        return Ok(());
    }
    let entry: extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_signal;
    // SAFETY: all zero is an action without flags and mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = entry as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: writes the set.
    unsafe { libc::sigemptyset(&raw mut action.sa_mask) };
    let mut before = MaybeUninit::zeroed();
    // SAFETY: only asks.
    checked(unsafe { libc::sigaction(libc::SIGBUS, ptr::null(), before.as_mut_ptr()) })?;
    // SAFETY: zeros, or what the system has written.
    BEFORE.set(&unsafe { before.assume_init() });
    // SAFETY: the handler is fit to be one, and who was there before is known.
    checked(unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) })
}

fn checked(result: c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let _errno = ErrnoKept::new();
    // SAFETY: the kernel gives a valid pointer.
    let info = unsafe { &*info };
    let is_sent = info.si_code <= 0;
    let handler = HANDLER.load(Ordering::Acquire);
    if !is_sent && !handler.is_null() {
        // SAFETY: stored by `install`, which takes nothing else.
        let handler: LostMemoryHandler = unsafe { std::mem::transmute(handler) };
        // SAFETY: a fault's information has an address.
        handler(unsafe { info.si_addr() }.addr());
    }
    // A fault comes again when this returns; what somebody has sent does not.
    let before = BEFORE.get();
    // SAFETY: an action that was in force before.
    unsafe { libc::sigaction(signal, &raw const before, ptr::null_mut()) };
    if is_sent {
        // SAFETY: to this thread, which gets it when the handler returns.
        unsafe { libc::raise(signal) };
    }
}
