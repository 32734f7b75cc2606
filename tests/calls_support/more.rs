//! Functions that are called less often: old names, spawning, tracing.

use super::{Case, path_of, worked};
use crate::Cold;
use libc::{c_char, c_int, c_uint, c_void, iovec, size_t, ssize_t};
use std::fs::File;
use std::mem::size_of;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::ptr;

pub(crate) const CASES: &[Case] = &[
    (
        "__xstat __xstat64 __lxstat __lxstat64 __fxstat __fxstat64 __fxstatat __fxstatat64",
        old_stats,
    ),
    ("fcntl fcntl64 __fcntl", locks),
    ("pread readv", past_the_page_cache),
    ("sendmmsg", sending),
    ("posix_spawn posix_spawnp", spawning),
    ("process_vm_readv", own_memory),
    ("__fread_chk __fread_unlocked_chk setvbuf setbuf setbuffer", streams),
    ("__ppoll_chk __poll __select __pipe __read __pread64 __readlinkat_chk", other_names),
    ("__wait __waitpid __nanosleep __statfs __sched_getparam __gettimeofday", more_names),
    ("pthread_getname_np pthread_getaffinity_np prctl getcpu timespec_get thrd_sleep", threads),
    ("arc4random_buf", random),
    ("klogctl capget adjtimex __adjtimex ntp_adjtime clock_adjtime", system),
    ("mq_getattr mq_setattr semctl", queues),
    ("ptrace", tracing),
    ("getdirentries getdirentries64", folders),
    ("res_query res_search res_send __res_query __res_search __res_send", resolving),
];

type Stat = *mut libc::stat;
type Answer = unsafe extern "C" fn(*const c_char, c_int, c_int, *mut u8, c_int) -> c_int;

unsafe extern "C" {
    fn __xstat(version: c_int, path: *const c_char, buf: Stat) -> c_int;
    fn __xstat64(version: c_int, path: *const c_char, buf: Stat) -> c_int;
    fn __lxstat(version: c_int, path: *const c_char, buf: Stat) -> c_int;
    fn __lxstat64(version: c_int, path: *const c_char, buf: Stat) -> c_int;
    fn __fxstat(version: c_int, fd: c_int, buf: Stat) -> c_int;
    fn __fxstat64(version: c_int, fd: c_int, buf: Stat) -> c_int;
    fn __fxstatat(v: c_int, fd: c_int, path: *const c_char, buf: Stat, flags: c_int) -> c_int;
    fn __fxstatat64(v: c_int, fd: c_int, path: *const c_char, buf: Stat, flags: c_int) -> c_int;
    fn fcntl64(fd: c_int, command: c_int, argument: *mut c_void) -> c_int;
    fn __fcntl(fd: c_int, command: c_int, argument: *mut c_void) -> c_int;
    fn __fread_chk(
        b: *mut c_void,
        room: size_t,
        s: size_t,
        n: size_t,
        f: *mut libc::FILE,
    ) -> size_t;
    fn __fread_unlocked_chk(
        b: *mut c_void,
        room: size_t,
        s: size_t,
        n: size_t,
        f: *mut libc::FILE,
    ) -> size_t;
    fn setbuffer(stream: *mut libc::FILE, buf: *mut c_char, len: size_t);
    fn __ppoll_chk(
        fds: *mut libc::pollfd,
        n: libc::nfds_t,
        limit: *const libc::timespec,
        set: *const libc::sigset_t,
        room: size_t,
    ) -> c_int;
    fn __poll(fds: *mut libc::pollfd, n: libc::nfds_t, limit: c_int) -> c_int;
    fn __select(
        n: c_int,
        reads: *mut libc::fd_set,
        writes: *mut libc::fd_set,
        others: *mut libc::fd_set,
        limit: *mut libc::timeval,
    ) -> c_int;
    fn __pipe(fds: *mut c_int) -> c_int;
    fn __read(fd: c_int, buf: *mut c_void, len: size_t) -> ssize_t;
    fn __pread64(fd: c_int, buf: *mut c_void, len: size_t, at: i64) -> ssize_t;
    fn __readlinkat_chk(
        fd: c_int,
        path: *const c_char,
        buf: *mut c_char,
        len: size_t,
        room: size_t,
    ) -> ssize_t;
    fn __wait(status: *mut c_int) -> libc::pid_t;
    fn __waitpid(pid: libc::pid_t, status: *mut c_int, options: c_int) -> libc::pid_t;
    fn __nanosleep(wanted: *const libc::timespec, left: *mut libc::timespec) -> c_int;
    fn __statfs(path: *const c_char, buf: *mut libc::statfs) -> c_int;
    fn __sched_getparam(pid: libc::pid_t, parameters: *mut libc::sched_param) -> c_int;
    fn __gettimeofday(time: *mut libc::timeval, zone: *mut c_void) -> c_int;
    fn getcpu(processor: *mut c_uint, node: *mut c_uint) -> c_int;
    fn timespec_get(time: *mut libc::timespec, base: c_int) -> c_int;
    fn thrd_sleep(wanted: *const libc::timespec, left: *mut libc::timespec) -> c_int;
    fn arc4random_buf(buf: *mut c_void, len: size_t);
    fn klogctl(kind: c_int, buf: *mut c_char, len: c_int) -> c_int;
    fn capget(header: *mut [u32; 2], data: *mut c_void) -> c_int;
    fn __adjtimex(time: *mut libc::timex) -> c_int;
    fn ntp_adjtime(time: *mut libc::timex) -> c_int;
    fn getdirentries(fd: c_int, buf: *mut c_char, len: size_t, base: *mut i64) -> ssize_t;
    fn getdirentries64(fd: c_int, buf: *mut c_char, len: size_t, base: *mut i64) -> ssize_t;
    fn res_query(n: *const c_char, class: c_int, kind: c_int, a: *mut u8, len: c_int) -> c_int;
    fn res_search(n: *const c_char, class: c_int, kind: c_int, a: *mut u8, len: c_int) -> c_int;
    fn res_send(question: *const u8, n: c_int, answer: *mut u8, len: c_int) -> c_int;
    fn __res_query(n: *const c_char, class: c_int, kind: c_int, a: *mut u8, len: c_int) -> c_int;
    fn __res_search(n: *const c_char, class: c_int, kind: c_int, a: *mut u8, len: c_int) -> c_int;
    fn __res_send(question: *const u8, n: c_int, answer: *mut u8, len: c_int) -> c_int;
}

