//! Where the state comes from: records made from their place in the list, and the text file
//! with the same records, one a line, its fields between tabs.

use crate::Error;
use crate::dice::Dice;
use crate::state::{Record, State};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

/// The text file's name.
pub const SOURCE: &str = "places.tsv";

const SYLLABLES: [&str; 16] = [
    "ber", "lan", "mo", "ra", "vil", "ton", "sa", "ki", "dor", "ne", "pul", "go", "ther", "u",
    "stein", "qua",
];
const COUNTRIES: [&str; 12] = [
    "Argentina",
    "Botswana",
    "Cambodia",
    "Denmark",
    "Ecuador",
    "France",
    "Guatemala",
    "Hungary",
    "Indonesia",
    "Jamaica",
    "Kazakhstan",
    "New Zealand",
];
const TAGS: [&str; 10] = [
    "capital",
    "harbour",
    "airport",
    "on a river",
    "university",
    "old town",
    "mining",
    "seaside",
    "railway junction",
    "market",
];

/// The first `records` records.
#[must_use]
pub fn build(records: u64) -> State {
    let mut state = State::default();
    (0..records).map(Record::nth).for_each(|record| state.insert(record));
    state
}

impl Record {
    /// The record at that place of the list. Numbers rise along it, with gaps.
    #[must_use]
    pub fn nth(place: u64) -> Self {
        let mut dice = Dice::new(place);
        let mut name: String = (0..2 + dice.below(3)).map(|_| dice.of(&SYLLABLES)).collect();
        name[..1].make_ascii_uppercase();
        name.push(' ');
        name.push_str(&place.to_string());
        let degrees = |reach: u64, dice: &mut Dice| {
            dice.below(200_000 * reach) as f64 / 100_000.0 - reach as f64
        };
        Self {
            id: 10 * place + dice.below(10),
            name,
            country: dice.of(&COUNTRIES).to_owned(),
            lat: degrees(90, &mut dice),
            lon: degrees(180, &mut dice),
            population: dice.below(1 << 24) >> dice.below(16),
            tags: (0..dice.below(5)).map(|_| dice.of(&TAGS).to_owned()).collect(),
        }
    }
}

/// Writes the text file with the first `records` records.
///
/// # Errors
/// If it cannot be written.
pub fn write_source(records: u64, dir: &Path) -> Result<(), Error> {
    let mut file = BufWriter::new(File::create(dir.join(SOURCE))?);
    for place in 0..records {
        let Record { id, name, country, lat, lon, population, tags } = Record::nth(place);
        write!(file, "{id}\t{name}\t{country}\t{lat}\t{lon}\t{population}")?;
        tags.iter().try_for_each(|tag| write!(file, "\t{tag}"))?;
        writeln!(file)?;
    }
    file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    Ok(())
}

/// Builds the state from the text file.
///
/// # Errors
/// If it cannot be read.
pub fn parse(dir: &Path) -> Result<State, Error> {
    let mut file = BufReader::with_capacity(1 << 18, File::open(dir.join(SOURCE))?);
    let mut state = State::default();
    let mut line = String::new();
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
        lat: fields.next()?.parse().ok()?,
        lon: fields.next()?.parse().ok()?,
        population: fields.next()?.parse().ok()?,
        tags: fields.map(str::to_owned).collect(),
    })
}
