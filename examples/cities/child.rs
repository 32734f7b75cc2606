//! The child's part: load the places, answer questions, build without a heap, or write until
//! killed. Each tells its parent what it does, a line at a time.

use super::args::Role;
use super::db::{Db, Place};
use super::store::{Store, reporting};
use super::wire::{Said, StillLine};
use super::{Outcome, data, show};
use std::io::{self, Write};
use std::path::Path;

/// Operations between two snapshots while loading.
pub(crate) const LOADING_INTERVAL: u64 = 20_000;
/// Operations between two snapshots while places are added until a kill.
const SCRIBBLING_INTERVAL: u64 = 5_000;
/// An end to the adding of places, should nobody kill it.
const SCRIBBLES: u64 = 2_000_000;
/// Questions of each kind that the digest of all answers asks.
const QUESTIONS: usize = 1_000;

const PARIS: [f64; 2] = [48.8566, 2.3522];
/// The point of the ocean that is farthest from land: no places of the file are near.
const POINT_NEMO: [f64; 2] = [-48.8767, -123.3933];

pub(crate) fn run(role: Role, dir: &Path) -> Outcome {
    match role {
        Role::Load => load(dir),
        Role::Answer => answer_from_heap(dir),
        Role::Build => answer_from_file(),
        Role::Scribble => scribble(dir),
    }
}

/// Loads the places that the heap does not have yet, one operation each.
fn load(dir: &Path) -> Outcome {
    let store = Store::open(dir, reporting(LOADING_INTERVAL, tell_still))?;
    let loaded = opened(&store)?;
    for place in data::places().skip(usize::try_from(loaded)?) {
        // Born outside the scope; moving it in is enough.
        let place = place?;
        store.db.write(|db| db.add(place))?;
        say(&Said::Added)?;
    }
    store.close()?;
    Ok(())
}

fn answer_from_heap(dir: &Path) -> Outcome {
    let store = Store::existing(dir, reporting(0, tell_still))?;
    store.db.read(answer)?;
    opened(&store)?;
    store.close()?;
    Ok(())
}

/// The same state in plain memory: no heap is opened.
fn answer_from_file() -> Outcome {
    let mut db = Db::default();
    for place in data::places() {
        db.add(place?)?;
    }
    answer(&db)
}

fn answer(db: &Db) -> Outcome {
    let answers = [
        show::nearest("Nearest to Paris (48.8566 2.3522)", &db.nearest(PARIS, 5)),
        show::found("Paris", &db.named("Paris")),
        show::countries(&db.largest_countries(5)),
    ];
    for line in answers.iter().flat_map(|answer| answer.lines()) {
        say(&Said::Answer(line.to_owned()))?;
    }
    db.audit()?;
    say(&Said::Audited { digest: db.digest(QUESTIONS) })
}

/// Adds places around a point in the ocean until the parent has seen enough.
fn scribble(dir: &Path) -> Outcome {
    let store = Store::existing(dir, reporting(SCRIBBLING_INTERVAL, tell_still))?;
    let first = opened(&store)?;
    for number in first..first + SCRIBBLES {
        let ring = (number % 1_000) as f64 / 1_000.0;
        let place = Place {
            name: format!("Point Nemo {number}"),
            country: "ZZ".to_owned(),
            lat: POINT_NEMO[0] + ring,
            lon: POINT_NEMO[1] - ring,
        };
        store.db.write(|db| db.add(place))?;
        say(&Said::Added)?;
    }
    store.close()?;
    Ok(())
}

/// Says what came back, and gives the number of places.
fn opened(store: &Store) -> Outcome<u64> {
    let places = store.db.read(Db::len);
    say(&Said::Opened { restored: store.restored(), places })?;
    Ok(places)
}

fn tell_still(still: StillLine) {
    // If the parent is gone, the next operation notices.
    let _ = say(&Said::Still(still));
}

fn say(said: &Said) -> Outcome {
    writeln!(io::stdout(), "{said}")?;
    Ok(())
}
