//! Atomics and cells as the standard library has them, or as loom models them.
//!
//! Lock-free code takes its atomics from here, so that `--cfg loom` explores it.
#![allow(unused_imports, reason = "which of these a build uses depends on cfg(loom)")]

#[cfg(loom)]
pub(crate) use loom::{
    hint,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    thread,
};
#[cfg(not(loom))]
pub(crate) use std::{
    hint,
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    thread,
};
