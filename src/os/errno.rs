//! Keeping `errno` as it was.
#![allow(unsafe_code, reason = "reads and writes `errno`")]

/// Restores the calling thread's `errno` when it is dropped: for what runs behind the back of a
/// program that is about to look at it, as allocator calls and write faults do.
#[derive(Debug)]
pub struct ErrnoKept(i32);

impl ErrnoKept {
    /// Remembers it.
    #[must_use]
    pub fn new() -> Self {
        // SAFETY: points to this thread's `errno`.
        Self(unsafe { place().read() })
    }
}

impl Default for ErrnoKept {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for ErrnoKept {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { place().write(self.0) };
    }
}

fn place() -> *mut i32 {
    // SAFETY: has no conditions.
    unsafe { libc::__errno_location() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back() {
        // SAFETY: this thread's `errno`.
        unsafe { place().write(libc::ERANGE) };
        {
            let _kept = ErrnoKept::new();
            // SAFETY: as above.
            unsafe { place().write(libc::EAGAIN) };
        }
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::ERANGE));
    }
}
