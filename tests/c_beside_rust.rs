//! C code in a Rust program that has installed a `ProcessHeap`: there is one heap for both.
#![allow(unsafe_code, reason = "calls the C interface")]

mod support;

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;
use std::ptr;
use stillheap::ffi::codes::Code;
use stillheap::ffi::errors::{stillheap_last_code, stillheap_last_error};
use stillheap::ffi::heap::{stillheap_close, stillheap_is_open, stillheap_open};
use stillheap::ffi::memory::{stillheap_alloc, stillheap_contains, stillheap_free};
use stillheap::ffi::roots::{stillheap_root_get, stillheap_root_open, stillheap_root_remove};
use stillheap::ffi::scopes::{stillheap_scope_enter, stillheap_scope_leave};
use stillheap::ffi::snapshots::{stillheap_snapshot, stillheap_wait_durable};
use stillheap::{OpenError, Options, ProcessHeap, Root, RootError, Scope};

/// At an address of its own, to which the C interface has to keep.
const BASE: usize = 0x3000_0000_0000;

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::at(BASE);

#[track_caller]
fn ok(code: i32) {
    assert_eq!(code, 0, "{}", last_error());
}

#[track_caller]
fn fails(code: Code, result: i32) {
    assert_eq!((result, stillheap_last_code()), (code.number(), code.number()), "{}", last_error());
}

fn last_error() -> String {
    let text = stillheap_last_error();
    assert_eq!(stillheap_contains(text.cast()), 0, "the text lies in the heap");
    // SAFETY: a text, until the thread's next failure.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

fn c_path(dir: &Path) -> CString {
    CString::new(dir.to_str().expect("a text")).expect("without zeros")
}

fn open(dir: &Path) -> i32 {
    let path = c_path(dir);
    // SAFETY: a text, and no options.
    unsafe { stillheap_open(path.as_ptr(), ptr::null()) }
}

type RootFn =
    unsafe extern "C" fn(*const c_char, *const c_char, usize, usize, *mut *mut c_void) -> i32;

/// The value of a root of 8 bytes, or the code.
fn root(get: Option<RootFn>, name: &CStr) -> Result<*mut u64, i32> {
    let (mut value, tag) = (ptr::null_mut(), c"number".as_ptr());
    let code = match get {
        // SAFETY: texts, and a place for the answer.
        Some(get) => unsafe { get(name.as_ptr(), tag, 8, 8, &raw mut value) },
        None => {
            let made = ptr::null_mut();
            // SAFETY: texts, and a place for the answer that is wanted.
            unsafe { stillheap_root_open(name.as_ptr(), tag, 8, 8, &raw mut value, made) }
        }
    };
    if code == 0 { Ok(value.cast()) } else { Err(code) }
}

fn root_get(name: &CStr) -> Result<*mut u64, i32> {
    root(Some(stillheap_root_get), name)
}

fn remove(name: &CStr) -> i32 {
    // SAFETY: a text, and no wish for the value.
    unsafe { stillheap_root_remove(name.as_ptr(), ptr::null_mut()) }
}

/// Rust opens: C has blocks and scopes, and nothing that is for who has opened.
fn rust_opens(dir: &Path) {
    assert!(stillheap_alloc(10).is_null());
    fails(Code::NotOpen, stillheap_scope_enter());
    let heap = HEAP.open(dir, Options::new()).expect("a heap");
    let number: Root<u64> = heap.root("rust").expect("a root");
    fails(Code::AlreadyOpen, open(dir));
    assert_eq!(stillheap_is_open(), 0);
    fails(Code::NotOpen, root_get(c"rust").expect_err("not open in C"));
    ok(stillheap_scope_enter());
    assert!(Scope::is_entered());
    let block = stillheap_alloc(10);
    assert!(block.addr() > BASE && stillheap_contains(block) == 1);
    ok(stillheap_scope_leave());
    assert!(!Scope::is_entered());
    // SAFETY: the block from above.
    ok(unsafe { stillheap_free(block) });
    number.write(|number| {
        *number = 7;
        ok(stillheap_scope_enter());
        ok(stillheap_scope_leave());
        assert!(Scope::is_entered());
        fails(Code::NoScope, stillheap_scope_leave());
    });
    heap.close().expect("closed");
}

/// C opens: Rust's memory lies in the same heap.
fn c_opens(dir: &Path) {
    ok(open(dir));
    let other = HEAP.open(dir, Options::new()).expect_err("C has opened it");
    assert!(matches!(other, OpenError::AlreadyOpen { .. }), "{other}");
    let boxed = Box::new(1_u64);
    assert_eq!(stillheap_contains(ptr::from_ref(&*boxed).cast()), 1);
    fails(Code::RootType, root_get(c"rust").expect_err("a Rust program's"));
    assert!(last_error().contains("a Rust program's, of type `u64`"), "{}", last_error());
    fails(Code::RootType, root(None, c"rust").expect_err("a Rust program's"));
    fails(Code::RootType, remove(c"rust"));
    let value = root(None, c"c").expect("a root");
    assert!(value.addr() > BASE);
    ok(stillheap_scope_enter());
    // SAFETY: a root's value, of that size, which nobody else has.
    unsafe { value.write(5) };
    ok(stillheap_scope_leave());
    let mut number = 0;
    // SAFETY: a place for the answer.
    ok(unsafe { stillheap_snapshot(&raw mut number) });
    // SAFETY: nothing is wanted.
    ok(unsafe { stillheap_wait_durable(number, ptr::null_mut()) });
    support::die();
}

/// Both find their own, and not each other's.
fn both_are_there(dir: &Path) {
    let heap = HEAP.open(dir, Options::new()).expect("a heap");
    let number: Root<u64> = heap.root("rust").expect("a root");
    assert_eq!(number.read(|number| *number), 7);
    let error = heap.root::<u64>("c").expect_err("a C program's");
    assert!(matches!(error, RootError::Type { .. }), "{error}");
    assert!(error.to_string().contains("extern<number>"), "{error}");
    heap.close().expect("closed");
}

fn c_finds_its_own(dir: &Path) {
    ok(open(dir));
    let value = root_get(c"c").expect("the root");
    // SAFETY: a root's value, of that size.
    assert_eq!(unsafe { value.read() }, 5);
    ok(remove(c"c"));
    fails(Code::NotFound, root_get(c"c").expect_err("it is gone"));
    // SAFETY: no answer is wanted.
    ok(unsafe { stillheap_close(ptr::null_mut()) });
}

fn one_heap_for_both() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    support::run("rust_opens", &dir);
    support::run_until_killed("c_opens", &dir);
    support::run("both_are_there", &dir);
    support::run("c_finds_its_own", &dir);
}

fn main() {
    match support::role() {
        Some((role, dir)) => match &*role {
            "rust_opens" => rust_opens(&dir),
            "c_opens" => c_opens(&dir),
            "both_are_there" => both_are_there(&dir),
            _ => c_finds_its_own(&dir),
        },
        None => support::run_all(&[("one_heap_for_both", one_heap_for_both)]),
    }
}