/// A file of so many bytes, each of which is 7.
pub(super) fn sevens(folder: &Path, len: usize) -> File {
    let path = folder.join("sevens");
    std::fs::write(&path, vec![7; len]).expect("a file");
    File::open(path).expect("the file")
}

#[track_caller]
pub(super) fn are_sevens(memory: *const u8, len: usize) {
    let bytes = c!(std::slice::from_raw_parts(memory, len));
    assert_eq!(bytes.iter().position(|byte| *byte != 7), None, "of {len} bytes");
}

fn old_stats(cold: &mut Cold, folder: &Path) {
    let file = sevens(folder, 77);
    let (path, fd, here) = (path_of(folder, "sevens"), file.as_raw_fd(), libc::AT_FDCWD);
    let (name, place): (_, Stat) = (path.as_ptr(), cold.at(0));
    let check = |result: c_int| {
        worked(result);
        assert_eq!(c!((*place).st_size), 77);
        c!((*place).st_size = 0);
    };
    check(f!(cold, [place], __xstat(1, name, place)));
    check(f!(cold, [place], __xstat64(1, name, place)));
    check(f!(cold, [place], __lxstat(1, name, place)));
    check(f!(cold, [place], __lxstat64(1, name, place)));
    check(f!(cold, [place], __fxstat(1, fd, place)));
    check(f!(cold, [place], __fxstat64(1, fd, place)));
    check(f!(cold, [place], __fxstatat(1, here, name, place, 0)));
    check(f!(cold, [place], __fxstatat64(1, here, name, place, 0)));
}

/// What another process's lock would be told about, were there one.
fn locks(cold: &mut Cold, folder: &Path) {
    drop(sevens(folder, 1));
    let file = File::options().write(true).open(folder.join("sevens")).expect("the file");
    let (fd, lock): (_, *mut libc::flock) = (file.as_raw_fd(), cold.at(0));
    for call in 0..3 {
        c!(lock.write(std::mem::zeroed()));
        c!((*lock).l_type = libc::F_WRLCK as i16);
        worked(match call {
            0 => f!(cold, [lock], libc::fcntl(fd, libc::F_GETLK, lock)),
            1 => f!(cold, [lock], fcntl64(fd, libc::F_OFD_GETLK, lock.cast())),
            _ => f!(cold, [lock], __fcntl(fd, libc::F_GETLK, lock.cast())),
        });
        assert_eq!(c!((*lock).l_type), libc::F_UNLCK as i16);
    }
}

