//! Functions whose outputs have a size that the arguments tell: one line each.
//!
//! `{ a: n }` says that the kernel reads and writes `n` bytes at `a`; `filled` functions write
//! as many bytes of one buffer as they return, times a unit.
#![allow(unsafe_code, reason = "defines functions of the C library")]

use super::names::real;
use crate::runtime::calls::seam;
use crate::runtime::calls::shadow::Shadows;
use libc::{c_char, c_int, c_long, c_uint, c_void, size_t, socklen_t, ssize_t};
use std::mem::size_of;

/// Defines functions with outputs of known sizes.
macro_rules! fixed {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $ret:ty { $($out:ident: $len:expr),* })*) => {$(
        #[cfg_attr(not(miri), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name($($arg: $ty),*) -> $ret {
            let real = real!($name: fn($($ty),*) -> $ret);
            if !seam::is_engaged() {
                // SAFETY: passed on from the caller.
                return unsafe { real($($arg),*) };
            }
            let mut shadows = Shadows::new();
            $(
                // SAFETY: the caller's outputs have the size that the function says.
                let $out = unsafe { shadows.in_out($out, $len) };
            )*
            // SAFETY: passed on from the caller, but for shadows in place of outputs.
            let result = unsafe { real($($arg),*) };
            // SAFETY: the call is over; outputs are as said.
            unsafe { shadows.copy_back() };
            result
        }
    )*};
}

pub(super) use fixed;

/// Defines functions that fill a buffer, and return how much of it they have filled.
macro_rules! filled {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $ret:ty { $out:ident: $len:expr, unit $unit:expr })*)
    => {$(
        #[cfg_attr(not(miri), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name($($arg: $ty),*) -> $ret {
            let real = real!($name: fn($($ty),*) -> $ret);
            if !seam::is_engaged() {
                // SAFETY: passed on from the caller.
                return unsafe { real($($arg),*) };
            }
            let (mut shadows, user) = (Shadows::new(), $out);
            let $out = shadows.out($out, $len);
            // SAFETY: passed on from the caller, but for a shadow in place of the buffer.
            let result = unsafe { real($($arg),*) };
            let units = usize::try_from(result).unwrap_or(0);
            // SAFETY: the call is over; so much of the buffer has been filled.
            unsafe { shadows.copy_back_of(user, units * $unit) };
            result
        }
    )*};
}

pub(super) const TIMESPEC: usize = size_of::<libc::timespec>();
pub(super) const RUSAGE: usize = size_of::<libc::rusage>();
const TIMEX: usize = size_of::<libc::timex>();
const SIGSET: usize = 8;
pub(super) const INT: usize = size_of::<c_int>();

/// No address is longer: the kernel writes no more.
pub(super) const ADDRESS_MAX: usize = size_of::<libc::sockaddr_storage>();

/// The bytes of an output whose length is at `len`, an argument of the C function's. What the
/// kernel refuses counts as none.
fn length_at(len: *const socklen_t) -> usize {
    // SAFETY: the C function's rules say that it is null or points to a length.
    let len = if len.is_null() { 0 } else { unsafe { len.read() } };
    c_int::try_from(len).map_or(0, |len| usize::try_from(len).unwrap_or(0))
}

/// The same for an address.
pub(super) fn address_len(len: *const socklen_t) -> usize {
    length_at(len).min(ADDRESS_MAX)
}

/// The same for an option's value. A socket's filter has a length in instructions of 8 bytes.
fn option_len(level: c_int, name: c_int, len: *const socklen_t) -> usize {
    const GET_FILTER: c_int = libc::SO_ATTACH_FILTER;
    let unit = if (level, name) == (libc::SOL_SOCKET, GET_FILTER) { 8 } else { 1 };
    length_at(len) * unit
}

/// `name_to_handle_at` is to give a mount's number of 8 bytes.
const LONG_MOUNT: c_int = 1;

/// The bytes of a file handle, which begins with the length of its last part.
fn handle_len(handle: *const c_void) -> usize {
    // SAFETY: as above.
    if handle.is_null() { 0 } else { 8 + unsafe { handle.cast::<u32>().read() } as usize }
}

