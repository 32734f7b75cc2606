//! The workloads under stillheap: on plain values without an image, or on a root, with
//! snapshots.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use stillheap::{Heap, Options, ProcessHeap, StillInfo};
use stillheap_overhead::{Error, Inserts, Kept, Local, Mixed, Settings, Table, Workload, measure};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

fn main() -> Result<(), Error> {
    let settings = Settings::from_arguments()?;
    match settings.workload.as_str() {
        "xtree_mixed" => run::<Mixed>(&settings),
        "xtree_insert" => run::<Inserts>(&settings),
        "std" => run::<Table>(&settings),
        other => Err(format!("no such workload: {other}").into()),
    }
}

fn run<T: Workload>(settings: &Settings) -> Result<(), Error> {
    match settings.way.as_str() {
        "without_snapshots" => run_without::<T>(settings),
        "every_10s" => run_with::<T>(settings, Duration::from_secs(10)),
        "every_1s" => run_with::<T>(settings, Duration::from_secs(1)),
        other => Err(format!("no such way: {other}").into()),
    }
}

fn run_without<T: Workload>(settings: &Settings) -> Result<(), Error> {
    let mut home = Local::<T>::default();
    let result = measure(&mut home, settings.durations, || Ok(()), Ok);
    // The end of the process frees it faster.
    std::mem::forget(home);
    result
}

fn run_with<T: Workload>(settings: &Settings, period: Duration) -> Result<(), Error> {
    // Leaked: closing would take one more snapshot.
    let heap: &'static Heap = Box::leak(Box::new(HEAP.open(&settings.dir, Options::new())?));
    let mut home = Kept(heap.root::<T>("data")?);
    let begin = || {
        // The first one finds everything new; it is not what a program pays again and again.
        heap.snapshot()?.wait_durable()?;
        Ok(Timer::start(heap, period))
    };
    measure(&mut home, settings.durations, begin, |timer| timer.stop())
}

/// Takes snapshots in the middle of each period, so that a whole number of periods holds as many
/// snapshots, from their beginning to their end.
struct Timer {
    stop: Sender<()>,
    thread: JoinHandle<Result<Vec<StillInfo>, String>>,
}

impl Timer {
    fn start(heap: &'static Heap, period: Duration) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut taken = Vec::new();
            let mut due = Instant::now() + period / 2;
            while let Err(RecvTimeoutError::Timeout) =
                stopped.recv_timeout(due.saturating_duration_since(Instant::now()))
            {
                let still = heap.snapshot().and_then(|still| still.wait_durable());
                taken.push(still.map_err(|error| error.to_string())?);
                due += period;
            }
            Ok(taken)
        });
        Self { stop, thread }
    }

    /// Ends it, and prints what the snapshots were like.
    fn stop(self) -> Result<(), Error> {
        drop(self.stop);
        let taken = self.thread.join().map_err(|_| "the timer panicked")??;
        let longest = taken.iter().map(|info| info.pause).max().unwrap_or_default();
        println!("snapshots {}", taken.len());
        println!("longest_pause_us {}", longest.as_micros());
        Ok(())
    }
}
