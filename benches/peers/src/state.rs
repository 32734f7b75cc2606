//! The state that all ways keep: records by number, and their numbers by name.
//!
//! Invariant: `by_name[r.name] == r.id` for each record `r`, no name stands twice, and
//! `by_id[id].id == id`.

use crate::Error;
use crate::store::{Fields, Look, Store};
use std::collections::{BTreeMap, HashMap};

/// A place.
#[derive(
    Clone,
    PartialEq,
    Debug,
    bincode::Encode,
    bincode::Decode,
    serde::Serialize,
    serde::Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[cfg_attr(feature = "heap", derive(stillheap::Durable))]
pub struct Record {
    /// Its number.
    pub id: u64,
    /// No other place has it.
    pub name: String,
    /// Where it lies.
    pub country: String,
    /// Degrees.
    pub lat: f64,
    /// Degrees.
    pub lon: f64,
    /// People.
    pub population: u64,
    /// What else is known; none is empty, and no tabs are in them.
    pub tags: Vec<String>,
}

/// All places.
#[derive(
    Default,
    bincode::Encode,
    bincode::Decode,
    serde::Serialize,
    serde::Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[cfg_attr(feature = "heap", derive(stillheap::Durable))]
pub struct State {
    /// By number.
    pub by_id: BTreeMap<u64, Record>,
    /// The numbers by name.
    pub by_name: HashMap<String, u64>,
}

impl State {
    /// Adds a place.
    pub fn insert(&mut self, record: Record) {
        self.by_name.insert(record.name.clone(), record.id);
        self.by_id.insert(record.id, record);
    }
}

impl Record {
    /// Shows it.
    pub fn show(&self, look: &mut impl Look) {
        let &Self { id, lat, lon, population, .. } = self;
        let (name, country) = (self.name.as_str(), self.country.as_str());
        let fields = Fields { id, name, country, lat, lon, population };
        look.record(&fields, self.tags.iter().map(String::as_str));
    }
}

impl Store for State {
    fn id_of(&self, name: &str) -> Result<Option<u64>, Error> {
        Ok(self.by_name.get(name).copied())
    }

    fn record(&self, id: u64) -> Result<Option<Record>, Error> {
        Ok(self.by_id.get(&id).cloned())
    }

    fn records(&self, look: &mut impl Look) -> Result<(), Error> {
        self.by_id.values().for_each(|record| record.show(look));
        Ok(())
    }

    fn names(&self, mut look: impl FnMut(&str, u64)) -> Result<(), Error> {
        self.by_name.iter().for_each(|(name, &id)| look(name, id));
        Ok(())
    }
}
