//! The handler for SIGSEGV: installing it, what it is told, and passing on what is not ours.
//!
//! **Invariant:** what runs here is fit for signal handlers: it takes no lock and no memory, and
//! leaves `errno` as it was. It runs on the thread's alternate stack where there is one, with all
//! signals blocked.
#![allow(unsafe_code, reason = "installs a signal handler")]

use crate::os::ErrnoKept;
use crate::os::action::{self, Action};
use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

/// Looks at a write to an address that was refused. `true`: it can be tried again.
pub type WriteFaultHandler = fn(usize) -> bool;

static HANDLER: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());
/// The action to which everything else is passed on: the one before ours, or what the program
/// has set since.
static CHAIN: Action = Action::new();
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Has `handler` called for refused writes; all other faults go to who was there before. A second
/// call changes the handler only.
///
/// # Errors
/// What the system says.
pub fn install(handler: WriteFaultHandler) -> io::Result<()> {
    HANDLER.store(handler as *mut (), Ordering::Release);
    unblock();
    if INSTALLED.load(Ordering::Acquire) {
        return Ok(());
    }
    action::install(libc::SIGSEGV, on_signal, &CHAIN)?;
    INSTALLED.store(true, Ordering::Release);
    Ok(())
}

/// Lets SIGSEGV through in this thread: a parent may have blocked it, and that survives `exec`.
pub fn unblock() {
    set_mask(libc::SIG_UNBLOCK, bit(libc::SIGSEGV));
}

/// Whether the handler is in force: then `sigaction` must go through [`set_chain`].
#[must_use]
pub fn is_installed() -> bool {
    INSTALLED.load(Ordering::Acquire)
}

/// The action to which faults that are not ours are passed on.
#[must_use]
pub fn chain() -> libc::sigaction {
    CHAIN.get()
}

/// Changes it, for a program that wants SIGSEGV for itself.
pub fn set_chain(action: &libc::sigaction) {
    CHAIN.set(action);
}

extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let _errno = ErrnoKept::new();
    if !is_handled(info, context) {
        pass_on(signal, info, context);
    }
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
    let before = CHAIN.get();
    let address = before.sa_sigaction;
    // SAFETY: the kernel gives a valid pointer.
    let is_sent = unsafe { (*info).si_code } <= 0;
    if address == libc::SIG_IGN && is_sent {
        return;
    }
    if address == libc::SIG_DFL || address == libc::SIG_IGN {
        // SAFETY: all zero is the default action.
        return action::leave_to(signal, &unsafe { MaybeUninit::zeroed().assume_init() }, is_sent);
    }
    if before.sa_flags & libc::SA_RESETHAND != 0 {
        // SAFETY: all zero is the default action.
        CHAIN.set(&unsafe { MaybeUninit::zeroed().assume_init() });
    }
    set_mask(libc::SIG_SETMASK, mask_for(signal, context, &before));
    if before.sa_flags & libc::SA_SIGINFO != 0 {
        // SAFETY: the action says that it is such a function.
        let call: action::Entry = unsafe { std::mem::transmute(address) };
        call(signal, info, context);
    } else {
        // SAFETY: the action says that it is such a function.
        let call: extern "C" fn(c_int) = unsafe { std::mem::transmute(address) };
        call(signal);
    }
}

/// The signals that the kernel would have blocked for the handler that comes next, but SIGSEGV:
/// that handler may write to protected memory as well.
fn mask_for(signal: c_int, context: *mut libc::c_void, action: &libc::sigaction) -> u64 {
    let context: *mut libc::ucontext_t = context.cast();
    // SAFETY: the kernel gives a valid context.
    let before: *const u64 = unsafe { &raw const (*context).uc_sigmask }.cast();
    // SAFETY: of the set in a context the kernel writes the first word alone.
    let before = unsafe { before.read() };
    let more: *const u64 = (&raw const action.sa_mask).cast();
    // SAFETY: a set has more than one word.
    let more = unsafe { more.read() };
    let own = if action.sa_flags & libc::SA_NODEFER == 0 { bit(signal) } else { 0 };
    (before | more | own) & !bit(libc::SIGSEGV)
}

/// A signal's bit in the first word of a set.
const fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

fn set_mask(how: c_int, signals: u64) {
    // SAFETY: all zero is the empty set.
    let mut set: libc::sigset_t = unsafe { MaybeUninit::zeroed().assume_init() };
    let word: *mut u64 = (&raw mut set).cast();
    // SAFETY: a set has more than one word.
    unsafe { word.write(signals) };
    // SAFETY: reads that set. It fails for an unknown `how` alone.
    let _ = unsafe { libc::pthread_sigmask(how, &raw const set, ptr::null_mut()) };
}
