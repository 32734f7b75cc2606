//! The state as rkyv archives it: asked where it lies, in the mapped file, or loaded.
#![allow(unsafe_code, reason = "maps a file, and trusts what has been checked or is told to")]

use crate::files::STATE;
use memmap2::Mmap;
use rkyv::rancor;
use rkyv::util::AlignedVec;
use std::fs::File;
use std::path::Path;
use stillheap_peers::{ArchivedRecord, ArchivedState, Error, Fields, Look, Record, State, Store};

pub(crate) fn to_bytes(state: &State) -> Result<AlignedVec, Error> {
    Ok(rkyv::to_bytes::<rancor::Error>(state)?)
}

/// The state as ordinary collections again.
pub(crate) fn load(dir: &Path) -> Result<State, Error> {
    Ok(rkyv::from_bytes::<State, rancor::Error>(&map(dir)?)?)
}

/// The archived state in the mapped file.
pub(crate) struct Mapped(Mmap);

impl Mapped {
    /// Validates all of it first.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        let file = map(dir)?;
        rkyv::access::<ArchivedState, rancor::Error>(&file)?;
        Ok(Self(file))
    }

    /// Takes the file as it is: a damaged one is undefined behaviour.
    pub(crate) fn open_trusting(dir: &Path) -> Result<Self, Error> {
        Ok(Self(map(dir)?))
    }

    fn state(&self) -> &ArchivedState {
        // SAFETY: the file is as `to_bytes` wrote it: validated, or trusted by this bench.
        unsafe { rkyv::access_unchecked(&self.0) }
    }
}

fn map(dir: &Path) -> Result<Mmap, Error> {
    let file = File::open(dir.join(STATE))?;
    // SAFETY: nobody changes the file while this process lives.
    Ok(unsafe { Mmap::map(&file)? })
}

impl Store for Mapped {
    fn id_of(&self, name: &str) -> Result<Option<u64>, Error> {
        Ok(self.state().by_name.get(name).map(|id| id.to_native()))
    }

    fn record(&self, id: u64) -> Result<Option<Record>, Error> {
        let record = self.state().by_id.get(&id.into());
        Ok(record.map(rkyv::deserialize::<Record, rancor::Error>).transpose()?)
    }

    fn records(&self, look: &mut impl Look) -> Result<(), Error> {
        self.state().by_id.values().for_each(|record| show(record, look));
        Ok(())
    }

    fn names(&self, mut look: impl FnMut(&str, u64)) -> Result<(), Error> {
        self.state().by_name.iter().for_each(|(name, id)| look(name, id.to_native()));
        Ok(())
    }
}

fn show(record: &ArchivedRecord, look: &mut impl Look) {
    let fields = Fields {
        id: record.id.to_native(),
        name: record.name.as_str(),
        country: record.country.as_str(),
        lat: record.lat.to_native(),
        lon: record.lon.to_native(),
        population: record.population.to_native(),
    };
    look.record(&fields, record.tags.iter().map(|tag| tag.as_str()));
}
