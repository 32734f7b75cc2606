//! Sleeping on a word and waking who sleeps on it, without allocating.
#![allow(unsafe_code, reason = "calls futex and membarrier")]

use std::ptr;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// Sleeps while `word` is `seen`; may return early.
pub fn futex_wait(word: &AtomicU32, seen: u32) {
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    let no_limit = ptr::null::<libc::timespec>();
    // SAFETY: the word outlives the call, which reads it and nothing else.
    let _ = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, seen, no_limit) };
}

/// Sleeps while `word` is `seen`, at most for `limit`; may return early.
pub fn futex_wait_for(word: &AtomicU32, seen: u32, limit: Duration) {
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    let limit = libc::timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    };
    // SAFETY: word and limit outlive the call, which reads them and nothing else.
    let _ =
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, seen, &raw const limit) };
}

/// Sleeps for a while; fit for a signal handler, and none of the functions that are interposed.
pub fn nap(time: Duration) {
    futex_wait_for(&AtomicU32::new(0), 0, time);
}

/// Wakes all who sleep on `word`.
pub fn futex_wake_all(word: &AtomicU32) {
    let operation = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: the call uses the word's address, not the word.
    let _ = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, i32::MAX) };
}

/// Prepares the process for [`membarrier`]. `false`: the system does not have it.
#[must_use]
pub fn membarrier_register() -> bool {
    barrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
        && barrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
}

/// A full fence on every processor that runs a thread of this process. The process is
/// registered. `false`: the system refused.
#[must_use]
pub fn membarrier() -> bool {
    barrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED)
}

fn barrier(command: libc::c_int) -> bool {
    // SAFETY: takes numbers only.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}
