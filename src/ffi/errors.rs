//! What the library is, and what a thread's last failure was.
#![allow(unsafe_code, reason = "functions for C have their names unmangled")]

use crate::ffi::calls;
use crate::ffi::codes::Code;
use std::ffi::{c_char, c_int};

/// The version of the library, as `"0.1.0"`.
#[unsafe(no_mangle)]
pub extern "C" fn stillheap_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The code of the calling thread's last failure; 0: there was none.
#[unsafe(no_mangle)]
pub extern "C" fn stillheap_last_code() -> c_int {
    calls::last_code().number()
}

/// What the calling thread's last failure was, and what to do; valid until its next one.
#[unsafe(no_mangle)]
pub extern "C" fn stillheap_last_error() -> *const c_char {
    let text = calls::last_text();
    if text.is_null() { c"".as_ptr() } else { text }
}

/// A code's name, `"STILLHEAP_LOCKED"`; `"STILLHEAP_UNKNOWN"` if it is none.
#[unsafe(no_mangle)]
pub extern "C" fn stillheap_code_name(code: c_int) -> *const c_char {
    let known = Code::ALL.iter().find(|known| known.number() == code);
    known.map_or(c"STILLHEAP_UNKNOWN", |known| known.name()).as_ptr()
}
