//! Children: tests that need a clean process start this very program again, to run one
//! function with a folder of its own, and look at what becomes of it. None of them runs for ever.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const ROLE: &str = "STILLHEAP_TEST_ROLE";
const DIR: &str = "STILLHEAP_TEST_DIR";
/// How long a child may run.
const LIMIT: Duration = Duration::from_secs(300);
/// How often the parent looks whether it still does.
const LOOK: Duration = Duration::from_millis(2);

/// The variable that says how large threads' stacks are, and with what no thread can be had.
#[allow(dead_code, reason = "not every test program uses all helpers")]
pub(crate) const STACK: &str = "RUST_MIN_STACK";
#[allow(dead_code, reason = "not every test program uses all helpers")]
pub(crate) const TOO_MUCH: &str = "140737488355328";

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
    let output = output(&mut child(role, dir));
    let text = text_of(&output);
    assert!(output.status.success(), "{role}: {}\n{text}", output.status);
    text
}

/// Runs `role`, which must end by SIGKILL (see [`die`]). Gives what it printed.
#[allow(dead_code, reason = "not every test program uses all helpers")]
pub(crate) fn run_until_killed(role: &str, dir: &Path) -> String {
    use std::os::unix::process::ExitStatusExt;
    let output = output(&mut child(role, dir));
    let text = text_of(&output);
    assert_eq!(output.status.signal(), Some(libc::SIGKILL), "{role}: {text}");
    text
}

/// Runs `role`, which must fail. Gives what it printed.
#[allow(dead_code, reason = "not every test program uses all helpers")]
pub(crate) fn run_failing(role: &str, dir: &Path) -> String {
    let output = output(&mut child(role, dir));
    assert!(!output.status.success(), "{role} succeeded");
    text_of(&output)
}

/// Runs a child to its end, and gives what it printed. One that runs too long is killed, and the
/// test fails with what there is by then.
pub(crate) fn output(command: &mut Command) -> Output {
    output_within(command, LIMIT)
}

/// As [`output`], with a limit of its own.
pub(crate) fn output_within(command: &mut Command, limit: Duration) -> Output {
    let (begun, mut status) = (Instant::now(), None);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
    let out = Reading::of(child.stdout.take().expect("its output"));
    let err = Reading::of(child.stderr.take().expect("its errors"));
    loop {
        status = status.or(child.try_wait().expect("a child"));
        match status {
            // Its own children may still hold the pipes.
            Some(status) if out.has_ended() && err.has_ended() => {
                return Output { status, stdout: out.bytes(), stderr: err.bytes() };
            }
            _ if begun.elapsed() < limit => thread::sleep(LOOK),
            _ => break,
        }
    }
    // It may have ended just now.
    let _ = child.kill();
    let status = child.wait().expect("its end");
    let text = text_of(&Output { status, stdout: out.bytes(), stderr: err.bytes() });
    panic!("killed after {} s: {command:?}\n{text}", limit.as_secs());
}

/// What comes out of a pipe, read by a thread of its own so that nobody waits for room in it.
struct Reading {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Reading {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&bytes);
        let read = move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                let mut bytes = shared.lock().unwrap_or_else(PoisonError::into_inner);
                bytes.extend_from_slice(&buffer[..count]);
            }
        };
        Self { bytes, thread: thread::spawn(read) }
    }

    fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
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

/// A role's name, and what it does with its folder.
#[allow(dead_code, reason = "not every test program uses all helpers")]
pub(crate) type Role = (&'static str, fn(&Path));

/// Plays this process's role, if it is a child. Otherwise it is the parent.
#[allow(dead_code, reason = "not every test program uses all helpers")]
pub(crate) fn plays(roles: &[Role]) -> bool {
    let Some((wanted, dir)) = role() else { return false };
    let found = roles.iter().find(|(name, _)| *name == wanted);
    found.unwrap_or_else(|| panic!("no role {wanted}")).1(&dir);
    true
}

/// Runs roles one after the other on one heap.
#[allow(dead_code, reason = "not every test program uses all helpers")]
pub(crate) fn run_in_turn(roles: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    for role in roles {
        run(role, &folder.path().join("heap"));
    }
}

/// Waits until a condition holds, for a minute at most.
#[allow(dead_code, reason = "not every test program uses all helpers")]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Has SIGALRM, which has a handler, come every so many microseconds, or never.
#[allow(unsafe_code, reason = "timers come by a system call")]
#[allow(dead_code, reason = "not every test program uses all helpers")]
pub(crate) fn set_timer(microseconds: i64) {
    let often = libc::timeval { tv_sec: 0, tv_usec: microseconds };
    let timer = libc::itimerval { it_interval: often, it_value: often };
    // SAFETY: the signal has a handler.
    let set = unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    assert_eq!(set, 0);
}

/// Runs the tests that parents run, one after the other, and prints what `cargo test` would.
#[allow(dead_code, reason = "not every test program uses all helpers")]
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
