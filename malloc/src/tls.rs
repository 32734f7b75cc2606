//! The thread-local variable that this library has.
//!
//! In a shared library `thread_local!` is a call of `__tls_get_addr` for each access, a seventh of
//! the time that an allocation takes. A library that is loaded when the program starts may have
//! its variables at a fixed distance from the thread pointer instead ("initial-exec"), which is a
//! load; but stable Rust cannot ask for that. So on x86-64 it is defined in assembler.
#![allow(unsafe_code, reason = "defines and reaches a variable in assembler")]

/// Bytes of the variable.
pub(crate) const SIZE: usize = 32;
/// What its address is a multiple of.
pub(crate) const ALIGN: usize = 16;

/// Where the calling thread's variable lies: `SIZE` bytes, zero when the thread starts, and there
/// as long as it runs any code.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn place() -> *mut u8 {
    let place: *mut u8;
    // SAFETY: adds the variable's distance, which the dynamic linker has put into the table of
    // offsets, to the thread pointer. Both stay the same while the thread lives.
    unsafe {
        std::arch::asm!(
            "mov {0}, qword ptr fs:[0]",
            "add {0}, qword ptr [rip + stillheap_malloc_state@GOTTPOFF]",
            out(reg) place,
            options(pure, nomem, nostack),
        );
    }
    place
}

#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".section .tbss.stillheap_malloc_state, \"awT\", @nobits",
    ".balign {align}",
    ".globl stillheap_malloc_state",
    ".hidden stillheap_malloc_state",
    ".type stillheap_malloc_state, @object",
    ".size stillheap_malloc_state, {size}",
    "stillheap_malloc_state:",
    ".zero {size}",
    ".text",
    align = const ALIGN,
    size = const SIZE,
);

/// As above.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn place() -> *mut u8 {
    #[repr(align(16))]
    struct State(std::cell::UnsafeCell<[u8; SIZE]>);
    thread_local! {
        static STATE: State = const { State(std::cell::UnsafeCell::new([0; SIZE])) };
    }
    STATE.with(|state| state.0.get().cast())
}
