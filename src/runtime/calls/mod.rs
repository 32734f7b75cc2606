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
//! | more, from a file, pipe or stream | made writable; again if a freeze came in between |
//! | more, with `O_DIRECT`, or from FUSE or 9p | a shadow with a mapping of its own |
//! | more, from anything else | the same; from `/dev/zero` and its kin 1 MiB at most |
//! | an `ioctl`'s argument that no table knows | it and 2 MiB behind it are made writable |
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
//! **What cannot be interposed**, and the remedy. *Outside the heap* is memory from
//! [`transient`](crate::transient) or `mmap`; *touched* is memory that was handed to
//! [`touch`](crate::touch) in a scope that lasts until the kernel has written.
//!
//! - Calls made without the C library (inline assembler, rustix's default backend) fail with
//!   `EFAULT`: rustix has the feature `use-libc`; else touched, or outside the heap.
//! - `io_uring` and Linux's own `aio` complete with `EFAULT`: touched, or outside the heap. With
//!   `O_DIRECT`, and with buffers that were registered, only outside the heap: the device writes
//!   unnoticed, and what it has written may be missing in snapshots.
//! - Control blocks of `aio_read`, `aio_write` and their kin, and of `getaddrinfo_a`: helper
//!   threads of the C library, which block all signals, write to them, and the process ends.
//!   Blocks and buffers outside the heap.
//! - Stacks of threads, of `sigaltstack` and of `clone` in the heap: no signal can be delivered
//!   there, and the process ends. `mmap`, as std and the C library do.
//! - Robust and priority-inheriting mutexes, which the kernel writes to: outside the heap.
//! - What the argument of an `ioctl` points to (`SG_IO`, `SIOCETHTOOL`, `SIOCGIFCONF`), of
//!   `ptrace(PTRACE_GETREGSET)`, of `vmsplice`, `quotactl`, `modify_ldt`, `arch_prctl` and
//!   `clone`, and all that a request writes later than in its call: as for the first.
//! - The mask that `sigsetjmp` and `getcontext` save: buffers outside the heap, mostly the stack.
//! - `rt_sigaction` and `rt_sigprocmask` by number: they can take SIGSEGV away from this crate.
//!   The C library's functions.
//! - A thread that is cancelled (`pthread_cancel`) while it waits in a call: it may end the
//!   process, since Rust's frames are not made for that.
//! - Handlers for SIGSEGV that write to the heap need an alternate stack with room for two signal
//!   frames; std's has 8 KiB, which is too little where a frame holds AVX-512's registers.
//! - Programs that are linked statically, or with another C library than glibc: there is no
//!   second definition to call, and nothing is interposed.
//!
//! Under a fuzzer nothing is interposed either (`cfg(fuzzing)`): sanitizers call the C library
//! before instrumented code can run; nor without the feature `interpose`, which is for libraries
//! that never open a heap, and must not define these functions for a program that they do not know.
//!
//! A function that this C library does not have yet, since it is an older one, fails with
//! `ENOSYS`, as std and others expect of older kernels.

#[cfg(interposed)]
mod functions;
mod seam;
mod shadow;

#[cfg(interposed)]
pub(super) use functions::look_up;
pub use seam::touch;
pub(crate) use shadow::BOUNCE;

/// Nothing is defined, so nothing needs to be found.
#[cfg(not(interposed))]
pub(super) fn look_up() {}
