//! System calls into protected memory. Each function that the library interposes is called with
//! outputs in heap memory that a freeze has just write-protected, which is shown by a raw system
//! call that fails there.
#![allow(unsafe_code, reason = "calls the C library")]
#![allow(clippy::cast_possible_truncation, reason = "lengths of small buffers")]

#[path = "calls_support/mod.rs"]
mod calls_support;
mod support;

use calls_support::cases;
use std::path::Path;
use stillheap::{Heap, Options, ProcessHeap};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

/// Heap memory with chunks of its own, which nobody else writes to.
pub(crate) struct Cold {
    memory: Vec<u8>,
}

const CHUNK: usize = 2 << 20;

impl Cold {
    fn new() -> Self {
        Self { memory: vec![0xee; 4 * CHUNK] }
    }

    /// The first byte of a chunk that lies wholly in the memory.
    pub(crate) fn start(&mut self) -> *mut u8 {
        let address = self.memory.as_mut_ptr();
        address.wrapping_add(address.align_offset(CHUNK))
    }

    /// A place for a value, `index` cache lines from the start.
    pub(crate) fn at<T>(&mut self, index: usize) -> *mut T {
        self.start().wrapping_add(index * 64).cast()
    }
}

/// Whether a system call that nobody interposes finds the memory protected.
fn is_protected(address: *mut u8) -> bool {
    // SAFETY: writes one byte, or fails.
    let got = unsafe { libc::syscall(libc::SYS_getrandom, address, 1_usize, 0) };
    got == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
}

fn freeze(heap: &Heap) {
    heap.snapshot().expect("a freeze");
}

/// Every case, three times: right after a freeze, most often within its window; some time later,
/// outside of it; and in a scope.
fn every_call(dir: &Path) {
    let heap = HEAP.open(dir.join("heap"), Options::new().keep(1)).expect("a heap");
    let folder = tempfile::tempdir_in(dir).expect("a folder");
    let (mut windows, mut outside) = (0, 0);
    for (name, case) in cases() {
        for round in 0..3 {
            // New each time: what is written often is not protected for long.
            let mut cold = Cold::new();
            freeze(&heap);
            if round > 0 {
                while heap.is_saving() {
                    std::thread::yield_now();
                }
            }
            let scope = (round == 2).then(stillheap::Scope::enter);
            if heap.is_saving() {
                windows += 1
            } else {
                outside += 1
            }
            assert!(is_protected(cold.start()), "{name}: the memory should be protected");
            case(&mut cold, folder.path());
            drop(scope);
        }
    }
    assert!(windows > 0 && outside > 0, "{windows} in windows, {outside} outside");
    println!("{windows} in windows, {outside} outside");
}

fn none_finds_memory_protected() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = support::run("every_call", folder.path());
    assert!(text.contains("in windows"), "{text}");
}

/// The sources list what is interposed; each name has a case.
fn every_interposed_function_has_a_case() {
    let covered: Vec<&str> =
        cases().into_iter().flat_map(|(names, _)| names.split(' ').collect::<Vec<_>>()).collect();
    let sources = [
        include_str!("../src/runtime/calls/tables.rs"),
        include_str!("../src/runtime/calls/special.rs"),
        include_str!("../src/runtime/calls/stdio.rs"),
        include_str!("../src/runtime/calls/signals.rs"),
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
        let tables = [
            "fixed! {",
            "filled! {",
            "reads! {",
            "fortified! {",
            "scattered_reads! {",
            "stats! {",
            "epoll_waits! {",
            "old_ways! {",
        ];
        if tables.contains(&line) {
            in_table = true;
        } else if line == "}" {
            in_table = false;
        }
        let list = ["stream_reads! {", "masks! {"].iter().find_map(|list| line.strip_prefix(list));
        if let Some(list) = list {
            names.extend(list.trim_end_matches('}').split_whitespace());
        }
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

fn main() {
    match support::role() {
        Some((role, dir)) if role == "every_call" => every_call(&dir),
        Some((role, _)) => panic!("no role {role}"),
        None => support::run_all(&[
            ("every_interposed_function_has_a_case", every_interposed_function_has_a_case),
            ("none_finds_memory_protected", none_finds_memory_protected),
        ]),
    }
}
