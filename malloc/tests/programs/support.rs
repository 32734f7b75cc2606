//! The library, and running programs with it and without.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;

/// The library, built now in the profile of this test.
pub(crate) fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let test = std::env::current_exe().expect("this test's path");
        // target/PROFILE/deps/programs-...
        let folder = test.parent().and_then(Path::parent).expect("a profile's folder");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--manifest-path"]);
        cargo.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
        cargo.arg("--target-dir").arg(folder.parent().expect("the target folder"));
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo runs").success(), "the library is not built");
        folder.join("libstillheap_malloc.so")
    })
}

/// Whether the tests do more than they need to every time.
pub(crate) fn is_long() -> bool {
    std::env::var_os("STILLHEAP_LONG").is_some_and(|value| value == "1")
}

/// Whether a program is installed; if not, says so.
pub(crate) fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !found {
        eprintln!("skipped what needs {program}: it is not installed");
    }
    found
}

/// Where a file of these tests lies.
pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name)
}

/// A command to be run twice, and what it is given to read.
pub(crate) struct Job {
    words: Vec<String>,
    input: Vec<u8>,
    variables: Vec<(String, String)>,
}

impl Job {
    pub(crate) fn new<W: Into<String>>(words: impl IntoIterator<Item = W>) -> Self {
        let words = words.into_iter().map(Into::into).collect();
        Self { words, input: Vec::new(), variables: Vec::new() }
    }

    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs it in `folder`, with the library or without.
    pub(crate) fn run(&self, folder: &Path, with_library: bool) -> Output {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).current_dir(folder).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env_remove("LD_PRELOAD").env("LC_ALL", "C");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        if with_library {
            command.env("LD_PRELOAD", library());
        }
        let mut child = command.spawn().expect("it starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        thread::scope(|scope| {
            // One that does not read its input is free to.
            scope.spawn(move || drop(stdin.write_all(&self.input)));
            child.wait_with_output().expect("it ends")
        })
    }

    /// Runs it with the library, and expects it to succeed.
    pub(crate) fn succeeds(&self, folder: &Path) -> Output {
        let output = self.run(folder, true);
        assert!(output.status.success(), "{:?}: {}\n{}", self.words, output.status, tail(&output));
        output
    }

    /// Runs it in two new folders, without the library and with it; both have to succeed, and say
    /// the same.
    pub(crate) fn agrees(&self) {
        let folders = [tempfile::tempdir(), tempfile::tempdir()].map(|new| new.expect("a folder"));
        self.agrees_in(folders[0].path(), folders[1].path());
    }

    /// The same in folders of the caller's.
    pub(crate) fn agrees_in(&self, without: &Path, with: &Path) {
        let plain = self.run(without, false);
        assert!(plain.status.success(), "{:?}, without: {}", self.words, tail(&plain));
        let ours = self.succeeds(with);
        assert_eq!(text(&plain.stderr), text(&ours.stderr), "{:?}", self.words);
        assert!(plain.stdout == ours.stdout, "{:?} says something else", self.words);
    }
}

/// Compiles a program of these tests into `folder`.
pub(crate) fn compile(compiler: &str, name: &str, options: &[&str], folder: &Path) -> PathBuf {
    let program = folder.join(Path::new(name).file_stem().expect("a name"));
    let mut command = Command::new(compiler);
    command.args(options).arg("-o").arg(&program).arg(source(name)).arg("-pthread");
    let output = command.stdin(Stdio::null()).output().expect("a compiler");
    assert!(output.status.success(), "{name}: {}", tail(&output));
    program
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A path as one word of a command.
pub(crate) fn word(path: impl AsRef<OsStr>) -> String {
    path.as_ref().to_str().expect("a path of plain letters").to_owned()
}

fn tail(output: &Output) -> String {
    let all = text(&output.stdout) + &text(&output.stderr);
    let lines: Vec<&str> = all.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
