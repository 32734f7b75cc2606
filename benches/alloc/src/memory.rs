//! How much memory the process has, as the kernel counts it.

use crate::Error;
use std::fs;

/// MiB resident at most so far.
pub(crate) fn peak_mib() -> Result<f64, Error> {
    mib("/proc/self/status", "VmHWM:")
}

/// MiB resident now.
pub(crate) fn resident_mib() -> Result<f64, Error> {
    mib("/proc/self/smaps_rollup", "Rss:")
}

fn mib(file: &str, name: &str) -> Result<f64, Error> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
    let kib: f64 = kib.ok_or_else(|| format!("{file} has no {name}"))?.trim().parse()?;
    Ok(kib / 1024.0)
}
