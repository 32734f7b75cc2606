//! The C library's own functions, behind those that this crate defines.
#![allow(unsafe_code, reason = "looks functions up by name")]

use std::ffi::CStr;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A function of the C library.
#[derive(Debug)]
pub struct Real {
    name: &'static CStr,
    found: AtomicPtr<()>,
}

impl Real {
    #[must_use]
    pub const fn new(name: &'static CStr) -> Self {
        Self { name, found: AtomicPtr::new(ptr::null_mut()) }
    }

    /// Its address. A function that this library does not have, since it is an older one, is
    /// replaced by one that says so, as an older kernel does: who can do without goes on.
    #[inline]
    #[must_use]
    pub fn address(&self) -> *mut () {
        let found = self.found.load(Ordering::Relaxed);
        if found.is_null() { self.look_up() } else { found }
    }

    /// Looks it up now rather than at its first call, which may come in a signal handler, or in
    /// a fork whose parent had the loader's lock.
    #[cold]
    pub fn look_up(&self) -> *mut () {
        // SAFETY: a name with its zero; looking up needs no other state of ours.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        if found.is_null() {
            // Not remembered: a library that is loaded later may have it.
            let missing: extern "C" fn() -> isize = missing;
            return missing as *mut ();
        }
        self.found.store(found.cast(), Ordering::Relaxed);
        found.cast()
    }
}

/// Takes any arguments, as callers clear them away; fails as calls that the kernel lacks.
extern "C" fn missing() -> isize {
    // SAFETY: points to this thread's `errno`.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    unsafe { errno.write(libc::ENOSYS) };
    -1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_says_so() {
        type Call = unsafe extern "C" fn(i32, *mut u8, usize) -> isize;
        let real = Real::new(c"stillheap_has_no_such_function");
        // SAFETY: a function that takes whatever it is called with.
        let call: Call = unsafe { std::mem::transmute(real.address()) };
        // SAFETY: as above.
        assert_eq!(unsafe { call(1, ptr::null_mut(), 2) }, -1);
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::ENOSYS));
    }

    #[test]
    fn what_is_there_is_found_once() {
        let real = Real::new(c"getpid");
        let address = real.address();
        assert_eq!(real.address(), address);
        // SAFETY: that function has this type.
        let call: extern "C" fn() -> libc::pid_t = unsafe { std::mem::transmute(address) };
        assert_eq!(u32::try_from(call()), Ok(std::process::id()));
    }
}
