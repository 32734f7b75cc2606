//! Standard streams: the C library reads large amounts straight into the caller's buffer.
#![allow(unsafe_code, reason = "defines functions of the C library")]

use super::names::real;
use crate::runtime::calls::seam::{self, Exposure};
use crate::runtime::calls::shadow::{SMALL, Shadows, deliver};
use libc::{FILE, c_void, size_t};

/// The part of a thread's buffer that one read fills.
const PIECE: usize = SMALL / 2;

/// Functions that read `count` items; `locked` ones keep other threads away meanwhile.
macro_rules! stream_reads {
    ($($name:ident($($room:ident)?), locked $locked:expr;)*) => {$(
        #[cfg_attr(not(miri), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name(
            buf: *mut c_void,
            $($room: size_t,)?
            size: size_t,
            count: size_t,
            stream: *mut FILE,
        ) -> size_t {
            let real = real!($name: fn(*mut c_void, $(room!($room),)? size_t, size_t, *mut FILE)
                -> size_t);
            let total = size.saturating_mul(count);
            let exposure = seam::exposure(buf.addr(), total);
            if exposure == Exposure::Steady {
                seam::touch_range(buf.addr(), total);
            }
            if exposure != Exposure::Exposed $(|| $room < total)? {
                // SAFETY: passed on from the caller.
                return unsafe { real(buf, $($room,)? size, count, stream) };
            }
            let piece = |place: *mut c_void, len: usize| {
                // SAFETY: a shadow of at least `len` bytes, or the caller's buffer.
                unsafe { real(place, $(len_of(len, $room),)? 1, len, stream) }
            };
            let _lock = $locked.then(|| StreamLock::new(stream));
            // SAFETY: the caller's buffer.
            let read = unsafe { by_pieces(buf, total, piece) };
            read / size
        }
    )*};
}

/// The type of an argument that some have.
macro_rules! room {
    ($room:ident) => {
        size_t
    };
}

/// A piece has as much room as it is long.
fn len_of(len: usize, _room: usize) -> usize {
    len
}

stream_reads! {
    fread(), locked true;
    fread_unlocked(), locked false;
    __fread_chk(room), locked true;
    __fread_unlocked_chk(room), locked false;
}

/// A stream that is the calling thread's alone: one read of many pieces is one read.
struct StreamLock(*mut FILE);

unsafe extern "C" {
    fn flockfile(stream: *mut FILE);
    fn funlockfile(stream: *mut FILE);
}

impl StreamLock {
    fn new(stream: *mut FILE) -> Self {
        // SAFETY: the caller's stream, whose lock can be taken more than once.
        unsafe { flockfile(stream) };
        Self(stream)
    }
}

impl Drop for StreamLock {
    fn drop(&mut self) {
        // SAFETY: taken by this thread.
        unsafe { funlockfile(self.0) };
    }
}

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
        // SAFETY: both have that many bytes, and do not overlap.
        unsafe { deliver(place, to, got) };
        done += got;
        if got < wanted {
            break;
        }
    }
    done
}
