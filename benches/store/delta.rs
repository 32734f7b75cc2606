//! Snapshots of what has changed.

use crate::pages::{Guarded, Nodes, PAGE, Pages, check, digest, filled};
use crate::shared::{Error, Folder, Random, in_child, median, metric, milliseconds, ratio, tell};
use std::collections::HashMap;
use std::path::Path;
use stillheap::{Heap, Options, Root};

const KINDS: [&str; 3] = ["scattered", "clustered", "tracked"];
/// Names, and parts of all pages.
const PERCENTS: [(&str, f64); 3] = [("0_1", 0.001), ("1", 0.01), ("10", 0.1)];
/// More than any run takes: what is kept is not merged meanwhile.
pub(crate) const KEEP: usize = 64;

/// What a whole snapshot of a heap takes, by kind, in milliseconds; measured when it is asked for.
pub(crate) struct Fulls {
    mib: usize,
    times: HashMap<String, f64>,
}

impl Fulls {
    pub(crate) fn new(mib: usize) -> Self {
        Self { mib, times: HashMap::new() }
    }

    pub(crate) fn of(&mut self, folder: &Folder, kind: &str) -> Result<f64, Error> {
        if let Some(&time) = self.times.get(kind) {
            return Ok(time);
        }
        let part = folder.part()?;
        let dir = part.path().to_str().ok_or("the folder's name is not text")?;
        let told = in_child(&["whole", dir, &self.mib.to_string(), kind])?;
        let time = median(told.all("saving"));
        self.times.insert(kind.to_owned(), time);
        Ok(time)
    }
}

pub(crate) fn run(
    folder: &Folder,
    mib: usize,
    rounds: usize,
    fulls: &mut Fulls,
) -> Result<(), Error> {
    let (mut most_bytes, mut most_time) = (0.0_f64, 0.0_f64);
    for kind in KINDS {
        eprintln!("delta: {kind}, {mib} MiB, {rounds} rounds");
        let part = folder.part()?;
        let dir = part.path().to_str().ok_or("the folder's name is not text")?;
        let told = in_child(&["delta", dir, &mib.to_string(), kind, &rounds.to_string()])?;
        check(part.path(), kind, told.last("digest")?)?;
        drop(part);
        let full = fulls.of(folder, kind)?;
        metric(&format!("store.delta.{kind}.full_saving_ms"), full, "ms");
        for (percent, _) in PERCENTS {
            let name = format!("store.delta.{kind}.{percent}");
            let of = |what: &str| median(told.all(&format!("{percent}.{what}")));
            for (what, unit) in
                [("bytes", "B"), ("saving_ms", "ms"), ("window_ms", "ms"), ("pages", "pages")]
            {
                metric(&format!("{name}.{what}"), of(what), unit);
            }
            metric(&format!("{name}.changed"), of("changed"), "pages");
            let bytes = of("bytes") / (of("changed") * PAGE as f64);
            let time = of("saving_ms") / full;
            ratio(&format!("{name}.bytes_over_changed"), bytes);
            ratio(&format!("{name}.time_over_full"), time);
            if percent == "1" {
                (most_bytes, most_time) = (most_bytes.max(bytes), most_time.max(time));
            }
        }
    }
    ratio("store.delta.bytes_over_changed", most_bytes);
    ratio("store.delta.time_over_full", most_time);
    Ok(())
}

pub(crate) fn child(dir: &Path, mib: usize, kind: &str, rounds: usize) -> Result<(), Error> {
    match kind {
        "tracked" => deltas::<Nodes>(dir, mib, kind, rounds),
        _ => deltas::<Guarded>(dir, mib, kind, rounds),
    }
}

fn deltas<P: Pages>(dir: &Path, mib: usize, kind: &str, rounds: usize) -> Result<(), Error> {
    let options = Options::new().keep(KEEP).spare(false);
    let (heap, root) = filled::<P>(dir, mib, options)?;
    let mut changer = Changer::new(mib << 8, kind == "clustered");
    heap.snapshot()?.wait_durable()?;
    // Without experience the heap may guess that a delta will not be worth it.
    changer.change(&root, 1);
    heap.snapshot()?.wait_durable()?;
    for (percent, part) in PERCENTS {
        for _ in 0..rounds {
            let changed = ((mib << 8) as f64 * part) as usize;
            changer.change(&root, changed);
            let info = heap.snapshot()?.wait_durable()?;
            if !info.is_delta {
                return Err(format!("{percent} % changed, and all was saved").into());
            }
            tell(&format!("{percent}.bytes"), info.bytes);
            tell(&format!("{percent}.saving_ms"), milliseconds(info.saving));
            tell(&format!("{percent}.window_ms"), milliseconds(info.window));
            tell(&format!("{percent}.pages"), info.pages);
            tell(&format!("{percent}.changed"), changed);
        }
    }
    tell("digest", digest(&root));
    // Closing would take one more snapshot.
    std::mem::forget(heap);
    Ok(())
}

/// Whole snapshots of the same heap, a percent of which has changed each time.
pub(crate) fn child_whole(dir: &Path, mib: usize, kind: &str) -> Result<(), Error> {
    match kind {
        "tracked" => wholes::<Nodes>(dir, mib, kind),
        _ => wholes::<Guarded>(dir, mib, kind),
    }
}

fn wholes<P: Pages>(dir: &Path, mib: usize, kind: &str) -> Result<(), Error> {
    let options = Options::new().keep(1).spare(false).increments(false);
    let (heap, root): (Heap, Root<P>) = filled(dir, mib, options)?;
    let mut changer = Changer::new(mib << 8, kind == "clustered");
    heap.snapshot()?.wait_durable()?;
    for _ in 0..3 {
        changer.change(&root, (mib << 8) / 100);
        tell("saving", milliseconds(heap.snapshot()?.wait_durable()?.saving));
    }
    // Closing would take one more snapshot.
    std::mem::forget(heap);
    Ok(())
}

/// Chooses pages to change.
pub(crate) struct Changer {
    /// In the order in which they are chosen, over and over. Made once: what changed here would
    /// be in the next snapshot too.
    order: Vec<u32>,
    next: usize,
    random: Random,
}

impl Changer {
    pub(crate) fn new(pages: usize, is_clustered: bool) -> Self {
        let mut random = Random::new(1);
        let mut order: Vec<u32> = (0..pages as u32).collect();
        if !is_clustered {
            for place in (1..pages).rev() {
                order.swap(place, random.below(place + 1));
            }
        }
        Self { order, next: 0, random }
    }

    /// Changes a word in each of so many pages.
    pub(crate) fn change<P: Pages>(&mut self, root: &Root<P>, count: usize) {
        root.write(|state| {
            for _ in 0..count {
                let page = self.order[self.next % self.order.len()] as usize;
                state.change(page, self.random.word());
                self.next += 1;
            }
        });
    }
}
