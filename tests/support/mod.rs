//! Children: tests that need a clean process start this very program again, to run one
//! function with a folder of its own, and look at what becomes of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const ROLE: &str = "STILLHEAP_TEST_ROLE";
const DIR: &str = "STILLHEAP_TEST_DIR";

/// A command that runs `role` of this test program with `dir`.
pub(crate) fn child(role: &str, dir: &Path) -> Command {
    program(&std::env::current_exe().expect("this program"), role, dir)
}

/// The same for another program file.
pub(crate) fn program(file: &Path, role: &str, dir: &Path) -> Command {
    let mut command = Command::new(file);
    command.env(ROLE, role).env(DIR, dir).stdin(Stdio::null());
    command
}

/// The role and folder of this process, if it is a child.
pub(crate) fn role() -> Option<(String, PathBuf)> {
    Some((std::env::var(ROLE).ok()?, std::env::var_os(DIR)?.into()))
}

/// Runs `role` to its end, which must be a good one. Gives what it printed.
#[allow(dead_code, reason = "not every test program uses all helpers")]
pub(crate) fn run(role: &str, dir: &Path) -> String {
    let output = child(role, dir).output().expect("a process");
    let text = text_of(&output);
    assert!(output.status.success(), "{role}: {}\n{text}", output.status);
    text
}

/// Runs `role`, which must end by SIGKILL (see [`die`]). Gives what it printed.
#[allow(dead_code, reason = "not every test program uses all helpers")]
pub(crate) fn run_until_killed(role: &str, dir: &Path) -> String {
    use std::os::unix::process::ExitStatusExt;
    let output = child(role, dir).output().expect("a process");
    let text = text_of(&output);
    assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{role}: {text}");
    text
}

/// Runs `role`, which must fail. Gives what it printed.
#[allow(dead_code, reason = "not every test program uses all helpers")]
pub(crate) fn run_failing(role: &str, dir: &Path) -> String {
    let output = child(role, dir).output().expect("a process");
    assert!(!output.status.success(), "{role} succeeded");
    text_of(&output)
}

pub(crate) fn text_of(output: &Output) -> String {
    let out = String::from_utf8_lossy(&output.stdout);
    format!("{out}{}", String::from_utf8_lossy(&output.stderr))
}

/// Ends the process at once, as a crash does: nothing is flushed, no destructor runs.
#[allow(unsafe_code, reason = "SIGKILL comes by a system call")]
#[allow(dead_code, reason = "not every test program uses all helpers")]
pub(crate) fn die() -> ! {
    // SAFETY: sends a signal to this process, which ends it.
    unsafe { libc::raise(libc::SIGKILL) };
    std::process::abort()
}

/// Runs the tests that parents run, one after the other, and prints what `cargo test` would.
pub(crate) fn run_all(tests: &[(&str, fn())]) {
    println!("\nrunning {} tests", tests.len());
    let wanted = std::env::args().nth(1).filter(|argument| !argument.starts_with('-'));
    let mut run = 0;
    for (name, test) in tests {
        if wanted.as_ref().is_some_and(|wanted| !name.contains(wanted.as_str())) {
            continue;
        }
        test();
        run += 1;
        println!("test {name} ... ok");
    }
    println!("\ntest result: ok. {run} passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
}

/// Runs what panics on purpose, without its message.
#[allow(dead_code, reason = "not every test program uses all helpers")]
pub(crate) fn quietly<R>(f: impl FnOnce() -> R) -> std::thread::Result<R> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
    std::panic::set_hook(hook);
    result
}
