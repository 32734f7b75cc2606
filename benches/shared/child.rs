//! Measuring in a process of its own: the child prints a line `NAME VALUE` for each figure, one
//! name as often as it likes.

use super::Error;
use std::fmt::Display;
use std::process::{Command, Stdio};
use std::str::FromStr;

const CHILD: &str = "--child";

/// What a child printed.
pub(crate) struct Told(Vec<(String, String)>);

/// What this process is asked to do, if it is a child.
pub(crate) fn arguments_of_child() -> Option<Vec<String>> {
    let mut arguments = std::env::args().skip(1);
    (arguments.next().as_deref() == Some(CHILD)).then(|| arguments.collect())
}

/// Runs this program once more, with these arguments.
pub(crate) fn in_child(arguments: &[&str]) -> Result<Told, Error> {
    let output = Command::new(std::env::current_exe()?)
        .arg(CHILD)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("{}: {}", arguments.join(" "), output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    let lines = text.lines().map(|line| line.split_once(' '));
    let pairs = lines.map(|pair| pair.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let pairs: Option<Vec<_>> = pairs.collect();
    Ok(Told(pairs.ok_or("a child printed something else than figures")?))
}

/// Tells the parent.
pub(crate) fn tell(name: &str, value: impl Display) {
    println!("{name} {value}");
}

impl Told {
    /// All values of that name.
    pub(crate) fn all<T: FromStr>(&self, name: &str) -> Vec<T> {
        let told = self.0.iter().filter(|(told, _)| told == name);
        told.filter_map(|(_, value)| value.parse().ok()).collect()
    }

    /// The last value of that name.
    pub(crate) fn last<T: FromStr>(&self, name: &str) -> Result<T, Error> {
        self.all(name).pop().ok_or_else(|| format!("a child did not tell {name}").into())
    }
}
