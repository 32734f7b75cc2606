//! The handler for SIGSEGV: installing it, what it is told, and passing on what is not ours.
//!
//! **Invariant:** what runs here is fit for signal handlers: it takes no lock and no memory, and
//! leaves `errno` as it was. It runs on the thread's alternate stack where there is one, with all
//! signals blocked.
#![allow(unsafe_code, reason = "installs a signal handler")]

use crate::os::{ErrnoKept, SignalsBlocked};
use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering, fence};

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
    let entry: extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_signal;
    // SAFETY: all zero is an action without flags and mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = entry as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: writes the set.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    let mut before = MaybeUninit::zeroed();
    // SAFETY: only asks.
    unsafe { real_sigaction(ptr::null(), before.as_mut_ptr())? };
    // SAFETY: zeros, or what the system has written.
    CHAIN.set(&unsafe { before.assume_init() });
    // SAFETY: the handler is fit to be one, and its chain is known.
    unsafe { real_sigaction(&raw const action, ptr::null_mut())? };
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

/// The C library's `sigaction` for SIGSEGV.
///
/// # Safety
/// As for `sigaction`.
unsafe fn real_sigaction(new: *const libc::sigaction, old: *mut libc::sigaction) -> io::Result<()> {
    #[cfg(interposed)]
    let call = {
        type Call =
            unsafe extern "C" fn(c_int, *const libc::sigaction, *mut libc::sigaction) -> c_int;
        static REAL: crate::os::Real = crate::os::Real::new(c"sigaction");
        // SAFETY: the function of that name has that type.
        unsafe { std::mem::transmute::<*mut (), Call>(REAL.address()) }
    };
    #[cfg(not(interposed))]
    let call = libc::sigaction;
    // SAFETY: passed on from the caller.
    match unsafe { call(libc::SIGSEGV, new, old) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

const WORDS: usize = size_of::<libc::sigaction>() / 8;
static_assertions::const_assert_eq!(WORDS * 8, size_of::<libc::sigaction>());

/// A signal's action that handlers read while a thread changes it: a sequence lock.
pub(super) struct Action {
    /// Odd while it is being changed.
    version: AtomicU64,
    words: [AtomicU64; WORDS],
}

impl Action {
    pub(super) const fn new() -> Self {
        Self { version: AtomicU64::new(0), words: [const { AtomicU64::new(0) }; WORDS] }
    }

    pub(super) fn set(&self, action: &libc::sigaction) {
        // A handler that came in between would wait for this very thread.
        let _blocked = SignalsBlocked::new();
        let from: *const u64 = ptr::from_ref(action).cast();
        while self.version.fetch_or(1, Ordering::AcqRel) & 1 == 1 {
            std::thread::yield_now();
        }
        for (index, word) in self.words.iter().enumerate() {
            // SAFETY: within the action.
            let place = unsafe { from.add(index) };
            // SAFETY: as above; padding is what it is, and comes back as that.
            word.store(unsafe { place.read_volatile() }, Ordering::Relaxed);
        }
        self.version.fetch_add(1, Ordering::Release);
    }

    pub(super) fn get(&self) -> libc::sigaction {
        loop {
            let before = self.version.load(Ordering::Acquire);
            let words: [u64; WORDS] =
                std::array::from_fn(|index| self.words[index].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && before == self.version.load(Ordering::Relaxed) {
                // SAFETY: the words of an action that was one when it was set.
                return unsafe { std::mem::transmute::<[u64; WORDS], libc::sigaction>(words) };
            }
            std::hint::spin_loop();
        }
    }
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
        return end_by_default(signal, is_sent);
    }
    if before.sa_flags & libc::SA_RESETHAND != 0 {
        // SAFETY: all zero is the default action.
        CHAIN.set(&unsafe { MaybeUninit::zeroed().assume_init() });
    }
    set_mask(libc::SIG_SETMASK, mask_for(signal, context, &before));
    if before.sa_flags & libc::SA_SIGINFO != 0 {
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

/// Has the process end as it would have: an instruction that faulted does so again, and what was
/// sent is sent again.
fn end_by_default(signal: c_int, is_sent: bool) {
    // SAFETY: all zero is the default action, which needs nothing.
    let default = unsafe { MaybeUninit::<libc::sigaction>::zeroed().assume_init() };
    // SAFETY: as above. What cannot be set leaves a fault that comes again and again.
    if unsafe { real_sigaction(&raw const default, ptr::null_mut()) }.is_err() {
        std::process::abort();
    }
    if is_sent {
        // SAFETY: waits until this handler returns, then ends the process.
        unsafe { libc::raise(signal) };
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
