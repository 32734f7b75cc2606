//! Functions that read into one buffer, which may be large.
#![allow(unsafe_code, reason = "defines functions of the C library")]

use super::names::real;
use super::tables::{INT, address_len};
use crate::runtime::calls::seam::{self, Exposure, Watch};
use crate::runtime::calls::shadow::{SMALL, Shadows, TRIES, is_fault, retried};
use libc::{c_int, c_void, off_t, off64_t, size_t, socklen_t, ssize_t};
use std::mem::MaybeUninit;

/// The most that is transferred with one call from what has as much as anybody asks for.
const ENDLESS_MAX: usize = 1 << 20;
/// The number of the driver of `/dev/zero`, `/dev/urandom` and their kin.
const MEMORY_DEVICES: u32 = 1;

/// What reading large amounts from a descriptor is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// A file or a disk: what could not be delivered can be read again, and a call that gives
    /// less than it could is taken for the end.
    File,
    /// A pipe or a stream: the same, but it may give less at any time.
    Stream,
    /// The device writes to the memory itself, at any time during the call, and no freeze
    /// notices that.
    Direct,
    /// A device that has as much as is asked for, and may give less.
    Endless,
    /// Anything else: what cannot be delivered may be lost. Who asks for less than the caller may
    /// be refused (`/dev/fuse` wants room for its largest message).
    Odd,
}

impl Origin {
    pub(super) fn of(fd: c_int) -> Self {
        let mut stat = MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: writes one `stat`, on this stack.
        if unsafe { libc::fstat(fd, stat.as_mut_ptr()) } != 0 {
            return Self::Stream;
        }
        // SAFETY: zeros, or what the kernel has written.
        let stat = unsafe { stat.assume_init() };
        match stat.st_mode & libc::S_IFMT {
            libc::S_IFREG | libc::S_IFBLK if is_direct(fd) => Self::Direct,
            libc::S_IFREG | libc::S_IFBLK => Self::File,
            libc::S_IFIFO => Self::Stream,
            libc::S_IFSOCK if is_stream(fd) => Self::Stream,
            libc::S_IFCHR if libc::major(stat.st_rdev) == MEMORY_DEVICES => Self::Endless,
            _ => Self::Odd,
        }
    }

    /// The most that is read with one call, by way of a shadow: that takes memory for what the
    /// kernel writes to it.
    pub(super) fn most(self) -> usize {
        if self == Self::Endless { ENDLESS_MAX } else { usize::MAX }
    }
}

/// Whether reads bypass the page cache: they were asked to, or the file system is one of those
/// that may do it unasked.
fn is_direct(fd: c_int) -> bool {
    const FUSE: i64 = 0x6573_5546;
    const PLAN_9: i64 = 0x0102_1997;
    // SAFETY: asks for flags, and writes no memory.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    let mut system = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: writes one `statfs`, on this stack.
    let _ = unsafe { libc::fstatfs(fd, system.as_mut_ptr()) };
    // SAFETY: zeros, or what the kernel has written.
    let kind = unsafe { system.assume_init() }.f_type;
    flags & libc::O_DIRECT != 0 || kind == FUSE || kind == PLAN_9
}

fn is_stream(fd: c_int) -> bool {
    let mut kind: c_int = 0;
    let mut len: socklen_t = 4;
    // SAFETY: writes one number, and its length, on this stack.
    unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_TYPE, (&raw mut kind).cast(), &raw mut len)
    };
    kind == libc::SOCK_STREAM
}

/// How a call wants its bytes.
#[derive(Clone, Copy, Default)]
struct Manner {
    /// It gives less only at the end, or if something fails.
    full: bool,
    /// It may say that it has written more than it has.
    boasts: bool,
}

impl Manner {
    fn of_socket(flags: c_int) -> Self {
        let full = flags & libc::MSG_WAITALL != 0 && flags & libc::MSG_PEEK == 0;
        Self { full, boasts: flags & libc::MSG_TRUNC != 0 }
    }
}

/// Reads up to `len` bytes into a buffer, by way of `call`, which gets a place, its length, and
/// how many bytes earlier calls have read.
///
/// # Safety
/// `buf` is `len` bytes of the caller's, and `call` writes at most so many as it is told.
unsafe fn transfer(
    fd: c_int,
    buf: *mut c_void,
    len: usize,
    manner: Manner,
    mut call: impl FnMut(*mut c_void, usize, usize) -> ssize_t,
) -> ssize_t {
    match seam::exposure(buf.addr(), len) {
        Exposure::None => return call(buf, len, 0),
        Exposure::Steady => {
            seam::touch_range(buf.addr(), len);
            return call(buf, len, 0);
        }
        Exposure::Exposed => {}
    }
    let origin = if len > SMALL { Origin::of(fd) } else { Origin::Odd };
    match origin {
        Origin::File => return filled_up(buf, len, call),
        Origin::Stream if manner.full => return filled_up(buf, len, call),
        Origin::Stream => {
            return retried(|| seam::touch_range(buf.addr(), len), || call(buf, len, 0));
        }
        Origin::Direct | Origin::Endless | Origin::Odd => {}
    }
    let len = len.min(origin.most());
    let mut shadows = Shadows::new();
    let place = if manner.boasts {
        // SAFETY: the caller's buffer.
        unsafe { shadows.in_out(buf, len) }
    } else {
        shadows.out(buf, len)
    };
    let result = call(place, len, 0);
    // SAFETY: the call is over, and has filled so much.
    unsafe { shadows.copy_back_of(buf, usize::try_from(result).unwrap_or(0)) };
    result
}

