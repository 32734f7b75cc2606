//! What the process has mapped, for the error that says who occupies a range.
#![allow(unsafe_code, reason = "calls prctl")]

use std::fmt;
use std::io;
use std::ops::Range;

/// A line of the process's list of mappings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// Its addresses.
    pub addresses: Range<usize>,
    /// What may be done there, as `rwxp`.
    pub access: String,
    /// The file or kind of memory; empty for plain memory.
    pub name: String,
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { "memory of the process" } else { &self.name };
        write!(f, "{:#x}..{:#x} {} {name}", self.addresses.start, self.addresses.end, self.access)
    }
}

/// The mappings that overlap `range`.
///
/// # Errors
/// If the list cannot be read.
pub fn occupants(range: Range<usize>) -> io::Result<Vec<Mapping>> {
    Ok(overlapping(&std::fs::read_to_string("/proc/self/maps")?, &range))
}

fn overlapping(list: &str, range: &Range<usize>) -> Vec<Mapping> {
    list.lines()
        .filter_map(parse)
        .filter(|found| found.addresses.start < range.end && range.start < found.addresses.end)
        .collect()
}

/// Reads `start-end access offset device inode name`; lines of another form give nothing.
fn parse(line: &str) -> Option<Mapping> {
    let (addresses, rest) = line.split_once(' ')?;
    let (start, end) = addresses.split_once('-')?;
    let hex = |text| usize::from_str_radix(text, 16).ok();
    let (access, rest) = rest.split_once(' ')?;
    let name = rest.splitn(4, ' ').nth(3).unwrap_or_default().trim();
    let addresses = hex(start)?..hex(end)?;
    Some(Mapping { addresses, access: access.to_owned(), name: name.to_owned() })
}

/// Why the process gets no huge pages, if it does not: whoever could give them says so.
#[must_use]
pub fn why_no_huge_pages() -> Option<String> {
    let file = "/sys/kernel/mm/transparent_hugepage/enabled";
    let Ok(setting) = std::fs::read_to_string(file) else {
        return Some(format!("this kernel has no transparent huge pages ({file} is not there)"));
    };
    if setting.contains("[never]") {
        return Some(format!("{file} says `never`: `madvise` is enough"));
    }
    // SAFETY: only asks.
    let disabled = unsafe { libc::prctl(libc::PR_GET_THP_DISABLE, 0, 0, 0, 0) };
    (disabled == 1).then(|| "they are disabled for this process (PR_SET_THP_DISABLE)".to_owned())
}

/// The part of the process's anonymous memory that lies in huge pages, from 0 to 1.
#[must_use]
pub fn huge_page_share() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let kilobytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok()
    };
    let (huge, all) = (kilobytes("AnonHugePages:")?, kilobytes("Anonymous:")?);
    (all > 0.0).then(|| huge / all)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
00400000-00452000 r-xp 00000000 08:02 173521      /usr/bin/dbus daemon
200000000000-200000001000 rw-p 00000000 00:00 0 
nonsense
7ffc0000-7ffd0000 rw-p 00000000 00:00 0           [stack]
";

    #[test]
    fn lines_are_read() {
        let all = overlapping(LIST, &(0..usize::MAX));
        assert_eq!(all.len(), 3);
        assert_eq!(all[0].name, "/usr/bin/dbus daemon");
        assert_eq!(all[1].to_string(), "0x200000000000..0x200000001000 rw-p memory of the process");
        assert_eq!(all[2].name, "[stack]");
    }

    #[test]
    fn only_what_overlaps_is_given() {
        assert_eq!(overlapping(LIST, &(0x452000..0x2000_0000_0000)).len(), 1);
        assert_eq!(overlapping(LIST, &(0x451fff..0x2000_0000_0001)).len(), 3);
    }

    #[test]
    fn this_process_maps_its_stack() {
        let local = 0_u8;
        let address = std::ptr::from_ref(&local).addr();
        assert_eq!(occupants(address..address + 1).unwrap().len(), 1);
    }
}
