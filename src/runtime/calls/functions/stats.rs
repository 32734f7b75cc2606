//! What files are: `stat` and its kin, under their names of all times.
#![allow(unsafe_code, reason = "defines functions of the C library")]

use super::names::real;
use crate::runtime::calls::shadow::Shadows;
use libc::{c_char, c_int, c_long};
use std::mem::size_of;

/// The C libraries before 2.33 have none of these; so they are made of the kernel's calls.
macro_rules! stats {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $stat:ty = $path:expr, $flags:expr;)*) => {$(
        #[cfg_attr(not(miri), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name($($arg: $ty,)* buf: *mut $stat) -> c_int {
            // SAFETY: passed on from the caller.
            unsafe { stat_at(libc::AT_FDCWD, $path, buf.cast(), $flags) }
        }
    )*};
}

stats! {
    stat(path: *const c_char) -> libc::stat = path, 0;
    lstat(path: *const c_char) -> libc::stat = path, libc::AT_SYMLINK_NOFOLLOW;
    stat64(path: *const c_char) -> libc::stat64 = path, 0;
    lstat64(path: *const c_char) -> libc::stat64 = path, libc::AT_SYMLINK_NOFOLLOW;
    __xstat(_version: c_int, path: *const c_char) -> libc::stat = path, 0;
    __xstat64(_version: c_int, path: *const c_char) -> libc::stat64 = path, 0;
    __lxstat(_version: c_int, path: *const c_char) -> libc::stat = path, libc::AT_SYMLINK_NOFOLLOW;
    __lxstat64(_version: c_int, path: *const c_char) -> libc::stat64
        = path, libc::AT_SYMLINK_NOFOLLOW;
}

static_assertions::assert_eq_size!(libc::stat, libc::stat64);

macro_rules! stats_of_open {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $stat:ty;)*) => {$(
        #[cfg_attr(not(miri), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name($($arg: $ty,)* fd: c_int, buf: *mut $stat) -> c_int {
            let real = real!(syscall: fn(c_long, c_int, *mut libc::stat) -> c_long);
            // SAFETY: passed on from the caller, but for a shadow in place of the buffer.
            let call = |place| unsafe { real(libc::SYS_fstat, fd, place) };
            // SAFETY: the caller's buffer.
            unsafe { with_shadow(buf.cast(), call) }
        }
    )*};
}

stats_of_open! {
    fstat() -> libc::stat;
    fstat64() -> libc::stat64;
    __fxstat(_version: c_int) -> libc::stat;
    __fxstat64(_version: c_int) -> libc::stat64;
}

macro_rules! stats_at {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $stat:ty;)*) => {$(
        #[cfg_attr(not(miri), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name(
            $($arg: $ty,)* fd: c_int, path: *const c_char, buf: *mut $stat, flags: c_int
        ) -> c_int {
            // SAFETY: passed on from the caller.
            unsafe { stat_at(fd, path, buf.cast(), flags) }
        }
    )*};
}

stats_at! {
    fstatat() -> libc::stat;
    fstatat64() -> libc::stat64;
    __fxstatat(_version: c_int) -> libc::stat;
    __fxstatat64(_version: c_int) -> libc::stat64;
}

/// # Safety
/// As for `fstatat`.
unsafe fn stat_at(fd: c_int, path: *const c_char, buf: *mut libc::stat, flags: c_int) -> c_int {
    let real = real!(syscall: fn(c_long, c_int, *const c_char, *mut libc::stat, c_int) -> c_long);
    // SAFETY: passed on from the caller, but for a shadow in place of the buffer.
    let call = |place| unsafe { real(libc::SYS_newfstatat, fd, path, place, flags) };
    // SAFETY: the caller's buffer.
    unsafe { with_shadow(buf, call) }
}

/// # Safety
/// `buf` is the caller's, and `call` writes one `stat` to where it is told.
unsafe fn with_shadow(
    buf: *mut libc::stat,
    call: impl FnOnce(*mut libc::stat) -> libc::c_long,
) -> c_int {
    let mut shadows = Shadows::new();
    let result = call(shadows.out(buf, size_of::<libc::stat>()));
    if result == 0 {
        // SAFETY: the call is over, and has filled it.
        unsafe { shadows.copy_back() };
    }
    c_int::try_from(result).unwrap_or(-1)
}
