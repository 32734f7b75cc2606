//! The program's own handler for SIGSEGV: it gets what is not ours, may write to protected
//! memory itself, and the program goes on.

use super::worked;
use crate::{Cold, HEAP, When};
use libc::{c_int, c_void};
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};
use stillheap::{Heap, Options};

const PAGE: usize = 4096;
const STACK: usize = 64 << 10;

/// What the handler writes to.
static PLACE: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
/// The address of the fault that it was told, and one on the stack that it ran on.
static FAULT: AtomicUsize = AtomicUsize::new(0);
static FRAME: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handler(_: c_int, info: *mut libc::siginfo_t, _: *mut c_void) {
    let address = c!((*info).si_addr());
    FAULT.store(address.addr(), Relaxed);
    FRAME.store((&raw const address).addr(), Relaxed);
    let place = PLACE.load(Relaxed);
    c!(place.write(place.read() + 1));
    let page = address.map_addr(|address| address & !(PAGE - 1));
    worked(c!(libc::mprotect(page, PAGE, libc::PROT_READ | libc::PROT_WRITE)));
}

fn set_handler() {
    let entry: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = handler;
    let mut action: libc::sigaction = c!(std::mem::zeroed());
    action.sa_sigaction = entry as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // Blocks all: SIGSEGV gets through all the same.
    c!(libc::sigfillset(&raw mut action.sa_mask));
    worked(c!(libc::sigaction(libc::SIGSEGV, &raw const action, ptr::null_mut())));
}

fn mapped(len: usize, protection: c_int) -> *mut u8 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let map = c!(libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0));
    assert_ne!(map, libc::MAP_FAILED);
    map.cast()
}

/// A fault that is the program's, while the handler's memory is protected.
fn fault(cold: &mut Cold) {
    let (page, place): (_, *mut u8) = (mapped(PAGE, libc::PROT_NONE), cold.at(0));
    c!(place.write(1));
    PLACE.store(place, Relaxed);
    let wrong = page.wrapping_add(123);
    f!(cold, [place], wrong.write_volatile(9));
    assert_eq!(FAULT.load(Relaxed), wrong.addr());
    assert_eq!(c!((wrong.read(), place.read())), (9, 2));
}

pub(crate) fn foreign_faults(dir: &Path, comes_first: bool) {
    // Two signal frames have to fit: std's stack is too small for that with AVX-512.
    alternate_stack();
    if comes_first {
        set_handler();
    }
    let heap = open(dir);
    if !comes_first {
        set_handler();
    }
    let mut cold = Cold::new(heap);
    for when in [When::Outside, When::Window, When::InScope] {
        cold.when = when;
        fault(&mut cold);
    }
    cold.when = When::Outside;
    let mut thread: libc::pthread_t = 0;
    let argument: *mut c_void = (&raw mut cold).cast();
    assert_eq!(c!(libc::pthread_create(&raw mut thread, ptr::null(), own_stack, argument)), 0);
    assert_eq!(c!(libc::pthread_join(thread, ptr::null_mut())), 0);
}

fn open(dir: &Path) -> Heap {
    HEAP.open(dir.join("heap"), Options::new().keep(1)).expect("a heap")
}

fn alternate_stack() -> usize {
    let stack = mapped(STACK, libc::PROT_READ | libc::PROT_WRITE);
    let own = libc::stack_t { ss_sp: stack.cast(), ss_flags: 0, ss_size: STACK };
    worked(c!(libc::sigaltstack(&raw const own, ptr::null_mut())));
    stack.addr()
}

/// A thread that std knows nothing of, with an alternate stack of its own.
extern "C" fn own_stack(cold: *mut c_void) -> *mut c_void {
    let stack = alternate_stack();
    fault(c!(&mut *cold.cast::<Cold>()));
    let frame = FRAME.load(Relaxed);
    assert!((stack..stack + STACK).contains(&frame), "on the thread's own stack");
    ptr::null_mut()
}

/// A signal that is sent, and ignored, does not end our handling of faults.
pub(crate) fn ignored(dir: &Path) {
    let mut cold = Cold::new(open(dir));
    c!(libc::signal(libc::SIGSEGV, libc::SIG_IGN));
    worked(c!(libc::kill(libc::getpid(), libc::SIGSEGV)));
    let place: *mut u8 = cold.at(0);
    f!(cold, [place], place.write(7));
    assert_eq!(c!(place.read()), 7);
    println!("goes on");
}

/// One that is sent where nobody wants it ends the process, as it would without us.
pub(crate) fn sent(dir: &Path) {
    let _heap = open(dir);
    c!(libc::signal(libc::SIGSEGV, libc::SIG_DFL));
    println!("sent");
    worked(c!(libc::raise(libc::SIGSEGV)));
    println!("goes on");
}

/// The parent has blocked SIGSEGV.
pub(crate) fn blocked(dir: &Path) {
    let mut cold = Cold::new(open(dir));
    let place: *mut u8 = cold.at(0);
    f!(cold, [place], place.write(7));
    println!("goes on");
}
