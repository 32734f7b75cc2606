//! The functions that are defined for the whole program, in place of the C library's.
//!
//! - `names`: the C library's own, to which calls are passed on
//! - `tables`: those whose arguments tell how much is written: one line each
//! - `transfers`, `scatter`, `stdio`: those that read, into one buffer, many, or from a stream
//! - `messages`, `polls`, `stats`, `ioctl`, `control`: those with outputs of a shape of their own
//! - `signals`, `handlers`: those that would keep SIGSEGV from this crate
//! - `raw`: `syscall`
//! - `oddities`, `aliases`: the rest, and other names
#![allow(
    clippy::missing_safety_doc,
    clippy::too_many_arguments,
    unreachable_pub,
    missing_docs,
    reason = "these are the C library's functions, with its rules and names"
)]

mod aliases;
mod control;
mod handlers;
mod ioctl;
mod messages;
mod names;
mod oddities;
mod polls;
mod raw;
mod scatter;
mod signals;
mod stats;
mod stdio;
mod tables;
mod transfers;

pub(in crate::runtime) use names::look_up;
