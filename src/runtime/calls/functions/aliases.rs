//! Other names of functions that are defined elsewhere: what C code calls when it was built with
//! `_FORTIFY_SOURCE`, and names with underscores that the C library has always had.
#![allow(unsafe_code, reason = "defines functions of the C library")]

use super::control::fcntl;
use super::handlers::{sigaction, signal, sysv_signal};
use super::oddities::getcwd;
use super::polls::poll;
use super::signals::sigsuspend;
use super::tables::{
    adjtimex, getgroups, gettimeofday, nanosleep, pipe, readlink, readlinkat, res_query,
    res_search, res_send, sched_getparam, select, statfs, ttyname_r, wait, waitpid,
};
use super::transfers::{pread, pread64, read, recv, recvfrom};
use libc::{
    c_char, c_int, c_void, off_t, off64_t, sighandler_t, size_t, sockaddr, socklen_t, ssize_t,
};

/// Defines other names, with their arguments as they pass them on.
macro_rules! aliases {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $ret:ty = $plain:ident($($pass:ident),*);)*) => {$(
        #[cfg_attr(not(miri), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name($($arg: $ty),*) -> $ret {
            // SAFETY: passed on from the caller.
            unsafe { $plain($($pass),*) }
        }
    )*};
}

aliases! {
    __read_chk(fd: c_int, buf: *mut c_void, len: size_t, _room: size_t) -> ssize_t
        = read(fd, buf, len);
    __pread_chk(fd: c_int, buf: *mut c_void, len: size_t, at: off_t, _room: size_t) -> ssize_t
        = pread(fd, buf, len, at);
    __pread64_chk(fd: c_int, buf: *mut c_void, len: size_t, at: off64_t, _room: size_t) -> ssize_t
        = pread64(fd, buf, len, at);
    __recv_chk(fd: c_int, buf: *mut c_void, len: size_t, _room: size_t, flags: c_int) -> ssize_t
        = recv(fd, buf, len, flags);
    __recvfrom_chk(
        fd: c_int, buf: *mut c_void, len: size_t, _room: size_t, flags: c_int,
        address: *mut sockaddr, address_len: *mut socklen_t
    ) -> ssize_t = recvfrom(fd, buf, len, flags, address, address_len);
    __readlink_chk(path: *const c_char, buf: *mut c_char, len: size_t, _room: size_t) -> ssize_t
        = readlink(path, buf, len);
    __readlinkat_chk(
        fd: c_int, path: *const c_char, buf: *mut c_char, len: size_t, _room: size_t
    ) -> ssize_t = readlinkat(fd, path, buf, len);
    __getcwd_chk(buf: *mut c_char, len: size_t, _room: size_t) -> *mut c_char = getcwd(buf, len);
    __ttyname_r_chk(fd: c_int, name: *mut c_char, len: size_t, _room: size_t) -> c_int
        = ttyname_r(fd, name, len);
    __getgroups_chk(count: c_int, list: *mut libc::gid_t, _room: size_t) -> c_int
        = getgroups(count, list);
    __read(fd: c_int, buf: *mut c_void, len: size_t) -> ssize_t = read(fd, buf, len);
    __pread64(fd: c_int, buf: *mut c_void, len: size_t, at: off64_t) -> ssize_t
        = pread64(fd, buf, len, at);
    __poll(fds: *mut libc::pollfd, count: libc::nfds_t, limit: c_int) -> c_int
        = poll(fds, count, limit);
    __select(
        count: c_int, reads: *mut libc::fd_set, writes: *mut libc::fd_set,
        others: *mut libc::fd_set, limit: *mut libc::timeval
    ) -> c_int = select(count, reads, writes, others, limit);
    __pipe(fds: *mut c_int) -> c_int = pipe(fds);
    __nanosleep(wanted: *const libc::timespec, left: *mut libc::timespec) -> c_int
        = nanosleep(wanted, left);
    __wait(status: *mut c_int) -> libc::pid_t = wait(status);
    __waitpid(pid: libc::pid_t, status: *mut c_int, options: c_int) -> libc::pid_t
        = waitpid(pid, status, options);
    __fcntl(fd: c_int, command: c_int, argument: *mut c_void) -> c_int
        = fcntl(fd, command, argument);
    __statfs(path: *const c_char, buf: *mut libc::statfs) -> c_int = statfs(path, buf);
    __adjtimex(time: *mut libc::timex) -> c_int = adjtimex(time);
    __sched_getparam(pid: libc::pid_t, parameters: *mut libc::sched_param) -> c_int
        = sched_getparam(pid, parameters);
    __gettimeofday(time: *mut libc::timeval, zone: *mut c_void) -> c_int
        = gettimeofday(time, zone);
    __sigaction(signal: c_int, new: *const libc::sigaction, old: *mut libc::sigaction) -> c_int
        = sigaction(signal, new, old);
    __sigsuspend(set: *const libc::sigset_t) -> c_int = sigsuspend(set);
    __sysv_signal(number: c_int, handler: sighandler_t) -> sighandler_t
        = sysv_signal(number, handler);
    ssignal(number: c_int, handler: sighandler_t) -> sighandler_t = signal(number, handler);
    __res_query(
        name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, len: c_int
    ) -> c_int = res_query(name, class, kind, answer, len);
    __res_search(
        name: *const c_char, class: c_int, kind: c_int, answer: *mut u8, len: c_int
    ) -> c_int = res_search(name, class, kind, answer, len);
    __res_send(question: *const u8, question_len: c_int, answer: *mut u8, len: c_int) -> c_int
        = res_send(question, question_len, answer, len);
}
