//! Merging a whole snapshot and eight deltas, beside a whole snapshot.

use crate::delta::{Changer, Fulls, KEEP};
use crate::pages::{Guarded, check, digest, filled};
use crate::shared::{Error, Folder, in_child, median, metric, milliseconds, ratio, tell};
use std::path::Path;
use std::time::Instant;
use stillheap::Options;

const DELTAS: usize = 8;
const ROUNDS: usize = 3;

pub(crate) fn run(folder: &Folder, mib: usize, fulls: &mut Fulls) -> Result<(), Error> {
    eprintln!("merge: {mib} MiB and {DELTAS} deltas of a percent, {ROUNDS} rounds");
    let part = folder.part()?;
    let dir = part.path().to_str().ok_or("the folder's name is not text")?;
    let told = in_child(&["merge", dir, &mib.to_string()])?;
    check(part.path(), "guarded", told.last("digest")?)?;
    drop(part);
    let (time, full) = (median(told.all("merge")), fulls.of(folder, "scattered")?);
    metric("store.merge.merge_ms", time, "ms");
    metric("store.merge.full_saving_ms", full, "ms");
    ratio("store.merge.time_over_full", time / full);
    Ok(())
}

pub(crate) fn child(dir: &Path, mib: usize) -> Result<(), Error> {
    let options = Options::new().keep(KEEP).spare(false);
    let (heap, root) = filled::<Guarded>(dir, mib, options)?;
    let mut changer = Changer::new(mib << 8, false);
    heap.snapshot()?.wait_durable()?;
    for _ in 0..ROUNDS {
        for _ in 0..DELTAS {
            changer.change(&root, (mib << 8) / 100);
            heap.snapshot()?.wait_durable()?;
        }
        let begun = Instant::now();
        let merged = heap.compact()?.ok_or("there was nothing to merge")?;
        tell("merge", milliseconds(begun.elapsed()));
        if merged.segments < DELTAS || merged.pages < mib as u64 * 256 {
            return Err(format!("less was merged than there is: {merged:?}").into());
        }
    }
    tell("digest", digest(&root));
    // Closing would take one more snapshot.
    std::mem::forget(heap);
    Ok(())
}
