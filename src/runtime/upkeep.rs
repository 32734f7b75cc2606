//! The upkeep thread: removes files that nobody needs, merges segments, and verifies, at leisure.
//! Nobody ever waits for it, but for closing, which ends it soon.
//!
//! Its memory is the system's, as the snapshot thread's is, for it works on the same store.
#![allow(unsafe_code, reason = "the upkeep thread's memory is transient")]

use crate::base::{CHUNK_SIZE, PAGE_SIZE};
use crate::image::Chain;
use crate::os::{self, DiskFile, map};
use crate::runtime::directory::Directory;
use crate::runtime::keeper::tell;
use crate::runtime::options::EventCallback;
use crate::runtime::process::Process;
use crate::runtime::scope::transient;
use crate::runtime::sweep;
use crate::runtime::{Event, Options};
use crate::snapshot::ChunkUse;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the thread waits before it tries again what has failed.
const RETRY: Duration = Duration::from_secs(10);
/// How long it rests between two rounds of verifying what is on the disk.
const ROUND: Duration = Duration::from_secs(60);

/// How often it looks for free memory that is kept and not wanted, while there is some.
const DECAY: Duration = Duration::from_secs(1);

/// How long it waits at first, for the program to ask for a root, and how often it looks.
const START: Duration = Duration::from_millis(50);
const LOOK: Duration = Duration::from_millis(5);

/// The upkeep thread as others hold it.
#[derive(Debug)]
pub(super) struct Upkeep {
    calls: Arc<Calls>,
    thread: Option<JoinHandle<()>>,
}

/// How others call the thread.
#[derive(Debug, Default)]
pub(super) struct Calls {
    state: Mutex<Called>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Called {
    /// Something has been committed.
    committed: bool,
    ending: bool,
}

/// A restored snapshot that is not verified yet.
#[derive(Debug)]
pub(super) struct Unverified {
    pub(super) number: u64,
    pub(super) chain: Chain<DiskFile>,
    /// What is known of chunks, hottest first.
    pub(super) uses: Vec<ChunkUse>,
    /// Whether these are to be fetched before anything else; if not, all have been.
    pub(super) fetch: bool,
    /// Whether the pages are to be verified; if not, they have been.
    pub(super) verify: bool,
    pub(super) started: Instant,
}

/// The thread's own side.
struct Worker {
    process: &'static Process,
    directory: Arc<Directory>,
    calls: Arc<Calls>,
    on_event: Option<EventCallback>,
    /// Bytes that are verified in a second, over and over.
    scrub: Option<u64>,
    /// Whether what earlier runs had left behind is freed.
    sweep: bool,
}

impl Upkeep {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(
        process: &'static Process,
        directory: &Arc<Directory>,
        options: &Options,
        unverified: Option<Unverified>,
    ) -> std::io::Result<Self> {
        let calls = Arc::new(Calls::default());
        let worker = Worker {
            process,
            directory: Arc::clone(directory),
            calls: Arc::clone(&calls),
            on_event: options.on_event.clone(),
            scrub: options.scrub,
            sweep: options.sweep,
        };
        let thread = std::thread::Builder::new()
            .name("stillheap-upkeep".to_owned())
            // SAFETY: what the thread allocates it keeps to itself.
            .spawn(move || unsafe { transient(|| worker.run(unverified)) })?;
        Ok(Self { calls, thread: Some(thread) })
    }

    /// How others call the thread.
    pub(super) fn calls(&self) -> Arc<Calls> {
        Arc::clone(&self.calls)
    }

    /// Whether the calling thread is this one.
    pub(super) fn is_own_thread(&self) -> bool {
        let own = std::thread::current().id();
        self.thread.as_ref().is_some_and(|thread| thread.thread().id() == own)
    }

    /// Ends the thread, and waits for that.
    pub(super) fn end(&mut self) {
        self.calls.end();
        if let Some(thread) = self.thread.take() {
            // It has nothing to tell, and a panic in it loses nothing.
            let _ = thread.join();
        }
    }

    /// Gives the thread up, without waiting for it.
    pub(super) fn abandon(&mut self) {
        self.calls.end();
        self.thread = None;
    }

    /// Gives it up in a fork, where it does not exist.
    pub(super) fn forget(&mut self) {
        std::mem::forget(self.thread.take());
    }
}

impl Calls {
    /// There is a new snapshot.
    pub(super) fn committed(&self) {
        self.lock().committed = true;
        self.changed.notify_all();
    }

    fn end(&self) {
        self.lock().ending = true;
        self.changed.notify_all();
    }

    fn is_ending(&self) -> bool {
        self.lock().ending
    }

    /// Waits for `time`, or until the thread is to end: gives whether it is.
    fn is_ending_within(&self, time: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.lock(), time, |called| !called.ending);
        waited.unwrap_or_else(PoisonError::into_inner).0.ending
    }

    /// Waits for a call, or for `time`. Gives whether something has been committed, and whether
    /// the thread is to end.
    fn wait(&self, time: Option<Duration>) -> (bool, bool) {
        let state = self.lock();
        let idle = |called: &mut Called| !called.committed && !called.ending;
        let mut state = match time {
            None => self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner),
            Some(time) => {
                let waited = self.changed.wait_timeout_while(state, time, idle);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        (std::mem::take(&mut state.committed), state.ending)
    }

    fn lock(&self) -> MutexGuard<'_, Called> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    fn run(self, unverified: Option<Unverified>) {
        if let Some(unverified) = unverified {
            self.complete(&unverified);
        }
        let (mut retry, mut scrubbed) = (None, None::<Instant>);
        let until_round = |scrubbed: Option<Instant>| {
            scrubbed.map_or(Duration::ZERO, |at| ROUND.saturating_sub(at.elapsed()))
        };
        loop {
            let scrub = self.scrub.map(|_| until_round(scrubbed));
            let decay = self.process.heap.decay().then_some(DECAY);
            let (_, ending) = self.calls.wait(retry.into_iter().chain(scrub).chain(decay).min());
            self.directory.store.prune();
            if ending {
                return;
            }
            retry = self.compact();
            if let Some(rate) = self.scrub.filter(|_| until_round(scrubbed).is_zero()) {
                self.scrub(rate);
                scrubbed = Some(Instant::now());
            }
        }
    }

