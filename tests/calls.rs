//! System calls into protected memory. Each function that the library interposes is called with
//! outputs in heap memory that a freeze has just write-protected, which is shown by a raw system
//! call that fails there.
#![allow(unsafe_code, reason = "calls the C library")]
#![allow(clippy::cast_possible_truncation, reason = "lengths of small buffers")]

#[path = "calls_support/mod.rs"]
mod calls_support;
mod support;

use calls_support::{blocking, cases, handler, uring};
use std::path::Path;
use stillheap::{Heap, Options, ProcessHeap, Scope};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

/// When a call comes after a freeze.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum When {
    /// Most often while the freeze's pages are still being saved.
    Window,
    Outside,
    InScope,
}

/// Heap memory with chunks of its own, which nobody else writes to, and which has outlived a
/// freeze.
pub(crate) struct Cold {
    heap: Heap,
    pub(crate) when: When,
    /// What is written often is not protected for long: so each case takes the next of these.
    pool: Vec<Vec<u8>>,
    next: usize,
    /// Keeps windows open for a while.
    ballast: Vec<u8>,
    windows: usize,
    outside: usize,
}

pub(crate) const CHUNK: usize = 2 << 20;
const POOL: usize = 4;

impl Cold {
    pub(crate) fn new(heap: Heap) -> Self {
        // Pages of zeros cost a snapshot nothing; each chunk is written to, so that a freeze
        // protects it.
        let mut pool: Vec<Vec<u8>> = (0..POOL).map(|_| vec![0; 4 * CHUNK]).collect();
        for memory in &mut pool {
            memory.iter_mut().step_by(CHUNK).for_each(|byte| *byte = 1);
        }
        let ballast = vec![0; 4 * CHUNK];
        Self { heap, when: When::Outside, pool, next: 0, ballast, windows: 0, outside: 0 }
    }

    /// The first byte of a chunk that lies wholly in the memory, as do two more behind it.
    pub(crate) fn start(&mut self) -> *mut u8 {
        let address = self.pool[self.next].as_mut_ptr();
        address.wrapping_add(address.align_offset(CHUNK))
    }

    /// A place for a value, `index` cache lines from the start.
    pub(crate) fn at<T>(&mut self, index: usize) -> *mut T {
        self.start().wrapping_add(index * 64).cast()
    }

    /// From now on `start` and `at` give other memory.
    pub(crate) fn turn(&mut self) {
        self.next = (self.next + 1) % POOL;
    }

    /// Freezes, and shows that the outputs of the call that comes next are protected.
    #[track_caller]
    pub(crate) fn freeze(&mut self, outputs: &[*mut u8]) -> Option<Scope> {
        if self.when == When::Window {
            self.ballast.iter_mut().step_by(64 << 10).for_each(|byte| *byte = byte.wrapping_add(1));
        }
        // What was hot is open again once it has been saved; it cools with each freeze that finds
        // it as it was.
        for _ in 0..20 {
            let still = self.heap.snapshot().expect("a freeze");
            if self.when != When::Window {
                still.wait_durable().expect("room");
                while self.heap.is_saving() {
                    std::thread::yield_now();
                }
            }
            if outputs.iter().all(|output| output.is_null() || is_protected(*output)) {
                break;
            }
        }
        let scope = (self.when == When::InScope).then(Scope::enter);
        for output in outputs.iter().filter(|output| !output.is_null()) {
            assert!(is_protected(*output), "{output:?} should be protected, {:?}", self.when);
        }
        *if self.heap.is_saving() { &mut self.windows } else { &mut self.outside } += 1;
        scope
    }
}

/// Whether a system call that nobody interposes finds the memory protected. What is there stays.
pub(crate) fn is_protected(address: *mut u8) -> bool {
    // SAFETY: a byte of the pool's memory.
    let byte = unsafe { std::slice::from_raw_parts_mut(address, 1) };
    let before = byte[0];
    let got = rustix::rand::getrandom(&mut *byte, rustix::rand::GetRandomFlags::empty());
    if got.is_ok() {
        byte[0] = before;
    }
    got == Err(rustix::io::Errno::FAULT)
}

/// Every case at all times.
fn every_call(dir: &Path) {
    let heap = HEAP.open(dir.join("heap"), Options::new().keep(1)).expect("a heap");
    let folder = tempfile::tempdir_in(dir).expect("a folder");
    let mut cold = Cold::new(heap);
    for (name, case) in cases() {
        for when in [When::Window, When::Outside, When::InScope] {
            println!("{name}: {when:?}");
            cold.when = when;
            cold.turn();
            case(&mut cold, folder.path());
        }
    }
    let (windows, outside) = (cold.windows, cold.outside);
    assert!(windows > 50 && outside > 100, "{windows} in windows, {outside} outside");
    println!("{windows} in windows, {outside} outside");
}

fn none_finds_memory_protected() {
    // There are many freezes: on a disk, saving them would take minutes.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let folder = folder.expect("a folder");
    let text = support::run("every_call", folder.path());
    let last = text.lines().last().unwrap_or_default();
    assert!(last.contains("in windows"), "{text}");
    println!("{last}");
}

