//! The state in a heap of stillheap: saved by a snapshot, and there again when it is opened.

use std::hint::black_box;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};
use stillheap::{Heap, Options, ProcessHeap, Root};
use stillheap_peers::{
    Dice, Error, Job, Look, Record, Saved, State, Store, Task, built, restart, rows, saved, tell,
};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

fn main() -> Result<(), Error> {
    let begun = Instant::now();
    let job = Job::from_arguments()?;
    match job.task {
        Task::Save => save(&job, options(&job)?),
        Task::Restart => restart(begun, &job, || open(&job, options(&job)?.create(false))),
        Task::Nothing => Ok(()),
        Task::Source => Err("`plain` writes the source".into()),
    }
}

fn options(job: &Job) -> Result<Options, Error> {
    let row = rows().into_iter().find(|row| row.name == job.way);
    Ok(row.ok_or_else(|| format!("no such row: {}", job.way))?.options)
}

fn open(job: &Job, options: Options) -> Result<Kept, Error> {
    let heap = HEAP.open(&job.dir, options)?;
    let root = heap.root("state")?;
    Ok(Kept { heap, root })
}

fn save(job: &Job, options: Options) -> Result<(), Error> {
    let kept = open(job, options)?;
    for place in 0..job.records {
        // Born outside the scope; moving it in is enough.
        let record = Record::nth(place);
        kept.root.write(|state| state.insert(record));
    }
    built();
    let begun = Instant::now();
    let info = kept.heap.snapshot()?.wait_durable()?;
    saved(&Saved { pause: info.pause, whole: begun.elapsed() });
    tell("longest_write_ms", longest_write(&kept, job.records)?);
    // Closing would take one more snapshot.
    std::mem::forget(kept);
    Ok(())
}

/// The longest time that a writer at full speed needs for a record while one more snapshot is
/// taken and saved: it waits for the pause, and copies what it is about to overwrite.
fn longest_write(kept: &Kept, records: u64) -> Result<Duration, Error> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            let mut dice = Dice::new(records);
            while !is_over.load(Relaxed) {
                let place = dice.below(records);
                let begun = Instant::now();
                kept.root.write(|state| {
                    if let Some((_, record)) = state.by_id.range_mut(10 * place..).next() {
                        // The same value is a write as any other, and leaves the state as it was.
                        record.population = black_box(record.population);
                    }
                });
                longest = longest.max(begun.elapsed());
            }
            longest
        });
        let info = kept.heap.snapshot().and_then(|still| still.wait_durable());
        is_over.store(true, Relaxed);
        info?;
        Ok(writer.join().map_err(|_| "the writer panicked")?)
    })
}

/// The state in its root, which stays in its heap.
struct Kept {
    heap: Heap,
    root: Root<State>,
}

impl Store for Kept {
    fn id_of(&self, name: &str) -> Result<Option<u64>, Error> {
        self.root.read(|state| state.id_of(name))
    }

    fn record(&self, id: u64) -> Result<Option<Record>, Error> {
        self.root.read(|state| state.record(id))
    }

    fn records(&self, look: &mut impl Look) -> Result<(), Error> {
        self.root.read(|state| state.records(look))
    }

    fn names(&self, look: impl FnMut(&str, u64)) -> Result<(), Error> {
        self.root.read(|state| state.names(look))
    }
}
