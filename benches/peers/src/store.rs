//! How a state is asked, whatever keeps it, and what tells that it is the same everywhere.

use crate::Error;
use crate::state::Record;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A state that has come back.
pub trait Store {
    /// The number of the record of that name.
    ///
    /// # Errors
    /// Those of what keeps it.
    fn id_of(&self, name: &str) -> Result<Option<u64>, Error>;

    /// The record of that number, as a value of its own.
    ///
    /// # Errors
    /// Those of what keeps it.
    fn record(&self, id: u64) -> Result<Option<Record>, Error>;

    /// Shows all records, in the order of their numbers.
    ///
    /// # Errors
    /// Those of what keeps it.
    fn records(&self, look: &mut impl Look) -> Result<(), Error>;

    /// Shows all names with their numbers, in any order.
    ///
    /// # Errors
    /// Those of what keeps it.
    fn names(&self, look: impl FnMut(&str, u64)) -> Result<(), Error>;

    /// What is to be done before the process ends: nothing, it frees memory faster.
    fn close(self)
    where
        Self: Sized,
    {
        std::mem::forget(self);
    }
}

/// A record's fields, wherever they lie, but for its tags.
pub struct Fields<'a> {
    /// As in [`Record`].
    pub id: u64,
    /// As in [`Record`].
    pub name: &'a str,
    /// As in [`Record`].
    pub country: &'a str,
    /// As in [`Record`].
    pub lat: f64,
    /// As in [`Record`].
    pub lon: f64,
    /// As in [`Record`].
    pub population: u64,
}

/// Who is shown records.
pub trait Look {
    /// Looks at one.
    fn record<'a>(&mut self, fields: &Fields<'a>, tags: impl Iterator<Item = &'a str>);
}

/// Reads a little of each part of a record: all its memory has been there then.
#[derive(Default)]
pub(crate) struct Glance(pub(crate) u64);

impl Look for Glance {
    fn record<'a>(&mut self, fields: &Fields<'a>, tags: impl Iterator<Item = &'a str>) {
        let texts = [fields.name, fields.country].into_iter().chain(tags);
        let first = |text: &str| u64::from(text.as_bytes().first().copied().unwrap_or(0));
        let sum = texts.map(first).fold(fields.population, u64::wrapping_add);
        self.0 = self.0.wrapping_add(sum);
    }
}

/// A checksum of all that a state holds. The order in which it is shown does not matter.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digest {
    sum: u64,
    records: u64,
    names: u64,
}

impl Digest {
    /// Of everything in the store.
    ///
    /// # Errors
    /// Those of the store.
    pub fn of(store: &impl Store) -> Result<Self, Error> {
        let mut digest = Self::default();
        store.records(&mut digest)?;
        store.names(|name, id| {
            digest.add(&(name, id));
            digest.names += 1;
        })?;
        Ok(digest)
    }

    /// As a child tells it.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{:016x}:{}:{}", self.sum, self.records, self.names)
    }

    fn add(&mut self, what: &impl Hash) {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

impl Look for Digest {
    fn record<'a>(&mut self, fields: &Fields<'a>, tags: impl Iterator<Item = &'a str>) {
        let mut hasher = DefaultHasher::new();
        (fields.id, fields.name, fields.country, fields.population).hash(&mut hasher);
        [fields.lat, fields.lon].map(f64::to_bits).hash(&mut hasher);
        tags.for_each(|tag| tag.hash(&mut hasher));
        self.sum = self.sum.wrapping_add(hasher.finish());
        self.records += 1;
    }
}