fixed! {
    statx(fd: c_int, path: *const c_char, flags: c_int, mask: c_uint, buf: *mut libc::statx)
        -> c_int { buf: size_of::<libc::statx>() }
    statfs(path: *const c_char, buf: *mut libc::statfs) -> c_int { buf: size_of::<libc::statfs>() }
    fstatfs(fd: c_int, buf: *mut libc::statfs) -> c_int { buf: size_of::<libc::statfs>() }
    statfs64(path: *const c_char, buf: *mut libc::statfs64) -> c_int
        { buf: size_of::<libc::statfs64>() }
    fstatfs64(fd: c_int, buf: *mut libc::statfs64) -> c_int { buf: size_of::<libc::statfs64>() }
    pipe(fds: *mut c_int) -> c_int { fds: 2 * INT }
    pipe2(fds: *mut c_int, flags: c_int) -> c_int { fds: 2 * INT }
    socketpair(domain: c_int, kind: c_int, protocol: c_int, fds: *mut c_int) -> c_int
        { fds: 2 * INT }
    accept(fd: c_int, address: *mut libc::sockaddr, len: *mut socklen_t) -> c_int
        { address: address_len(len), len: INT }
    accept4(fd: c_int, address: *mut libc::sockaddr, len: *mut socklen_t, flags: c_int) -> c_int
        { address: address_len(len), len: INT }
    getsockname(fd: c_int, address: *mut libc::sockaddr, len: *mut socklen_t) -> c_int
        { address: address_len(len), len: INT }
    getpeername(fd: c_int, address: *mut libc::sockaddr, len: *mut socklen_t) -> c_int
        { address: address_len(len), len: INT }
    getsockopt(fd: c_int, level: c_int, name: c_int, value: *mut c_void, len: *mut socklen_t)
        -> c_int { value: option_len(level, name, len), len: INT }
    wait(status: *mut c_int) -> libc::pid_t { status: INT }
    waitpid(pid: libc::pid_t, status: *mut c_int, options: c_int) -> libc::pid_t { status: INT }
    wait3(status: *mut c_int, options: c_int, usage: *mut libc::rusage) -> libc::pid_t
        { status: INT, usage: RUSAGE }
    wait4(pid: libc::pid_t, status: *mut c_int, options: c_int, usage: *mut libc::rusage)
        -> libc::pid_t { status: INT, usage: RUSAGE }
    waitid(kind: libc::idtype_t, id: libc::id_t, info: *mut libc::siginfo_t, options: c_int)
        -> c_int { info: size_of::<libc::siginfo_t>() }
    clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int { time: TIMESPEC }
    clock_getres(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int { time: TIMESPEC }
    clock_nanosleep(
        clock: libc::clockid_t, flags: c_int, wanted: *const libc::timespec,
        left: *mut libc::timespec
    ) -> c_int { left: TIMESPEC }
    nanosleep(wanted: *const libc::timespec, left: *mut libc::timespec) -> c_int { left: TIMESPEC }
    gettimeofday(time: *mut libc::timeval, zone: *mut c_void) -> c_int
        { time: size_of::<libc::timeval>(), zone: 8 }
    time(time: *mut libc::time_t) -> libc::time_t { time: size_of::<libc::time_t>() }
    times(times: *mut libc::tms) -> libc::clock_t { times: size_of::<libc::tms>() }
    getrusage(who: c_int, usage: *mut libc::rusage) -> c_int { usage: RUSAGE }
    getrlimit(resource: c_uint, limit: *mut libc::rlimit) -> c_int { limit: 16 }
    getrlimit64(resource: c_uint, limit: *mut libc::rlimit64) -> c_int { limit: 16 }
    prlimit(
        pid: libc::pid_t, resource: c_uint, new: *const libc::rlimit, old: *mut libc::rlimit
    ) -> c_int { old: 16 }
    prlimit64(
        pid: libc::pid_t, resource: c_uint, new: *const libc::rlimit64, old: *mut libc::rlimit64
    ) -> c_int { old: 16 }
    uname(name: *mut libc::utsname) -> c_int { name: size_of::<libc::utsname>() }
    sysinfo(info: *mut libc::sysinfo) -> c_int { info: size_of::<libc::sysinfo>() }
    getgroups(count: c_int, list: *mut libc::gid_t) -> c_int
        { list: usize::try_from(count).unwrap_or(0) * 4 }
    getresuid(real_id: *mut c_uint, effective: *mut c_uint, saved: *mut c_uint) -> c_int
        { real_id: 4, effective: 4, saved: 4 }
    getresgid(real_id: *mut c_uint, effective: *mut c_uint, saved: *mut c_uint) -> c_int
        { real_id: 4, effective: 4, saved: 4 }
    sched_getaffinity(pid: libc::pid_t, len: size_t, set: *mut libc::cpu_set_t) -> c_int
        { set: len }
    sched_getparam(pid: libc::pid_t, parameters: *mut libc::sched_param) -> c_int
        { parameters: size_of::<libc::sched_param>() }
    sched_rr_get_interval(pid: libc::pid_t, time: *mut libc::timespec) -> c_int { time: TIMESPEC }
    sigpending(set: *mut libc::sigset_t) -> c_int { set: SIGSET }
    sigtimedwait(
        set: *const libc::sigset_t, info: *mut libc::siginfo_t, limit: *const libc::timespec
    ) -> c_int { info: size_of::<libc::siginfo_t>() }
    sigwaitinfo(set: *const libc::sigset_t, info: *mut libc::siginfo_t) -> c_int
        { info: size_of::<libc::siginfo_t>() }
    timer_create(clock: libc::clockid_t, event: *mut libc::sigevent, timer: *mut libc::timer_t)
        -> c_int { timer: size_of::<libc::timer_t>() }
    timer_gettime(timer: libc::timer_t, value: *mut libc::itimerspec) -> c_int
        { value: 2 * TIMESPEC }
    timer_settime(
        timer: libc::timer_t, flags: c_int, new: *const libc::itimerspec, old: *mut libc::itimerspec
    ) -> c_int { old: 2 * TIMESPEC }
    timerfd_gettime(fd: c_int, value: *mut libc::itimerspec) -> c_int { value: 2 * TIMESPEC }
    timerfd_settime(
        fd: c_int, flags: c_int, new: *const libc::itimerspec, old: *mut libc::itimerspec
    ) -> c_int { old: 2 * TIMESPEC }
    getitimer(which: c_int, value: *mut libc::itimerval) -> c_int
        { value: size_of::<libc::itimerval>() }
    setitimer(which: c_int, new: *const libc::itimerval, old: *mut libc::itimerval) -> c_int
        { old: size_of::<libc::itimerval>() }
    sendfile(out: c_int, from: c_int, offset: *mut libc::off_t, count: size_t) -> ssize_t
        { offset: 8 }
    sendfile64(out: c_int, from: c_int, offset: *mut libc::off64_t, count: size_t) -> ssize_t
        { offset: 8 }
    copy_file_range(
        from: c_int, at: *mut libc::off64_t, to: c_int, place: *mut libc::off64_t, len: size_t,
        flags: c_uint
    ) -> ssize_t { at: 8, place: 8 }
    splice(
        from: c_int, at: *mut libc::loff_t, to: c_int, place: *mut libc::loff_t, len: size_t,
        flags: c_uint
    ) -> ssize_t { at: 8, place: 8 }
    eventfd_read(fd: c_int, value: *mut u64) -> c_int { value: 8 }
    mincore(start: *mut c_void, len: size_t, map: *mut u8) -> c_int
        { map: len.div_ceil(crate::base::PAGE_SIZE) }
    sigaltstack(new: *const libc::stack_t, old: *mut libc::stack_t) -> c_int
        { old: size_of::<libc::stack_t>() }
    ttyname_r(fd: c_int, name: *mut c_char, len: size_t) -> c_int { name: len }
    getentropy(buf: *mut c_void, len: size_t) -> c_int { buf: len }
    name_to_handle_at(
        fd: c_int, path: *const c_char, handle: *mut c_void, mount: *mut c_int, flags: c_int
    ) -> c_int { handle: handle_len(handle), mount: if flags & LONG_MOUNT == 0 { INT } else { 8 } }
    select(
        count: c_int, reads: *mut libc::fd_set, writes: *mut libc::fd_set,
        others: *mut libc::fd_set, limit: *mut libc::timeval
    ) -> c_int {
        reads: bits(count), writes: bits(count), others: bits(count),
        limit: size_of::<libc::timeval>()
    }
    msgrcv(queue: c_int, message: *mut c_void, len: size_t, kind: c_long, flags: c_int) -> ssize_t
        { message: len + 8 }
    mq_receive(queue: c_int, message: *mut c_char, len: size_t, priority: *mut c_uint) -> ssize_t
        { message: len, priority: 4 }
    mq_timedreceive(
        queue: c_int, message: *mut c_char, len: size_t, priority: *mut c_uint,
        limit: *const libc::timespec
    ) -> ssize_t { message: len, priority: 4 }
    mq_getattr(queue: libc::mqd_t, attributes: *mut libc::mq_attr) -> c_int
        { attributes: size_of::<libc::mq_attr>() }
    mq_setattr(queue: libc::mqd_t, new: *const libc::mq_attr, old: *mut libc::mq_attr) -> c_int
        { old: size_of::<libc::mq_attr>() }
    pthread_getname_np(thread: libc::pthread_t, name: *mut c_char, len: size_t) -> c_int
        { name: len }
    pthread_getaffinity_np(thread: libc::pthread_t, len: size_t, set: *mut libc::cpu_set_t)
        -> c_int { set: len }
    adjtimex(time: *mut libc::timex) -> c_int { time: TIMEX }
    ntp_adjtime(time: *mut libc::timex) -> c_int { time: TIMEX }
    clock_adjtime(clock: libc::clockid_t, time: *mut libc::timex) -> c_int { time: TIMEX }
    timespec_get(time: *mut libc::timespec, base: c_int) -> c_int { time: TIMESPEC }
    thrd_sleep(wanted: *const libc::timespec, left: *mut libc::timespec) -> c_int
        { left: TIMESPEC }
    getcpu(processor: *mut c_uint, node: *mut c_uint) -> c_int { processor: INT, node: INT }
    getdirentries(fd: c_int, buf: *mut c_char, len: size_t, base: *mut libc::off_t) -> ssize_t
        { buf: len, base: 8 }
    getdirentries64(fd: c_int, buf: *mut c_char, len: size_t, base: *mut libc::off64_t) -> ssize_t
        { buf: len, base: 8 }
}

filled! {
    getrandom(buf: *mut c_void, len: size_t, flags: c_uint) -> ssize_t { buf: len, unit 1 }
    readlink(path: *const c_char, buf: *mut c_char, len: size_t) -> ssize_t { buf: len, unit 1 }
    readlinkat(fd: c_int, path: *const c_char, buf: *mut c_char, len: size_t) -> ssize_t
        { buf: len, unit 1 }
    getdents64(fd: c_int, buf: *mut c_void, len: size_t) -> ssize_t { buf: len, unit 1 }
    getxattr(path: *const c_char, name: *const c_char, buf: *mut c_void, len: size_t) -> ssize_t
        { buf: len, unit 1 }
    lgetxattr(path: *const c_char, name: *const c_char, buf: *mut c_void, len: size_t) -> ssize_t
        { buf: len, unit 1 }
    fgetxattr(fd: c_int, name: *const c_char, buf: *mut c_void, len: size_t) -> ssize_t
        { buf: len, unit 1 }
    listxattr(path: *const c_char, buf: *mut c_char, len: size_t) -> ssize_t { buf: len, unit 1 }
    llistxattr(path: *const c_char, buf: *mut c_char, len: size_t) -> ssize_t { buf: len, unit 1 }
    flistxattr(fd: c_int, buf: *mut c_char, len: size_t) -> ssize_t { buf: len, unit 1 }
    res_query(name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, len: c_int) -> c_int
        { answer: usize::try_from(len).unwrap_or(0), unit 1 }
    res_search(name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, len: c_int) -> c_int
        { answer: usize::try_from(len).unwrap_or(0), unit 1 }
    res_send(question: *const u8, question_len: c_int, answer: *mut u8, len: c_int) -> c_int
        { answer: usize::try_from(len).unwrap_or(0), unit 1 }
    epoll_wait(fd: c_int, events: *mut libc::epoll_event, most: c_int, timeout: c_int) -> c_int
        { events: usize::try_from(most).unwrap_or(0) * EVENT, unit EVENT }
}

const EVENT: usize = size_of::<libc::epoll_event>();

/// Bytes of a set of file descriptors of which so many are looked at.
pub(super) fn bits(count: c_int) -> usize {
    usize::try_from(count).unwrap_or(0).div_ceil(64) * 8
}
