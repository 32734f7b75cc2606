//! What people see: tables, units, and distances on the globe.

use super::db::Place;
use super::wire::StillLine;
use std::time::Duration;

/// The mean radius of the earth.
const EARTH_KM: f64 = 6_371.0;

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
pub(crate) fn nearest(title: &str, from: [f64; 2], places: &[&Place]) -> String {
    let lines = places.iter().map(|near| {
        let km = kilometres(from, near.at());
        format!("  {km:>9.1} km  {}", place(near))
    });
    table(title, lines)
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

/// The great-circle distance between two points in degrees (the haversine formula).
pub(crate) fn kilometres(from: [f64; 2], to: [f64; 2]) -> f64 {
    let [from_lat, from_lon] = from.map(f64::to_radians);
    let [to_lat, to_lon] = to.map(f64::to_radians);
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let chord = half(to_lat - from_lat) + from_lat.cos() * to_lat.cos() * half(to_lon - from_lon);
    2.0 * EARTH_KM * chord.sqrt().min(1.0).asin()
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
    fn distances_are_those_of_the_globe() {
        let (paris, berlin) = ([48.8566, 2.3522], [52.52, 13.405]);
        assert!((kilometres(paris, berlin) - 878.0).abs() < 2.0);
        assert!((kilometres([0.0, 0.0], [0.0, 180.0]) - 20_015.0).abs() < 1.0);
        assert_eq!(kilometres(paris, paris), 0.0);
    }

    #[test]
    fn numbers_and_times_are_short() {
        assert_eq!(["7", "171,075", "1,000"], [7, 171_075, 1_000].map(number).as_slice());
        assert_eq!(time(Duration::from_micros(71)), "71 us");
        assert_eq!(time(Duration::from_millis(1_234)), "1234 ms");
        assert_eq!(time(Duration::from_secs(12)), "12.0 s");
    }
}
