//! `io_uring`: the kernel writes to memory in nobody's call, so the program has to see to it that
//! the memory can be written to.

use super::worked;
use crate::{Cold, HEAP, is_protected};
use libc::{c_int, c_void};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use stillheap::{Options, Scope};

/// Words of the parameters in which the kernel says where things are.
const SUBMISSION_TAIL: usize = 11;
const SUBMISSION_ARRAY: usize = 16;
const COMPLETION_HEAD: usize = 20;
const COMPLETION_MASK: usize = 22;
const COMPLETIONS: usize = 25;
const READ: u8 = 22;

struct Ring {
    fd: c_int,
    parameters: [u32; 30],
    submissions: *mut u8,
    completions: *mut u8,
    entries: *mut u8,
}

impl Ring {
    fn new() -> Option<Self> {
        let mut parameters = [0_u32; 30];
        let fd = c!(libc::syscall(libc::SYS_io_uring_setup, 4, parameters.as_mut_ptr()));
        let fd = c_int::try_from(fd).ok().filter(|fd| *fd >= 0)?;
        let map = |offset: i64| -> *mut u8 {
            let (bits, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
            let map = c!(libc::mmap(ptr::null_mut(), 4096, bits, shared, fd, offset));
            assert_ne!(map, libc::MAP_FAILED);
            map.cast()
        };
        let (submissions, completions, entries) = (map(0), map(0x800_0000), map(0x1000_0000));
        Some(Self { fd, parameters, submissions, completions, entries })
    }

    fn word(&self, ring: *mut u8, parameter: usize) -> &AtomicU32 {
        c!(AtomicU32::from_ptr(ring.wrapping_add(self.parameters[parameter] as usize).cast()))
    }

    /// Reads from a file's start. What the completion says.
    fn read(&self, file: c_int, place: *mut u8, len: u32) -> i32 {
        let entry = self.entries;
        c!(entry.write_bytes(0, 64));
        c!(entry.write(READ));
        c!(entry.wrapping_add(4).cast::<c_int>().write(file));
        c!(entry.wrapping_add(16).cast::<*mut u8>().write(place));
        c!(entry.wrapping_add(24).cast::<u32>().write(len));
        // All go by the first entry and the slot that is due, of four.
        let tail = self.word(self.submissions, SUBMISSION_TAIL);
        let array = self.submissions.wrapping_add(self.parameters[SUBMISSION_ARRAY] as usize);
        let due = tail.load(Ordering::Relaxed);
        c!(array.cast::<u32>().wrapping_add(due as usize % 4).write(0));
        tail.store(due + 1, Ordering::Release);
        let (none, wait): (*mut c_void, _) = (ptr::null_mut(), 1);
        let number = libc::SYS_io_uring_enter;
        assert_eq!(worked(c!(libc::syscall(number, self.fd, 1, 1, wait, none, 0_usize))), 1);
        let head = self.word(self.completions, COMPLETION_HEAD);
        let mask = self.word(self.completions, COMPLETION_MASK).load(Ordering::Acquire);
        let first = self.completions.wrapping_add(self.parameters[COMPLETIONS] as usize);
        let at = head.load(Ordering::Acquire);
        let completion = first.wrapping_add((at & mask) as usize * 16);
        let result = c!(completion.wrapping_add(8).cast::<i32>().read());
        head.store(at + 1, Ordering::Release);
        result
    }
}

pub(crate) fn reading(dir: &Path) {
    let Some(ring) = Ring::new() else {
        println!("skipped: the system has no io_uring, or does not let this process use it");
        return;
    };
    let heap = HEAP.open(dir.join("heap"), Options::new().keep(1)).expect("a heap");
    let mut cold = Cold::new(heap);
    std::fs::write(dir.join("file"), [7; 100]).expect("a file");
    let file = std::fs::File::open(dir.join("file")).expect("the file");
    let place = cold.start();
    drop(cold.freeze(&[place]));
    assert_eq!(ring.read(file.as_raw_fd(), place, 100), -libc::EFAULT, "it is protected");
    let scope = Scope::enter();
    stillheap::touch(c!(std::slice::from_raw_parts_mut(place, 100)));
    assert!(!is_protected(place));
    assert_eq!(ring.read(file.as_raw_fd(), place, 100), 100);
    drop(scope);
    assert!(c!(std::slice::from_raw_parts(place, 100)).iter().all(|byte| *byte == 7));
    println!("read");
}
