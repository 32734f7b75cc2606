//! Snapshots by stillheap. What the engine tells of a snapshot is taken from it in
//! [`told`] and nowhere else.

use crate::loads::Load;
use crate::report::{Count, Sample};
use crate::timeline::Timeline;
use crate::writer::{self, DURING};
use crate::{Error, HEAP, Job};
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, SystemTime};
use stillheap::{Heap, Options, StillInfo};

/// Freeze to the last frozen page saved, and counts.
fn told(info: &StillInfo) -> (Duration, Vec<Count>) {
    let count = |name, unit, value| Count { name, unit, value };
    let counts = vec![
        count("faults", "faults", info.faults),
        count("pages_by_barrier", "pages", info.pages_by_barrier),
        count("stage_high_water", "bytes", info.stage_high_water),
        count("stalls", "waits", info.stalls),
    ];
    (info.window, counts)
}

/// Builds the load and snapshots it while it is written to.
pub(crate) fn run<L: Load>(job: &Job, timeline: &Timeline) -> Result<(), Error> {
    let options = Options::new().keep(1);
    let options =
        if job.stage > 0 { options.stage_bytes((job.stage as u64) << 20) } else { options };
    let heap = HEAP.open(&job.dir, options)?;
    let mut home = heap.root::<L>("load")?;
    writer::build(&mut home, job.target());
    let zipf = L::zipf(job.target());
    job.say_memory("before");
    let (samples, histograms) = thread::scope(|scope| {
        let writer = scope.spawn(|| writer::run::<L>(home, zipf.as_ref(), timeline));
        let samples = snapshots(&heap, job, timeline);
        writer::stop();
        (samples, writer.join())
    });
    let histograms = histograms.map_err(|_| "the writer panicked")?;
    job.say_memory("after");
    job.report(&samples?, &histograms, timeline);
    // Closing would take one more snapshot.
    std::mem::forget(heap);
    Ok(())
}

fn snapshots(heap: &Heap, job: &Job, timeline: &Timeline) -> Result<Vec<Sample>, Error> {
    let mut samples = Vec::new();
    for _ in 0..job.snapshots {
        thread::sleep(job.gap);
        DURING.store(true, Relaxed);
        let asked = timeline.now();
        let info = heap.snapshot()?.wait_durable()?;
        let done = timeline.now();
        let ago = SystemTime::now().duration_since(info.frozen_at)?;
        DURING.store(false, Relaxed);
        let (window, counts) = told(&info);
        let frozen = done.saturating_sub(ago.as_nanos() as u64).max(asked);
        let (pause, drain) = (info.pause, info.drain);
        samples.push(Sample { asked, frozen, done, pause, drain, window, counts });
    }
    Ok(samples)
}
