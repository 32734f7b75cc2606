//! Functions that fit no table.
#![allow(unsafe_code, reason = "defines functions of the C library")]

use super::names::real;
use crate::runtime::calls::seam;
use crate::runtime::calls::shadow::{SMALL, Shadows};
use libc::{c_char, c_int, c_uint, c_void, size_t, ssize_t};
use std::ptr;

#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn getcwd(buf: *mut c_char, len: size_t) -> *mut c_char {
    let real = real!(getcwd: fn(*mut c_char, size_t) -> *mut c_char);
    if !seam::is_engaged() || buf.is_null() {
        // SAFETY: passed on from the caller.
        return unsafe { real(buf, len) };
    }
    let mut shadows = Shadows::new();
    let place = shadows.out(buf, len);
    // SAFETY: passed on from the caller, but for a shadow in place of the buffer.
    let result = unsafe { real(place, len) };
    if result.is_null() {
        return result;
    }
    // SAFETY: the call has written a string.
    let written = unsafe { libc::strlen(place) } + 1;
    // SAFETY: the call is over, and has filled so much.
    unsafe { shadows.copy_back_of(buf, written) };
    buf
}

/// Ends the process if it cannot fill the buffer, so it is never given one that is protected.
/// Where the C library has none, random bytes come from the system call.
#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn arc4random_buf(buf: *mut c_void, len: size_t) {
    let mut done = 0;
    while done < len {
        let wanted = (len - done).min(SMALL / 2);
        let mut shadows = Shadows::new();
        let user = buf.wrapping_byte_add(done);
        let place = shadows.out(user, wanted);
        fill_with_chance(place, wanted);
        // SAFETY: the caller's buffer, of which so much has been filled.
        unsafe { shadows.copy_back_of(user, wanted) };
        done += wanted;
    }
}

fn fill_with_chance(place: *mut c_void, len: usize) {
    let real = real!(getrandom: fn(*mut c_void, size_t, c_uint) -> ssize_t);
    let mut done = 0;
    while done < len {
        // SAFETY: within the buffer.
        match unsafe { real(place.wrapping_byte_add(done), len - done, 0) } {
            got @ 1.. => done += got.cast_unsigned(),
            _ if std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR) => {}
            _ => std::process::abort(),
        }
    }
}

/// The C library would read into the buffer at any later time, so it takes one of its own.
#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn setvbuf(
    stream: *mut libc::FILE,
    buf: *mut c_char,
    mode: c_int,
    len: size_t,
) -> c_int {
    let real = real!(setvbuf: fn(*mut libc::FILE, *mut c_char, c_int, size_t) -> c_int);
    let buf = if seam::lies_in_arena(buf.addr(), len) { ptr::null_mut() } else { buf };
    // SAFETY: passed on from the caller, or without a buffer, which is allowed.
    unsafe { real(stream, buf, mode, len) }
}

#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn setbuffer(stream: *mut libc::FILE, buf: *mut c_char, len: size_t) {
    let mode = if buf.is_null() { libc::_IONBF } else { libc::_IOFBF };
    // SAFETY: this is what the function is defined to be.
    unsafe { setvbuf(stream, buf, mode, len) };
}

#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn setbuf(stream: *mut libc::FILE, buf: *mut c_char) {
    // SAFETY: as above.
    unsafe { setbuffer(stream, buf, libc::BUFSIZ as size_t) };
}
