//! The handler for SIGBUS: memory is mapped, and the system cannot give it.
//!
//! **Invariant:** as in `segv`: what runs here is fit for signal handlers. A program that sets a
//! handler of its own takes this one's place.
#![allow(unsafe_code, reason = "is a signal handler")]

use crate::os::ErrnoKept;
use crate::os::action::{self, Action};
use std::ffi::c_int;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// Looks at an address whose memory cannot be had. It ends the process if it knows why.
pub type LostMemoryHandler = fn(usize);

static HANDLER: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());
/// Who was there before.
static BEFORE: Action = Action::new();
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Has `handler` called when memory cannot be had. Once it has returned, whoever was there before
/// has SIGBUS again, beginning with this one. A second call changes the handler only.
///
/// # Errors
/// What the system says.
pub fn install(handler: LostMemoryHandler) -> io::Result<()> {
    HANDLER.store(handler as *mut (), Ordering::Release);
    if INSTALLED.load(Ordering::Acquire) {
        return Ok(());
    }
    action::install(libc::SIGBUS, on_signal, &BEFORE)?;
    INSTALLED.store(true, Ordering::Release);
    Ok(())
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
    action::leave_to(signal, &BEFORE.get(), is_sent);
}
