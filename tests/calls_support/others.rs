//! Time, processes, signals, limits, queues.

use super::{Case, worked};
use crate::Cold;
use libc::{c_char, c_int, c_uint, c_void};
use std::mem::size_of;
use std::path::Path;
use std::ptr;

pub(crate) const CASES: &[Case] = &[
    ("getrandom getentropy", random),
    ("clock_gettime clock_getres gettimeofday time times", clocks),
    ("nanosleep clock_nanosleep", sleeping),
    ("getrusage getrlimit getrlimit64 prlimit prlimit64 uname sysinfo", limits),
    ("wait waitpid wait3 wait4 waitid", children),
    (
        "getgroups __getgroups_chk getresuid getresgid sched_getaffinity sched_getparam \
         sched_rr_get_interval",
        identities,
    ),
    (
        "sigprocmask pthread_sigmask sigpending sigtimedwait sigwaitinfo sigaltstack sigaction \
         signal bsd_signal sysv_signal sigsuspend pthread_attr_setsigmask_np",
        signals,
    ),
    (
        "timer_create timer_gettime timer_settime timerfd_gettime timerfd_settime getitimer \
         setitimer eventfd_read",
        timers,
    ),
    ("msgrcv msgctl shmctl mq_receive mq_timedreceive", queues),
    ("mincore ttyname_r __ttyname_r_chk", odd_ones),
];

unsafe extern "C" {
    fn wait3(status: *mut c_int, options: c_int, usage: *mut libc::rusage) -> libc::pid_t;
    fn bsd_signal(signal: c_int, handler: libc::sighandler_t) -> libc::sighandler_t;
    fn sysv_signal(signal: c_int, handler: libc::sighandler_t) -> libc::sighandler_t;
    fn pthread_attr_setsigmask_np(
        attributes: *mut libc::pthread_attr_t,
        set: *const libc::sigset_t,
    ) -> c_int;
    fn eventfd_read(fd: c_int, value: *mut u64) -> c_int;
    fn __getgroups_chk(count: c_int, list: *mut libc::gid_t, room: usize) -> c_int;
    fn __ttyname_r_chk(fd: c_int, name: *mut c_char, len: usize, room: usize) -> c_int;
    fn getresuid(real: *mut c_uint, effective: *mut c_uint, saved: *mut c_uint) -> c_int;
    fn getresgid(real: *mut c_uint, effective: *mut c_uint, saved: *mut c_uint) -> c_int;
}

fn random(cold: &mut Cold, _: &Path) {
    let place = cold.start();
    for len in [200, 100_000] {
        c!(place.write_bytes(0, len));
        assert_eq!(worked(f!(cold, [place], libc::getrandom(place.cast(), len, 0))), len as i64);
        let zeros = c!(std::slice::from_raw_parts(place, len)).iter().filter(|b| **b == 0).count();
        assert!(zeros < len / 20 + 10, "{zeros} zeros");
    }
    c!(place.write_bytes(0, 200));
    worked(f!(cold, [place], libc::getentropy(place.cast(), 200)));
    assert!(c!(std::slice::from_raw_parts(place, 200)).iter().any(|byte| *byte != 0));
}

fn clocks(cold: &mut Cold, _: &Path) {
    let time: *mut libc::timespec = cold.at(0);
    worked(f!(cold, [time], libc::clock_gettime(libc::CLOCK_REALTIME, time)));
    assert!(c!((*time).tv_sec) > 1_500_000_000);
    worked(f!(cold, [time], libc::clock_getres(libc::CLOCK_REALTIME, time)));
    assert!(c!((*time).tv_nsec) > 0);
    let value: *mut libc::timeval = cold.at(1);
    worked(f!(cold, [value], libc::gettimeofday(value, ptr::null_mut())));
    assert!(c!((*value).tv_sec) > 1_500_000_000);
    let seconds: *mut libc::time_t = cold.at(2);
    assert_eq!(worked(f!(cold, [seconds], libc::time(seconds))), c!(seconds.read()));
    let times: *mut libc::tms = cold.at(3);
    worked(f!(cold, [times], libc::times(times)));
}