/// The sources list what is interposed; each name has a case.
fn every_interposed_function_has_a_case() {
    let covered: Vec<&str> =
        cases().into_iter().flat_map(|(names, _)| names.split(' ').collect::<Vec<_>>()).collect();
    let sources = [
        include_str!("../src/runtime/calls/functions/aliases.rs"),
        include_str!("../src/runtime/calls/functions/control.rs"),
        include_str!("../src/runtime/calls/functions/handlers.rs"),
        include_str!("../src/runtime/calls/functions/ioctl.rs"),
        include_str!("../src/runtime/calls/functions/messages.rs"),
        include_str!("../src/runtime/calls/functions/oddities.rs"),
        include_str!("../src/runtime/calls/functions/polls.rs"),
        include_str!("../src/runtime/calls/functions/raw.rs"),
        include_str!("../src/runtime/calls/functions/scatter.rs"),
        include_str!("../src/runtime/calls/functions/signals.rs"),
        include_str!("../src/runtime/calls/functions/stats.rs"),
        include_str!("../src/runtime/calls/functions/stdio.rs"),
        include_str!("../src/runtime/calls/functions/tables.rs"),
        include_str!("../src/runtime/calls/functions/transfers.rs"),
    ];
    let missing: Vec<&str> = sources
        .iter()
        .flat_map(|source| interposed(source))
        .filter(|name| !covered.contains(name))
        .collect();
    assert!(missing.is_empty(), "without a case: {missing:?}");
    assert!(covered.len() > 100, "{} names", covered.len());
}

/// The names of functions that a source defines, by hand or in a table.
fn interposed(source: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut in_table = false;
    for line in source.lines() {
        // A table is a macro's use: one in which names stand in a line, or one a line.
        let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
        if let Some((name, list)) = line.split_once("! {")
            && name.chars().all(is_name)
        {
            in_table = list.is_empty();
            names.extend(list.trim_end_matches('}').split_whitespace());
            continue;
        }
        in_table &= line != "}";
        let by_hand = line.strip_prefix("pub unsafe extern \"C\" fn ");
        let by_table = line.strip_prefix("    ").filter(|rest| in_table && !rest.starts_with(' '));
        if let Some(rest) = by_hand.or(by_table) {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(0);
            if end > 0 && rest[end..].starts_with(['(', ':']) {
                names.push(&rest[..end]);
            }
        }
    }
    names
}

fn in_child(role: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    support::run(role, folder.path())
}

fn calls_that_wait_are_served_after_a_freeze() {
    assert_eq!(in_child("waits").matches(": served").count(), 9);
}

fn calls_that_have_waited_since_before_the_heap_was_opened_are_served() {
    assert_eq!(in_child("waits_first").matches(": served").count(), 9);
}

fn the_programs_own_handler_gets_what_is_not_ours() {
    in_child("handler");
    in_child("handler_first");
}

fn a_signal_that_is_sent_does_what_it_would_without_us() {
    use std::os::unix::process::ExitStatusExt;
    assert!(in_child("ignored").contains("goes on"));
    let folder = tempfile::tempdir().expect("a folder");
    let output = support::child("sent", folder.path()).output().expect("a process");
    let text = support::text_of(&output);
    assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{text}");
    assert!(text.contains("sent") && !text.contains("goes on"), "{text}");
}

/// Masks survive `exec`.
fn a_parent_that_blocks_faults_does_no_harm() {
    use std::os::unix::process::CommandExt;
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = support::child("blocked", folder.path());
    let block = || {
        let (set, none): (u64, *mut u64) = (1 << (libc::SIGSEGV - 1), std::ptr::null_mut());
        let (number, how) = (libc::SYS_rt_sigprocmask, libc::SIG_BLOCK);
        // SAFETY: reads one set. By number: the function would not block it.
        let done = unsafe { libc::syscall(number, how, &raw const set, none, 8_usize) };
        if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: makes one system call.
    let output = unsafe { child.pre_exec(block) }.output().expect("a process");
    let text = support::text_of(&output);
    assert!(output.status.success() && text.contains("goes on"), "{}: {text}", output.status);
}

fn what_an_uring_reads_into_is_touched_first() {
    print!("{}", in_child("uring"));
}

fn main() {
    let Some((role, dir)) = support::role() else {
        return support::run_all(&[
            ("every_interposed_function_has_a_case", every_interposed_function_has_a_case),
            (
                "calls_that_wait_are_served_after_a_freeze",
                calls_that_wait_are_served_after_a_freeze,
            ),
            (
                "calls_that_have_waited_since_before_the_heap_was_opened_are_served",
                calls_that_have_waited_since_before_the_heap_was_opened_are_served,
            ),
            (
                "the_programs_own_handler_gets_what_is_not_ours",
                the_programs_own_handler_gets_what_is_not_ours,
            ),
            (
                "a_signal_that_is_sent_does_what_it_would_without_us",
                a_signal_that_is_sent_does_what_it_would_without_us,
            ),
            ("a_parent_that_blocks_faults_does_no_harm", a_parent_that_blocks_faults_does_no_harm),
            (
                "what_an_uring_reads_into_is_touched_first",
                what_an_uring_reads_into_is_touched_first,
            ),
            ("none_finds_memory_protected", none_finds_memory_protected),
        ]);
    };
    match role.as_str() {
        "every_call" => every_call(&dir),
        "waits" => blocking::across_a_freeze(&dir, false),
        "waits_first" => blocking::across_a_freeze(&dir, true),
        "handler" => handler::foreign_faults(&dir, false),
        "handler_first" => handler::foreign_faults(&dir, true),
        "ignored" => handler::ignored(&dir),
        "sent" => handler::sent(&dir),
        "blocked" => handler::blocked(&dir),
        "uring" => uring::reading(&dir),
        role => panic!("no role {role}"),
    }
}
