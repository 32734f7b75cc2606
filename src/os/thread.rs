//! What runs at a thread's end and around a fork; random numbers; threads for a moment, which alone
//! allocate here.
#![allow(unsafe_code, reason = "calls pthread functions, getrandom and setpriority")]

use std::ffi::c_void;
use std::io;
use std::ptr::NonNull;

/// How nice the background is: a tenth of the weight of what is not.
const BACKGROUND: i32 = 10;

/// A function to be called at the end of threads that ask for it.
///
/// It runs after the destructors of Rust's thread-locals. If it is set again by a later
/// destructor, it runs again, a few times at most.
#[derive(Clone, Copy, Debug)]
pub struct ExitHook(libc::pthread_key_t);

impl ExitHook {
    /// Makes the hook. The process has a limited number of them (1,024), so this is done once.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(call: extern "C" fn(*mut c_void)) -> io::Result<Self> {
        let call: unsafe extern "C" fn(*mut c_void) = call;
        let mut key = 0;
        // SAFETY: writes the key; the function may be called with whatever `arm` sets.
        match unsafe { libc::pthread_key_create(&raw mut key, Some(call)) } {
            0 => Ok(Self(key)),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Has the function called, with `value`, when the calling thread ends.
    pub fn arm(self, value: NonNull<c_void>) {
        // SAFETY: the key exists. Without memory for it the function is not called, which the
        // caller must live with.
        let _ = unsafe { libc::pthread_setspecific(self.0, value.as_ptr()) };
    }
}

/// Has functions called before each fork, and after it in the parent and in the child.
///
/// # Errors
/// What the system says (it has no memory).
pub fn at_fork(
    before: extern "C" fn(),
    in_parent: extern "C" fn(),
    in_child: extern "C" fn(),
) -> io::Result<()> {
    let (before, in_parent, in_child): (
        unsafe extern "C" fn(),
        unsafe extern "C" fn(),
        unsafe extern "C" fn(),
    ) = (before, in_parent, in_child);
    // SAFETY: functions of the program, which stay where they are.
    match unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// The kernel's number of the calling thread.
#[must_use]
pub fn thread_id() -> u32 {
    // SAFETY: only reads.
    u32::try_from(unsafe { libc::gettid() }).unwrap_or(0)
}

/// How many processors the calling thread may use. Allocates nothing.
#[must_use]
pub(super) fn processors() -> u32 {
    let mut set = std::mem::MaybeUninit::<libc::cpu_set_t>::zeroed();
    let len = size_of::<libc::cpu_set_t>();
    // SAFETY: writes at most as many bytes as the set has.
    let got = unsafe { libc::sched_getaffinity(0, len, set.as_mut_ptr()) };
    // SAFETY: zero is a set, as is what the system has written.
    let set = unsafe { set.assume_init() };
    // SAFETY: only reads the set.
    let count = unsafe { libc::CPU_COUNT(&set) };
    if got == 0 { u32::try_from(count).unwrap_or(1).max(1) } else { 1 }
}

/// Has a second thread, with that name, do the same work as this one. Gives what both made of it;
/// of the second nothing, if the system gives no thread: then this one has done it all.
///
/// # Panics
/// If the work does, in either thread.
pub fn in_two<R: Send>(name: &str, work: &(impl Fn() -> R + Sync)) -> (R, Option<R>) {
    std::thread::scope(|scope| {
        let help = std::thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, work);
        let mine = work();
        let join = |help: std::thread::ScopedJoinHandle<'_, R>| {
            help.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        (mine, help.ok().map(join))
    })
}

/// Has a thread with that name do the work, and threads that it starts, when others have little use
/// for the processors; waits for it. Without a thread to be had, this one does it.
///
/// # Panics
/// If the work does.
pub fn in_background<R: Send>(name: &str, work: &(impl Fn() -> R + Sync)) -> R {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name(name.to_owned());
        let started = builder.spawn_scoped(scope, || {
            // On Linux this is a thread's own, and threads that it starts have it too.
            // SAFETY: touches no memory; if it is refused, the work takes what it is given.
            let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, BACKGROUND) };
            work()
        });
        match started {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => work(),
        }
    })
}

/// A random number from the system; if it has none yet, one made of addresses and time.
#[must_use]
pub fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    // SAFETY: writes at most as many bytes as the array has.
    let got =
        unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_NONBLOCK) };
    if got == 8 {
        return u64::from_le_bytes(bytes);
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanoseconds = u64::from(now.map_or(0, |time| time.subsec_nanos()));
    std::ptr::from_ref(&bytes).addr() as u64 ^ nanoseconds << 32 ^ u64::from(std::process::id())
}
