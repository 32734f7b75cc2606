//! The functions of the C library that calls are passed on to.

use crate::os::Real;

/// Declares the functions, and a list of them.
macro_rules! names {
    ($($name:ident)*) => {
        /// Under their own names.
        #[allow(non_upper_case_globals, reason = "they are the names of functions")]
        pub(super) mod reals {
            use crate::os::Real;

            $(
                pub(in crate::runtime::calls::functions) static $name: Real = Real::new(
                    match std::ffi::CStr::from_bytes_with_nul(
                        concat!(stringify!($name), "\0").as_bytes(),
                    ) {
                        Ok(name) => name,
                        Err(_) => panic!("a name without zeros"),
                    },
                );
            )*
        }

        static ALL: &[&Real] = &[$(&reals::$name),*];
    };
}

names! {
    accept accept4 adjtimex bsd_signal capget clock_adjtime clock_getres clock_gettime
    clock_nanosleep copy_file_range epoll_pwait epoll_pwait2 epoll_wait eventfd_read fcntl
    fcntl64 fgetxattr flistxattr fread __fread_chk fread_unlocked __fread_unlocked_chk fstatfs
    fstatfs64 getcpu getcwd getdents64 getdirentries getdirentries64 getentropy getgroups
    getitimer getpeername getrandom getresgid getresuid getrlimit getrlimit64 getrusage
    getsockname getsockopt gettimeofday getxattr ioctl klogctl lgetxattr listxattr llistxattr
    mincore mq_getattr mq_receive mq_setattr mq_timedreceive msgctl msgrcv name_to_handle_at
    nanosleep ntp_adjtime pipe pipe2 poll posix_spawn posix_spawnp ppoll prctl pread pread64
    preadv preadv2 preadv64 preadv64v2 prlimit prlimit64 process_vm_readv pselect
    pthread_attr_setsigmask_np pthread_getaffinity_np pthread_getname_np pthread_sigmask ptrace
    read readlink readlinkat readv recv recvfrom recvmmsg recvmsg res_query res_search res_send
    sched_getaffinity sched_getparam sched_rr_get_interval select semctl sendfile sendfile64
    sendmmsg setitimer setvbuf shmctl sigaction sigaltstack sigblock sighold sigignore signal
    sigpause sigpending sigprocmask sigset sigsetmask sigsuspend sigtimedwait sigwaitinfo
    socketpair splice statfs statfs64 statx syscall sysinfo sysv_signal thrd_sleep time
    timer_create timer_gettime timer_settime timerfd_gettime timerfd_settime times timespec_get
    ttyname_r uname wait wait3 wait4 waitid waitpid
}

/// Finds them all now: later it may be a signal handler that calls one, or a fork whose parent
/// had the loader's lock. It takes some 20 µs in all.
pub(in crate::runtime) fn look_up() {
    for real in ALL {
        real.look_up();
    }
}

/// The C library's function of that name, as a function of that type.
macro_rules! real {
    ($name:ident: fn($($ty:ty),*) -> $ret:ty) => {{
        let address = $crate::runtime::calls::functions::names::reals::$name.address();
        // SAFETY: the function of that name has that type.
        unsafe { std::mem::transmute::<*mut (), unsafe extern "C" fn($($ty),*) -> $ret>(address) }
    }};
}

pub(super) use real;
