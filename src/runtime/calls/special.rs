//! Functions that fit no table: large transfers, scattered ones, messages, and a few oddities.
#![allow(unsafe_code, reason = "defines functions of the C library")]
#![allow(
    clippy::missing_safety_doc,
    clippy::too_many_arguments,
    unreachable_pub,
    missing_docs,
    reason = "these are the C library's functions, with its rules and names"
)]

use super::seam::{self, Exposure};
use super::shadow::{BOUNCE, Shadows, retried};
use super::tables::length_at;
use crate::os::real;
use libc::{c_char, c_int, c_ulong, c_void, iovec, off_t, off64_t, size_t, socklen_t, ssize_t};
use std::mem::size_of;
use std::ptr;

/// The most that is transferred with one call from what is no file, pipe or stream.
const ODD_MAX: usize = 1 << 20;

/// Whether what has been read and could not be delivered is still there to be read again.
fn loses_nothing(fd: c_int) -> bool {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: writes one `stat`, on this stack.
    if unsafe { libc::fstat(fd, stat.as_mut_ptr()) } != 0 {
        return true;
    }
    // SAFETY: zeros, or what the kernel has written.
    let kind = unsafe { stat.assume_init() }.st_mode & libc::S_IFMT;
    match kind {
        libc::S_IFREG | libc::S_IFIFO | libc::S_IFBLK => true,
        libc::S_IFSOCK => is_stream(fd),
        _ => false,
    }
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

/// Reads up to `len` bytes into a buffer, by way of `call`.
///
/// # Safety
/// `buf` is `len` bytes of the caller's, and `call` writes at most so many as it is told.
unsafe fn transfer(
    fd: c_int,
    buf: *mut c_void,
    len: usize,
    whole: bool,
    mut call: impl FnMut(*mut c_void, usize) -> ssize_t,
) -> ssize_t {
    match seam::exposure(buf.addr(), len) {
        Exposure::None => return call(buf, len),
        Exposure::Steady => {
            seam::touch_range(buf.addr(), len);
            return call(buf, len);
        }
        Exposure::Exposed => {}
    }
    if len > BOUNCE && loses_nothing(fd) {
        return retried(buf, len, || call(buf, len));
    }
    let len = if whole { len } else { len.min(ODD_MAX) };
    let mut shadows = Shadows::new();
    let place = shadows.out(buf, len);
    let result = call(place, len);
    // SAFETY: the call is over, and has filled so much.
    unsafe { shadows.copy_back_of(buf, usize::try_from(result).unwrap_or(0)) };
    result
}

/// Functions that read into one buffer.
macro_rules! reads {
    ($($name:ident($fd:ident, $buf:ident, $len:ident $(, $arg:ident: $ty:ty)*), whole $whole:expr;)*)
    => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            $fd: c_int, $buf: *mut c_void, $len: size_t $(, $arg: $ty)*
        ) -> ssize_t {
            let real = real!($name: fn(c_int, *mut c_void, size_t $(, $ty)*) -> ssize_t);
            if !seam::is_engaged() {
                // SAFETY: passed on from the caller.
                return unsafe { real($fd, $buf, $len $(, $arg)*) };
            }
            let call = |place: *mut c_void, len: usize| {
                // SAFETY: passed on from the caller, but for a shadow in place of the buffer.
                unsafe { real($fd, place, len $(, $arg)*) }
            };
            // SAFETY: the caller's buffer.
            unsafe { transfer($fd, $buf, $len, $whole, call) }
        }
    )*};
}

reads! {
    read(fd, buf, len), whole false;
    pread(fd, buf, len, offset: off_t), whole false;
    pread64(fd, buf, len, offset: off64_t), whole false;
    recv(fd, buf, len, flags: c_int), whole true;
}

/// What C code calls in their place when it was built with `_FORTIFY_SOURCE`.
macro_rules! fortified {
    ($($name:ident($($arg:ident: $ty:ty),*; $room:ident) -> $ret:ty = $plain:ident;)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $ty),*, $room: size_t) -> $ret {
            let _ = $room;
            // SAFETY: passed on from the caller.
            unsafe { $plain($($arg),*) }
        }
    )*};
}

