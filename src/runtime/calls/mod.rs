//! System calls into protected memory: none may find it so.
//!
//! A system call that writes to a write-protected chunk fails with `EFAULT`, without a signal, and
//! any buffer of the program may lie in one. So the crate defines, for the whole program, the C
//! library's functions through which the kernel writes to memory of the caller's; they take
//! precedence over the library's own for Rust's std, for C code and for shared libraries.
//!
//! | the memory | what is done |
//! |---|---|
//! | lies outside the arena, or no heap is open | the call goes on: a load and a compare |
//! | the thread is in a scope, into which no freeze falls | it is made writable first |
//! | up to 64 KiB | the kernel writes to a *shadow* (`shadow`), the thread copies it |
//! | more, from a file, pipe or stream, which lose nothing by it | made writable; again after `EFAULT` |
//! | more, from anything else | a shadow with a mapping of its own |
//!
//! Making memory writable and calling then is not enough outside scopes: a thread may wait in the
//! call while a freeze protects the memory again, and what the kernel then cannot deliver may be
//! lost: a datagram, an accepted connection, a child's status, a timer's count.
//!
//! **What cannot be interposed:** system calls made without the C library (`syscall`, inline
//! assembler, rustix's default backend) and what the kernel writes later (`io_uring`, `aio`). They
//! have to use memory outside the heap (`transient`, `mmap`), or call [`touch`](crate::touch) first,
//! inside a scope; rustix can use the C library (its feature `use-libc`).
//!
//! The functions are listed in `tables`, by kind; `special` has those that fit no kind. Early
//! calls, before `main`, and calls in threads that end work like others. Programs that are
//! linked statically have no second definition to call: there nothing is interposed.

mod seam;
mod shadow;
#[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
mod signals;
#[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
mod special;
#[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
mod stdio;
#[cfg(all(target_env = "gnu", not(target_feature = "crt-static")))]
mod tables;

pub use seam::touch;
pub(crate) use shadow::BOUNCE;
