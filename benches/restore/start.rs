//! Restarts: from a heap's directory in each way, and from the text file.

use crate::save::Saved;
use crate::shared::{
    Arguments, Error, Folder, in_child, median, metric, milliseconds, ratio, short, tell,
};
use crate::source;
use crate::state::{Record, State};
use crate::{HEAP, cache};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use stillheap::{Options, Restore, Root};

const WAYS: [&str; 3] = ["verified", "background", "load"];

/// One size, without deltas.
pub(crate) fn run(
    folder: &Folder,
    mib: usize,
    rounds: usize,
    arguments: &Arguments,
) -> Result<(), Error> {
    if !arguments.wants("sizes") && !arguments.wants("rebuild") {
        return Ok(());
    }
    let saved = Saved::new(folder, mib, 0)?;
    metric(&format!("restore.{mib}.mib_on_disk"), saved.bytes / f64::from(1 << 20), "MiB");
    let ways: &[&str] = if arguments.wants("sizes") { &WAYS } else { &["background"] };
    let ours = restarts(&saved, &mib.to_string(), ways, rounds)?;
    if !arguments.wants("rebuild") {
        return Ok(());
    }
    let part = folder.part()?;
    let file = part.path().join("records.tsv");
    let file = file.to_str().ok_or("the folder's name is not text")?;
    let records = saved.records.to_string();
    eprintln!("rebuilding {mib} MiB");
    in_child(&["source", file, &records])?;
    let mut times = Vec::new();
    for _ in 0..if mib < 1024 { rounds } else { 1 } {
        let told = in_child(&["rebuild", file, &records])?;
        if told.last::<u64>("digest")? != saved.digest {
            return Err("the text file makes another state".into());
        }
        times.push(told.last("first_query_ms")?);
    }
    let rebuild = median(times);
    metric(&format!("restore.rebuild.{mib}.first_query_ms"), rebuild, "ms");
    ratio(&format!("restore.rebuild_over_ours.{mib}"), rebuild / ours);
    Ok(())
}

/// One size, with deltas.
pub(crate) fn run_chain(
    folder: &Folder,
    mib: usize,
    deltas: usize,
    rounds: usize,
) -> Result<(), Error> {
    let saved = Saved::new(folder, mib, deltas)?;
    restarts(&saved, &format!("{mib}.chain{deltas}"), &WAYS, rounds)?;
    Ok(())
}

/// Restarts in these ways, warm and cold; gives the first query's time of `background`, warm.
fn restarts(saved: &Saved, name: &str, ways: &[&str], rounds: usize) -> Result<f64, Error> {
    let (path, records) = (saved.path()?, saved.records.to_string());
    let mut background = f64::NAN;
    for &way in ways {
        for prefix in ["", "cold_"] {
            let (mut first, mut loaded) = (Vec::new(), Vec::new());
            for _ in 0..rounds {
                match prefix {
                    "" => cache::warm(saved.dir.path())?,
                    _ => cache::cool(saved.dir.path())?,
                }
                let told = in_child(&["open", path, &records, way])?;
                if told.last::<u64>("digest")? != saved.digest {
                    return Err(format!("{name}, {way}: not what had been saved").into());
                }
                first.push(told.last("first_query_ms")?);
                loaded.push(told.last("loaded_ms")?);
            }
            let (first, loaded) = (median(first), median(loaded));
            eprintln!("{name}: {prefix}{way} {} ms, {} ms", short(first), short(loaded));
            metric(&format!("restore.{way}.{name}.{prefix}first_query_ms"), first, "ms");
            metric(&format!("restore.{way}.{name}.{prefix}loaded_ms"), loaded, "ms");
            if (way, prefix) == ("background", "") {
                background = first;
            }
        }
    }
    Ok(background)
}

pub(crate) fn child(begun: Instant, dir: &Path, records: usize, way: &str) -> Result<(), Error> {
    let restore = match way {
        "verified" => Restore::Verified,
        "background" => Restore::Background,
        _ => Restore::Load,
    };
    let options = Options::new().create(false).restore(restore).restart_on_collision(true);
    let before = begun.elapsed();
    let heap = HEAP.open(dir, options)?;
    let opened = begun.elapsed();
    tell("opening_ms", milliseconds(opened - before));
    let root: Root<State> = heap.root("state")?;
    root.read(|state| ask(begun, records, state))?;
    let loaded = loop {
        // Asking is not free: the kernel walks through all memory for some of the figures.
        match heap.stats().freezes.loaded {
            Some(loaded) => break loaded,
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    tell("loaded_ms", milliseconds(before + loaded));
    tell("digest", root.read(State::digest));
    // Closing would take one more snapshot.
    std::mem::forget(heap);
    Ok(())
}

pub(crate) fn child_rebuild(begun: Instant, file: &Path, records: usize) -> Result<(), Error> {
    let state = source::parse(file)?;
    ask(begun, records, &state)?;
    tell("digest", state.digest());
    Ok(())
}

/// Looks a record up, tells when it had been found, and compares it.
fn ask(begun: Instant, records: usize, state: &State) -> Result<(), Error> {
    let expected = Record::nth(records / 3 * 2);
    let found = state.find(&expected.name).cloned();
    tell("first_query_ms", milliseconds(begun.elapsed()));
    // Deltas change how many live there.
    let found = found.map(|record| Record { population: expected.population, ..record });
    if found.as_ref() == Some(&expected) {
        Ok(())
    } else {
        Err(format!("asked for {expected:?}, got {found:?}").into())
    }
}