use super::tables::{getgroups, poll, readlink, ttyname_r};
fortified! {
    __read_chk(fd: c_int, buf: *mut c_void, len: size_t; room) -> ssize_t = read;
    __pread_chk(fd: c_int, buf: *mut c_void, len: size_t, at: off_t; room) -> ssize_t = pread;
    __pread64_chk(fd: c_int, buf: *mut c_void, len: size_t, at: off64_t; room) -> ssize_t = pread64;
    __readlink_chk(path: *const c_char, buf: *mut c_char, len: size_t; room) -> ssize_t = readlink;
    __poll_chk(fds: *mut libc::pollfd, count: libc::nfds_t, limit: c_int; room) -> c_int = poll;
    __getcwd_chk(buf: *mut c_char, len: size_t; room) -> *mut c_char = getcwd;
    __ttyname_r_chk(fd: c_int, name: *mut c_char, len: size_t; room) -> c_int = ttyname_r;
    __getgroups_chk(count: c_int, list: *mut libc::gid_t; room) -> c_int = getgroups;
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn __recv_chk(
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    _room: size_t,
    flags: c_int,
) -> ssize_t {
    // SAFETY: passed on from the caller.
    unsafe { recv(fd, buf, len, flags) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn __recvfrom_chk(
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    _room: size_t,
    flags: c_int,
    address: *mut libc::sockaddr,
    address_len: *mut socklen_t,
) -> ssize_t {
    // SAFETY: passed on from the caller.
    unsafe { recvfrom(fd, buf, len, flags, address, address_len) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvfrom(
    fd: c_int,
    buf: *mut c_void,
    len: size_t,
    flags: c_int,
    address: *mut libc::sockaddr,
    address_len: *mut socklen_t,
) -> ssize_t {
    type Type = (c_int, *mut c_void, size_t, c_int, *mut libc::sockaddr, *mut socklen_t);
    let real = real!(recvfrom: fn(c_int, *mut c_void, size_t, c_int, *mut libc::sockaddr,
        *mut socklen_t) -> ssize_t);
    let pass = |(fd, buf, len, flags, address, address_len): Type| {
        // SAFETY: passed on from the caller, but for shadows in place of outputs.
        unsafe { real(fd, buf, len, flags, address, address_len) }
    };
    if !seam::is_engaged() {
        return pass((fd, buf, len, flags, address, address_len));
    }
    let mut shadows = Shadows::new();
    // SAFETY: the caller's address, of the length that the caller says.
    let name = unsafe { shadows.in_out(address, length_at(address_len)) };
    // SAFETY: the caller's length.
    let name_len = unsafe { shadows.in_out(address_len, size_of::<socklen_t>()) };
    let call = |place: *mut c_void, len: usize| pass((fd, place, len, flags, name, name_len));
    // SAFETY: the caller's buffer.
    let result = unsafe { transfer(fd, buf, len, true, call) };
    // SAFETY: the call is over.
    unsafe { shadows.copy_back() };
    result
}

/// The parts of a scattered transfer, and one shadow for all of them.
struct Scatter {
    parts: *const iovec,
    count: usize,
    shadows: Shadows,
    /// The shadow; null if the parts need none.
    place: *mut u8,
    len: usize,
}

impl Scatter {
    /// # Safety
    /// `parts` are `count` parts of the caller's.
    unsafe fn new(parts: *const iovec, count: usize, most: usize) -> Self {
        let mut scatter =
            Self { parts, count, shadows: Shadows::new(), place: ptr::null_mut(), len: 0 };
        let mut exposed = false;
        for index in 0..count {
            let part = scatter.part(index);
            scatter.len = scatter.len.saturating_add(part.iov_len);
            match seam::exposure(part.iov_base.addr(), part.iov_len) {
                Exposure::None => {}
                Exposure::Steady => seam::touch_range(part.iov_base.addr(), part.iov_len),
                Exposure::Exposed => exposed = true,
            }
        }
        scatter.len = scatter.len.min(most);
        if exposed && scatter.len > 0 {
            scatter.place = scatter.shadows.place(scatter.len).unwrap_or(ptr::null_mut());
        }
        scatter
    }

    fn part(&self, index: usize) -> iovec {
        // SAFETY: below the count that `new` was told.
        let part = unsafe { self.parts.add(index) };
        // SAFETY: as above.
        unsafe { part.read() }
    }

    fn touch(&self) {
        for part in (0..self.count).map(|index| self.part(index)) {
            seam::touch_range(part.iov_base.addr(), part.iov_len);
        }
    }

    /// Copies the first `len` bytes of the shadow to the parts, one after the other.
    ///
    /// # Safety
    /// The kernel has written so many bytes; the parts are the caller's.
    unsafe fn deliver(&self, len: usize) {
        let mut done = 0;
        for part in (0..self.count).map(|index| self.part(index)) {
            let count = part.iov_len.min(len.min(self.len) - done);
            seam::touch_range(part.iov_base.addr(), count);
            // SAFETY: within the shadow.
            let from = unsafe { self.place.add(done) };
            // SAFETY: both have that many bytes, and do not overlap.
            unsafe { ptr::copy_nonoverlapping(from, part.iov_base.cast(), count) };
            done += count;
        }
    }
}

/// Reads into scattered buffers, by way of `call`, which gets the parts to be filled.
///
/// # Safety
/// `parts` are `count` buffers of the caller's.
unsafe fn scattered(
    fd: c_int,
    parts: *const iovec,
    count: c_int,
    mut call: impl FnMut(*const iovec, c_int) -> ssize_t,
) -> ssize_t {
    let parts_count = usize::try_from(count).unwrap_or(0);
    // SAFETY: says the caller.
    let scatter = unsafe { Scatter::new(parts, parts_count, ODD_MAX) };
    if scatter.place.is_null() {
        return call(parts, count);
    }
    if scatter.len > BOUNCE && loses_nothing(fd) {
        return retried(ptr::null_mut(), 0, || {
            scatter.touch();
            call(parts, count)
        });
    }
    let whole = iovec { iov_base: scatter.place.cast(), iov_len: scatter.len };
    let result = call(&raw const whole, 1);
    // SAFETY: the call is over, and has filled so much.
    unsafe { scatter.deliver(usize::try_from(result).unwrap_or(0)) };
    result
}

macro_rules! scattered_reads {
    ($($name:ident($($arg:ident: $ty:ty),*);)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            fd: c_int, parts: *const iovec, count: c_int $(, $arg: $ty)*
        ) -> ssize_t {
            let real = real!($name: fn(c_int, *const iovec, c_int $(, $ty)*) -> ssize_t);
            let call = |parts: *const iovec, count: c_int| {
                // SAFETY: passed on from the caller, but for a shadow in place of the buffers.
                unsafe { real(fd, parts, count $(, $arg)*) }
            };
            if !seam::is_engaged() {
                return call(parts, count);
            }
            // SAFETY: the caller's buffers.
            unsafe { scattered(fd, parts, count, call) }
        }
    )*};
}

scattered_reads! {
    readv();
    preadv(offset: off_t);
    preadv64(offset: off64_t);
    preadv2(offset: off_t, flags: c_int);
    preadv64v2(offset: off64_t, flags: c_int);
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvmsg(fd: c_int, message: *mut libc::msghdr, flags: c_int) -> ssize_t {
    let real = real!(recvmsg: fn(c_int, *mut libc::msghdr, c_int) -> ssize_t);
    let call = |message: *mut libc::msghdr| {
        // SAFETY: passed on from the caller, but for shadows in place of outputs.
        unsafe { real(fd, message, flags) }
    };
    if !seam::is_engaged() || message.is_null() {
        return call(message);
    }
    // SAFETY: the caller's message.
    let user = unsafe { message.read() };
    let mut shadows = Shadows::new();
    let mut inner = user;
    // SAFETY: the caller's address buffer.
    inner.msg_name = unsafe { shadows.in_out(user.msg_name, user.msg_namelen as usize) };
    // SAFETY: the caller's buffer for control messages.
    inner.msg_control = unsafe { shadows.in_out(user.msg_control, user.msg_controllen) };
    // SAFETY: the caller's buffers. A message must be taken whole.
    let scatter = unsafe { Scatter::new(user.msg_iov, user.msg_iovlen, usize::MAX) };
    let mut whole = iovec { iov_base: scatter.place.cast(), iov_len: scatter.len };
    if !scatter.place.is_null() {
        inner.msg_iov = &raw mut whole;
        inner.msg_iovlen = 1;
    }
    let result = call(&raw mut inner);
    if result >= 0 {
        if !scatter.place.is_null() {
            // SAFETY: the call is over, and has filled so much.
            unsafe { scatter.deliver(usize::try_from(result).unwrap_or(0)) };
        }
        // SAFETY: as above.
        unsafe { shadows.copy_back() };
        let after = libc::msghdr {
            msg_namelen: inner.msg_namelen,
            msg_controllen: inner.msg_controllen,
            msg_flags: inner.msg_flags,
            ..user
        };
        // SAFETY: the caller's message, which the kernel would have changed so.
        unsafe { message.write(after) };
    }
    result
}

/// One message after the other: the kernel does the same. It looks at the time limit only between
/// messages, and so does this.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvmmsg(
    fd: c_int,
    messages: *mut libc::mmsghdr,
    count: libc::c_uint,
    flags: c_int,
    limit: *mut libc::timespec,
) -> c_int {
    let real = real!(recvmmsg: fn(c_int, *mut libc::mmsghdr, libc::c_uint, c_int,
        *mut libc::timespec) -> c_int);
    if !seam::is_engaged() {
        // SAFETY: passed on from the caller.
        return unsafe { real(fd, messages, count, flags, limit) };
    }
    let begun = std::time::Instant::now();
    // SAFETY: the caller's limit.
    let limit = if limit.is_null() { None } else { Some(unsafe { limit.read() }) };
    let limit = limit.map(|limit| {
        let (seconds, nanos) = (u64::try_from(limit.tv_sec), u32::try_from(limit.tv_nsec));
        std::time::Duration::new(seconds.unwrap_or(0), nanos.unwrap_or(0).min(999_999_999))
    });
    let mut later = flags & !libc::MSG_WAITFORONE;
    for index in 0..count {
        // SAFETY: one of the caller's messages.
        let message = unsafe { messages.add(index as usize) };
        // SAFETY: as above.
        let header = unsafe { &raw mut (*message).msg_hdr };
        // SAFETY: as above.
        let received = unsafe { recvmsg(fd, header, later) };
        let Ok(len) = u32::try_from(received) else {
            return if index == 0 { -1 } else { c_int::try_from(index).unwrap_or(c_int::MAX) };
        };
        // SAFETY: as above.
        unsafe { (*message).msg_len = len };
        if flags & libc::MSG_WAITFORONE != 0 {
            later |= libc::MSG_DONTWAIT;
        }
        if limit.is_some_and(|limit| begun.elapsed() >= limit) {
            return c_int::try_from(index + 1).unwrap_or(c_int::MAX);
        }
    }
    c_int::try_from(count).unwrap_or(c_int::MAX)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn getcwd(buf: *mut c_char, len: size_t) -> *mut c_char {
    let real = real!(getcwd: fn(*mut c_char, size_t) -> *mut c_char);
    if !seam::is_engaged() || buf.is_null() {
        // SAFETY: passed on from the caller.
        return unsafe { real(buf, len) };
    }
    let mut shadows = Shadows::new();
    // SAFETY: the caller's buffer.
    let place = unsafe { shadows.in_out(buf, len) };
    // SAFETY: passed on from the caller, but for a shadow in place of the buffer.
    let result = unsafe { real(place, len) };
    // SAFETY: the call is over.
    unsafe { shadows.copy_back() };
    if result.is_null() { result } else { buf }
}

/// The C libraries before 2.33 have none of these; so they are made of the kernel's call.
macro_rules! stats {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $stat:ty = $fd:expr, $path:expr, $flags:expr;)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $ty,)* buf: *mut $stat) -> c_int {
            // SAFETY: passed on from the caller.
            unsafe { stat_at($fd, $path, buf.cast(), $flags) }
        }
    )*};
}

