//! Standard streams: the C library reads large amounts straight into the caller's buffer.
#![allow(unsafe_code, reason = "defines functions of the C library")]
#![allow(
    clippy::missing_safety_doc,
    unreachable_pub,
    missing_docs,
    reason = "these are the C library's functions, with its rules and names"
)]

use super::seam::{self, Exposure};
use super::shadow::{BOUNCE, Shadows};
use crate::os::real;
use libc::{FILE, c_void, size_t};
use std::ptr;

/// The part of a thread's buffer that one read fills.
const PIECE: usize = BOUNCE / 2;

macro_rules! stream_reads {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            buf: *mut c_void,
            size: size_t,
            count: size_t,
            stream: *mut FILE,
        ) -> size_t {
            let real = real!($name: fn(*mut c_void, size_t, size_t, *mut FILE) -> size_t);
            let total = size.saturating_mul(count);
            let exposure = match seam::is_engaged() {
                true => seam::exposure(buf.addr(), total),
                false => Exposure::None,
            };
            if exposure == Exposure::Steady {
                seam::touch_range(buf.addr(), total);
            }
            if exposure != Exposure::Exposed {
                // SAFETY: passed on from the caller.
                return unsafe { real(buf, size, count, stream) };
            }
            let piece = |place: *mut c_void, len: usize| {
                // SAFETY: a shadow of at least `len` bytes, or the caller's buffer.
                unsafe { real(place, 1, len, stream) }
            };
            // SAFETY: the caller's buffer.
            let read = unsafe { by_pieces(buf, total, piece) };
            read / size
        }
    )*};
}

stream_reads! { fread fread_unlocked }

/// Fills `buf` piece by piece. Gives how many bytes there were.
///
/// # Safety
/// `buf` is `total` bytes of the caller's.
unsafe fn by_pieces(
    buf: *mut c_void,
    total: usize,
    mut read: impl FnMut(*mut c_void, usize) -> usize,
) -> usize {
    let mut shadows = Shadows::new();
    let Some(place) = shadows.place(PIECE) else {
        seam::touch_range(buf.addr(), total);
        return read(buf, total);
    };
    let mut done = 0;
    while done < total {
        let wanted = PIECE.min(total - done);
        let got = read(place.cast(), wanted);
        // SAFETY: within the caller's buffer.
        let to = unsafe { buf.cast::<u8>().add(done) };
        seam::touch_range(to.addr(), got);
        // SAFETY: both have that many bytes, and do not overlap.
        unsafe { ptr::copy_nonoverlapping(place, to, got) };
        done += got;
        if got < wanted {
            break;
        }
    }
    done
}
