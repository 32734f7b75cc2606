//! Programs that are built otherwise than this one: a panic ends them (`panic = "abort"`); glibc is
//! linked statically; the C library is musl. The allocator works in all of them, and a heap comes
//! back. System calls are interposed with glibc linked dynamically alone.
//!
//! The program is `tests/fixtures/corners`. Cargo builds it for this test, with the versions that
//! this crate's own lock names.

mod support;

use std::env::consts::ARCH;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// How a program is built. All end when they panic.
struct Build {
    target: String,
    flags: &'static str,
}

impl Build {
    fn new(library: &str, flags: &'static str) -> Self {
        Self { target: format!("{ARCH}-unknown-linux-{library}"), flags }
    }

    /// The program, built. `None`: what is linked for this target is not installed.
    fn program(&self) -> Option<PathBuf> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut asked = Command::new(rustc);
        asked.args(["--print", "target-libdir", "--target", &self.target]);
        let libraries = support::text_of(&asked.output().expect("a compiler"));
        if !Path::new(libraries.trim()).is_dir() {
            println!("not run: {} is not installed", self.target);
            return None;
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("corners");
        write_package(&folder);
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--offline", "--target", &self.target]);
        let target_dir = folder.join("target");
        build.arg("--manifest-path").arg(folder.join("Cargo.toml"));
        build.arg("--target-dir").arg(&target_dir);
        build.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", self.flags);
        let output = support::output(&mut build);
        let text = support::text_of(&output);
        // Some systems have glibc's static library in a package of its own.
        if text.contains("cannot find -lc") || text.contains("unable to find library -lc") {
            println!("not run: there is no static library to link");
            return None;
        }
        assert!(output.status.success(), "{text}");
        let built = target_dir.join(&self.target).join("debug/corners");
        // The next build has the same name.
        let kind = if self.flags.is_empty() { "plain" } else { "static" };
        let kept = folder.join(format!("{}-{kind}", self.target));
        fs::copy(built, &kept).expect("the program");
        Some(kept)
    }
}

/// A package of the program, beside which nothing else is built.
fn write_package(folder: &Path) {
    let manifest = format!(
        "[package]\nname = \"corners\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
         [workspace]\n\n\
         [[bin]]\nname = \"corners\"\npath = \"{ROOT}/tests/fixtures/corners/main.rs\"\n\n\
         [dependencies]\nstillheap = {{ path = \"{ROOT}\" }}\n\n\
         [profile.dev]\npanic = \"abort\"\ndebug = 0\n"
    );
    fs::create_dir_all(folder).expect("a folder");
    fs::write(folder.join("Cargo.toml"), manifest).expect("a file");
    fs::copy(Path::new(ROOT).join("Cargo.lock"), folder.join("Cargo.lock")).expect("a file");
}

fn run(program: &Path, role: &str, dir: &Path) -> Output {
    support::output(Command::new(program).arg(role).arg(dir))
}

/// What the program prints, which has to end well.
fn run_well(program: &Path, role: &str, dir: &Path) -> String {
    let output = run(program, role, dir);
    let text = support::text_of(&output);
    assert!(output.status.success(), "{role}: {}\n{text}", output.status);
    text
}

/// A panic within a change ends the process, time and again. The next one has the last snapshot.
fn panics_end_it(program: &Path, times: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut may_be_found = 0..=0;
    for _ in 0..times {
        let output = run(program, "panics", &folder.path().join("heap"));
        let text = support::text_of(&output);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
        assert!(text.contains("half done"), "{text}");
        let number = |name| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|number| number.parse::<u64>().ok()).expect("a number")
        };
        assert!(may_be_found.contains(&number("found ")), "{may_be_found:?}: {text}");
        let durable = number("durable ");
        may_be_found = durable..=durable + 1;
    }
}

fn often(times: u64) -> u64 {
    if std::env::var_os("STILLHEAP_LONG").is_some() { times * 20 } else { times }
}

/// The allocator works, and heaps come back; `read` says what a system call meets in memory that
/// has not been written to since a snapshot.
fn all_works(build: &Build, read: &str) {
    let Some(program) = build.program() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("heap");
    assert_eq!(run_well(&program, "allocates", &dir), "sound\n");
    assert_eq!(run_well(&program, "reads", &dir), format!("{read}\ntouched: 1000 bytes\n"));
    panics_end_it(&program, often(5));
}

fn a_panic_that_aborts() {
    all_works(&Build::new("gnu", ""), "1000 bytes");
}

fn glibc_linked_statically() {
    let error = format!("error {:?}", Some(libc::EFAULT));
    all_works(&Build::new("gnu", "-C target-feature=+crt-static"), &error);
}

fn musl() {
    let error = format!("error {:?}", Some(libc::EFAULT));
    all_works(&Build::new("musl", ""), &error);
}

fn main() {
    support::run_all(&[
        ("a_panic_that_aborts", a_panic_that_aborts),
        ("glibc_linked_statically", glibc_linked_statically),
        ("musl", musl),
    ]);
}
