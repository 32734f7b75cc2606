//! The programs that measure, one for each allocator.

use crate::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// By the names under which they are reported; ours is compared with the others.
pub(crate) const ALLOCATORS: [&str; 4] = ["ours", "mimalloc", "jemalloc", "system"];

/// What a run printed: names and numbers.
pub(crate) type Figures = Vec<(String, f64)>;

/// All of them, built.
pub(crate) struct Programs {
    target: PathBuf,
}

impl Programs {
    /// Builds those of these allocators, beside this program.
    pub(crate) fn build(allocators: &[&str]) -> Result<Self, Error> {
        let target = target_dir()?;
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--release", "--manifest-path", manifest, "--target-dir"]);
        build.arg(&target);
        for allocator in allocators {
            build.args(["--bin", &format!("on_{allocator}")]);
        }
        let status = build.status()?;
        if status.success() { Ok(Self { target }) } else { Err(format!("cargo: {status}").into()) }
    }

    /// Runs one in a process of its own.
    pub(crate) fn run(&self, allocator: &str, task: &[&str]) -> Result<Figures, Error> {
        let output = Command::new(self.target.join("release").join(format!("on_{allocator}")))
            .args(task)
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(format!("{allocator}: {}: {}", task.join(" "), output.status).into());
        }
        let parse = |line: &str| {
            let (name, value) = line.split_once(' ').ok_or("a child printed something else")?;
            Ok((name.to_owned(), value.parse()?))
        };
        String::from_utf8(output.stdout)?.lines().map(parse).collect()
    }
}

/// This program lies in a folder `release` of it.
fn target_dir() -> Result<PathBuf, Error> {
    let program = std::env::current_exe()?;
    let folder = program.parent().and_then(Path::parent);
    Ok(folder.ok_or("this program lies in no target folder")?.to_owned())
}
