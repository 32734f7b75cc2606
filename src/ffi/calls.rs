//! What every function is wrapped in: no panic leaves it, and what went wrong can be asked for.
//!
//! The text of the last failure is the thread's, and lies in the system's memory: a C program may
//! keep its address anywhere but not for long, and no snapshot is to hold it.
#![allow(unsafe_code, reason = "what is said of a failure is transient")]

use crate::ffi::codes::Code;
use crate::ffi::failure::Failure;
use crate::transient;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::ffi::{CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

thread_local! {
    static LAST_CODE: Cell<Code> = const { Cell::new(Code::Ok) };
    static LAST_TEXT: RefCell<Option<CString>> = const { RefCell::new(None) };
}

/// Does what a function does, and gives its code.
#[inline]
pub(super) fn coded(f: impl FnOnce() -> Result<(), Failure>) -> c_int {
    match caught(f) {
        Ok(()) => Code::Ok.number(),
        Err(failure) => noted(failure),
    }
}

/// The same for a function that gives memory, or null.
#[inline]
pub(super) fn pointed<T>(f: impl FnOnce() -> Result<*mut T, Failure>) -> *mut T {
    caught(f).unwrap_or_else(|failure| {
        noted(failure);
        ptr::null_mut()
    })
}

#[inline]
fn caught<T>(f: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|panic| Err(of_panic(&*panic)))
}

#[cold]
fn of_panic(panic: &(dyn Any + Send)) -> Failure {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
    Failure::new(Code::Internal, format_args!("the library has failed: {text}"))
}

/// What the thread's last failure was.
pub(super) fn last_code() -> Code {
    LAST_CODE.with(Cell::get)
}

/// Its text's address; null if there was none.
pub(super) fn last_text() -> *const c_char {
    let text =
        LAST_TEXT.try_with(|last| last.try_borrow().ok()?.as_ref().map(|text| text.as_ptr()));
    text.ok().flatten().unwrap_or(ptr::null())
}

#[cold]
fn noted(failure: Failure) -> c_int {
    let Failure { code, text } = failure;
    let make = || {
        let bytes: Vec<u8> = text.bytes().filter(|&byte| byte != 0).collect();
        CString::new(bytes).ok()
    };
    LAST_CODE.with(|last| last.set(code));
    // A thread that is ending has no place for it any more.
    let _ = LAST_TEXT.try_with(|last| {
        // SAFETY: it is reachable from this thread's state alone.
        let text = unsafe { transient(make) };
        if let Ok(mut last) = last.try_borrow_mut() {
            *last = text;
        }
    });
    code.number()
}
