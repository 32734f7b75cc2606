//! Programs that were not written for it, with the library preloaded: each does what it does
//! without. And programs in C that ask for what the functions promise (`contract`).
//!
//! What a program needs and is not installed is said on standard error, and its test passes.
//! `STILLHEAP_LONG=1` has all of them do more.

mod compilers;
mod contract;
mod support;
mod tools;