stats! {
    stat(path: *const c_char) -> libc::stat = libc::AT_FDCWD, path, 0;
    lstat(path: *const c_char) -> libc::stat = libc::AT_FDCWD, path, libc::AT_SYMLINK_NOFOLLOW;
    fstat(fd: c_int) -> libc::stat = fd, c"".as_ptr(), libc::AT_EMPTY_PATH;
    stat64(path: *const c_char) -> libc::stat64 = libc::AT_FDCWD, path, 0;
    lstat64(path: *const c_char) -> libc::stat64 = libc::AT_FDCWD, path, libc::AT_SYMLINK_NOFOLLOW;
    fstat64(fd: c_int) -> libc::stat64 = fd, c"".as_ptr(), libc::AT_EMPTY_PATH;
}

static_assertions::assert_eq_size!(libc::stat, libc::stat64);

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fstatat(
    fd: c_int,
    path: *const c_char,
    buf: *mut libc::stat,
    flags: c_int,
) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { stat_at(fd, path, buf, flags) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fstatat64(
    fd: c_int,
    path: *const c_char,
    buf: *mut libc::stat64,
    flags: c_int,
) -> c_int {
    // SAFETY: passed on from the caller.
    unsafe { stat_at(fd, path, buf.cast(), flags) }
}

/// # Safety
/// As for `fstatat`.
unsafe fn stat_at(fd: c_int, path: *const c_char, buf: *mut libc::stat, flags: c_int) -> c_int {
    let mut shadows = Shadows::new();
    let place = shadows.out(buf, size_of::<libc::stat>());
    // SAFETY: passed on from the caller, but for a shadow in place of the buffer.
    let result = unsafe { libc::syscall(libc::SYS_newfstatat, fd, path, place, flags) };
    if result == 0 {
        // SAFETY: the call is over, and has filled it.
        unsafe { shadows.copy_back() };
    }
    c_int::try_from(result).unwrap_or(-1)
}

/// How many bytes a request writes: most say so themselves; of the old ones, those in wide use.
fn ioctl_len(request: c_ulong) -> usize {
    const READS: c_ulong = 2 << 30;
    match request {
        libc::FIONREAD | libc::TIOCOUTQ | libc::TIOCGPGRP | libc::TIOCGSID | libc::FIOQSIZE => 8,
        libc::TIOCGWINSZ => size_of::<libc::winsize>(),
        libc::TCGETS => 60,
        // Socket requests write an `ifreq`, or less.
        0x8900..=0x89ff => 40,
        request if request & READS != 0 => usize::try_from(request >> 16 & 0x3fff).unwrap_or(0),
        _ => 0,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    let real = real!(ioctl: fn(c_int, c_ulong, *mut c_void) -> c_int);
    let len = if seam::is_engaged() { ioctl_len(request) } else { 0 };
    let mut shadows = Shadows::new();
    let place = match seam::exposure(argument.addr(), len) {
        Exposure::None => argument,
        // SAFETY: the request says that it has this size.
        _ => unsafe { shadows.in_out(argument, len) },
    };
    // SAFETY: passed on from the caller, but for a shadow in place of the argument.
    let result = unsafe { real(fd, request, place) };
    // SAFETY: the call is over.
    unsafe { shadows.copy_back() };
    result
}
