//! Results as they are printed.

use std::time::Duration;

/// The middle one; not a number if there is none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

pub(crate) fn metric(name: &str, value: f64, unit: &str) {
    println!("metric {name} {} {unit}", short(value));
}

pub(crate) fn ratio(name: &str, value: f64) {
    println!("ratio {name} {}", short(value));
}

/// A number with as many digits as are worth reading.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
