//! Threads that start at once, and the time from the first one's start to the last one's end.

use std::any::Any;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

/// What a shape did.
pub struct Done {
    /// Operations of all threads.
    pub operations: u64,
    /// How long they took together.
    pub elapsed: Duration,
    /// What stays allocated until memory has been measured.
    pub kept: Box<dyn Any>,
}

/// Runs `work` in each of the threads, on what `prepare` has made in it. Neither that nor dropping
/// it, in the same thread, is timed. Gives the number of operations that `work` returns.
pub(crate) fn run<S>(
    threads: usize,
    prepare: impl Fn(usize) -> S + Sync,
    work: impl Fn(&mut S) -> u64 + Sync,
) -> Done {
    run_keeping(threads, prepare, work, drop)
}

/// The same; what `keep` makes of the state stays allocated.
pub(crate) fn run_keeping<S, K: Send + 'static>(
    threads: usize,
    prepare: impl Fn(usize) -> S + Sync,
    work: impl Fn(&mut S) -> u64 + Sync,
    keep: impl Fn(S) -> K + Sync,
) -> Done {
    let barrier = Arc::new(Barrier::new(threads));
    let one = |number: usize| {
        let mut state = prepare(number);
        barrier.wait();
        let start = Instant::now();
        let operations = work(&mut state);
        let end = Instant::now();
        barrier.wait();
        (operations, start, end, keep(state))
    };
    let (one, mut ended) = (&one, Vec::new());
    thread::scope(|scope| {
        let spawned: Vec<_> = (0..threads).map(|number| scope.spawn(move || one(number))).collect();
        ended.extend(spawned.into_iter().map(|thread| thread.join().expect("a shape panicked")));
    });
    let start = ended.iter().map(|&(_, start, ..)| start).min().expect("at least one thread");
    let end = ended.iter().map(|&(_, _, end, _)| end).max().expect("at least one thread");
    let operations = ended.iter().map(|&(operations, ..)| operations).sum();
    let kept: Vec<K> = ended.into_iter().map(|(.., kept)| kept).collect();
    Done { operations, elapsed: end - start, kept: Box::new(kept) }
}
