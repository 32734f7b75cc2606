//! The command line tool: looks into a heap's directory, checks it, and changes what it keeps.
//!
//! It reads images from their files alone: no address range is reserved, and nothing of a heap
//! is ever mapped to be used. A directory that a running program has open is read without a lock.
//!
//! - `args`, `help`: the commands, and what `--help` says
//! - `folder`: a heap's directory, read while it changes; `failure`: exit codes
//! - `survey`, `kinds`, `roots`: what the allocator's tables in an image say; `occupancy`: in sum
//! - `list`, `inspect`, `verify`, `mistakes`, `diff`, `change`, `carry`, `heatmap`: the commands
//! - `canvas`, `letters`: pictures; `text`, `progress`: what people read
#![forbid(unsafe_code)]

mod args;
mod canvas;
mod carry;
mod change;
mod diff;
mod failure;
mod folder;
mod heatmap;
mod help;
mod inspect;
mod kinds;
mod letters;
mod list;
mod mistakes;
mod occupancy;
mod progress;
mod roots;
mod survey;
mod text;
mod verify;

use args::{Args, Command};
use clap::Parser;
use failure::Failure;
use serde::Serialize;
use std::{
    fmt::Display,
    io::{ErrorKind, Write},
    process::ExitCode,
};

/// What a command has found, both ways, and the exit code.
pub(crate) struct Outcome {
    json: serde_json::Value,
    text: String,
    /// What is wrong, for stderr.
    errors: Vec<String>,
    code: u8,
}

impl Outcome {
    /// A report, and a good end.
    pub(crate) fn of<R: Serialize + Display>(report: &R) -> Result<Self, Failure> {
        let json = serde_json::to_value(report)
            .map_err(|error| Failure::system(format!("cannot write JSON: {error}")))?;
        Ok(Self { json, text: report.to_string(), errors: Vec::new(), code: 0 })
    }

    pub(crate) fn with_errors(self, code: u8, errors: Vec<String>) -> Self {
        Self { code, errors, ..self }
    }
}

fn main() -> ExitCode {
    let args = Args::try_parse().unwrap_or_else(|error| {
        if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
            let failure = Failure::new(failure::USAGE, error.to_string().trim_end());
            let _ = writeln!(std::io::stdout(), "{:#}", failure.to_json());
        }
        error.exit()
    });
    let outcome = run(&args.command).unwrap_or_else(|failure| {
        let (json, text) = (failure.to_json(), String::new());
        Outcome { json, text, errors: vec![failure.message], code: failure.code }
    });
    let Outcome { json, text, errors, code } = outcome;
    for error in errors {
        // Whoever cannot read this still has the exit code.
        let _ = writeln!(std::io::stderr(), "stillheap: {error}");
    }
    let printed = if args.json { format!("{json:#}\n") } else { text };
    match std::io::stdout().lock().write_all(printed.as_bytes()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "stillheap: cannot print: {error}");
            ExitCode::from(failure::SYSTEM)
        }
        Ok(()) => ExitCode::from(code),
    }
}

fn run(command: &Command) -> Result<Outcome, Failure> {
    match command {
        Command::List(args) => list::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Audit(args) => mistakes::audit(args),
        Command::Leaks(args) => mistakes::leaks(args),
        Command::Diff(args) => diff::run(args),
        Command::Prune(args) => change::prune(args),
        Command::Compact(args) => change::compact(args),
        Command::Revert(args) => change::revert(args),
        Command::Export(args) => carry::export(args),
        Command::Import(args) => carry::import(args),
        Command::Heatmap(args) => heatmap::run(args),
    }
}
