//! The command line, by hand: it is small, and what is wrong with it is said with the usage.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
Usage: cities [--heap DIR] [COMMAND]

  (no command)        the whole story: load, kill, come back, answer (starts a new heap)
  near LAT LON        the ten places nearest to a point, in degrees
  find NAME           the places of that name
  add NAME LAT LON    adds a place
  kill                kills a child process while it writes; what follows shows what came back
  help                this text

The heap is the directory DIR; by default cities.heap beside the folder of the program
(target/release/cities.heap). Run the story once before the other commands.";

#[derive(Debug, PartialEq)]
pub(crate) struct Arguments {
    pub(crate) heap: Option<PathBuf>,
    pub(crate) command: Command,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Story,
    Near {
        at: [f64; 2],
    },
    Find {
        name: String,
    },
    Add {
        name: String,
        at: [f64; 2],
    },
    Kill,
    Help,
    /// What the program starts itself as; not for people.
    Child(Role),
}

/// What a child process is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Open the heap and load the places that it does not have yet.
    Load,
    /// Open the heap and answer questions.
    Answer,
    /// Build the same without a heap and answer the same questions.
    Build,
    /// Open the heap and add places until killed.
    Scribble,
}

impl Role {
    const ALL: [Self; 4] = [Self::Load, Self::Answer, Self::Build, Self::Scribble];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Answer => "answer",
            Self::Build => "build",
            Self::Scribble => "scribble",
        }
    }
}

/// What is wrong with a command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadUsage(String);

impl fmt::Display for BadUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\n{USAGE}", self.0)
    }
}

impl std::error::Error for BadUsage {}

/// Reads the arguments behind the program's name.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Arguments, BadUsage> {
    let mut heap = None;
    let mut words = Vec::new();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        if arg == "--heap" {
            let dir = args.next().filter(|dir| !dir.is_empty());
            heap = Some(PathBuf::from(dir.ok_or_else(|| bad("--heap wants a directory"))?));
            continue;
        }
        let word = arg.into_string().map_err(|arg| bad(format!("{arg:?} is not UTF-8")))?;
        words.push(word);
    }
    Ok(Arguments { heap, command: command(&words)? })
}

fn command(words: &[String]) -> Result<Command, BadUsage> {
    let Some((first, rest)) = words.split_first() else { return Ok(Command::Story) };
    let none = |command| match rest {
        [] => Ok(command),
        [extra, ..] => Err(bad(format!("`{first}` takes nothing more, but `{extra}` follows"))),
    };
    match (first.as_str(), rest) {
        ("near", [lat, lon]) => Ok(Command::Near { at: point(lat, lon)? }),
        ("near", _) => Err(bad("near wants LAT and LON, as in: near 48.8566 2.3522")),
        ("find", _) => Ok(Command::Find { name: name(rest, "find wants a NAME")? }),
        ("add", [words @ .., lat, lon]) => {
            let name = name(words, "add wants NAME LAT LON")?;
            Ok(Command::Add { name, at: point(lat, lon)? })
        }
        ("add", _) => Err(bad("add wants NAME LAT LON, as in: add Home 48.85 2.35")),
        ("kill", _) => none(Command::Kill),
        ("help" | "--help" | "-h", _) => none(Command::Help),
        ("--child", [role]) => Role::ALL
            .into_iter()
            .find(|known| known.name() == role)
            .map(Command::Child)
            .ok_or_else(|| bad(format!("`{role}` is no role of a child"))),
        _ => Err(bad(format!("`{first}` is not a command"))),
    }
}

fn name(words: &[String], missing: &str) -> Result<String, BadUsage> {
    let name = words.join(" ");
    // A tab or a line's end would break the tables that names are shown in.
    match name.trim() {
        "" => Err(bad(missing)),
        name if name.contains(char::is_control) => Err(bad("a NAME has no control characters")),
        name => Ok(name.to_owned()),
    }
}

fn point(lat: &str, lon: &str) -> Result<[f64; 2], BadUsage> {
    Ok([degrees("LAT", lat, 90.0)?, degrees("LON", lon, 180.0)?])
}

fn degrees(what: &str, text: &str, limit: f64) -> Result<f64, BadUsage> {
    // NaN and the infinities lie in no range.
    match text.parse::<f64>() {
        Ok(degrees) if (-limit..=limit).contains(&degrees) => Ok(degrees),
        _ => Err(bad(format!("{what} is degrees from -{limit} to {limit}, not `{text}`"))),
    }
}

fn bad(what: impl Into<String>) -> BadUsage {
    BadUsage(what.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command_of(line: &[&str]) -> Result<Command, BadUsage> {
        parse(line.iter().map(OsString::from)).map(|arguments| arguments.command)
    }

    #[test]
    fn good_lines_are_understood() {
        assert_eq!(command_of(&[]), Ok(Command::Story));
        assert_eq!(command_of(&["near", "-33.9", "18.4"]), Ok(Command::Near { at: [-33.9, 18.4] }));
        let find = Command::Find { name: "New York".to_owned() };
        assert_eq!(command_of(&["find", "New", "York"]), Ok(find));
        let add = Command::Add { name: "My House".to_owned(), at: [1.0, -2.0] };
        assert_eq!(command_of(&["add", "My", "House", "1", "-2"]), Ok(add));
        assert_eq!(command_of(&["kill"]), Ok(Command::Kill));
        assert_eq!(command_of(&["--help"]), Ok(Command::Help));
        for role in Role::ALL {
            assert_eq!(command_of(&["--child", role.name()]), Ok(Command::Child(role)));
        }
        let with_heap = parse(["--heap", "x", "kill"].map(OsString::from));
        let heap = Some(PathBuf::from("x"));
        assert_eq!(with_heap, Ok(Arguments { heap, command: Command::Kill }));
    }

    #[test]
    fn bad_lines_get_the_usage() {
        let lines: [&[&str]; 16] = [
            &["fly"],
            &["--heap"],
            &["--heap", ""],
            &["near"],
            &["near", "48.8566"],
            &["near", "48,8566", "2,3522"],
            &["near", "NaN", "0"],
            &["near", "91", "0"],
            &["near", "0", "inf"],
            &["near", "1", "2", "3"],
            &["find"],
            &["find", " "],
            &["add", "1", "2"],
            &["add", "a\tb", "1", "2"],
            &["kill", "now"],
            &["--child", "x"],
        ];
        for line in lines {
            let answer = command_of(line);
            let error = answer.expect_err(&line.join(" "));
            assert!(error.to_string().contains("Usage:"), "{line:?}");
        }
    }
}
