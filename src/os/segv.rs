//! The handler for SIGSEGV: installing it, what it is told, and passing on what is not ours.
//!
//! **Invariant:** what runs here is fit for signal handlers: it takes no lock and no memory, and
//! leaves `errno` as it was. It runs on the thread's alternate stack where there is one, with all
//! signals blocked.
#![allow(unsafe_code, reason = "installs a signal handler")]

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// Looks at a write to an address that was refused. `true`: it can be tried again.
pub type WriteFaultHandler = fn(usize) -> bool;

static HANDLER: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());
/// The action that was in force before ours.
static mut BEFORE: MaybeUninit<libc::sigaction> = MaybeUninit::zeroed();
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Has `handler` called for refused writes; all other faults go to who was there before. A second
/// call changes the handler only.
///
/// # Errors
/// What the system says.
pub fn install(handler: WriteFaultHandler) -> io::Result<()> {
    HANDLER.store(handler as *mut (), Ordering::Release);
    if INSTALLED.swap(true, Ordering::AcqRel) {
        return Ok(());
    }
    let entry: extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_signal;
    // SAFETY: all zero is an action without flags and mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = entry as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: writes the set.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    let before = &raw mut BEFORE;
    // SAFETY: the handler is fit to be one; the old action is written before any call of it.
    match unsafe { libc::sigaction(libc::SIGSEGV, &raw const action, before.cast()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: points to this thread's `errno`.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let saved = unsafe { errno.read() };
    if !is_handled(info, context) {
        pass_on(signal, info, context);
    }
    // SAFETY: as above.
    unsafe { errno.write(saved) };
}

fn is_handled(info: *mut libc::siginfo_t, context: *mut libc::c_void) -> bool {
    // SAFETY: the kernel gives a valid pointer.
    let code = unsafe { (*info).si_code };
    // Sent by a process, or no memory there at all.
    if code != SEGV_ACCERR || !is_write(context) {
        return false;
    }
    let handler = HANDLER.load(Ordering::Acquire);
    if handler.is_null() {
        return false;
    }
    // SAFETY: stored by `install`, which takes nothing else.
    let handler: WriteFaultHandler = unsafe { std::mem::transmute(handler) };
    // SAFETY: the kernel gives a valid pointer.
    let info = unsafe { &*info };
    // SAFETY: a fault's information has an address.
    handler(unsafe { info.si_addr() }.addr())
}

/// The memory is there, and the access is not allowed.
const SEGV_ACCERR: c_int = 2;

/// Whether the access was a write, as far as the processor says.
#[cfg(target_arch = "x86_64")]
fn is_write(context: *mut libc::c_void) -> bool {
    const WRITE: i64 = 2;
    let context: *mut libc::ucontext_t = context.cast();
    let error = libc::REG_ERR as usize;
    // SAFETY: the kernel gives a valid context.
    unsafe { (*context).uc_mcontext.gregs[error] & WRITE != 0 }
}

/// Reads of the arena's memory are never refused, so an access that was refused is a write.
#[cfg(not(target_arch = "x86_64"))]
fn is_write(_context: *mut libc::c_void) -> bool {
    true
}

/// Does what would have happened without us.
fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let before = &raw const BEFORE;
    // SAFETY: written before the handler could be called, and not changed since.
    let before: libc::sigaction = unsafe { before.cast::<libc::sigaction>().read() };
    let address = before.sa_sigaction;
    if address == libc::SIG_DFL || address == libc::SIG_IGN {
        // The instruction faults again, and the process ends as it would have.
        // SAFETY: the default action needs nothing.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    } else if before.sa_flags & libc::SA_SIGINFO != 0 {
        type Full = extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void);
        // SAFETY: the action says that it is such a function.
        let call: Full = unsafe { std::mem::transmute(address) };
        call(signal, info, context);
    } else {
        // SAFETY: the action says that it is such a function.
        let call: extern "C" fn(c_int) = unsafe { std::mem::transmute(address) };
        call(signal);
    }
}
