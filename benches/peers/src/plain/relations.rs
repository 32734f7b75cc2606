//! The state in SQLite: kept in memory, saved by its online backup, asked in the file.

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::Path;
use std::time::{Duration, Instant};
use stillheap_peers::{Error, Fields, Look, Record, Saved, State, Store, saved};

const FILE: &str = "state.sqlite";
/// Pages of 4 KiB that the backup copies before it lets writers in again.
const STEP: i32 = 1024;
/// Tags stand in one field, as in a text file: a table of their own would only be slower.
const SCHEMA: &str = "CREATE TABLE records (id INTEGER PRIMARY KEY, name TEXT NOT NULL, \
    country TEXT NOT NULL, lat REAL NOT NULL, lon REAL NOT NULL, population INTEGER NOT NULL, \
    tags TEXT NOT NULL)";
const INDEX: &str = "CREATE UNIQUE INDEX names ON records (name)";
const COLUMNS: &str = "id, name, country, lat, lon, population, tags";

/// Writers of the database in memory wait for one step of the backup at a time.
pub(crate) fn save(state: State, dir: &Path) -> Result<(), Error> {
    let memory = Connection::open_in_memory()?;
    fill(&memory, &state)?;
    drop(state);
    let mut file = Connection::open(dir.join(FILE))?;
    let begun = Instant::now();
    let backup = Backup::new(&memory, &mut file)?;
    let mut pause = Duration::ZERO;
    loop {
        let step = Instant::now();
        let result = backup.step(STEP)?;
        pause = pause.max(step.elapsed());
        match result {
            StepResult::Done => break,
            StepResult::More => {}
            other => return Err(format!("the backup says {other:?}").into()),
        }
    }
    drop(backup);
    saved(&Saved { pause, whole: begun.elapsed() });
    Ok(())
}

fn fill(memory: &Connection, state: &State) -> Result<(), Error> {
    memory.execute_batch(&format!("BEGIN; {SCHEMA}"))?;
    let mut insert = memory.prepare("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)")?;
    for record in state.by_id.values() {
        let Record { id, name, country, lat, lon, population, tags } = record;
        let tags = tags.join("\t");
        // SQLite's integers have a sign.
        let (id, population) = (i64::try_from(*id)?, i64::try_from(*population)?);
        insert.execute(params![id, name, country, lat, lon, population, tags])?;
    }
    memory.execute_batch(&format!("{INDEX}; COMMIT"))?;
    Ok(())
}

/// The database in its file.
pub(crate) struct Relations(Connection);

impl Relations {
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        Ok(Self(Connection::open(dir.join(FILE))?))
    }
}

impl Store for Relations {
    fn id_of(&self, name: &str) -> Result<Option<u64>, Error> {
        let mut ask = self.0.prepare_cached("SELECT id FROM records WHERE name = ?")?;
        Ok(ask.query_row([name], |row| number(row, 0)).optional()?)
    }

    fn record(&self, id: u64) -> Result<Option<Record>, Error> {
        let ask = format!("SELECT {COLUMNS} FROM records WHERE id = ?");
        let mut ask = self.0.prepare_cached(&ask)?;
        let mut owned = Owned(None);
        let mut rows = ask.query([i64::try_from(id)?])?;
        if let Some(row) = rows.next()? {
            show(row, &mut owned)?;
        }
        Ok(owned.0)
    }

    fn records(&self, look: &mut impl Look) -> Result<(), Error> {
        let ask = format!("SELECT {COLUMNS} FROM records ORDER BY id");
        let mut ask = self.0.prepare(&ask)?;
        let mut rows = ask.query([])?;
        while let Some(row) = rows.next()? {
            show(row, look)?;
        }
        Ok(())
    }

    fn names(&self, mut look: impl FnMut(&str, u64)) -> Result<(), Error> {
        // From the index, which holds both.
        let mut ask = self.0.prepare("SELECT name, id FROM records INDEXED BY names")?;
        let mut rows = ask.query([])?;
        while let Some(row) = rows.next()? {
            look(row.get_ref(0)?.as_str()?, number(row, 1)?);
        }
        Ok(())
    }
}

/// A record of its own, made of one that was shown.
struct Owned(Option<Record>);

impl Look for Owned {
    fn record<'a>(&mut self, fields: &Fields<'a>, tags: impl Iterator<Item = &'a str>) {
        let &Fields { id, lat, lon, population, .. } = fields;
        let (name, country) = (fields.name.to_owned(), fields.country.to_owned());
        let tags = tags.map(str::to_owned).collect();
        self.0 = Some(Record { id, name, country, lat, lon, population, tags });
    }
}

fn show(row: &Row<'_>, look: &mut impl Look) -> Result<(), Error> {
    let fields = Fields {
        id: number(row, 0)?,
        name: row.get_ref(1)?.as_str()?,
        country: row.get_ref(2)?.as_str()?,
        lat: row.get(3)?,
        lon: row.get(4)?,
        population: number(row, 5)?,
    };
    let tags = row.get_ref(6)?.as_str()?;
    look.record(&fields, tags.split('\t').filter(|tag| !tag.is_empty()));
    Ok(())
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}
