//! 171,075 places in plain Rust collections and an X-tree, which survive `kill -9`.
//!
//! `cargo run --release --example cities` tells the whole story; `-- help` lists what else it
//! can do. What is in which file stands in README.md beside this one.

mod args;
mod child;
mod commands;
mod data;
mod db;
mod process;
mod show;
mod store;
mod story;
mod wire;

use args::{Arguments, Command};
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

#[global_allocator]
static HEAP: stillheap::ProcessHeap = stillheap::ProcessHeap::new();

/// What a part of the program gives, or why it could not.
type Outcome<T = ()> = Result<T, Box<dyn Error>>;

pub(crate) fn main() -> ExitCode {
    let arguments = match args::parse(std::env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("cities: {error}");
            return ExitCode::from(2);
        }
    };
    match run(arguments, &mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the output has seen enough.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cities: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments, out: &mut dyn Write) -> Outcome {
    let dir = match arguments.heap {
        Some(dir) => dir,
        None => store::default_dir()?,
    };
    match arguments.command {
        Command::Story => story::tell(&dir, out),
        Command::Near { at } => commands::near(&dir, at, out),
        Command::Find { name } => commands::find(&dir, &name, out),
        Command::Add { name, at } => commands::add(&dir, name, at, out),
        Command::Kill => commands::kill(&dir, out),
        Command::Help => Ok(writeln!(out, "{}", args::USAGE)?),
        Command::Child(role) => child::run(role, &dir),
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::BrokenPipe)
}
