//! The two programs that measure, and what they say.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use stillheap_peers::Error;

/// Processes that do nothing.
const STARTS: usize = 21;

/// Which of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Plain,
    Ours,
}

impl Program {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Ours => "ours",
        }
    }
}

/// Names and numbers that a child printed, and the digest of the state it found.
pub(crate) struct Told {
    figures: Vec<(String, f64)>,
    pub(crate) digest: Option<String>,
}

impl Told {
    pub(crate) fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|(told, _)| told == name).map(|(_, value)| *value)
    }
}

/// Both, built.
pub(crate) struct Programs {
    target: PathBuf,
}

impl Programs {
    /// Builds them beside this one, each with the features that it is to have.
    pub(crate) fn build() -> Result<Self, Error> {
        let target = target_dir()?;
        for (program, features) in
            [(Program::Plain, &["--no-default-features"][..]), (Program::Ours, &[])]
        {
            eprintln!("building `{}`", program.name());
            let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
            let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
            let status = Command::new(cargo)
                .args(["build", "--quiet", "--release", "--bin", program.name()])
                .args(features)
                .args(["--manifest-path", manifest, "--target-dir"])
                .arg(&target)
                .status()?;
            if !status.success() {
                return Err(format!("cargo build: {status}").into());
            }
        }
        Ok(Self { target })
    }

    /// Where they were built.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// How long a process of it takes that does nothing: the median of some.
    pub(crate) fn start(&self, program: Program, dir: &Path) -> Result<Duration, Error> {
        let mut times = Vec::new();
        for _ in 0..STARTS {
            let begun = Instant::now();
            self.run(program, ["nothing", "-"], 0, dir)?;
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        Ok(times[STARTS / 2])
    }

    /// Writes the text that states are built from. Gives the digest that all states must have.
    pub(crate) fn write_source(&self, records: u64, dir: &Path) -> Result<String, Error> {
        let told = self.run(Program::Plain, ["source", "-"], records, dir)?;
        told.digest.ok_or_else(|| "the source has no digest".into())
    }

    /// Runs a task of a way in a process of its own.
    pub(crate) fn run(
        &self,
        program: Program,
        [task, way]: [&str; 2],
        records: u64,
        dir: &Path,
    ) -> Result<Told, Error> {
        let output = Command::new(self.target.join("release").join(program.name()))
            .args([task, way, &records.to_string()])
            .arg(dir)
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(format!("{way}, {task}: {}", output.status).into());
        }
        parse(&String::from_utf8(output.stdout)?)
    }
}

fn parse(text: &str) -> Result<Told, Error> {
    let mut told = Told { figures: Vec::new(), digest: None };
    for line in text.lines() {
        let (name, value) = line.split_once(' ').ok_or("a child printed something else")?;
        match name {
            "digest" => told.digest = Some(value.to_owned()),
            name => told.figures.push((name.to_owned(), value.parse()?)),
        }
    }
    Ok(told)
}

/// This program lies in a folder `release` of it.
fn target_dir() -> Result<PathBuf, Error> {
    let program = std::env::current_exe()?;
    let folder = program.parent().and_then(Path::parent);
    Ok(folder.ok_or("this program lies in no target folder")?.to_owned())
}
