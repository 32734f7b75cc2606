//! The cases: each calls functions of the C library with outputs in cold memory, and looks at
//! what they have written there. A case's name lists the functions that it calls.

/// Calls C, or reads and writes what it has been given.
macro_rules! c {
    ($call:expr) => {{
        // SAFETY: the cases hand out cold memory of at least the size that a call is told, and
        // descriptors, paths and structures that are what they are said to be.
        #[allow(clippy::multiple_unsafe_ops_per_block, reason = "a place and what is there")]
        let result = unsafe { $call };
        result
    }};
}

/// Calls C with outputs in cold memory, right after a freeze that has protected them.
macro_rules! f {
    ($cold:expr, [$($out:expr),*], $call:expr) => {{
        let scope = $cold.freeze(&[$($out.cast::<u8>()),*]);
        let result = c!($call);
        drop(scope);
        result
    }};
}

pub(crate) mod blocking;
mod files;
pub(crate) mod handler;
mod more;
mod numbers;
mod others;
mod sockets;
pub(crate) mod uring;

use crate::Cold;
use std::path::Path;

/// A case: the functions it is for, and what it does with cold memory and a folder.
pub(crate) type Case = (&'static str, fn(&mut Cold, &Path));

pub(crate) fn cases() -> Vec<Case> {
    [files::CASES, sockets::CASES, others::CASES, more::CASES, numbers::CASES].concat()
}

/// The C string of a path.
fn path_of(folder: &Path, name: &str) -> std::ffi::CString {
    let path = folder.join(name);
    std::ffi::CString::new(path.to_str().expect("a path").to_owned()).expect("no zero")
}

/// Fails with what the system says if a call has failed.
#[track_caller]
fn worked(result: impl TryInto<i64>) -> i64 {
    let result = result.try_into().ok().expect("a number");
    assert!(result != -1, "{}", std::io::Error::last_os_error());
    result
}
