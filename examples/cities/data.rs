//! The places of `cities.tsv.gz`, which is part of the program: the example runs from any
//! folder. Where the data comes from stands in README.md.

use super::db::Place;
use flate2::read::GzDecoder;
use std::fmt;
use std::io::{self, BufRead, BufReader, Lines, Read};

const FILE: &[u8] = include_bytes!("cities.tsv.gz");

/// The places in the file, in its order.
pub(crate) fn places() -> Places<impl Read> {
    Places::new(GzDecoder::new(FILE))
}

/// Reads places, one a line: name, country, latitude, longitude, separated by tabs.
pub(crate) struct Places<R> {
    lines: Lines<BufReader<R>>,
    line: u64,
}

impl<R: Read> Places<R> {
    fn new(from: R) -> Self {
        Self { lines: BufReader::new(from).lines(), line: 0 }
    }
}

impl<R: Read> Iterator for Places<R> {
    type Item = Result<Place, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.lines.next()?;
        self.line += 1;
        let line = self.line;
        Some(match text {
            Ok(text) => place(&text).ok_or(DataError::Line { line, text }),
            Err(source) => Err(DataError::Unreadable { line, source }),
        })
    }
}

fn place(line: &str) -> Option<Place> {
    let mut fields = line.split('\t');
    let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
    let country = fields.next()?.to_owned();
    let lat = fields.next()?.parse().ok().filter(|lat: &f64| lat.abs() <= 90.0)?;
    let lon = fields.next()?.parse().ok().filter(|lon: &f64| lon.abs() <= 180.0)?;
    fields.next().is_none().then_some(Place { name, country, lat, lon })
}

/// Why the file could not be read.
#[derive(Debug)]
pub(crate) enum DataError {
    Unreadable { line: u64, source: io::Error },
    Line { line: u64, text: String },
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { line, source } => {
                write!(f, "cities.tsv.gz cannot be read at line {line}: {source}")
            }
            Self::Line { line, text } => write!(
                f,
                "line {line} of cities.tsv.gz is not name, country, latitude and longitude \
                 with tabs between them: {text:?}"
            ),
        }
    }
}

impl std::error::Error for DataError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_file_is_read() {
        let places: Result<Vec<Place>, DataError> = places().collect();
        let places = places.expect("the file is sound");
        assert_eq!(places.len(), 171_075);
        assert_eq!(places[0].name, "Aixirivall");
    }

    #[test]
    fn bad_lines_are_refused_with_their_number() {
        for bad in ["a\tFR\t1", "a\tFR\t1\t2\t3", "\tFR\t1\t2", "a\tFR\tx\t2", "a\tFR\t91\t2"] {
            let text = format!("ok\tFR\t1\t2\n{bad}\n");
            let answers: Vec<_> = Places::new(text.as_bytes()).collect();
            assert!(answers[0].is_ok());
            assert!(matches!(answers[1], Err(DataError::Line { line: 2, .. })), "{bad}");
        }
    }
}
