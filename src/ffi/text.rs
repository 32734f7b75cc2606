//! Texts and places that C code hands over.
#![allow(unsafe_code, reason = "reads and writes where C code says")]

use crate::ffi::failure::Failure;
use std::ffi::{CStr, c_char};
use std::path::{Path, PathBuf};

/// A text.
///
/// # Errors
/// If it is null, or no UTF-8.
///
/// # Safety
/// It is null, or ends with a zero byte.
pub(super) unsafe fn text<'a>(what: &str, text: *const c_char) -> Result<&'a str, Failure> {
    if text.is_null() {
        return Err(Failure::invalid(format_args!("{what} is null: give a text")));
    }
    // SAFETY: not null; the rest says the caller.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| Failure::invalid(format_args!("{what} is not UTF-8: {text:?}")))
}

/// A path, in whatever bytes.
///
/// # Errors
/// If it is null or empty.
///
/// # Safety
/// It is null, or ends with a zero byte.
pub(super) unsafe fn path(path: *const c_char) -> Result<PathBuf, Failure> {
    use std::os::unix::ffi::OsStrExt;
    if path.is_null() {
        return Err(Failure::invalid("the directory is null: give its path"));
    }
    // SAFETY: not null; the rest says the caller.
    let path = unsafe { CStr::from_ptr(path) };
    if path.is_empty() {
        return Err(Failure::invalid("the directory's path is empty"));
    }
    Ok(Path::new(std::ffi::OsStr::from_bytes(path.to_bytes())).to_owned())
}

/// A place for an answer that the caller must want.
///
/// # Errors
/// If it is null.
pub(super) fn wanted<T>(what: &str, place: *mut T) -> Result<*mut T, Failure> {
    match place.is_null() {
        true => Err(Failure::invalid(format_args!("{what} is null: give a place for the answer"))),
        false => Ok(place),
    }
}

/// Writes an answer, if the caller wants it.
///
/// # Safety
/// The place is null, or one for a `T`.
pub(super) unsafe fn put<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: says the caller.
        unsafe { place.write(value) };
    }
}

/// Writes as much of a list as there is room for, and how long it is.
///
/// # Errors
/// If there is no place for the length, or none for the list but room in it.
///
/// # Safety
/// `list` is null, or has room for `room` of them; `count` is null or a place for a number.
pub(super) unsafe fn put_list<T>(
    found: impl IntoIterator<Item = T>,
    list: *mut T,
    room: usize,
    count: *mut usize,
) -> Result<(), Failure> {
    let count = wanted("`count`", count)?;
    if list.is_null() && room > 0 {
        return Err(Failure::invalid("`list` is null: give room for as many as `room` says"));
    }
    let mut len = 0;
    for item in found {
        if len < room {
            // SAFETY: there is room for it, says the caller.
            unsafe { list.wrapping_add(len).write(item) };
        }
        len += 1;
    }
    // SAFETY: says the caller.
    unsafe { count.write(len) };
    Ok(())
}
