//! Calls by number, and old ways to keep signals away.

use super::more::{are_sevens, sevens};
use super::{Case, worked};
use crate::Cold;
use libc::{c_int, c_long, c_ulong};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

pub(crate) const CASES: &[Case] = &[
    (
        "__sigaction __sigsuspend __sysv_signal ssignal sigset sigignore sigblock sigsetmask \
         sigpause sighold",
        signals,
    ),
    ("syscall", numbers),
];

unsafe extern "C" {
    fn __sigaction(n: c_int, new: *const libc::sigaction, old: *mut libc::sigaction) -> c_int;
    fn __sigsuspend(set: *const libc::sigset_t) -> c_int;
    fn __sysv_signal(n: c_int, handler: libc::sighandler_t) -> libc::sighandler_t;
    fn ssignal(n: c_int, handler: libc::sighandler_t) -> libc::sighandler_t;
    fn sigset(n: c_int, handler: libc::sighandler_t) -> libc::sighandler_t;
    fn sigignore(n: c_int) -> c_int;
    fn sigblock(mask: c_int) -> c_int;
    fn sigsetmask(mask: c_int) -> c_int;
    fn sigpause(mask: c_int) -> c_int;
    fn sighold(n: c_int) -> c_int;
}

/// Nothing keeps SIGSEGV away: after each, a write to protected memory is made.
fn signals(cold: &mut Cold, _: &Path) {
    extern "C" fn nothing(_: c_int) {}
    let handler: extern "C" fn(c_int) = nothing;
    let handler = handler as libc::sighandler_t;
    let place: *mut u8 = cold.at(30);
    let old: *mut libc::sigaction = cold.at(0);
    let (segv, bit) = (libc::SIGSEGV, |signal: c_int| 1 << (signal - 1));
    let before = {
        worked(f!(cold, [old], __sigaction(segv, ptr::null(), old)));
        c!(old.read())
    };
    for set in [__sysv_signal, ssignal, sigset] {
        c!(set(segv, handler));
        f!(cold, [place], place.write(1));
        worked(c!(__sigaction(segv, ptr::null(), old)));
        assert_eq!(c!((*old).sa_sigaction), handler);
    }
    c!(sigset(segv, 2));
    f!(cold, [place], place.write(1));
    worked(c!(sighold(segv)));
    f!(cold, [place], place.write(1));
    worked(c!(sigignore(segv)));
    f!(cold, [place], place.write(1));
    let blocked = c!(sigblock(bit(segv)));
    f!(cold, [place], place.write(1));
    c!(sigsetmask(blocked | bit(segv) | bit(libc::SIGUSR2)));
    f!(cold, [place], place.write(1));
    extern "C" fn writes(_: c_int) {
        let place = PLACE.load(Relaxed);
        c!(place.write(5));
    }
    PLACE.store(place, Relaxed);
    let writes: extern "C" fn(c_int) = writes;
    let mut action: libc::sigaction = c!(std::mem::zeroed());
    action.sa_sigaction = writes as libc::sighandler_t;
    c!(libc::sigfillset(&raw mut action.sa_mask));
    worked(c!(__sigaction(libc::SIGUSR2, &raw const action, ptr::null_mut())));
    let mut all: libc::sigset_t = c!(std::mem::zeroed());
    c!(libc::sigfillset(&raw mut all));
    c!(libc::sigdelset(&raw mut all, libc::SIGUSR2));
    for call in 0..2 {
        c!(libc::raise(libc::SIGUSR2));
        c!(place.write(0));
        match call {
            0 => f!(cold, [place], __sigsuspend(&raw const all)),
            _ => f!(cold, [place], sigpause(bit(segv))),
        };
        assert_eq!(c!(place.read()), 5, "the handler wrote");
    }
    c!(sigsetmask(blocked));
    worked(c!(__sigaction(segv, &raw const before, ptr::null_mut())));
}

static PLACE: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

fn numbers(cold: &mut Cold, folder: &Path) {
    let place = cold.start();
    let got = f!(cold, [place], libc::syscall(libc::SYS_getrandom, place, 100_usize, 0));
    assert_eq!(worked(got), 100);
    let file = sevens(folder, 1000);
    let fd = file.as_raw_fd();
    assert_eq!(worked(f!(cold, [place], libc::syscall(libc::SYS_read, fd, place, 500_usize))), 500);
    are_sevens(place, 500);
    let got = f!(cold, [place], libc::syscall(libc::SYS_pread64, fd, place, 900_usize, 9_i64));
    assert_eq!(worked(got), 900);
    let (from, to) = UnixDatagram::pair().expect("sockets");
    from.send(b"hello").expect("room");
    let (fd, none) = (to.as_raw_fd(), 0_usize);
    let list: *mut libc::pollfd = cold.at(50);
    c!(list.write(libc::pollfd { fd, events: libc::POLLIN, revents: 0 }));
    let got = f!(cold, [list], libc::syscall(libc::SYS_ppoll, list, 1_usize, none, none, 8_usize));
    assert_eq!((worked(got), c!((*list).revents)), (1, libc::POLLIN));
    let poll = worked(c!(libc::epoll_create1(0))) as c_int;
    let mut wanted = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 77 };
    worked(c!(libc::epoll_ctl(poll, libc::EPOLL_CTL_ADD, fd, &raw mut wanted)));
    let found: *mut libc::epoll_event = cold.at(60);
    let number = libc::SYS_epoll_pwait;
    let got = f!(cold, [found], libc::syscall(number, poll, found, 1_usize, 5000, none, 8_usize));
    assert_eq!((worked(got), c!((*found).u64)), (1, 77));
    c!(libc::close(poll));
    let number = libc::SYS_recvfrom;
    let got = f!(cold, [place], libc::syscall(number, fd, place, 100_usize, 0, none, none));
    assert_eq!(worked(got), 5);
    let got: c_long = f!(cold, [place], libc::syscall(libc::SYS_getcwd, place, 4096 as c_ulong));
    assert!(worked(got) > 1);
    assert_eq!(c!(place.read()), b'/');
    assert_eq!(c!(libc::syscall(libc::SYS_fstat, -100_isize, place)), -1, "no such file");
}