/// A sleep that a signal ends early tells what is left.
fn sleeping(cold: &mut Cold, _: &Path) {
    extern "C" fn nothing(_: c_int) {}
    let handler: extern "C" fn(c_int) = nothing;
    let mut action: libc::sigaction = c!(std::mem::zeroed());
    action.sa_sigaction = handler as usize;
    worked(c!(libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut())));
    let (left, long): (*mut libc::timespec, _) =
        (cold.at(0), libc::timespec { tv_sec: 1000, tv_nsec: 0 });
    for call in 0..2 {
        let soon = libc::itimerval {
            // Again and again: the first ones come before the sleep has begun.
            it_interval: libc::timeval { tv_sec: 0, tv_usec: 30_000 },
            it_value: libc::timeval { tv_sec: 0, tv_usec: 30_000 },
        };
        worked(c!(libc::setitimer(libc::ITIMER_REAL, &raw const soon, ptr::null_mut())));
        c!(left.write(libc::timespec { tv_sec: 0, tv_nsec: 0 }));
        let result = match call {
            0 => f!(cold, [left], libc::nanosleep(&raw const long, left)),
            _ => f!(
                cold,
                [left],
                libc::clock_nanosleep(libc::CLOCK_MONOTONIC, 0, &raw const long, left)
            ),
        };
        assert!(result != 0 && c!((*left).tv_sec) > 900, "{result}");
        let never: libc::itimerval = c!(std::mem::zeroed());
        worked(c!(libc::setitimer(libc::ITIMER_REAL, &raw const never, ptr::null_mut())));
    }
}

fn limits(cold: &mut Cold, _: &Path) {
    let usage: *mut libc::rusage = cold.at(0);
    worked(f!(cold, [usage], libc::getrusage(libc::RUSAGE_SELF, usage)));
    assert!(c!((*usage).ru_maxrss) > 0);
    let limit: *mut libc::rlimit = cold.at(10);
    let check = |result: c_int| {
        worked(result);
        assert!(c!((*limit).rlim_max) > 0);
        c!((*limit).rlim_max = 0);
    };
    let (files, none) = (libc::RLIMIT_NOFILE, ptr::null());
    check(f!(cold, [limit], libc::getrlimit(files, limit)));
    check(f!(cold, [limit], libc::getrlimit64(files, limit.cast())));
    check(f!(cold, [limit], libc::prlimit(0, files, none, limit)));
    check(f!(cold, [limit], libc::prlimit64(0, files, ptr::null(), limit.cast())));
    let name: *mut libc::utsname = cold.at(20);
    worked(f!(cold, [name], libc::uname(name)));
    assert_eq!(c!((*name).sysname[0]), b'L'.cast_signed());
    let info: *mut libc::sysinfo = cold.at(40);
    worked(f!(cold, [info], libc::sysinfo(info)));
    assert!(c!((*info).totalram) > 0);
}

fn children(cold: &mut Cold, _: &Path) {
    let (status, usage): (*mut c_int, *mut libc::rusage) = (cold.at(0), cold.at(1));
    for call in 0..5 {
        let child = worked(c!(libc::fork())) as libc::pid_t;
        if child == 0 {
            std::process::exit(7);
        }
        if call == 4 {
            let info: *mut libc::siginfo_t = cold.at(10);
            let id = libc::id_t::try_from(child).expect("a child");
            worked(f!(cold, [info], libc::waitid(libc::P_PID, id, info, libc::WEXITED)));
            assert_eq!(c!((*info).si_status()), 7);
            continue;
        }
        let got = match call {
            0 => f!(cold, [status], libc::wait(status)),
            1 => f!(cold, [status], libc::waitpid(child, status, 0)),
            2 => f!(cold, [status, usage], wait3(status, 0, usage)),
            _ => f!(cold, [status, usage], libc::wait4(child, status, 0, usage)),
        };
        assert_eq!(worked(got), i64::from(child));
        assert_eq!(libc::WEXITSTATUS(c!(status.read())), 7);
        c!(status.write(0));
    }
}

