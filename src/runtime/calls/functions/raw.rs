//! `syscall`: calls by number, through the C library.
//!
//! Numbers whose arguments and results are those of a function that is defined here go there;
//! all others are passed straight on. Among these is `futex`, which is called often, and by this
//! crate, too: it pays a compare, about a nanosecond.
#![allow(unsafe_code, reason = "defines functions of the C library")]

use super::control::{fcntl, prctl};
use super::ioctl::ioctl;
use super::messages::{recvmmsg, recvmsg, sendmmsg};
use super::names::real;
use super::scatter::{preadv, preadv2, process_vm_readv, readv};
use super::stats::{fstat, fstatat};
use super::tables::*;
use super::transfers::{pread64, read, recvfrom};
use crate::runtime::calls::seam;
use crate::runtime::calls::shadow::Shadows;
use libc::{c_long, c_void};
use std::ptr;

/// An argument as a function takes it.
trait Argument {
    fn from_register(register: usize) -> Self;
}

macro_rules! numbers {
    ($($ty:ty)*) => {$(
        impl Argument for $ty {
            #[allow(clippy::cast_possible_truncation, reason = "the kernel ignores the rest, too")]
            #[allow(clippy::cast_possible_wrap, reason = "the same bits")]
            fn from_register(register: usize) -> Self {
                register as Self
            }
        }
    )*};
}

numbers![i32 u32 i64 u64 usize];

impl<T> Argument for *mut T {
    fn from_register(register: usize) -> Self {
        ptr::with_exposed_provenance_mut(register)
    }
}

impl<T> Argument for *const T {
    fn from_register(register: usize) -> Self {
        ptr::with_exposed_provenance(register)
    }
}

/// A result as a call by number gives it.
trait Outcome {
    fn to_long(self) -> c_long;
}

impl Outcome for i32 {
    fn to_long(self) -> c_long {
        self.into()
    }
}

impl Outcome for i64 {
    fn to_long(self) -> c_long {
        self
    }
}

impl Outcome for isize {
    fn to_long(self) -> c_long {
        c_long::try_from(self).unwrap_or(-1)
    }
}

/// Calls functions with as many registers as they have arguments.
macro_rules! routes {
    ($number:ident, $registers:ident { $($call:ident = $sys:ident($($at:tt)*);)* })
    => {
        match $number {
            $(
                libc::$sys => {
                    // SAFETY: passed on from the caller: the function has the call's arguments.
                    let result = unsafe { $call($(Argument::from_register($registers[$at])),*) };
                    Some(result.to_long())
                }
            )*
            _ => None,
        }
    };
}

/// What the call writes, if it is one whose function differs from it: where, and how much.
fn outputs(number: c_long, registers: [usize; 6]) -> [(usize, usize); 2] {
    let none = (0, 0);
    match number {
        // These take a set of 8 bytes, the functions a longer one; what is waited for is an
        // entry of 12 bytes or 16.
        libc::SYS_epoll_pwait | libc::SYS_epoll_pwait2 => {
            let entry = size_of::<libc::epoll_event>();
            [(1, (registers[2] & 0x7fff_ffff).saturating_mul(entry)), none]
        }
        // These write what is left of the time as well.
        libc::SYS_ppoll => {
            let entries = registers[1] & 0x7fff_ffff;
            [(0, entries.saturating_mul(size_of::<libc::pollfd>())), (2, TIMESPEC)]
        }
        libc::SYS_clock_nanosleep => [(3, TIMESPEC), none],
        libc::SYS_waitid => [(2, size_of::<libc::siginfo_t>()), (4, RUSAGE)],
        libc::SYS_getcwd => [(0, registers[1]), none],
        libc::SYS_sched_getaffinity => [(2, registers[1] & 0x7fff_ffff), none],
        libc::SYS_getcpu => [(0, INT), (1, INT)],
        libc::SYS_rt_sigtimedwait => [(1, size_of::<libc::siginfo_t>()), none],
        // Of Linux's own asynchronous reading: what is done.
        libc::SYS_io_getevents => [(3, (registers[2] & 0x7fff_ffff).saturating_mul(32)), none],
        _ => [none, none],
    }
}

