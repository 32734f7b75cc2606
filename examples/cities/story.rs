//! The whole story: a child loads the places and is killed, is started again and goes on, and
//! a third one answers; the same answers come from a build that uses no heap.
//!
//! The parent believes nothing: what was reported durable has to come back, and all answers
//! have to be those of the file. Anything else ends the story with an error.

use super::args::Role;
use super::child::LOADING_INTERVAL;
use super::process::Process;
use super::wire::{Back, Said, StillLine};
use super::{Outcome, data, show, store};
use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// Tells the story of a new heap in `dir`.
pub(crate) fn tell(dir: &Path, out: &mut dyn Write) -> Outcome {
    let total = data::places().count() as u64;
    let replaced = if store::remove(dir)? { " (it replaces that of an earlier run)" } else { "" };
    writeln!(out, "{} places, killed and brought back", show::number(total))?;
    writeln!(out, "heap: {}{replaced}\n", dir.display())?;
    let before = load_and_kill(dir, total, out)?;
    bring_back(dir, total, &before, out)?;
    compare(dir, total, out)
}

/// What the parent knows about a child that it has killed.
pub(crate) struct Killed {
    /// Places that the child had when it started.
    pub(crate) found: u64,
    /// Places that it has told of since.
    pub(crate) added: u64,
    /// Those of them that it has told of after its last snapshot.
    pub(crate) added_since: u64,
    /// The last snapshot that it told of.
    pub(crate) durable: Option<StillLine>,
}

/// Lets a child work, kills it when `is_enough` says so, and hears it out.
pub(crate) fn kill_at_work(
    mut child: Process,
    mut is_enough: impl FnMut(&Killed) -> bool,
    mut on_still: impl FnMut(&StillLine) -> Outcome,
) -> Outcome<Killed> {
    let mut known = Killed { found: 0, added: 0, added_since: 0, durable: None };
    let mut is_killed = false;
    while let Some(said) = child.next()? {
        match said {
            Said::Opened { places, .. } => known.found = places,
            Said::Added => {
                known.added += 1;
                known.added_since += 1;
            }
            Said::Still(still) => {
                on_still(&still)?;
                known.added_since = 0;
                known.durable = Some(still);
            }
            Said::Answer(_) | Said::Audited { .. } => {}
        }
        if !is_killed && is_enough(&known) {
            child.kill()?;
            is_killed = true;
        }
    }
    if is_killed {
        return Ok(known);
    }
    child.end()?;
    Err("the child had finished before it could be killed".into())
}

/// A number below `limit` that nobody can foretell.
pub(crate) fn random_below(limit: u64) -> u64 {
    RandomState::new().hash_one(()) % limit.max(1)
}

fn load_and_kill(dir: &Path, total: u64, out: &mut dyn Write) -> Outcome<Killed> {
    let every = show::number(LOADING_INTERVAL);
    writeln!(out, "1. A child loads the places, one operation each, a snapshot every {every}.\n")?;
    writeln!(out, "{}", show::STILL_HEAD)?;
    let enough = total / 2 + random_below(total / 4);
    let child = Process::start(Role::Load, dir)?;
    let killed = kill_at_work(
        child,
        |known| known.added >= enough && known.durable.is_some(),
        |still| Ok(writeln!(out, "{}", show::still(still))?),
    )?;
    let added = show::number(killed.added);
    writeln!(out, "\n   SIGKILL, after it had told of {added} places.\n")?;
    Ok(killed)
}

fn bring_back(dir: &Path, total: u64, before: &Killed, out: &mut dyn Write) -> Outcome {
    writeln!(out, "2. It is started again.\n")?;
    let mut child = Process::start(Role::Load, dir)?;
    let mut places = 0;
    while let Some(said) = child.next()? {
        match said {
            Said::Opened { restored, places: found } => {
                places = found;
                came_back(restored, found, before, out)?;
                writeln!(out, "\n{}", show::STILL_HEAD)?;
            }
            Said::Added => places += 1,
            Said::Still(still) => writeln!(out, "{}", show::still(&still))?,
            Said::Answer(_) | Said::Audited { .. } => {}
        }
    }
    child.end()?;
    if places != total {
        return Err(format!("the heap was closed with {places} of {total} places").into());
    }
    writeln!(out, "\n   It has loaded the rest and closed the heap.\n")?;
    Ok(())
}

/// Shows what a kill has left, and holds it against what was reported durable.
pub(crate) fn came_back(
    restored: Option<Back>,
    places: u64,
    before: &Killed,
    out: &mut dyn Write,
) -> Outcome {
    let back = restored.ok_or("nothing came back, but a snapshot had been reported durable")?;
    writeln!(
        out,
        "   Came back: snapshot {} with {} places, in {}.",
        back.snapshot,
        show::number(places),
        show::time(back.elapsed)
    )?;
    let durable = before.durable.map_or(0, |still| still.number);
    if back.snapshot < durable {
        let restored = back.snapshot;
        return Err(format!("snapshot {durable} was reported durable, {restored} came").into());
    }
    // The child may have been killed after an operation and before telling of it.
    let gone = (before.found + before.added).saturating_sub(places);
    writeln!(out, "   Gone: the {} operations after that snapshot.", show::number(gone))?;
    Ok(())
}

fn compare(dir: &Path, total: u64, out: &mut dyn Write) -> Outcome {
    writeln!(
        out,
        "3. A third start answers questions; a build without a heap answers them too.\n"
    )?;
    let from_heap = Answers::of(Process::start(Role::Answer, dir)?)?;
    let from_file = Answers::of(Process::start(Role::Build, dir)?)?;
    for line in &from_heap.lines {
        writeln!(out, "   {line}")?;
    }
    if from_heap.lines != from_file.lines || from_heap.digest != from_file.digest {
        return Err("the heap's answers differ from those of a build from the file".into());
    }
    let restoring = from_heap.restoring.map_or(String::new(), |elapsed| {
        format!(" ({} of it opening the heap)", show::time(elapsed))
    });
    let (heap, file) = (show::time(from_heap.first), show::time(from_file.first));
    writeln!(out, "\n   From start to the first answer:")?;
    writeln!(out, "{heap:>12}  restored from the heap{restoring}")?;
    writeln!(out, "{file:>12}  built from the file")?;
    let total = show::number(total);
    writeln!(out, "\n   All {total} places are in all three indexes; the answers are the same.")?;
    Ok(())
}

/// What a child has answered.
struct Answers {
    lines: Vec<String>,
    digest: u64,
    /// From the child's start to its first answer.
    first: Duration,
    restoring: Option<Duration>,
}

impl Answers {
    fn of(mut child: Process) -> Outcome<Self> {
        let mut answers =
            Self { lines: Vec::new(), digest: 0, first: Duration::ZERO, restoring: None };
        let mut is_audited = false;
        while let Some(said) = child.next()? {
            match said {
                Said::Answer(line) => {
                    if answers.lines.is_empty() {
                        answers.first = child.elapsed();
                    }
                    answers.lines.push(line);
                }
                Said::Audited { digest } => {
                    answers.digest = digest;
                    is_audited = true;
                }
                Said::Opened { restored, .. } => {
                    answers.restoring = restored.map(|back| back.elapsed);
                }
                Said::Added | Said::Still(_) => {}
            }
        }
        child.end()?;
        if is_audited { Ok(answers) } else { Err("a child has ended without its audit".into()) }
    }
}
