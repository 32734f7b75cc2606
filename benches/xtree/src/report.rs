//! What children tell: put together, checked, and printed.

use crate::Error;

const OURS: &str = "ours";
const RSTAR: &str = "rstar";
const KIDDO: &str = "kiddo";
const IN_HEAP: &str = "in_heap";

/// Of one cell.
#[derive(Default)]
pub(crate) struct Results {
    rates: Table,
    bytes: Table,
    /// Average numbers of entries that windows meet; the same for all.
    hits: Table,
    /// What all must have in common: integers, and sums of distances.
    checks: Table,
    sums: Table,
    notes: Vec<String>,
}

/// Values by what they are of, in the order in which that was told first, and by who told them.
#[derive(Default)]
struct Table(Vec<(String, Vec<(String, String)>)>);

impl Table {
    fn add(&mut self, who: &str, what: &str, value: &str) {
        let value = (who.to_owned(), value.to_owned());
        match self.0.iter_mut().find(|(known, _)| known == what) {
            Some((_, values)) => values.push(value),
            None => self.0.push((what.to_owned(), vec![value])),
        }
    }

    fn median(&self, who: &str, what: &str) -> Option<f64> {
        let (_, told) = self.0.iter().find(|(known, _)| known == what)?;
        let told = told.iter().filter(|(teller, _)| teller == who);
        let mut values: Vec<f64> = told.filter_map(|(_, value)| value.parse().ok()).collect();
        values.sort_unstable_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }

    /// Complains if not all have told the same of something.
    fn check(&self, name: &str, same: impl Fn(&str, &str) -> bool) -> Result<(), Error> {
        for (what, told) in &self.0 {
            for (who, value) in told {
                let (first, expected) = &told[0];
                if !same(value, expected) {
                    return Err(format!(
                        "{name}.{what}: {who} found {value}, and {first} {expected}"
                    )
                    .into());
                }
            }
        }
        Ok(())
    }
}

impl Results {
    /// Takes a line of a child's.
    pub(crate) fn take(&mut self, line: &str) -> Result<(), Error> {
        let mut words = line.splitn(4, ' ');
        let mut word = || words.next().ok_or_else(|| format!("a child printed: {line}"));
        let (kind, who, what, value) = (word()?, word()?, word()?, word()?);
        match kind {
            "rate" => self.rates.add(who, what, value),
            "bytes" => self.bytes.add(who, what, value),
            "hits" => self.hits.add("all", what, value),
            "check" => self.checks.add(who, what, value),
            "sum" => self.sums.add(who, what, value),
            "note" => {
                let note = format!("{who} {}: {value}", what.replace('_', " "));
                if !self.notes.contains(&note) {
                    self.notes.push(note);
                }
            }
            _ => return Err(format!("a child printed: {line}").into()),
        }
        Ok(())
    }

    pub(crate) fn report(&self, name: &str) -> Result<(), Error> {
        self.checks.check(name, |a, b| a == b)?;
        self.sums.check(name, |a, b| match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => (a - b).abs() <= 1e-9 * b.abs(),
            _ => false,
        })?;
        for note in &self.notes {
            println!("note {name} {note}");
        }
        for (what, _) in &self.hits.0 {
            metric(name, what, "hits", self.hits.median("all", what), "entries");
        }
        for (what, _) in &self.rates.0 {
            for who in [OURS, RSTAR, KIDDO, IN_HEAP] {
                metric(name, what, who, self.rates.median(who, what), "ops/s");
            }
        }
        for (what, _) in &self.bytes.0 {
            for who in [OURS, RSTAR, KIDDO] {
                metric(name, what, who, self.bytes.median(who, what), "bytes");
            }
        }
        for (what, _) in &self.rates.0 {
            self.ratios(name, what);
        }
        for (what, _) in &self.bytes.0 {
            for whose in [RSTAR, KIDDO] {
                let of = |who| self.bytes.median(who, what);
                ratio(&format!("{name}.{what}_over_{whose}"), of(OURS), of(whose));
            }
        }
        Ok(())
    }

    fn ratios(&self, name: &str, what: &str) {
        let of = |who| self.rates.median(who, what);
        let rstar = of(RSTAR).or_else(|| {
            let only = what.strip_suffix("_parallel")?;
            self.rates.median(RSTAR, only)
        });
        ratio(&format!("{name}.{what}.ours_over_rstar"), of(OURS), rstar);
        ratio(&format!("{name}.{what}.ours_over_kiddo"), of(OURS), of(KIDDO));
        ratio(&format!("{name}.{what}.in_heap_over_outside"), of(IN_HEAP), of(OURS));
        ratio(&format!("{name}.{what}.in_heap_over_rstar"), of(IN_HEAP), rstar);
    }
}

fn metric(name: &str, what: &str, who: &str, value: Option<f64>, unit: &str) {
    match value {
        Some(value @ 100.0..) => println!("metric {name}.{what}.{who} {value:.0} {unit}"),
        Some(value) => println!("metric {name}.{what}.{who} {value:.2} {unit}"),
        None => {}
    }
}

fn ratio(name: &str, value: Option<f64>, over: Option<f64>) {
    if let (Some(value), Some(over)) = (value, over) {
        println!("ratio {name} {:.3}", value / over);
    }
}