/// Not every file system lets a file be read so.
fn past_the_page_cache(cold: &mut Cold, folder: &Path) {
    use std::os::unix::fs::OpenOptionsExt;
    const LEN: usize = 1 << 20;
    drop(sevens(folder, LEN));
    let mut options = File::options();
    options.read(true).custom_flags(libc::O_DIRECT);
    let Ok(file) = options.open(folder.join("sevens")) else { return };
    let (fd, place) = (file.as_raw_fd(), cold.start());
    for len in [4096, LEN] {
        assert_eq!(worked(f!(cold, [place], libc::pread(fd, place.cast(), len, 0))), len as i64);
        are_sevens(place, len);
        c!(place.write_bytes(0, len));
    }
    let far = place.wrapping_add(2 << 20);
    let part = |place: *mut u8| iovec { iov_base: place.cast(), iov_len: LEN / 2 };
    let parts = [part(place), part(far)];
    let got = f!(cold, [place, far], libc::readv(fd, parts.as_ptr(), 2));
    assert_eq!(worked(got), LEN as i64);
    are_sevens(place, LEN / 2);
    are_sevens(far, LEN / 2);
}

/// The second message is too many: what it says stays as it was.
fn sending(cold: &mut Cold, _: &Path) {
    let (from, to) = UnixDatagram::pair().expect("sockets");
    let mut part = iovec { iov_base: c"hello".as_ptr().cast_mut().cast(), iov_len: 5 };
    let messages: *mut libc::mmsghdr = cold.at(0);
    for index in 0..2 {
        let message = messages.wrapping_add(index);
        c!(message.write(std::mem::zeroed()));
        c!((*message).msg_hdr.msg_iov = &raw mut part);
        c!((*message).msg_hdr.msg_iovlen = 1);
        c!((*message).msg_len = 99);
    }
    let sent = f!(cold, [messages], libc::sendmmsg(from.as_raw_fd(), messages, 1, 0));
    assert_eq!(worked(sent), 1);
    assert_eq!(c!(((*messages).msg_len, (*messages.add(1)).msg_len)), (5, 99));
    to.set_nonblocking(true).expect("a socket");
    assert_eq!(to.recv(&mut [0; 9]).expect("sent once"), 5);
    assert!(to.recv(&mut [0; 9]).is_err(), "and once only");
}

fn spawning(cold: &mut Cold, _: &Path) {
    let pid: *mut libc::pid_t = cold.at(0);
    let arguments = [c"true".as_ptr().cast_mut(), ptr::null_mut()];
    let (arguments, path) = (arguments.as_ptr(), c"/bin/true".as_ptr());
    let (none, no_actions, no_attributes) = (ptr::null(), ptr::null(), ptr::null());
    for call in 0..2 {
        c!(pid.write(0));
        let result = if call == 0 {
            f!(
                cold,
                [pid],
                libc::posix_spawn(pid, path, no_actions, no_attributes, arguments, none)
            )
        } else {
            f!(
                cold,
                [pid],
                libc::posix_spawnp(pid, path, no_actions, no_attributes, arguments, none)
            )
        };
        assert_eq!(result, 0);
        let (child, mut status) = (c!(pid.read()), 0);
        assert_eq!(worked(c!(libc::waitpid(child, &raw mut status, 0))), i64::from(child));
        assert_eq!(status, 0);
    }
}

fn own_memory(cold: &mut Cold, _: &Path) {
    let place = cold.start();
    let second = place.wrapping_add(2 << 20);
    let sevens = vec![7_u8; 300_000];
    let from = iovec { iov_base: sevens.as_ptr().cast_mut().cast(), iov_len: sevens.len() };
    let parts = [
        iovec { iov_base: place.cast(), iov_len: 100_000 },
        iovec { iov_base: second.cast(), iov_len: 200_000 },
    ];
    let (pid, parts) = (c!(libc::getpid()), parts.as_ptr());
    let got =
        f!(cold, [place, second], libc::process_vm_readv(pid, parts, 2, &raw const from, 1, 0));
    assert_eq!(worked(got), 300_000);
    are_sevens(place, 100_000);
    are_sevens(second, 200_000);
}

