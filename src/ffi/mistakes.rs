//! Finding mistakes: pointers that leave the heap, and blocks to which no root leads.
#![allow(unsafe_code, reason = "functions for C read and write where it says, and call its own")]

use crate::LookError;
use crate::ffi::calls::coded;
use crate::ffi::failure::Failure;
use crate::ffi::{events, open_heap, scopes, text};
use std::ffi::{CString, c_char, c_int, c_void};

/// What is called with a report: the text lasts as long as the call.
pub type CReportCallback = unsafe extern "C" fn(report: *const c_char, user: *mut c_void);

/// Looks for pointers in what the roots lead to that leave the heap.
///
/// # Safety
/// `findings` is null or a place for the answer; `report` is null or a function for this.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_audit(
    findings: *mut u64,
    report: Option<CReportCallback>,
    user: *mut c_void,
) -> c_int {
    coded(|| {
        outside()?;
        let audit = open_heap::with(|heap| Ok(heap.audit()?))?;
        // SAFETY: says the caller.
        unsafe { answer(audit.findings(), &audit, findings, report, user) };
        Ok(())
    })
}

/// Looks for blocks to which no root leads.
///
/// # Safety
/// `blocks` is null or a place for the answer; `report` is null or a function for this.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn stillheap_leaks(
    blocks: *mut u64,
    report: Option<CReportCallback>,
    user: *mut c_void,
) -> c_int {
    coded(|| {
        outside()?;
        let leaks = open_heap::with(|heap| Ok(heap.leaks()?))?;
        // SAFETY: says the caller.
        unsafe { answer(leaks.lost.all().blocks, &leaks, blocks, report, user) };
        Ok(())
    })
}

fn outside() -> Result<(), Failure> {
    events::outside()?;
    scopes::outside("the heap cannot be looked at")
}

/// # Safety
/// As the functions above demand.
unsafe fn answer(
    count: u64,
    found: &impl ToString,
    place: *mut u64,
    report: Option<CReportCallback>,
    user: *mut c_void,
) {
    // SAFETY: says the caller.
    unsafe { text::put(place, count) };
    if let Some(report) = report {
        let text = CString::new(found.to_string().replace('\0', "")).unwrap_or_default();
        // SAFETY: the function is one for this, and does not unwind, says the manual.
        unsafe { report(text.as_ptr(), user) };
    }
}

impl From<LookError> for Failure {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Snapshot(error) => error.into(),
            LookError::Unread(error) => error.into(),
        }
    }
}
