//! The state in redb: a table of records and one of names.

use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, TableDefinition};
use std::path::Path;
use std::time::Instant;
use stillheap_peers::{Error, Fields, Look, Record, Saved, State, Store, saved};

/// Name, country, latitude, longitude, population, tags.
type Row = (&'static str, &'static str, f64, f64, u64, Vec<&'static str>);

const FILE: &str = "state.redb";
const RECORDS: TableDefinition<u64, Row> = TableDefinition::new("records");
const NAMES: TableDefinition<&str, u64> = TableDefinition::new("names");

/// How the process that had the database ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It closes the database, which writes down which pages are free.
    Closed,
    /// It does not, as if it were killed: the next one looks through the whole file.
    Killed,
}

/// One transaction with all records. Writers wait for the commit; the inserts before it are
/// their own work.
pub(crate) fn save(state: &State, dir: &Path, end: End) -> Result<(), Error> {
    let database = Database::create(dir.join(FILE))?;
    let begun = Instant::now();
    let transaction = database.begin_write()?;
    {
        let mut records = transaction.open_table(RECORDS)?;
        for record in state.by_id.values() {
            let Record { id, name, country, lat, lon, population, tags } = record;
            let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
            let (name, country) = (name.as_str(), country.as_str());
            records.insert(id, (name, country, *lat, *lon, *population, tags))?;
        }
        let mut names = transaction.open_table(NAMES)?;
        for (name, id) in &state.by_name {
            names.insert(name.as_str(), id)?;
        }
    }
    let committing = Instant::now();
    transaction.commit()?;
    saved(&Saved { pause: committing.elapsed(), whole: begun.elapsed() });
    finish(database, end);
    Ok(())
}

fn finish(database: Database, end: End) {
    if end == End::Killed {
        std::mem::forget(database);
    }
}

/// The tables in their database.
pub(crate) struct Tables {
    records: ReadOnlyTable<u64, Row>,
    names: ReadOnlyTable<&'static str, u64>,
    database: Database,
    end: End,
}

impl Tables {
    pub(crate) fn open(dir: &Path, end: End) -> Result<Self, Error> {
        let database = Database::open(dir.join(FILE))?;
        let transaction = database.begin_read()?;
        let records = transaction.open_table(RECORDS)?;
        let names = transaction.open_table(NAMES)?;
        Ok(Self { records, names, database, end })
    }
}

impl Store for Tables {
    fn id_of(&self, name: &str) -> Result<Option<u64>, Error> {
        Ok(self.names.get(name)?.map(|id| id.value()))
    }

    fn record(&self, id: u64) -> Result<Option<Record>, Error> {
        let Some(row) = self.records.get(id)? else { return Ok(None) };
        let (name, country, lat, lon, population, tags) = row.value();
        let (name, country) = (name.to_owned(), country.to_owned());
        let tags = tags.into_iter().map(str::to_owned).collect();
        Ok(Some(Record { id, name, country, lat, lon, population, tags }))
    }

    fn records(&self, look: &mut impl Look) -> Result<(), Error> {
        for entry in self.records.iter()? {
            let (id, row) = entry?;
            let (name, country, lat, lon, population, tags) = row.value();
            let fields = Fields { id: id.value(), name, country, lat, lon, population };
            look.record(&fields, tags.into_iter());
        }
        Ok(())
    }

    fn names(&self, mut look: impl FnMut(&str, u64)) -> Result<(), Error> {
        for entry in self.names.iter()? {
            let (name, id) = entry?;
            look(name.value(), id.value());
        }
        Ok(())
    }

    fn close(self) {
        let Self { records, names, database, end } = self;
        drop((records, names));
        finish(database, end);
    }
}
