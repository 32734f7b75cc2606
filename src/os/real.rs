//! The C library's own functions, behind those that this crate defines.
#![allow(unsafe_code, reason = "looks functions up by name")]

use std::ffi::CStr;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A function of the C library, looked up at its first call.
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

    /// Its address. A function that the library does not have ends the process: whoever calls it
    /// was linked against one that has it.
    #[inline]
    #[must_use]
    pub fn address(&self) -> *mut () {
        let found = self.found.load(Ordering::Relaxed);
        if found.is_null() { self.look_up() } else { found }
    }

    #[cold]
    fn look_up(&self) -> *mut () {
        // SAFETY: a name with its zero; looking up needs no other state of ours.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        if found.is_null() {
            let name = self.name.to_str().unwrap_or("?");
            crate::os::fatal(&["stillheap: the C library has no function `", name, "`\n"]);
        }
        self.found.store(found.cast(), Ordering::Relaxed);
        found.cast()
    }
}

/// The C library's function of that name, as a function of that type.
macro_rules! real {
    ($name:ident: fn($($ty:ty),*) -> $ret:ty) => {{
        const NAME: &std::ffi::CStr =
            match std::ffi::CStr::from_bytes_with_nul(concat!(stringify!($name), "\0").as_bytes()) {
                Ok(name) => name,
                Err(_) => panic!("a name without zeros"),
            };
        static REAL: $crate::os::Real = $crate::os::Real::new(NAME);
        // SAFETY: the function of that name has that type.
        unsafe {
            std::mem::transmute::<*mut (), unsafe extern "C" fn($($ty),*) -> $ret>(REAL.address())
        }
    }};
}

pub(crate) use real;
