//! The commands that work on the heap that the story has left, from one start to the next.

use super::args::Role;
use super::db::Place;
use super::process::Process;
use super::store::Store;
use super::story::{Killed, kill_at_work, random_below};
use super::{Outcome, show};
use std::io::Write;
use std::path::Path;
use stillheap::Options;

/// Names shown when no place has the one asked for.
const SUGGESTIONS: usize = 10;

pub(crate) fn near(dir: &Path, at: [f64; 2], out: &mut dyn Write) -> Outcome {
    let store = open(dir, out)?;
    let title = format!("Nearest to {} {} (in degrees)", at[0], at[1]);
    let answer = store.db.read(|db| show::nearest(&title, &db.nearest(at, 10)));
    writeln!(out, "{answer}")?;
    store.close()?;
    Ok(())
}

pub(crate) fn find(dir: &Path, name: &str, out: &mut dyn Write) -> Outcome {
    let store = open(dir, out)?;
    let answer = store.db.read(|db| match &db.named(name)[..] {
        [] => format!(
            "No place is named {name}. Names that begin so: {}",
            match &db.names_like(name, SUGGESTIONS)[..] {
                [] => "none".to_owned(),
                names => names.join(", "),
            }
        ),
        places => show::found(name, places),
    });
    writeln!(out, "{answer}")?;
    store.close()?;
    Ok(())
}

pub(crate) fn add(dir: &Path, name: String, at: [f64; 2], out: &mut dyn Write) -> Outcome {
    let store = open(dir, out)?;
    let [lat, lon] = at;
    // ZZ is nobody's country code.
    let place = Place { name: name.clone(), country: "ZZ".to_owned(), lat, lon };
    store.db.write(|db| db.add(place))?;
    match store.close()? {
        Some(still) => writeln!(out, "Added {name}: durable in snapshot {}.", still.number)?,
        None => writeln!(out, "Added {name}.")?,
    }
    Ok(())
}

pub(crate) fn kill(dir: &Path, out: &mut dyn Write) -> Outcome {
    let beyond = 1 + random_below(4_000);
    let child = Process::start(Role::Scribble, dir)?;
    let is_enough = |known: &Killed| known.durable.is_some() && known.added_since >= beyond;
    writeln!(out, "A child adds places around Point Nemo, in the ocean.\n\n{}", show::STILL_HEAD)?;
    let known =
        kill_at_work(child, is_enough, |still| Ok(writeln!(out, "{}", show::still(still))?))?;
    let all = show::number(known.found + known.added);
    let added = show::number(known.added);
    writeln!(out, "\nSIGKILL, after it had told of {added} new places, {all} with the old ones.")?;
    let durable = known.durable.map_or(0, |still| still.number);
    writeln!(out, "Snapshot {durable} was durable. The next start shows what came back:")?;
    writeln!(out, "  cargo run --release --example cities -- near -48.8767 -123.3933")?;
    Ok(())
}

/// Opens the heap and shows what came back.
fn open(dir: &Path, out: &mut dyn Write) -> Outcome<Store> {
    let store = Store::existing(dir, Options::new())?;
    if let Some(back) = store.restored() {
        let places = show::number(store.db.read(|db| db.len()));
        let elapsed = show::time(back.elapsed);
        writeln!(out, "Snapshot {} came back in {elapsed}: {places} places.\n", back.snapshot)?;
    }
    Ok(store)
}
