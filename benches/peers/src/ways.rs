//! The ways that are compared, and a round of one.

use crate::children::{Program, Programs, Told};
use crate::folder::{self, Folder};
use crate::report::Results;
use std::path::Path;
use stillheap_peers::{Error, rows};

/// The way that saves nothing.
pub(crate) const REBUILD: &str = "rebuild";

/// Ways that come back from the same files.
pub(crate) struct Family {
    program: Program,
    /// How the files are made; `None`: they are the source.
    save: Option<&'static str>,
    pub(crate) ways: Vec<&'static str>,
}

/// What a round goes by.
pub(crate) struct Round<'a> {
    /// What to tell the person who waits.
    pub(crate) name: String,
    pub(crate) programs: &'a Programs,
    pub(crate) folder: &'a Folder,
    pub(crate) records: u64,
    /// Where the source lies.
    pub(crate) source: &'a Path,
    /// The digest of the right state.
    pub(crate) digest: &'a str,
}

/// All ways, or those that `only` names, with commas between them.
pub(crate) fn chosen(only: Option<&str>) -> Result<Vec<Family>, Error> {
    let mut families = all();
    if let Some(only) = only {
        let known: Vec<&str> = families.iter().flat_map(|family| &family.ways).copied().collect();
        let wanted: Vec<&str> = only.split(',').collect();
        if let Some(other) = wanted.iter().find(|name| !known.contains(name)) {
            return Err(format!("no way is called {other}; there are {}", known.join(", ")).into());
        }
        for family in &mut families {
            family.ways.retain(|way| wanted.contains(way));
        }
        families.retain(|family| !family.ways.is_empty());
    }
    Ok(families)
}

fn all() -> Vec<Family> {
    let ours = rows().into_iter().map(|row| Family {
        program: Program::Ours,
        save: Some(row.name),
        ways: vec![row.name],
    });
    let plain =
        |save, ways: &[&'static str]| Family { program: Program::Plain, save, ways: ways.to_vec() };
    let plain = [
        plain(Some("bincode"), &["bincode"]),
        plain(Some("postcard"), &["postcard"]),
        plain(Some("rkyv"), &["rkyv_mapped", "rkyv_trusted", "rkyv_loaded"]),
        plain(Some("redb"), &["redb"]),
        plain(Some("redb_killed"), &["redb_killed"]),
        plain(Some("sqlite"), &["sqlite"]),
        plain(None, &[REBUILD]),
    ];
    ours.chain(plain).collect()
}

impl Family {
    pub(crate) fn is_ours(&self) -> bool {
        self.program == Program::Ours
    }

    /// Saves once, and comes back in each way, from warm files and from cold ones.
    pub(crate) fn run(&self, round: &Round<'_>, results: &mut Results) -> Result<(), Error> {
        let folder = round.folder.part("state")?;
        let dir = if self.save.is_some() { folder.path() } else { round.source };
        if let Some(save) = self.save {
            let told = round.programs.run(self.program, ["save", save], round.records, dir)?;
            let time = told.figure("save_ms").unwrap_or(f64::NAN);
            eprintln!("{}: {save} saved in {time:.0} ms", round.name);
            for way in &self.ways {
                for what in ["save_ms", "pause_ms", "longest_write_ms", "resident_mib"] {
                    results.add(way, what, told.figure(what));
                }
            }
        }
        for way in &self.ways {
            results.add(way, "bytes", Some(folder::bytes(dir)? as f64));
            folder::warm(dir)?;
            let warm = self.come_back(way, "warm", round, dir)?;
            results.add(way, "first_query_warm_ms", warm.figure("first_query_ms"));
            results.add(way, "loaded_ms", warm.figure("loaded_ms"));
            folder::cool(dir)?;
            let cold = self.come_back(way, "cold", round, dir)?;
            results.add(way, "first_query_cold_ms", cold.figure("first_query_ms"));
            results.add(way, "loaded_cold_ms", cold.figure("loaded_ms"));
            say_if_warm(way, &cold, folder::bytes(dir)?);
        }
        Ok(folder.close()?)
    }

    fn come_back(
        &self,
        way: &str,
        how: &str,
        round: &Round<'_>,
        dir: &Path,
    ) -> Result<Told, Error> {
        let told = round.programs.run(self.program, ["restart", way], round.records, dir)?;
        let time = told.figure("first_query_ms").unwrap_or(f64::NAN);
        eprintln!("{}: {way} answered in {time:.1} ms, {how}", round.name);
        match told.digest.as_deref() {
            Some(digest) if digest == round.digest => Ok(told),
            other => Err(format!("{way} came back as {other:?}, not as {}", round.digest).into()),
        }
    }
}

/// All files were read in the end: if less came from the disk, the page cache had the rest.
fn say_if_warm(way: &str, told: &Told, bytes: u64) {
    if let Some(read) = told.figure("from_disk")
        && read < bytes as f64 / 2.0
    {
        eprintln!("{way}: only {read:.0} of {bytes} bytes came from the disk: it was not cold");
    }
}
