//! The command line, but for what `cargo bench` adds.

use super::Error;
use std::path::PathBuf;
use std::str::FromStr;

pub(crate) struct Arguments(Vec<String>);

impl Arguments {
    pub(crate) fn of_process() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    pub(crate) fn is_quick(&self) -> bool {
        self.0.iter().any(|argument| argument == "--quick")
    }

    /// The number after `name`; if there is none, that of a quick or of a full run.
    pub(crate) fn number<T: FromStr>(&self, name: &str, quick: T, full: T) -> Result<T, Error> {
        match self.after(name) {
            None => Ok(if self.is_quick() { quick } else { full }),
            Some(text) => {
                text.parse().map_err(|_| format!("{name} {text}: that is no number").into())
            }
        }
    }

    /// Whether a part of the bench is asked for: all are, without `--only`.
    pub(crate) fn wants(&self, part: &str) -> bool {
        self.after("--only").is_none_or(|only| only.split(',').any(|name| name == part))
    }

    /// Where to put what is written: beside this program, unless `--dir` says otherwise.
    pub(crate) fn dir(&self) -> Result<PathBuf, Error> {
        match self.after("--dir") {
            Some(dir) => Ok(dir.into()),
            None => {
                let program = std::env::current_exe()?;
                let parent = program.parent().ok_or("this program lies in no folder")?;
                Ok(parent.to_owned())
            }
        }
    }

    /// What stands after `name`.
    pub(crate) fn after(&self, name: &str) -> Option<&str> {
        let place = self.0.iter().position(|argument| argument == name)?;
        self.0.get(place + 1).map(String::as_str)
    }
}
