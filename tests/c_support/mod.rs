//! The library for C, built once, and programs that are compiled with it. A compiler for C may be
//! missing: then there is nothing to test, and that is said.

use crate::support;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use tempfile::TempDir;

/// The project's folder.
const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// The built library, and a folder for what is compiled with it.
pub(crate) struct Library {
    /// Where `libstillheap.so` and `libstillheap.a` lie.
    pub(crate) folder: PathBuf,
    programs: TempDir,
}

/// The library. `None`: there are no compilers, and so no test.
pub(crate) fn library() -> Option<Library> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| are_there(["cc", "c++", "nm"]).then(build)).clone()?;
    Some(Library { folder, programs: tempfile::tempdir().expect("a folder") })
}

/// Whether all of these can be run; if not, that is said.
pub(crate) fn are_there<const N: usize>(tools: [&str; N]) -> bool {
    let is_there = |tool: &&str| {
        let version = Command::new(tool).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    };
    let missing = tools.iter().find(|tool| !is_there(tool));
    if let Some(tool) = missing {
        // Not by a macro, whose output the test harness keeps to itself.
        let line = format!("NOT TESTED: programs in C and C++, for want of `{tool}`\n");
        std::io::stderr().write_all(line.as_bytes()).expect("standard error");
    }
    missing.is_none()
}

/// Builds the library, in a target folder of its own, since this process's may be locked.
fn build() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("capi");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(PROJECT).env_remove("CARGO_BUILD_TARGET").env("CARGO_TERM_COLOR", "never");
    cargo.args(["rustc", "--quiet", "--lib", "--features", "capi"]);
    cargo.args(["--crate-type", "cdylib,staticlib", "--target-dir"]).arg(&target);
    succeed(&mut cargo);
    target.join("debug")
}

/// Runs a command that must succeed. Gives what it printed.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output: Output = support::output(command);
    let text = support::text_of(&output);
    assert!(output.status.success(), "{command:?}: {}\n{text}", output.status);
    text
}

impl Library {
    /// Compiles a program and links it with the shared library.
    pub(crate) fn compile(&self, source: &str) -> PathBuf {
        let mut command = self.compiler(source);
        command.arg("-L").arg(&self.folder).arg("-lstillheap");
        command.arg(format!("-Wl,-rpath,{}", self.folder.display()));
        self.make(command, source)
    }

    /// The same with the library in it.
    pub(crate) fn compile_static(&self, source: &str) -> PathBuf {
        let mut command = self.compiler(source);
        command.arg(self.folder.join("libstillheap.a"));
        command.args(["-lpthread", "-ldl", "-lm", "-lrt", "-lutil"]);
        self.make(command, source)
    }

    /// A file for this test alone.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.programs.path().join(name)
    }

    fn compiler(&self, source: &str) -> Command {
        let is_c = source.ends_with(".c");
        let mut command = Command::new(if is_c { "cc" } else { "c++" });
        command.arg(if is_c { "-std=c11" } else { "-std=c++17" });
        command.args(["-Wall", "-Wextra", "-Werror", "-pedantic", "-O1", "-pthread"]);
        command.arg("-I").arg(Path::new(PROJECT).join("include"));
        // A source that was generated has its own path.
        command.arg(Path::new(PROJECT).join(source));
        command
    }

    fn make(&self, mut command: Command, source: &str) -> PathBuf {
        let name = Path::new(source).file_stem().expect("a name");
        let program = self.file(name.to_str().expect("a text")).with_extension("program");
        succeed(command.arg("-o").arg(&program));
        program
    }
}

/// What the header says.
pub(crate) fn header() -> String {
    let path = Path::new(PROJECT).join("include/stillheap.h");
    std::fs::read_to_string(path).expect("the header")
}

/// The header without its comments.
pub(crate) fn declarations() -> String {
    let header = header();
    let mut rest = &*header;
    let mut code = String::new();
    while let Some((before, comment)) = rest.split_once("/*") {
        code.push_str(before);
        rest = comment.split_once("*/").expect("a comment ends").1;
    }
    code + rest
}

/// The functions that the header declares, in order of their names.
pub(crate) fn declared() -> Vec<String> {
    let code = declarations();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut names: Vec<String> = code
        .match_indices('(')
        .filter_map(|(at, _)| {
            let name = code[..at].rsplit(|c| !is_name(c)).next()?;
            name.starts_with("stillheap_").then(|| name.to_owned())
        })
        .collect();
    names.sort();
    names.dedup();
    names
}
