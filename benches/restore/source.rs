//! The text file that the state can be built from: a record a line, its fields between tabs.

use crate::shared::Error;
use crate::state::{Record, State};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

/// Writes the first `records` records.
pub(crate) fn write(path: &Path, records: usize) -> Result<(), Error> {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
    for place in 0..records {
        let Record { id, name, country, at: [lat, lon], population } = Record::nth(place);
        writeln!(file, "{id}\t{name}\t{country}\t{lat}\t{lon}\t{population}")?;
    }
    file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    Ok(())
}

/// Builds the state from the file.
pub(crate) fn parse(path: &Path) -> Result<State, Error> {
    let mut file = BufReader::with_capacity(1 << 18, File::open(path)?);
    let (mut state, mut line) = (State::default(), String::new());
    while file.read_line(&mut line)? > 0 {
        let record = record(line.trim_end_matches('\n'));
        state.insert(record.ok_or_else(|| format!("not a record: {line}"))?);
        line.clear();
    }
    Ok(state)
}

fn record(line: &str) -> Option<Record> {
    let mut fields = line.split('\t');
    Some(Record {
        id: fields.next()?.parse().ok()?,
        name: fields.next()?.to_owned(),
        country: fields.next()?.to_owned(),
        at: [fields.next()?.parse().ok()?, fields.next()?.parse().ok()?],
        population: fields.next()?.parse().ok()?,
    })
}
