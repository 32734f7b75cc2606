//! System calls into protected memory: none may find it so.
//!
//! A system call that writes to a write-protected chunk fails with `EFAULT`, without a signal, and
//! any buffer of the program may lie in one. So the crate defines, for the whole program, the C
//! library's functions through which the kernel writes to memory of the caller's; they take
//! precedence over the library's own for Rust's std, for C code and for shared libraries. They
//! heed the heap's memory from the first allocation on: a call that waits while the heap is
//! opened waits still when the first freeze comes.
//!
//! | the memory | what is done |
//! |---|---|
//! | lies outside the arena | the call goes on: a load and some compares |
//! | the thread is in a scope, into which no freeze falls | it is made writable first |
//! | up to 64 KiB | the kernel writes to a *shadow* (`shadow`), the thread copies it |
//! | more, from a file, pipe or stream, which lose nothing by it | made writable; again after `EFAULT`, and on where a freeze has cut it short |
//! | more, with `O_DIRECT`, or from a file system that may do the same (FUSE, 9p) | a shadow with a mapping of its own |
//! | more, from anything else | the same; of devices at most 1 MiB at a time |
//! | the argument of an `ioctl` that no table knows | it and 2 MiB behind it made writable; again after `EFAULT` |
//! | a stream's buffer (`setvbuf`) | the C library takes one of its own |
//!
//! Making memory writable and calling then is not enough outside scopes: a thread may wait in the
//! call while a freeze protects the memory again, and what the kernel then cannot deliver may be
//! lost: a datagram, an accepted connection, a child's status, a timer's count.
//!
//! What is copied back is what the kernel has written, as far as that can be told: of `poll`'s
//! list the answers, of messages their lengths, of buffers as much as was read. `errno` is what
//! the call has left.
//!
//! SIGSEGV cannot be blocked, and who sets a handler for it is called after ours, with the mask
//! that it asked for but for SIGSEGV: it may write to the heap.
//!
//! **What cannot be interposed**, and what to do:
//!
//! | what | what happens | remedy |
//! |---|---|---|
//! | calls without the C library (inline assembler, rustix's default backend, Go code) | `EFAULT` | rustix's feature `use-libc`; else [`touch`](crate::touch) in a scope, or memory outside the heap: [`transient`](crate::transient), `mmap` |
//! | `io_uring`, Linux's own `aio` | `EFAULT` in the completion | buffers outside the heap; or touched, in a scope that lasts until the completion |
//! | control blocks of `aio_read` and its kin, of `getaddrinfo_a` | the C library's helper threads, which block all signals, write to them: the process ends | control blocks and buffers outside the heap |
//! | `O_DIRECT` by a call of the two kinds above | bytes that come after a freeze may be missing in snapshots | buffers outside the heap |
//! | stacks of threads, of `sigaltstack`, of `clone` in the heap | a signal's frame cannot be written: the process ends | `mmap`, as std and the C library do |
//! | robust and priority-inheriting mutexes in the heap | the kernel cannot write to the lock's word | `transient` |
//! | pointers inside the argument of an `ioctl` (`SG_IO`, `SIOCETHTOOL`) or of `ptrace(GETREGSET)`; `vmsplice`, `quotactl`, `modify_ldt` | `EFAULT` | `touch` in a scope, or memory outside the heap |
//! | raw `rt_sigaction`, `rt_sigprocmask` for SIGSEGV | a write to protected memory ends the process | the C library's functions |
//! | `sigsetjmp`, `getcontext`, `swapcontext` on such a buffer | the mask is not saved | buffers outside the heap |
//! | `pthread_cancel` while a call waits here | the process may end: a Rust frame is unwound | end threads otherwise |
//! | programs linked statically, or with another C library than glibc | nothing is interposed | glibc, linked dynamically |
//!
//! A function that this C library does not have yet, since it is an older one, fails with
//! `ENOSYS`, as std and others expect of older kernels.

#[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
mod functions;
mod seam;
mod shadow;

#[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
pub(super) use functions::look_up;
pub use seam::touch;
pub(crate) use shadow::BOUNCE;

/// Nothing is defined, so nothing needs to be found.
#[cfg(not(all(target_env = "gnu", not(target_feature = "crt-static"))))]
pub(super) fn look_up() {}
