//! What people see: tables and units.

use super::db::Place;
use super::wire::StillLine;
use std::time::Duration;

pub(crate) const STILL_HEAD: &str =
    "  snapshot   operations        pause        drain       saving         size";

/// One line of a table of snapshots.
pub(crate) fn still(still: &StillLine) -> String {
    format!(
        "{:>10} {:>12} {:>12} {:>12} {:>12} {:>12}",
        still.number,
        number(still.operations),
        time(still.pause),
        time(still.drain),
        time(still.saving),
        size(still.bytes)
    )
}

/// Places with their distances.
pub(crate) fn nearest(title: &str, places: &[(f64, &Place)]) -> String {
    table(title, places.iter().map(|(km, near)| format!("  {km:>9.1} km  {}", place(near))))
}

/// Places of one name.
pub(crate) fn found(name: &str, places: &[&Place]) -> String {
    let title = format!("Places named {name}: {}", number(places.len() as u64));
    table(&title, places.iter().map(|found| format!("  {}", place(found))))
}

/// Countries with their numbers of places.
pub(crate) fn countries(countries: &[(&str, usize)]) -> String {
    let lines =
        countries.iter().map(|&(name, places)| format!("  {:>9}  {name}", number(places as u64)));
    table("Most places", lines)
}

fn table(title: &str, lines: impl Iterator<Item = String>) -> String {
    lines.fold(title.to_owned(), |table, line| format!("{table}\n{line}"))
}

fn place(place: &Place) -> String {
    format!("{} ({}) {:.5} {:.5}", place.name, place.country, place.lat, place.lon)
}

/// A time with three digits or so.
pub(crate) fn time(time: Duration) -> String {
    match time.as_nanos() {
        0..10_000_000 => format!("{:.0} us", time.as_secs_f64() * 1e6),
        10_000_000..10_000_000_000 => format!("{:.0} ms", time.as_secs_f64() * 1e3),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

fn size(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// A number with its digits in groups of three.
pub(crate) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_short() {
        assert_eq!(["7", "171,075", "1,000"], [7, 171_075, 1_000].map(number).as_slice());
        assert_eq!(time(Duration::from_micros(71)), "71 us");
        assert_eq!(time(Duration::from_millis(1_234)), "1234 ms");
        assert_eq!(time(Duration::from_secs(12)), "12.0 s");
    }
}
