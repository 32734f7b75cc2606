//! What each exported function promises, asked by `contract.c`; and which functions there are.

use crate::support::{self, Job, compile, has, text, word};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// Runs checks of `contract.c` with the library; those of `by_all`, which ask for nothing that the
/// C library does not promise too, also without: so the checks are checked.
fn run(by_all: &[&str], by_ours: &[&str]) {
    if !has("cc") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let program = compile("cc", "contract.c", &["-O1", "-fno-builtin"], folder.path());
    for check in by_all {
        Job::new([word(&program), (*check).to_owned()]).agrees();
    }
    for check in by_ours {
        Job::new([word(&program), (*check).to_owned()]).succeeds(folder.path());
    }
}

#[test]
fn blocks_come_from_the_heap() {
    run(&[], &["ours"]);
}

#[test]
fn every_size_is_aligned_and_can_be_used_to_its_end() {
    run(&["sizes"], &[]);
}

#[test]
fn contents_stay_when_sizes_change_and_calloc_gives_zeros() {
    run(&["reallocs", "callocs"], &[]);
}

#[test]
fn alignments_are_kept() {
    run(&["alignments"], &["odd_aligned_alloc"]);
}

#[test]
fn errno_says_why_and_free_leaves_it() {
    run(&["errors"], &[]);
}

#[test]
fn any_thread_frees_and_ending_ones_allocate() {
    run(&["threads", "exits"], &[]);
}

#[test]
fn lanes_of_ended_threads_come_back() {
    run(&[], &["many"]);
}

#[test]
fn the_child_of_a_process_with_threads_allocates() {
    run(&["forks"], &[]);
}

#[test]
fn mistakes_end_the_process_with_a_message() {
    if !has("cc") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let program = compile("cc", "contract.c", &["-O1", "-fno-builtin", "-w"], folder.path());
    for (mistake, message) in [
        ("double_free", "the block is free already (a double free)"),
        ("double_free_of_pages", "the block is free already (a double free)"),
        ("inner_free", "no block starts there"),
        ("stack_free", "the address does not lie in the heap"),
        ("foreign_realloc", "the address does not lie in the heap"),
    ] {
        let output = Job::new([word(&program), mistake.to_owned()]).run(folder.path(), true);
        assert_eq!(output.status.signal(), Some(6), "{mistake}");
        let said = text(&output.stderr);
        assert!(said.starts_with("stillheap: cannot free or resize 0x"), "{mistake}: {said}");
        assert!(said.contains(message), "{mistake}: {said}");
    }
}

#[test]
fn the_c_library_serves_where_there_is_no_room_for_a_heap() {
    if !has("cc") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let program = compile("cc", "contract.c", &["-O1", "-fno-builtin"], folder.path());
    let words = [
        "/bin/sh".to_owned(),
        "-c".to_owned(),
        // The limit is not the shell's own, whose message would come first.
        "ulimit -v 4000000; exec \"$0\" limited".to_owned(),
        word(&program),
    ];
    let said = text(&Job::new(words).succeeds(folder.path()).stderr);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("the C library's allocator serves this process: no room"), "{said}");
}

#[test]
fn what_is_allocated_while_the_heap_is_made_is_served() {
    if !has("cc") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let options = ["-O1", "-fno-builtin", "-rdynamic"];
    let program = compile("cc", "reentrant.c", &options, folder.path());
    Job::new([word(program)]).succeeds(folder.path());
}

#[test]
fn nothing_else_is_exported() {
    if !has("nm") {
        return;
    }
    let mut nm = Command::new("nm");
    let output = nm.args(["-D", "--defined-only"]).arg(support::library()).output().expect("nm");
    assert!(output.status.success());
    let said = text(&output.stdout);
    let mut names: Vec<&str> = said.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    names.sort_unstable();
    let expected = "aligned_alloc calloc free free_aligned_sized free_sized malloc malloc_trim \
                    malloc_usable_size memalign posix_memalign pvalloc realloc reallocarray valloc";
    assert_eq!(names.join(" "), expected);
}