fn streams(cold: &mut Cold, folder: &Path) {
    drop(sevens(folder, 400_000));
    let (path, place) = (path_of(folder, "sevens"), cold.start());
    let (far, room) = (place.wrapping_add(2 << 20), 2 << 20);
    for call in 0..3 {
        let stream = c!(libc::fopen(path.as_ptr(), c"r".as_ptr()));
        match call {
            0 => assert_eq!(c!(libc::setvbuf(stream, far.cast(), libc::_IOFBF, 5000)), 0),
            1 => c!(setbuffer(stream, far.cast(), 5000)),
            _ => c!(libc::setbuf(stream, far.cast())),
        }
        // The first needs the stream's buffer, the second is large.
        let got = f!(cold, [place, far], __fread_chk(place.cast(), room, 1, 100, stream));
        assert_eq!(got, 100);
        are_sevens(place, 100);
        let got = f!(cold, [far], __fread_unlocked_chk(far.cast(), room, 100, 4000, stream));
        assert_eq!(got, 3999);
        are_sevens(far, 399_900);
        c!(libc::fclose(stream));
    }
}

fn other_names(cold: &mut Cold, folder: &Path) {
    let fds: *mut c_int = cold.at(0);
    worked(f!(cold, [fds], __pipe(fds)));
    let (from, to) = (c!(fds.read()), c!(fds.add(1).read()));
    assert_eq!(worked(c!(libc::write(to, c"x".as_ptr().cast(), 1))), 1);
    let list: *mut libc::pollfd = cold.at(10);
    let limit = libc::timespec { tv_sec: 5, tv_nsec: 0 };
    for call in 0..2 {
        c!(list.write(libc::pollfd { fd: from, events: libc::POLLIN, revents: 0 }));
        let got = match call {
            0 => f!(cold, [list], __poll(list, 1, 5000)),
            _ => f!(cold, [list], __ppoll_chk(list, 1, &raw const limit, ptr::null(), 8)),
        };
        assert_eq!((worked(got), c!((*list).revents)), (1, libc::POLLIN));
    }
    let (reads, none): (*mut libc::fd_set, _) = (cold.at(20), ptr::null_mut());
    let mut left = libc::timeval { tv_sec: 5, tv_usec: 0 };
    c!(libc::FD_ZERO(reads));
    c!(libc::FD_SET(from, reads));
    worked(f!(cold, [reads], __select(from + 1, reads, none, none, &raw mut left)));
    assert!(c!(libc::FD_ISSET(from, reads)));
    let place: *mut u8 = cold.at(50);
    assert_eq!(worked(f!(cold, [place], __read(from, place.cast(), 9))), 1);
    assert_eq!(c!(place.read()), b'x');
    [from, to].into_iter().for_each(|fd| assert_eq!(c!(libc::close(fd)), 0));
    let file = sevens(folder, 10);
    assert_eq!(worked(f!(cold, [place], __pread64(file.as_raw_fd(), place.cast(), 9, 1))), 9);
    are_sevens(place, 9);
    let link = folder.join("another link");
    let _ = std::fs::remove_file(&link);
    std::os::unix::fs::symlink("far away", &link).expect("a link");
    let path = path_of(folder, "another link");
    let (here, name) = (libc::AT_FDCWD, path.as_ptr());
    let got = f!(cold, [place], __readlinkat_chk(here, name, place.cast(), 100, 100));
    assert_eq!(worked(got), 8);
    assert_eq!(c!(std::slice::from_raw_parts(place, 8)), b"far away");
}