fn identities(cold: &mut Cold, _: &Path) {
    let list: *mut libc::gid_t = cold.at(0);
    let groups = worked(f!(cold, [list], libc::getgroups(100, list)));
    assert_eq!(worked(f!(cold, [list], __getgroups_chk(100, list, 400))), groups);
    let ids: [*mut c_uint; 3] = [cold.at(10), cold.at(11), cold.at(12)];
    worked(f!(cold, [ids[0], ids[1], ids[2]], getresuid(ids[0], ids[1], ids[2])));
    assert_eq!(c!(ids[1].read()), c!(libc::geteuid()));
    worked(f!(cold, [ids[0], ids[1], ids[2]], getresgid(ids[0], ids[1], ids[2])));
    assert_eq!(c!(ids[1].read()), c!(libc::getegid()));
    let set: *mut libc::cpu_set_t = cold.at(20);
    worked(f!(cold, [set], libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set)));
    assert!(c!(libc::CPU_COUNT(&*set)) > 0);
    let parameters: *mut libc::sched_param = cold.at(40);
    worked(f!(cold, [parameters], libc::sched_getparam(0, parameters)));
    let time: *mut libc::timespec = cold.at(41);
    worked(f!(cold, [time], libc::sched_rr_get_interval(0, time)));
}

/// SIGSEGV stays unblocked and ours; whoever asks finds what it has set.
fn signals(cold: &mut Cold, _: &Path) {
    let (all, old): (*mut libc::sigset_t, *mut libc::sigset_t) = (cold.at(0), cold.at(4));
    c!(libc::sigfillset(all));
    for call in 0..2 {
        c!(libc::sigemptyset(old));
        worked(match call {
            0 => f!(cold, [old], libc::sigprocmask(libc::SIG_SETMASK, all, old)),
            _ => f!(cold, [old], libc::pthread_sigmask(libc::SIG_SETMASK, all, old)),
        });
        c!(libc::sigemptyset(all));
        worked(f!(cold, [old], libc::sigprocmask(libc::SIG_BLOCK, all, old)));
        let blocked = |signal| c!(libc::sigismember(old, signal)) == 1;
        assert!(blocked(libc::SIGUSR1) && !blocked(libc::SIGSEGV));
        c!(libc::raise(libc::SIGUSR1));
        let pending: *mut libc::sigset_t = cold.at(8);
        worked(f!(cold, [pending], libc::sigpending(pending)));
        assert_eq!(c!(libc::sigismember(pending, libc::SIGUSR1)), 1);
        let info: *mut libc::siginfo_t = cold.at(12);
        c!(libc::sigfillset(all));
        let limit = libc::timespec { tv_sec: 5, tv_nsec: 0 };
        let got = match call {
            0 => f!(cold, [info], libc::sigtimedwait(all, info, &raw const limit)),
            _ => f!(cold, [info], libc::sigwaitinfo(all, info)),
        };
        assert_eq!((got, c!((*info).si_signo)), (libc::SIGUSR1, libc::SIGUSR1));
        c!(libc::sigemptyset(pending));
        worked(f!(cold, [old], libc::sigprocmask(libc::SIG_SETMASK, pending, old)));
    }
    let stack: *mut libc::stack_t = cold.at(20);
    worked(f!(cold, [stack], libc::sigaltstack(ptr::null(), stack)));
    handlers(cold);
    waiting_for_any(cold);
}

