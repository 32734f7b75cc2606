//! The figures of all rounds, and the lines made of them.

use crate::ways::{Family, REBUILD};
use std::collections::HashMap;

/// What is told of each way, in this order, and its unit.
const FIGURES: [(&str, &str); 9] = [
    ("save_ms", "ms"),
    ("pause_ms", "ms"),
    ("longest_write_ms", "ms"),
    ("first_query_warm_ms", "ms"),
    ("first_query_cold_ms", "ms"),
    ("loaded_ms", "ms"),
    ("loaded_cold_ms", "ms"),
    ("bytes", "bytes"),
    ("resident_mib", "MiB"),
];

/// What is compared: a ratio's name, their figure and ours.
const RATIOS: [(&str, &str, &str); 6] = [
    ("first_query_warm", "first_query_warm_ms", "first_query_warm_ms"),
    ("first_query_cold", "first_query_cold_ms", "first_query_cold_ms"),
    ("loaded", "loaded_ms", "loaded_ms"),
    ("save", "save_ms", "save_ms"),
    ("pause", "pause_ms", "pause_ms"),
    ("pause_over_longest_write", "pause_ms", "longest_write_ms"),
];

/// What a restart is judged by.
const FIRST: &str = "first_query_warm_ms";

/// Figures of one size: by way and what they are, one for each round.
pub(crate) struct Results {
    records: u64,
    values: HashMap<(String, &'static str), Vec<f64>>,
}

impl Results {
    pub(crate) fn new(records: u64) -> Self {
        Self { records, values: HashMap::new() }
    }

    /// Takes one, if there is one.
    pub(crate) fn add(&mut self, way: &str, what: &'static str, value: Option<f64>) {
        self.values.entry((way.to_owned(), what)).or_default().extend(value);
    }

    /// Prints all medians and ratios.
    pub(crate) fn report(&self, mib: u64, families: &[Family]) {
        println!("metric peers.state.{mib}.records {} records", self.records);
        let ways = || families.iter().flat_map(|family| &family.ways);
        for way in ways() {
            for (what, unit) in FIGURES {
                if let Some(value) = self.median(way, what) {
                    println!("metric peers.{way}.{mib}.{what} {} {unit}", short(value));
                }
            }
        }
        for ours in families.iter().filter(|family| family.is_ours()).flat_map(|f| &f.ways) {
            if let Some(ratio) = self.ratio((REBUILD, FIRST), (ours, FIRST)) {
                println!("ratio restore.{REBUILD}_over_{ours}.{mib} {}", short(ratio));
            }
            for way in ways().filter(|way| *way != ours) {
                for (name, theirs, our) in RATIOS {
                    if let Some(ratio) = self.ratio((way, theirs), (ours, our)) {
                        println!("ratio peers.{way}_over_{ours}.{mib}.{name} {}", short(ratio));
                    }
                }
            }
        }
    }

    /// Of two figures, each given by its way and its name.
    fn ratio(&self, theirs: (&str, &'static str), ours: (&str, &'static str)) -> Option<f64> {
        Some(self.median(theirs.0, theirs.1)? / self.median(ours.0, ours.1)?)
    }

    fn median(&self, way: &str, what: &'static str) -> Option<f64> {
        let mut values = self.values.get(&(way.to_owned(), what))?.clone();
        values.sort_unstable_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => None,
            count if count % 2 == 1 => Some(values[middle]),
            _ => Some(f64::midpoint(values[middle - 1], values[middle])),
        }
    }
}

/// A number with as many digits as are worth reading.
fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