fn more_names(cold: &mut Cold, folder: &Path) {
    let status: *mut c_int = cold.at(0);
    for call in 0..2 {
        let child = worked(c!(libc::fork())) as libc::pid_t;
        if child == 0 {
            std::process::exit(7);
        }
        let got = match call {
            0 => f!(cold, [status], __wait(status)),
            _ => f!(cold, [status], __waitpid(child, status, 0)),
        };
        assert_eq!((worked(got), c!(status.read())), (i64::from(child), 7 << 8));
        c!(status.write(0));
    }
    let (left, soon): (*mut libc::timespec, _) =
        (cold.at(1), libc::timespec { tv_sec: 0, tv_nsec: 1000 });
    worked(f!(cold, [left], __nanosleep(&raw const soon, left)));
    let (system, path): (*mut libc::statfs, _) = (cold.at(10), path_of(folder, "."));
    worked(f!(cold, [system], __statfs(path.as_ptr(), system)));
    assert!(c!((*system).f_bsize) > 0);
    let parameters: *mut libc::sched_param = cold.at(20);
    c!((*parameters).sched_priority = 9);
    worked(f!(cold, [parameters], __sched_getparam(0, parameters)));
    assert_eq!(c!((*parameters).sched_priority), 0);
    let time: *mut libc::timeval = cold.at(21);
    worked(f!(cold, [time], __gettimeofday(time, ptr::null_mut())));
    assert!(c!((*time).tv_sec) > 1_500_000_000);
}

fn threads(cold: &mut Cold, _: &Path) {
    let (own, name): (_, *mut c_char) = (c!(libc::pthread_self()), cold.at(0));
    worked(c!(libc::pthread_setname_np(own, c"a name".as_ptr())));
    let is_it = || c!(std::ffi::CStr::from_ptr(name)) == c"a name";
    assert_eq!(f!(cold, [name], libc::pthread_getname_np(own, name, 16)), 0);
    assert!(is_it());
    c!(name.write(0));
    worked(f!(cold, [name], libc::prctl(libc::PR_GET_NAME, name)));
    assert!(is_it());
    let signal: *mut c_int = cold.at(1);
    c!(signal.write(9));
    worked(f!(cold, [signal], libc::prctl(libc::PR_GET_PDEATHSIG, signal)));
    assert_eq!(c!(signal.read()), 0);
    let set: *mut libc::cpu_set_t = cold.at(2);
    let len = size_of::<libc::cpu_set_t>();
    assert_eq!(f!(cold, [set], libc::pthread_getaffinity_np(own, len, set)), 0);
    assert!(c!(libc::CPU_COUNT(&*set)) > 0);
    let (processor, node): (*mut c_uint, *mut c_uint) = (cold.at(40), cold.at(41));
    c!(processor.write(u32::MAX));
    worked(f!(cold, [processor, node], getcpu(processor, node)));
    assert!(c!(processor.read()) < 10_000);
    let time: *mut libc::timespec = cold.at(42);
    assert_eq!(f!(cold, [time], timespec_get(time, 1)), 1);
    assert!(c!((*time).tv_sec) > 1_500_000_000);
    let soon = libc::timespec { tv_sec: 0, tv_nsec: 1000 };
    assert_eq!(f!(cold, [time], thrd_sleep(&raw const soon, time)), 0);
}

fn random(cold: &mut Cold, _: &Path) {
    let place = cold.start();
    f!(cold, [place], arc4random_buf(place.cast(), 100_000));
    let zeros = c!(std::slice::from_raw_parts(place, 100_000)).iter().filter(|b| **b == 0).count();
    assert!(zeros < 1000, "{zeros} zeros");
}

fn system(cold: &mut Cold, _: &Path) {
    let time: *mut libc::timex = cold.at(0);
    for call in 0..4 {
        c!(time.write(std::mem::zeroed()));
        let state = match call {
            0 => f!(cold, [time], libc::adjtimex(time)),
            1 => f!(cold, [time], __adjtimex(time)),
            2 => f!(cold, [time], ntp_adjtime(time)),
            _ => f!(cold, [time], libc::clock_adjtime(libc::CLOCK_REALTIME, time)),
        };
        worked(state);
        assert!(c!((*time).tick) > 0);
    }
    let (header, data): (*mut [u32; 2], *mut [u32; 6]) = (cold.at(10), cold.at(11));
    c!(header.write([0x2008_0522, 0]));
    c!(data.write([9; 6]));
    worked(f!(cold, [header, data], capget(header, data.cast())));
    assert_ne!(c!(data.read()), [9; 6]);
    let text: *mut c_char = cold.at(20);
    let got = f!(cold, [text], klogctl(3, text, 1000));
    let error = std::io::Error::last_os_error().raw_os_error();
    assert!(got >= 0 || error == Some(libc::EPERM) || error == Some(libc::ENOSYS), "{error:?}");
}

