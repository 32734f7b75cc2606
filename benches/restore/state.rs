//! The state: records by number, and their numbers by name.

use crate::shared::Random;
use std::collections::{BTreeMap, HashMap};
use stillheap::Durable;

/// Bytes of the heap for each record, measured.
const RECORD: usize = 295;

#[derive(Durable, Clone, PartialEq, Debug)]
pub(crate) struct Record {
    pub(crate) id: u64,
    /// No other record has it.
    pub(crate) name: String,
    pub(crate) country: String,
    pub(crate) at: [f64; 2],
    pub(crate) population: u64,
}

#[derive(Durable, Default)]
pub(crate) struct State {
    by_id: BTreeMap<u64, Record>,
    by_name: HashMap<String, u64>,
}

/// How many records a heap of that size has.
pub(crate) fn records(mib: usize) -> usize {
    (mib << 20) / RECORD
}

impl Record {
    /// The record at that place of the list. Numbers rise along it, with gaps.
    pub(crate) fn nth(place: usize) -> Self {
        const SYLLABLES: [&str; 8] = ["ber", "lan", "mo", "ra", "vil", "ton", "sa", "ki"];
        const COUNTRIES: [&str; 4] = ["Argentina", "Botswana", "Denmark", "New Zealand"];
        let mut random = Random::new(place as u64);
        let mut name: String =
            (0..2 + random.below(3)).map(|_| SYLLABLES[random.below(SYLLABLES.len())]).collect();
        name.push_str(&format!(" {place}"));
        Self {
            id: 10 * place as u64 + random.below(10) as u64,
            name,
            country: COUNTRIES[random.below(COUNTRIES.len())].to_owned(),
            at: [180.0 * random.unit() - 90.0, 360.0 * random.unit() - 180.0],
            population: random.word() >> (40 + random.below(16)),
        }
    }
}

impl State {
    pub(crate) fn insert(&mut self, record: Record) {
        self.by_name.insert(record.name.clone(), record.id);
        self.by_id.insert(record.id, record);
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Record> {
        self.by_id.get(self.by_name.get(name)?)
    }

    /// Changes the record that was inserted at that place.
    pub(crate) fn change(&mut self, place: usize) {
        if let Some((_, record)) = self.by_id.range_mut(10 * place as u64..).next() {
            record.population += 1;
        }
    }

    /// Numbers that differ if any record does, or what is found by its name.
    pub(crate) fn digest(&self) -> u64 {
        let mut sum = self.by_id.len() as u64;
        let mut add = |word: u64| {
            sum = (sum.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        };
        for record in self.by_id.values() {
            let [lat, lon] = record.at.map(f64::to_bits);
            [record.id, lat, lon, record.population].into_iter().for_each(&mut add);
            [&record.name, &record.country].iter().for_each(|text| {
                text.bytes().for_each(|byte| add(byte.into()));
            });
            add(self.by_name.get(&record.name).copied().unwrap_or(u64::MAX));
        }
        sum
    }
}
