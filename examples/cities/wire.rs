//! What a child says to its parent: one line of text each, its parts separated by tabs.
//!
//! A line is written with one call, shorter than a pipe's atomic length unless it is an
//! answer; so a kill cuts no line of the others in two.

use std::fmt;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// The heap is open; `restored` is what came back, if anything did.
    Opened { restored: Option<Back>, places: u64 },
    /// One more place is in the heap's memory.
    Added,
    /// A snapshot has become durable.
    Still(StillLine),
    /// A line of an answer.
    Answer(String),
    /// All indexes agree, and this is the digest of all answers.
    Audited { digest: u64 },
}

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Back {
    pub(crate) snapshot: u64,
    pub(crate) operations: u64,
    pub(crate) elapsed: Duration,
}

/// A durable snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StillLine {
    pub(crate) number: u64,
    pub(crate) operations: u64,
    pub(crate) pause: Duration,
    pub(crate) drain: Duration,
    pub(crate) saving: Duration,
    pub(crate) bytes: u64,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opened { restored: None, places } => write!(f, "new\t{places}"),
            Self::Opened { restored: Some(back), places } => write!(
                f,
                "back\t{places}\t{}\t{}\t{}",
                back.snapshot,
                back.operations,
                back.elapsed.as_nanos()
            ),
            Self::Added => f.write_str("+"),
            Self::Still(still) => write!(
                f,
                "still\t{}\t{}\t{}\t{}\t{}\t{}",
                still.number,
                still.operations,
                still.pause.as_nanos(),
                still.drain.as_nanos(),
                still.saving.as_nanos(),
                still.bytes
            ),
            Self::Answer(text) => write!(f, "answer\t{text}"),
            Self::Audited { digest } => write!(f, "audited\t{digest}"),
        }
    }
}

impl Said {
    /// Reads a line; `None` if it is not one of these.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_once('\t').unwrap_or((line, ""));
        if kind == "answer" {
            return Some(Self::Answer(rest.to_owned()));
        }
        let numbers: Option<Vec<u64>> = rest
            .split('\t')
            .filter(|part| !part.is_empty())
            .map(|part| part.parse().ok())
            .collect();
        Some(match (kind, &numbers?[..]) {
            ("new", &[places]) => Self::Opened { restored: None, places },
            ("back", &[places, snapshot, operations, elapsed]) => {
                let elapsed = Duration::from_nanos(elapsed);
                Self::Opened { restored: Some(Back { snapshot, operations, elapsed }), places }
            }
            ("+", &[]) => Self::Added,
            ("still", &[number, operations, pause, drain, saving, bytes]) => {
                let [pause, drain, saving] = [pause, drain, saving].map(Duration::from_nanos);
                Self::Still(StillLine { number, operations, pause, drain, saving, bytes })
            }
            ("audited", &[digest]) => Self::Audited { digest },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let time = Duration::from_nanos(1_234);
        let back = Back { snapshot: 7, operations: 8, elapsed: time };
        for said in [
            Said::Opened { restored: None, places: 3 },
            Said::Opened { restored: Some(back), places: 3 },
            Said::Added,
            Said::Still(StillLine {
                number: 1,
                operations: 2,
                pause: time,
                drain: time * 2,
                saving: time * 3,
                bytes: 9,
            }),
            Said::Answer("a\tb".to_owned()),
            Said::Audited { digest: u64::MAX },
        ] {
            assert_eq!(Said::parse(&said.to_string()), Some(said));
        }
        for bad in ["", "x", "+\t1", "new", "new\tx", "back\t1\t2", "still\t1", "audited\t-1"] {
            assert_eq!(Said::parse(bad), None, "{bad}");
        }
    }
}
