//! Looking for changes that nobody has announced, in checked heaps: what a delta leaves out has to
//! be as the snapshot before has it.

use crate::base::{PAGE_SIZE, PageIndex};
use crate::cow::{CellKind, Window};
use crate::os::File;
use crate::snapshot::plan::{ChunkPlan, Plan};
use crate::snapshot::sieve::Sieve;

/// A page that has changed, though nobody has announced that.
#[derive(Debug, thiserror::Error)]
#[error(
    "page {} of the heap has changed since the last snapshot, and nobody has announced that: only \
     `Tracked::write` and the like may change tracked memory, and only the kernel or a stray \
     pointer can change memory that is write-protected",
    page.0
)]
pub struct Unannounced {
    /// The page.
    pub page: PageIndex,
}

/// Compares what a window does not save with the snapshot before.
pub(super) fn check_unsaved<F: File>(
    plan: &Plan,
    window: &Window<'_>,
    sieve: &mut Sieve<'_, F>,
) -> Result<(), Unannounced> {
    let mut buffer = [0; PAGE_SIZE];
    for table in plan.tables.iter().filter(|table| !window.saves_table(table.page)) {
        let is_known = match &table.bytes {
            Some(bytes) => {
                buffer.copy_from_slice(&bytes[..]);
                true
            }
            None => window.save_table(table.page, &mut buffer),
        };
        if is_known {
            compare(sieve, table.page, &buffer)?;
        }
    }
    plan.chunks.iter().try_for_each(|chunk| check_chunk(chunk, window, sieve, &mut buffer))
}

fn check_chunk<F: File>(
    plan: &ChunkPlan,
    window: &Window<'_>,
    sieve: &mut Sieve<'_, F>,
    buffer: &mut [u8; PAGE_SIZE],
) -> Result<(), Unannounced> {
    match plan.kind {
        CellKind::Tracked => {
            for page in plan.pages().filter(|&page| !window.saves_tracked(page)) {
                // What is being written now was announced in the new epoch.
                if window.save_tracked(page, buffer) {
                    compare(sieve, page, buffer)?;
                }
            }
        }
        CellKind::Guarded if !window.saves_chunk(plan.chunk) => {
            let Some(frozen) = window.frozen_chunk(plan.chunk) else { return Ok(()) };
            let mut wrong = Ok(());
            for page in plan.pages() {
                frozen.copy(page, buffer);
                wrong = wrong.and_then(|()| compare(sieve, page, buffer));
            }
            if frozen.confirm() {
                wrong?;
            }
        }
        CellKind::Guarded => {}
    }
    Ok(())
}

fn compare<F: File>(
    sieve: &mut Sieve<'_, F>,
    page: PageIndex,
    bytes: &[u8],
) -> Result<(), Unannounced> {
    if sieve.sift(page, bytes).differs() { Err(Unannounced { page }) } else { Ok(()) }
}