/// Reads straight into the buffer, and goes on where a freeze has cut the call short.
fn filled_up(
    buf: *mut c_void,
    len: usize,
    mut call: impl FnMut(*mut c_void, usize, usize) -> ssize_t,
) -> ssize_t {
    let mut done = 0;
    for _ in 0..TRIES {
        let (watch, rest) = (Watch::begin(), buf.wrapping_byte_add(done));
        seam::touch_range(rest.addr(), len - done);
        let result = call(rest, len - done, done);
        let got = usize::try_from(result).unwrap_or(0);
        done += got;
        let goes_on = is_fault(result) || got > 0 && done < len;
        if !goes_on || !watch.is_disturbed() {
            return if done > 0 { done.cast_signed() } else { result };
        }
    }
    done.cast_signed()
}

/// Functions that read from where the descriptor is.
macro_rules! reads {
    ($($name:ident($fd:ident, $buf:ident, $len:ident $(, $arg:ident: $ty:ty)*), $manner:expr;)*)
    => {$(
        #[cfg_attr(not(miri), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name(
            $fd: c_int, $buf: *mut c_void, $len: size_t $(, $arg: $ty)*
        ) -> ssize_t {
            let real = real!($name: fn(c_int, *mut c_void, size_t $(, $ty)*) -> ssize_t);
            if !seam::is_engaged() {
                // SAFETY: passed on from the caller.
                return unsafe { real($fd, $buf, $len $(, $arg)*) };
            }
            let call = |place: *mut c_void, len: usize, _| {
                // SAFETY: passed on from the caller, but for a shadow in place of the buffer.
                unsafe { real($fd, place, len $(, $arg)*) }
            };
            // SAFETY: the caller's buffer.
            unsafe { transfer($fd, $buf, $len, $manner, call) }
        }
    )*};
}

reads! {
    read(fd, buf, len), Manner::default();
    recv(fd, buf, len, flags: c_int), Manner::of_socket(flags);
}

/// Functions that read from an offset.
macro_rules! reads_at {
    ($($name:ident($offset:ty);)*) => {$(
        #[cfg_attr(not(miri), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name(
            fd: c_int, buf: *mut c_void, len: size_t, offset: $offset
        ) -> ssize_t {
            let real = real!($name: fn(c_int, *mut c_void, size_t, $offset) -> ssize_t);
            if !seam::is_engaged() {
                // SAFETY: passed on from the caller.
                return unsafe { real(fd, buf, len, offset) };
            }
            let call = |place: *mut c_void, len: usize, done: usize| {
                let offset = offset.wrapping_add(done.cast_signed() as $offset);
                // SAFETY: passed on from the caller, but for a shadow in place of the buffer.
                unsafe { real(fd, place, len, offset) }
            };
            // SAFETY: the caller's buffer.
            unsafe { transfer(fd, buf, len, Manner::default(), call) }
        }
    )*};
}

reads_at! {
    pread(off_t);
    pread64(off64_t);
}

#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn recvfrom(
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    flags: c_int,
    address: *mut libc::sockaddr,
    room: *mut socklen_t,
) -> ssize_t {
    let real = real!(recvfrom: fn(c_int, *mut c_void, size_t, c_int, *mut libc::sockaddr,
        *mut socklen_t) -> ssize_t);
    if !seam::is_engaged() {
        // SAFETY: passed on from the caller.
        return unsafe { real(fd, buf, len, flags, address, room) };
    }
    let mut shadows = Shadows::new();
    // SAFETY: the caller's address, of the length that the caller says.
    let name = unsafe { shadows.in_out(address, address_len(room)) };
    // SAFETY: the caller's length.
    let name_room = unsafe { shadows.in_out(room, INT) };
    let call = |place: *mut c_void, len: usize, _| {
        // SAFETY: passed on from the caller, but for shadows in place of outputs.
        unsafe { real(fd, place, len, flags, name, name_room) }
    };
    // SAFETY: the caller's buffer.
    let result = unsafe { transfer(fd, buf, len, Manner::of_socket(flags), call) };
    // SAFETY: the call is over.
    unsafe { shadows.copy_back() };
    result
}
