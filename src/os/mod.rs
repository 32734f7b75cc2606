//! Every system call of the crate, and nothing else that is unsafe about the machine.

pub mod map;

/// Ends the process with a message, without allocating.
pub fn fatal(message: &[&str]) -> ! {
    for part in message {
        eprint!("{part}");
    }
    std::process::abort()
}