    /// Merges what is due. Gives how long to wait before trying again what has failed.
    fn compact(&self) -> Option<Duration> {
        loop {
            let merged = self.directory.store.compact(&|_| !self.calls.is_ending());
            self.directory.store.prune();
            match merged {
                Ok(Some(merged)) => tell(self.on_event.as_ref(), &Event::Compacted(merged)),
                Ok(None) => return None,
                Err(error) => {
                    let reason = error.to_string();
                    tell(self.on_event.as_ref(), &Event::CompactionFailed { reason });
                    return Some(RETRY);
                }
            }
        }
    }

    /// Fetches and verifies a snapshot that has been mapped.
    fn complete(&self, unverified: &Unverified) {
        let (heap, arena) = (&self.process.heap, self.process.heap.arena());
        if unverified.verify {
            self.let_program_start();
        }
        loop {
            match heap.enter_next() {
                Ok(true) if self.calls.is_ending() => return,
                Ok(true) => {}
                Ok(false) => break,
                Err(damage) => self.stop(unverified.number, &damage.to_string(), true),
            }
        }
        arena.cow().set_haste(false);
        for hot in unverified.uses.iter().filter(|_| unverified.fetch) {
            if self.calls.is_ending() {
                return;
            }
            // What cannot be read is what verification tells, or who looks at it.
            let _ = map::fetch(arena.base() + hot.chunk.offset(), CHUNK_SIZE);
        }
        if unverified.verify {
            let goes_on = |_| !self.calls.is_ending();
            let verify = || unverified.chain.verify_watched(&goes_on);
            // The program has just started, and has better things to do.
            match os::in_background("stillheap-verify", &verify) {
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) => {
                    self.stop(unverified.number, &error.to_string(), !error.is_unread());
                }
            }
        }
        self.directory.store.verified();
        self.process.meter.set_loaded(unverified.started.elapsed());
        if self.sweep {
            self.sweep(&unverified.chain);
        }
    }

    /// Frees what earlier runs had left behind.
    fn sweep(&self, chain: &Chain<DiskFile>) {
        match sweep::sweep(self.process, chain, &|| !self.calls.is_ending()) {
            Ok(Some(swept)) => {
                self.process.meter.set_swept(swept);
                tell(self.on_event.as_ref(), &Event::Swept(swept));
            }
            Ok(None) => {}
            Err(error) => {
                let reason = error.to_string();
                tell(self.on_event.as_ref(), &Event::SweepFailed { reason });
            }
        }
    }

    /// Waits until the program has what it wants first, for a moment at most: what is done here
    /// would keep it waiting, for the kernel's locks and for the processor.
    fn let_program_start(&self) {
        let begun = Instant::now();
        while !self.process.meter.is_ready() && begun.elapsed() < START {
            if self.calls.is_ending_within(LOOK) {
                return;
            }
        }
        self.calls.is_ending_within(LOOK);
    }

    /// The process works on damaged pages: nothing that it says can be believed.
    fn stop(&self, number: u64, reason: &str, is_damaged: bool) -> ! {
        // So that the next opening restores an older one. What cannot be read may be sound; if this
        // cannot be written, the next opening will find out again.
        let is_set_aside = is_damaged && self.directory.store.set_aside(number).is_ok();
        tell(self.on_event.as_ref(), &Event::Damaged { number, reason: reason.to_owned() });
        let outcome = match is_set_aside {
            true => "It has been set aside; the next opening restores an older one",
            false => "Nothing was changed; the next opening tries again",
        };
        os::fatal(&[
            "stillheap: the snapshot that this process works on is damaged, or cannot be read: ",
            reason,
            ". ",
            outcome,
            "\n",
        ]);
    }

    /// Rests for a while, but for what committed snapshots want done meanwhile: a round may take
    /// hours. Whether the thread may go on.
    fn rest(&self, time: Duration) -> bool {
        let begun = Instant::now();
        loop {
            let (committed, ending) = self.calls.wait(Some(time.saturating_sub(begun.elapsed())));
            if ending || !committed {
                return !ending;
            }
            self.directory.store.prune();
            // What fails now is tried again after the next snapshot.
            let _ = self.compact();
        }
    }

    /// Verifies all that the directory has, `rate` bytes in a second.
    fn scrub(&self, rate: u64) {
        let store = &self.directory.store;
        for snapshot in store.snapshots() {
            let watch = |pages: u64| {
                let bytes = pages * PAGE_SIZE as u64;
                let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
                let time = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
                self.rest(time)
            };
            match store.verify(snapshot.number, &watch) {
                Ok(Some(_)) => {}
                Ok(None) => return,
                // It may have been pruned meanwhile.
                Err(_) if store.snapshots().iter().all(|other| other.number != snapshot.number) => {
                }
                Err(error) => {
                    let (number, reason) = (snapshot.number, error.to_string());
                    tell(self.on_event.as_ref(), &Event::SnapshotDamaged { number, reason });
                }
            }
        }
        self.process.meter.count_scrub();
    }
}
