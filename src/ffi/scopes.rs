//! Scopes, and writes that are announced.
#![allow(unsafe_code, reason = "functions for C have their names unmangled")]

use crate::Scope;
use crate::ffi::calls::coded;
use crate::ffi::codes::Code;
use crate::ffi::failure::Failure;
use crate::runtime::blocks;
use std::cell::Cell;
use std::ffi::{c_int, c_void};

thread_local! {
    /// Scopes that the thread has entered here, and not left.
    static ENTERED: Cell<u32> = const { Cell::new(0) };
}

/// Enters a scope, after a freeze that is under way. Counts as an operation.
#[unsafe(no_mangle)]
pub extern "C" fn stillheap_scope_enter() -> c_int {
    coded(|| {
        if !blocks::is_opened() {
            return Err(Failure::not_open());
        }
        // It lasts until `stillheap_scope_leave`.
        std::mem::forget(Scope::enter_operation());
        ENTERED.with(|entered| entered.set(entered.get() + 1));
        Ok(())
    })
}

/// Leaves the scope that was entered last.
#[unsafe(no_mangle)]
pub extern "C" fn stillheap_scope_leave() -> c_int {
    coded(|| {
        let entered = ENTERED.with(Cell::get);
        let Some(rest) = entered.checked_sub(1) else {
            let text = "this thread is in no scope that stillheap_scope_enter has entered";
            return Err(Failure::new(Code::NoScope, text));
        };
        ENTERED.with(|entered| entered.set(rest));
        Scope::end_forgotten();
        Ok(())
    })
}

/// Whether the calling thread is in a scope: 1 or 0.
#[unsafe(no_mangle)]
pub extern "C" fn stillheap_in_scope() -> c_int {
    Scope::is_entered().into()
}

/// Announces that `len` bytes are written before the calling thread's scope ends.
#[unsafe(no_mangle)]
pub extern "C" fn stillheap_touch(start: *mut c_void, len: usize) -> c_int {
    coded(|| Ok(blocks::announce(start.addr(), len)?))
}

/// # Errors
/// If the calling thread is in a scope, for which `what` might have to wait.
pub(super) fn outside(what: &str) -> Result<(), Failure> {
    match Scope::is_entered() {
        false => Ok(()),
        true => Err(Failure::new(
            Code::InScope,
            format_args!("{what} inside a scope: it might wait for that to end. Leave it first"),
        )),
    }
}