fn handlers(cold: &mut Cold) {
    extern "C" fn nothing(_: c_int) {}
    let handler: extern "C" fn(c_int) = nothing;
    let (new, old): (*mut libc::sigaction, *mut libc::sigaction) = (cold.at(30), cold.at(40));
    c!(new.write(std::mem::zeroed()));
    worked(f!(cold, [old], libc::sigaction(libc::SIGSEGV, ptr::null(), old)));
    let before = c!(old.read());
    c!((*new).sa_sigaction = handler as usize);
    worked(f!(cold, [old], libc::sigaction(libc::SIGSEGV, new, old)));
    worked(f!(cold, [old], libc::sigaction(libc::SIGSEGV, ptr::null(), old)));
    assert_eq!(c!((*old).sa_sigaction), handler as usize);
    for set in [libc::signal, bsd_signal, sysv_signal] {
        assert_eq!(c!(set(libc::SIGSEGV, handler as usize)), handler as usize);
    }
    // Ours is in force all the same: a write to protected memory does not end the process.
    worked(f!(cold, [old], libc::sigaction(libc::SIGSEGV, &raw const before, old)));
}

fn waiting_for_any(cold: &mut Cold) {
    extern "C" fn nothing(_: c_int) {}
    let handler: extern "C" fn(c_int) = nothing;
    let (set, old): (*mut libc::sigset_t, *mut libc::sigset_t) = (cold.at(50), cold.at(54));
    c!(libc::signal(libc::SIGUSR2, handler as usize));
    c!(libc::sigemptyset(set));
    c!(libc::sigaddset(set, libc::SIGUSR2));
    worked(f!(cold, [old], libc::sigprocmask(libc::SIG_BLOCK, set, old)));
    c!(libc::raise(libc::SIGUSR2));
    assert_eq!(c!(libc::sigsuspend(old)), -1);
    worked(c!(libc::sigprocmask(libc::SIG_SETMASK, old, ptr::null_mut())));
    let attributes: *mut libc::pthread_attr_t = cold.at(60);
    assert_eq!(c!(libc::pthread_attr_init(attributes)), 0);
    assert_eq!(c!(pthread_attr_setsigmask_np(attributes, set)), 0);
    assert_eq!(c!(libc::pthread_attr_destroy(attributes)), 0);
}

fn timers(cold: &mut Cold, _: &Path) {
    let timer: *mut libc::timer_t = cold.at(0);
    worked(f!(cold, [timer], libc::timer_create(libc::CLOCK_MONOTONIC, ptr::null_mut(), timer)));
    let timer = c!(timer.read());
    let mut hour: libc::itimerspec = c!(std::mem::zeroed());
    hour.it_value.tv_sec = 3600;
    let value: *mut libc::itimerspec = cold.at(1);
    let check = || {
        let seconds = c!((*value).it_value.tv_sec);
        assert!(seconds == 3599 || seconds == 3600, "{seconds}");
        c!((*value).it_value.tv_sec = 0);
    };
    let none = ptr::null_mut();
    worked(c!(libc::timer_settime(timer, 0, &raw const hour, none)));
    worked(f!(cold, [value], libc::timer_gettime(timer, value)));
    check();
    worked(f!(cold, [value], libc::timer_settime(timer, 0, &raw const hour, value)));
    check();
    worked(c!(libc::timer_delete(timer)));
    let fd = worked(c!(libc::timerfd_create(libc::CLOCK_MONOTONIC, 0))) as c_int;
    worked(c!(libc::timerfd_settime(fd, 0, &raw const hour, none)));
    worked(f!(cold, [value], libc::timerfd_gettime(fd, value)));
    check();
    worked(f!(cold, [value], libc::timerfd_settime(fd, 0, &raw const hour, value)));
    check();
    c!(libc::close(fd));
    let real: *mut libc::itimerval = cold.at(10);
    let mut hour: libc::itimerval = c!(std::mem::zeroed());
    hour.it_value.tv_sec = 3600;
    worked(f!(cold, [real], libc::setitimer(libc::ITIMER_VIRTUAL, &raw const hour, real)));
    worked(f!(cold, [real], libc::getitimer(libc::ITIMER_VIRTUAL, real)));
    assert!(c!((*real).it_value.tv_sec) >= 3599);
    c!(real.write(std::mem::zeroed()));
    let old: *mut libc::itimerval = cold.at(20);
    worked(f!(cold, [old], libc::setitimer(libc::ITIMER_VIRTUAL, real, old)));
    let (fd, count): (_, *mut u64) = (worked(c!(libc::eventfd(5, 0))) as c_int, cold.at(30));
    worked(f!(cold, [count], eventfd_read(fd, count)));
    assert_eq!(c!(count.read()), 5);
    c!(libc::close(fd));
}