/// The result of a call that a function is defined for. `None`: there is none.
///
/// # Safety
/// As for the call.
unsafe fn routed(number: c_long, registers: [usize; 6]) -> Option<c_long> {
    routes! { number, registers {
        read = SYS_read(0 1 2);
        pread64 = SYS_pread64(0 1 2 3);
        readv = SYS_readv(0 1 2);
        preadv = SYS_preadv(0 1 2 3);
        preadv2 = SYS_preadv2(0 1 2 3 5);
        process_vm_readv = SYS_process_vm_readv(0 1 2 3 4 5);
        recvfrom = SYS_recvfrom(0 1 2 3 4 5);
        recvmsg = SYS_recvmsg(0 1 2);
        recvmmsg = SYS_recvmmsg(0 1 2 3 4);
        sendmmsg = SYS_sendmmsg(0 1 2 3);
        getrandom = SYS_getrandom(0 1 2);
        accept = SYS_accept(0 1 2);
        accept4 = SYS_accept4(0 1 2 3);
        getsockname = SYS_getsockname(0 1 2);
        getpeername = SYS_getpeername(0 1 2);
        getsockopt = SYS_getsockopt(0 1 2 3 4);
        socketpair = SYS_socketpair(0 1 2 3);
        pipe2 = SYS_pipe2(0 1);
        wait4 = SYS_wait4(0 1 2 3);
        statx = SYS_statx(0 1 2 3 4);
        fstat = SYS_fstat(0 1);
        fstatat = SYS_newfstatat(0 1 2 3);
        statfs = SYS_statfs(0 1);
        fstatfs = SYS_fstatfs(0 1);
        readlinkat = SYS_readlinkat(0 1 2 3);
        getdents64 = SYS_getdents64(0 1 2);
        sendfile = SYS_sendfile(0 1 2 3);
        copy_file_range = SYS_copy_file_range(0 1 2 3 4 5);
        splice = SYS_splice(0 1 2 3 4 5);
        ioctl = SYS_ioctl(0 1 2);
        fcntl = SYS_fcntl(0 1 2);
        prctl = SYS_prctl(0 1 2 3 4);
        getxattr = SYS_getxattr(0 1 2 3);
        lgetxattr = SYS_lgetxattr(0 1 2 3);
        fgetxattr = SYS_fgetxattr(0 1 2 3);
        listxattr = SYS_listxattr(0 1 2);
        llistxattr = SYS_llistxattr(0 1 2);
        flistxattr = SYS_flistxattr(0 1 2);
        clock_gettime = SYS_clock_gettime(0 1);
        clock_getres = SYS_clock_getres(0 1);
        nanosleep = SYS_nanosleep(0 1);
        getrusage = SYS_getrusage(0 1);
        gettimeofday = SYS_gettimeofday(0 1);
        times = SYS_times(0);
        prlimit64 = SYS_prlimit64(0 1 2 3);
        uname = SYS_uname(0);
        sysinfo = SYS_sysinfo(0);
        getgroups = SYS_getgroups(0 1);
        getresuid = SYS_getresuid(0 1 2);
        getresgid = SYS_getresgid(0 1 2);
        timerfd_gettime = SYS_timerfd_gettime(0 1);
        timerfd_settime = SYS_timerfd_settime(0 1 2 3);
        mincore = SYS_mincore(0 1 2);
    } }
}

#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn syscall(
    number: c_long,
    first: usize,
    second: usize,
    third: usize,
    fourth: usize,
    fifth: usize,
    sixth: usize,
) -> c_long {
    type Words = (usize, usize, usize, usize, usize, usize);
    let real = real!(syscall: fn(c_long, usize, usize, usize, usize, usize, usize) -> c_long);
    let call = |(a, b, c, d, e, f): Words| {
        // SAFETY: passed on from the caller, but for shadows in place of outputs.
        unsafe { real(number, a, b, c, d, e, f) }
    };
    let registers = [first, second, third, fourth, fifth, sixth];
    if !seam::is_engaged() || number == libc::SYS_futex {
        return call((first, second, third, fourth, fifth, sixth));
    }
    // SAFETY: passed on from the caller.
    if let Some(result) = unsafe { routed(number, registers) } {
        return result;
    }
    let outputs = outputs(number, registers);
    if outputs == [(0, 0); 2] {
        return call((first, second, third, fourth, fifth, sixth));
    }
    let (mut shadows, mut given) = (Shadows::new(), registers);
    for (at, len) in outputs {
        let user: *mut c_void = ptr::with_exposed_provenance_mut(registers[at]);
        if len > 0 {
            // SAFETY: the call writes so much there.
            given[at] = unsafe { shadows.in_out(user, len) }.expose_provenance();
        }
    }
    let result = call((given[0], given[1], given[2], given[3], given[4], given[5]));
    // SAFETY: the call is over.
    unsafe { shadows.copy_back() };
    result
}
