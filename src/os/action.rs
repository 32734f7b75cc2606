//! What is done about a signal: set, and kept where handlers can read it.
#![allow(unsafe_code, reason = "sets signal handlers")]

use crate::os::SignalsBlocked;
use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// A handler that is told of a fault.
pub(super) type Entry = extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// Has `entry`, which must be fit to be a handler, called for a signal: on the alternate stack,
/// with all signals blocked. What was done about it before goes to `before`, first.
///
/// # Errors
/// What the system says.
pub(super) fn install(signal: c_int, entry: Entry, before: &Action) -> io::Result<()> {
    // SAFETY: all zero is an action without flags and mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = entry as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: writes the set.
    unsafe { libc::sigfillset(&raw mut action.sa_mask) };
    let mut found = MaybeUninit::zeroed();
    // SAFETY: only asks.
    unsafe { real_sigaction(signal, ptr::null(), found.as_mut_ptr())? };
    // SAFETY: zeros, or what the system has written.
    before.set(&unsafe { found.assume_init() });
    set(signal, &action)
}

/// Leaves a signal to an action from this one on, in its handler: an instruction that faulted does
/// so again, and what was sent is sent again.
pub(super) fn leave_to(signal: c_int, action: &libc::sigaction, is_sent: bool) {
    // What cannot be set leaves a fault that comes again and again.
    if set(signal, action).is_err() {
        std::process::abort();
    }
    if is_sent {
        // SAFETY: waits until this handler returns.
        unsafe { libc::raise(signal) };
    }
}

fn set(signal: c_int, action: &libc::sigaction) -> io::Result<()> {
    // SAFETY: an action that was in force, the default one, or that of a handler fit to be one.
    unsafe { real_sigaction(signal, action, ptr::null_mut()) }
}

/// The C library's `sigaction`, past the crate's own.
///
/// # Safety
/// As for `sigaction`.
unsafe fn real_sigaction(
    signal: c_int,
    new: *const libc::sigaction,
    old: *mut libc::sigaction,
) -> io::Result<()> {
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
    match unsafe { call(signal, new, old) } {
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