fn queues(cold: &mut Cold, _: &Path) {
    let fault = || std::io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT);
    let queue = c!(libc::msgget(libc::IPC_PRIVATE, 0o600));
    let message: *mut [u64; 4] = cold.at(0);
    if queue >= 0 {
        c!(message.write([1, 2, 3, 4]));
        worked(c!(libc::msgsnd(queue, message.cast(), 24, 0)));
        c!(message.write([0; 4]));
        assert_eq!(worked(f!(cold, [message], libc::msgrcv(queue, message.cast(), 24, 0, 0))), 24);
        assert_eq!(c!(message.read()), [1, 2, 3, 4]);
        let state: *mut libc::msqid_ds = cold.at(10);
        worked(f!(cold, [state], libc::msgctl(queue, libc::IPC_STAT, state)));
        worked(c!(libc::msgctl(queue, libc::IPC_RMID, ptr::null_mut())));
    }
    let segment = c!(libc::shmget(libc::IPC_PRIVATE, 4096, 0o600));
    if segment >= 0 {
        let state: *mut libc::shmid_ds = cold.at(20);
        worked(f!(cold, [state], libc::shmctl(segment, libc::IPC_STAT, state)));
        assert_eq!(c!((*state).shm_segsz), 4096);
        worked(c!(libc::shmctl(segment, libc::IPC_RMID, ptr::null_mut())));
    }
    let mut sizes: libc::mq_attr = c!(std::mem::zeroed());
    (sizes.mq_maxmsg, sizes.mq_msgsize) = (4, 64);
    let name = format!("/stillheap-{}\0", std::process::id());
    let (create, mode) = (libc::O_CREAT | libc::O_RDWR, 0o600);
    let queue = c!(libc::mq_open(name.as_ptr().cast(), create, mode, &raw const sizes));
    let text: *mut c_char = cold.at(30);
    let priority: *mut c_uint = cold.at(40);
    let limit = libc::timespec { tv_sec: 4_000_000_000, tv_nsec: 0 };
    for call in 0..2 {
        if queue < 0 {
            assert!(!fault());
            continue;
        }
        worked(c!(libc::mq_send(queue, c"hello".as_ptr(), 5, 9)));
        let got = match call {
            0 => f!(cold, [text, priority], libc::mq_receive(queue, text, 64, priority)),
            _ => f!(
                cold,
                [text, priority],
                libc::mq_timedreceive(queue, text, 64, priority, &raw const limit)
            ),
        };
        assert_eq!((worked(got), c!(priority.read())), (5, 9));
        assert_eq!(c!(std::slice::from_raw_parts(text.cast::<u8>(), 5)), b"hello");
    }
    if queue >= 0 {
        c!(libc::mq_close(queue));
        c!(libc::mq_unlink(name.as_ptr().cast()));
    }
}

fn odd_ones(cold: &mut Cold, _: &Path) {
    let (map, code): (*mut u8, *const c_void) = (cold.at(0), (odd_ones as fn(_, &_)) as _);
    let page = code.map_addr(|address| address & !4095).cast_mut();
    c!(map.write(0));
    worked(f!(cold, [map], libc::mincore(page, 4096, map)));
    assert_eq!(c!(map.read()) & 1, 1, "the page that is being executed");
    let name: *mut c_char = cold.at(10);
    for call in 0..2 {
        let error = match call {
            0 => f!(cold, [name], libc::ttyname_r(0, name, 100)),
            _ => f!(cold, [name], __ttyname_r_chk(0, name, 100, 100)),
        };
        assert_ne!(error, libc::EFAULT);
    }
}
