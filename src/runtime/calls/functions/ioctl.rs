//! Device requests: how much one writes, its number tells, or a table does, or nothing.
#![allow(unsafe_code, reason = "defines functions of the C library")]

use super::names::real;
use crate::base::CHUNK_SIZE;
use crate::runtime::calls::seam::{self, Exposure};
use crate::runtime::calls::shadow::{Shadows, retried};
use libc::{c_int, c_ulong, c_void};

/// What is known of a request.
enum Request {
    /// It reads and writes so many bytes, and nothing else; 0: it writes none.
    Sized(usize),
    /// It may write more than it says, or keep the address.
    Unknown,
}

/// The requests in wide use. Sizes are the kernel's: the C library's `termios` is larger, and
/// some numbers name another size than is written.
fn known(request: c_ulong) -> Request {
    Request::Sized(match request {
        // FIONBIO, FIOASYNC, FIOCLEX, FIONCLEX.
        0x5421 | 0x5452 | 0x5451 | 0x5450 => 0,
        // FIONREAD, TIOCOUTQ, TIOCGPGRP, TIOCGSID, TIOCMGET, TIOCGETD, TIOCGPTN.
        0x541b | 0x5411 | 0x540f | 0x5429 | 0x5415 | 0x5424 | 0x8004_5430 => 4,
        // FIOQSIZE.
        0x5460 => 8,
        // TCGETS, TCGETA, TIOCGWINSZ, TIOCGSERIAL.
        0x5401 => 36,
        0x5405 => 18,
        0x5413 => 8,
        0x541e => 72,
        // BLKROGET, BLKSSZGET, BLKPBSZGET, FIBMAP, FIGETBSZ, BLKBSZGET.
        0x125e | 0x1268 | 0x127b | 1 | 2 | 0x8008_1270 => 4,
        // BLKGETSIZE, BLKRAGET, BLKGETSIZE64.
        0x1260 | 0x1263 | 0x8008_1272 => 8,
        // FS_IOC_GETFLAGS, FS_IOC_GETVERSION.
        0x8008_6601 | 0x8008_7601 => 4,
        // FIOGETOWN, SIOCGPGRP, SIOCATMARK, SIOCOUTQNSD.
        0x8903 | 0x8904 | 0x8905 | 0x894b => 4,
        // SIOCGSTAMP, SIOCGSTAMPNS.
        0x8906 | 0x8907 => 16,
        // SIOCGIFCONF, whose array lies elsewhere.
        0x8912 => 16,
        // SIOCETHTOOL and the private ones lead to memory elsewhere.
        0x8946 | 0x89f0..=0x89ff => return Request::Unknown,
        // Most socket requests write an `ifreq`, or less.
        0x8910..=0x89ef => 40,
        _ => return Request::Unknown,
    })
}

/// Where an unknown request may write: what it says, and the rest of that chunk and the next.
fn reach(request: c_ulong) -> usize {
    let encoded = usize::try_from(request >> 16 & 0x3fff).unwrap_or(0);
    encoded + CHUNK_SIZE
}

#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    let real = real!(ioctl: fn(c_int, c_ulong, *mut c_void) -> c_int);
    let call = |argument: *mut c_void| {
        // SAFETY: passed on from the caller, but for a shadow in place of the argument.
        unsafe { real(fd, request, argument) }
    };
    if seam::exposure(argument.addr(), 1) == Exposure::None {
        return call(argument);
    }
    // The C library takes a long, the kernel looks at an int.
    let Request::Sized(len) = known(request & 0xffff_ffff) else {
        let touch = || seam::touch_range(argument.addr(), reach(request));
        let result = retried(touch, || call(argument) as isize);
        return c_int::try_from(result).unwrap_or(-1);
    };
    let mut shadows = Shadows::new();
    // SAFETY: the request has this size.
    let place = unsafe { shadows.in_out(argument, len) };
    let result = call(place);
    // SAFETY: the call is over.
    unsafe { shadows.copy_back() };
    result
}
