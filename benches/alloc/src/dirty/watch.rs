//! Counts the pages that have been written since they were counted last.
//!
//! Counting allocates nothing: that would be counted.

use super::aside;
use super::kernel::{Found, Kernel};
use super::maps::Maps;
use super::{Part, PartOf};
use crate::Error;
use std::hint::black_box;
use std::io;
use std::ops::Range;

const PAGE: usize = 4096;
const CHUNK: usize = 2 << 20;
/// Runs of pages that one call of the kernel's may find.
const RUNS: usize = 1 << 14;
/// Pages with which it is tried out.
const PROBE: usize = 8;

/// Pages, and chunks of 2 MiB with at least one of them.
#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    /// What a snapshot saves, tables included.
    pub(super) saved: u64,
    pub(super) saved_chunks: u64,
    /// The allocator's tables among it, where they are told apart.
    pub(super) tables: u64,
    /// What it does not save.
    pub(super) transient: u64,
}

pub(super) struct Watch {
    kernel: Kernel,
    maps: Maps,
    found: &'static mut [Found],
}

impl Watch {
    /// `None` if the kernel cannot do it.
    pub(super) fn open() -> Result<Option<Self>, Error> {
        let (maps, found) = (Maps::open()?, aside::slice(RUNS, |_| Found::default())?);
        let kernel = match Kernel::open() {
            Ok(kernel) => kernel,
            Err(error) => {
                eprintln!("writes cannot be watched: {error}");
                return Ok(None);
            }
        };
        let mut watch = Self { kernel, maps, found };
        watch.try_out()?;
        Ok(Some(watch))
    }

    /// Counts what has been written since the last call.
    pub(super) fn count(&mut self, part_of: PartOf) -> Result<Counts, Error> {
        let Self { kernel, maps, found } = self;
        let (mut counts, mut last_chunk) = (Counts::default(), None);
        maps.for_each(|mapping| {
            written(kernel, &mapping, found, |run| {
                for page in run.step_by(PAGE) {
                    match part_of(page, &mapping) {
                        Part::Transient => counts.transient += 1,
                        part => {
                            counts.saved += 1;
                            counts.tables += u64::from(part == Part::Tables);
                            let chunk = Some(page / CHUNK);
                            counts.saved_chunks += u64::from(last_chunk != chunk);
                            last_chunk = chunk;
                        }
                    }
                }
            })
            .map_err(|error| format!("{mapping:x?}: {error}").into())
        })?;
        Ok(counts)
    }

    /// Pages that were written must be found, and no others.
    fn try_out(&mut self) -> Result<(), Error> {
        let mut probe = vec![0_u8; PAGE * (PROBE + 1)];
        let first = probe.as_ptr().addr().next_multiple_of(PAGE) - probe.as_ptr().addr();
        let start = probe.as_ptr().addr() + first;
        for place in 0..PROBE {
            probe[first + place * PAGE] = 1;
        }
        // From here on the compiler must believe that others look at it.
        black_box(&mut probe);
        for expected in [[2, 3], [5, 7]] {
            self.pages_within(start)?;
            for place in expected {
                *black_box(&mut probe[first + place * PAGE]) = 2;
            }
            black_box(probe[first + PAGE]);
            let found = self.pages_within(start)?;
            if (0..PROBE).any(|place| found[place] != expected.contains(&place)) {
                return Err(format!("wrote pages {expected:?}, the kernel says {found:?}").into());
            }
        }
        Ok(())
    }

    /// Which of the probe's pages have been written since the last call.
    fn pages_within(&mut self, start: usize) -> Result<[bool; PROBE], Error> {
        let Self { kernel, maps, found } = self;
        let mut pages = [false; PROBE];
        maps.for_each(|mapping| {
            written(kernel, &mapping, found, |run| {
                for page in run.step_by(PAGE) {
                    let place = page.wrapping_sub(start) / PAGE;
                    if let Some(is_written) = pages.get_mut(place) {
                        *is_written = true;
                    }
                }
            })?;
            Ok(())
        })?;
        Ok(pages)
    }
}

/// Calls `each` for the runs of pages that have been written, and protects the mapping. One that
/// is new is written where it is not zero.
fn written(
    kernel: &Kernel,
    mapping: &Range<usize>,
    found: &mut [Found],
    mut each: impl FnMut(Range<usize>),
) -> io::Result<()> {
    match kernel.scan(mapping, true, found, &mut each) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            kernel.scan(mapping, false, found, each)?;
            kernel.register(mapping)?;
            kernel.scan(mapping, true, found, drop)
        }
        result => result,
    }
}
