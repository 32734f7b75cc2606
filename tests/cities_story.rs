//! The example `cities`, started as people start it: the story, the commands from one start to the
//! next, and bad arguments.
//!
//! What comes back after a kill, and that all answers are those of a build from the file, the story
//! checks itself; it fails if they are not. This program is also the example that it starts, with
//! its children; so it has no test harness.

#[path = "../examples/cities/main.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "without a harness the modules' own tests fall away; cargo runs them with the example"
)]
mod cities;

use std::path::Path;
use std::process::{Command, ExitCode, Output};

/// Set where this program is to be the example.
const AS_EXAMPLE: &str = "STILLHEAP_TEST_AS_EXAMPLE";

fn main() -> ExitCode {
    if std::env::var_os(AS_EXAMPLE).is_some() {
        return cities::main();
    }
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let heap = scratch.path().join("cities.heap");
    commands_need_a_heap(&heap);
    the_story_ends_well(&heap);
    commands_work_from_one_start_to_the_next(&heap);
    a_killed_child_leaves_what_was_durable(&heap);
    the_story_leaves_alone_what_is_not_its_own(scratch.path(), &heap);
    bad_arguments_get_the_usage(&heap);
    println!("the example works");
    ExitCode::SUCCESS
}

fn the_story_ends_well(heap: &Path) {
    // Damaged as it is: the story replaces whatever has a heap's names.
    std::fs::create_dir(heap).expect("a new directory");
    for name in ["LOCK", "MANIFEST", "0000000001.full"] {
        std::fs::write(heap.join(name), "of an earlier run").expect("a new file");
    }
    let told = succeed(heap, &[]);
    for part in [
        "it replaces that of an earlier run",
        "SIGKILL",
        "Came back: snapshot",
        "Gone: the",
        "the answers are the same",
    ] {
        assert!(told.contains(part), "{part} is missing in:\n{told}");
    }
}

fn commands_work_from_one_start_to_the_next(heap: &Path) {
    assert!(succeed(heap, &["near", "48.8566", "2.3522"]).contains("Paris (FR)"));
    assert!(succeed(heap, &["find", "Paris"]).contains("Places named Paris: 10"));
    assert!(succeed(heap, &["find", "My House"]).contains("No place is named My House"));
    assert!(succeed(heap, &["add", "My House", "-12.5", "7"]).contains("durable in snapshot"));
    assert!(succeed(heap, &["find", "My", "House"]).contains("My House (ZZ) -12.50000 7.00000"));
    assert!(succeed(heap, &["near", "-12.5", "7"]).contains("0.0 km  My House"));
}

fn a_killed_child_leaves_what_was_durable(heap: &Path) {
    let killed = succeed(heap, &["kill"]);
    let durable = number_after(&killed, "\nSnapshot ");
    let next = succeed(heap, &["near", "-48.8767", "-123.3933"]);
    assert!(number_after(&next, "Snapshot ") >= durable, "{killed}\n{next}");
    assert!(next.contains("Point Nemo"), "{next}");
}

fn commands_need_a_heap(heap: &Path) {
    let output = run(heap, &["near", "1", "2"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no heap"));
    assert!(!heap.exists());
}

fn the_story_leaves_alone_what_is_not_its_own(folder: &Path, heap: &Path) {
    let output = run(folder, &[]);
    assert_eq!(output.status.code(), Some(1));
    let lock = std::fs::File::open(heap.join("LOCK")).expect("a lock file");
    lock.lock().expect("nobody has the heap open");
    let output = run(heap, &[]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("in use by another process"));
    assert!(heap.join("MANIFEST").exists());
}

fn bad_arguments_get_the_usage(heap: &Path) {
    for bad in [&["fly"][..], &["near", "x", "2"], &["add", "1", "2"], &["kill", "now"]] {
        let output = run(heap, bad);
        assert_eq!(output.status.code(), Some(2), "{bad:?}");
        assert!(output.stdout.is_empty());
        assert!(String::from_utf8_lossy(&output.stderr).contains("Usage:"), "{bad:?}");
    }
    assert!(succeed(heap, &["help"]).contains("Usage:"));
}

fn succeed(heap: &Path, args: &[&str]) -> String {
    let output = run(heap, args);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?} failed ({}):\n{text}\n{errors}", output.status);
    text
}

fn run(heap: &Path, args: &[&str]) -> Output {
    let program = std::env::current_exe().expect("this program's path");
    let mut command = Command::new(program);
    command.arg("--heap").arg(heap).args(args).env(AS_EXAMPLE, "1");
    command.output().expect("this program starts")
}

fn number_after(text: &str, start: &str) -> u64 {
    let rest = text.split(start).nth(1).expect(start);
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}
