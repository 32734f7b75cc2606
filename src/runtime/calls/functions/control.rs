//! Functions of many commands: how much one writes, and where, depends on the command.
#![allow(unsafe_code, reason = "defines functions of the C library")]

use super::names::real;
use super::tables::{INT, fixed};
use crate::runtime::calls::seam;
use crate::runtime::calls::shadow::Shadows;
use libc::{c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::mem::size_of;
use std::ptr;

fixed! {
    fcntl(fd: c_int, command: c_int, argument: *mut c_void) -> c_int
        { argument: fcntl_len(command) }
    fcntl64(fd: c_int, command: c_int, argument: *mut c_void) -> c_int
        { argument: fcntl_len(command) }
    msgctl(queue: c_int, command: c_int, buf: *mut c_void) -> c_int { buf: msgctl_len(command) }
    shmctl(segment: c_int, command: c_int, buf: *mut c_void) -> c_int { buf: shmctl_len(command) }
    semctl(set: c_int, number: c_int, command: c_int, argument: *mut c_void) -> c_int
        { argument: semctl_len(set, command) }
    prctl(
        option: c_int, argument: *mut c_void, second: c_ulong, third: c_ulong, fourth: c_ulong
    ) -> c_int { argument: prctl_len(option, second) }
    ptrace(request: c_uint, pid: libc::pid_t, address: *mut c_void, data: *mut c_void) -> c_long
        { data: ptrace_len(request) }
    klogctl(kind: c_int, buf: *mut c_char, len: c_int) -> c_int { buf: klogctl_len(kind, len) }
}

fn fcntl_len(command: c_int) -> usize {
    match command {
        libc::F_GETLK | libc::F_OFD_GETLK => size_of::<libc::flock>(),
        // F_GETOWN_EX, F_GET_RW_HINT, F_GET_FILE_RW_HINT.
        16 | 1035 | 1037 => 8,
        _ => 0,
    }
}

fn msgctl_len(command: c_int) -> usize {
    match command {
        // And MSG_STAT, MSG_STAT_ANY.
        libc::IPC_STAT | 11 | 13 => size_of::<libc::msqid_ds>(),
        // And MSG_INFO.
        libc::IPC_INFO | 12 => 32,
        _ => 0,
    }
}

fn shmctl_len(command: c_int) -> usize {
    match command {
        // And SHM_STAT, SHM_STAT_ANY.
        libc::IPC_STAT | 13 | 15 => size_of::<libc::shmid_ds>(),
        libc::IPC_INFO => 72,
        // SHM_INFO.
        14 => 48,
        _ => 0,
    }
}

fn semctl_len(set: c_int, command: c_int) -> usize {
    match command {
        // And SEM_STAT, SEM_STAT_ANY.
        libc::IPC_STAT | 18 | 20 => size_of::<libc::semid_ds>(),
        // And SEM_INFO.
        libc::IPC_INFO | 19 => 40,
        libc::GETALL => values_in(set) * 2,
        _ => 0,
    }
}

/// How many semaphores a set has; 0: the call will fail.
fn values_in(set: c_int) -> usize {
    let real = real!(semctl: fn(c_int, c_int, c_int, *mut c_void) -> c_int);
    // SAFETY: all zero is one of these.
    let mut state: libc::semid_ds = unsafe { std::mem::zeroed() };
    // SAFETY: writes one of these, on this stack.
    match unsafe { real(set, 0, libc::IPC_STAT, (&raw mut state).cast()) } {
        0 => usize::try_from(state.sem_nsems).unwrap_or(0),
        _ => 0,
    }
}

fn prctl_len(option: c_int, second: c_ulong) -> usize {
    const GET_AUXILIARY: c_int = 0x4155_5856;
    match option {
        libc::PR_GET_NAME => 16,
        libc::PR_GET_PDEATHSIG
        | libc::PR_GET_UNALIGN
        | libc::PR_GET_FPEMU
        | libc::PR_GET_FPEXC
        | libc::PR_GET_ENDIAN
        | libc::PR_GET_TSC
        | libc::PR_GET_CHILD_SUBREAPER => INT,
        libc::PR_GET_TID_ADDRESS => 8,
        GET_AUXILIARY => usize::try_from(second).unwrap_or(0),
        _ => 0,
    }
}

fn ptrace_len(request: c_uint) -> usize {
    match request {
        // GETREGS and GETFPREGS, where there are such.
        12 => 216,
        14 => 512,
        // GETEVENTMSG, GETSIGINFO.
        0x4201 => 8,
        0x4202 => 128,
        _ => 0,
    }
}

fn klogctl_len(kind: c_int, len: c_int) -> usize {
    if matches!(kind, 2..=4) { usize::try_from(len).unwrap_or(0) } else { 0 }
}

/// The header says which version of it this is, and so how much is behind `data`.
#[cfg_attr(not(miri), unsafe(no_mangle))]
pub unsafe extern "C" fn capget(header: *mut [u32; 2], data: *mut c_void) -> c_int {
    const FIRST_VERSION: u32 = 0x1998_0330;
    let real = real!(capget: fn(*mut [u32; 2], *mut c_void) -> c_int);
    // SAFETY: the caller's header, if there is one.
    let [version, _] = if header.is_null() { [0; 2] } else { unsafe { header.read() } };
    let mut shadows = Shadows::new();
    // SAFETY: the caller's header.
    let own = unsafe { shadows.in_out(header, 8) };
    let len = if version == FIRST_VERSION { 12 } else { 24 };
    // SAFETY: the caller's data, as long as that version's.
    let place = unsafe { shadows.in_out(data, len) };
    // SAFETY: passed on from the caller, but for shadows in place of outputs.
    let result = unsafe { real(own, place) };
    // SAFETY: the call is over.
    unsafe { shadows.copy_back() };
    result
}

/// The C library writes the child's number with all signals blocked: a fault would end the
/// process.
macro_rules! spawns {
    ($($name:ident)*) => {$(
        #[cfg_attr(not(miri), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name(
            pid: *mut libc::pid_t,
            path: *const c_char,
            actions: *const libc::posix_spawn_file_actions_t,
            attributes: *const libc::posix_spawnattr_t,
            arguments: *const *mut c_char,
            environment: *const *mut c_char,
        ) -> c_int {
            let real = real!($name: fn(*mut libc::pid_t, *const c_char,
                *const libc::posix_spawn_file_actions_t, *const libc::posix_spawnattr_t,
                *const *mut c_char, *const *mut c_char) -> c_int);
            let mut child = 0;
            let place = if pid.is_null() { ptr::null_mut() } else { &raw mut child };
            // SAFETY: passed on from the caller, but for the output.
            let result = unsafe { real(place, path, actions, attributes, arguments, environment) };
            if result == 0 && !pid.is_null() {
                // SAFETY: the caller's place for it.
                unsafe { pid.write(child) };
            }
            result
        }
    )*};
}

spawns! { posix_spawn posix_spawnp }
