//! The end, for mistakes that leave nothing else to do.
#![allow(unsafe_code, reason = "writes without the standard library's buffers")]

/// Ends the process with a message, without allocating.
pub fn fatal(message: &[&str]) -> ! {
    for part in message {
        // SAFETY: writes bytes of a string to standard error; whether it succeeds matters not.
        let _ = unsafe { libc::write(2, part.as_ptr().cast(), part.len()) };
    }
    std::process::abort()
}