fn queues(cold: &mut Cold, _: &Path) {
    let sizes: *mut libc::mq_attr = cold.at(0);
    c!(sizes.write(std::mem::zeroed()));
    c!(((*sizes).mq_maxmsg, (*sizes).mq_msgsize) = (4, 64));
    let name = format!("/stillheap-more-{}\0", std::process::id());
    let (create, mode) = (libc::O_CREAT | libc::O_RDWR, 0o600);
    let queue = c!(libc::mq_open(name.as_ptr().cast(), create, mode, sizes));
    if queue >= 0 {
        c!((*sizes).mq_maxmsg = 0);
        worked(f!(cold, [sizes], libc::mq_getattr(queue, sizes)));
        assert_eq!(c!((*sizes).mq_maxmsg), 4);
        let new: libc::mq_attr = c!(sizes.read());
        c!((*sizes).mq_maxmsg = 0);
        worked(f!(cold, [sizes], libc::mq_setattr(queue, &raw const new, sizes)));
        assert_eq!(c!((*sizes).mq_maxmsg), 4);
        c!(libc::mq_close(queue));
        c!(libc::mq_unlink(name.as_ptr().cast()));
    }
    let set = c!(libc::semget(libc::IPC_PRIVATE, 3, 0o600));
    if set >= 0 {
        let (state, values): (*mut libc::semid_ds, *mut [u16; 4]) = (cold.at(10), cold.at(20));
        worked(f!(cold, [state], libc::semctl(set, 0, libc::IPC_STAT, state)));
        assert_eq!(c!((*state).sem_nsems), 3);
        c!(values.write([9; 4]));
        worked(f!(cold, [values], libc::semctl(set, 0, libc::GETALL, values)));
        assert_eq!(c!(values.read()), [0, 0, 0, 9]);
        worked(c!(libc::semctl(set, 0, libc::IPC_RMID)));
    }
}

/// A child that has stopped itself tells why.
fn tracing(cold: &mut Cold, _: &Path) {
    let none: *mut c_void = ptr::null_mut();
    let child = worked(c!(libc::fork())) as libc::pid_t;
    if child == 0 {
        c!(libc::ptrace(libc::PTRACE_TRACEME, 0, none, none));
        c!(libc::raise(libc::SIGSTOP));
        std::process::exit(0);
    }
    let info: *mut libc::siginfo_t = cold.at(0);
    assert_eq!(worked(c!(libc::waitpid(child, ptr::null_mut(), 0))), i64::from(child));
    worked(f!(cold, [info], libc::ptrace(libc::PTRACE_GETSIGINFO, child, none, info)));
    assert_eq!(c!((*info).si_signo), libc::SIGSTOP);
    worked(c!(libc::kill(child, libc::SIGKILL)));
    worked(c!(libc::waitpid(child, ptr::null_mut(), 0)));
}

fn folders(cold: &mut Cold, folder: &Path) {
    drop(sevens(folder, 1));
    let place: *mut c_char = cold.at(0);
    let base: *mut i64 = place.wrapping_add(2 << 20).cast();
    for call in 0..2 {
        let open = File::open(folder).expect("the folder");
        let got = match call {
            0 => f!(cold, [place, base], getdirentries(open.as_raw_fd(), place, 4000, base)),
            _ => f!(cold, [place, base], getdirentries64(open.as_raw_fd(), place, 4000, base)),
        };
        let bytes = c!(std::slice::from_raw_parts(place.cast::<u8>(), worked(got) as usize));
        assert!(bytes.windows(6).any(|name| name == b"sevens"));
    }
}

/// There need be no network: the questions are wrong ones, and fail at once.
fn resolving(cold: &mut Cold, _: &Path) {
    let (name, answer): (_, *mut u8) = (std::ffi::CString::new("x".repeat(300)), cold.at(0));
    let name = name.expect("no zero");
    for ask in [res_query as Answer, res_search, __res_query, __res_search] {
        assert_eq!(f!(cold, [answer], ask(name.as_ptr(), 1, 1, answer, 500)), -1);
    }
    assert_eq!(f!(cold, [answer], res_send(answer, 0, answer, 4)), -1);
    assert_eq!(f!(cold, [answer], __res_send(answer, 0, answer, 4)), -1);
}
