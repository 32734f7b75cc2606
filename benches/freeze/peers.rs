//! Other ways to snapshot the same memory: `fork`, as Redis does it, and stopping the writer
//! for a copy of everything.
//!
//! The process's heap is not opened here, so it is an allocator and no more. Its memory lies
//! as it would for stillheap.
#![allow(unsafe_code, reason = "forks")]

use crate::gate::{self, Held};
use crate::loads::Load;
use crate::memory;
use crate::report::{Count, Sample};
use crate::timeline::Timeline;
use crate::writer::{self, DURING};
use crate::{Error, Job, Way};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

/// Builds the load and snapshots it while it is written to.
pub(crate) fn run<L: Load>(job: &Job, timeline: &Timeline) -> Result<(), Error> {
    if job.way == Way::Fork {
        no_huge_pages()?;
    }
    let mut home = Held(Box::<L>::default());
    writer::build(&mut home, job.target());
    let zipf = L::zipf(job.target());
    job.say_memory("before");
    let (samples, histograms) = thread::scope(|scope| {
        let writer = scope.spawn(|| writer::run::<L>(home, zipf.as_ref(), timeline));
        let samples = match job.way {
            Way::StopCopy => stop_copies(job, timeline),
            _ => forks(job, timeline),
        };
        writer::stop();
        (samples, writer.join())
    });
    let histograms = histograms.map_err(|_| "the writer panicked")?;
    job.say_memory("after");
    job.report(&samples?, &histograms, timeline);
    Ok(())
}

/// Stops the writer, forks, lets it go on; the child writes everything to a file.
fn forks(job: &Job, timeline: &Timeline) -> Result<Vec<Sample>, Error> {
    let mut samples = Vec::new();
    let mut faults = minor_faults();
    for _ in 0..job.snapshots {
        thread::sleep(job.gap);
        let runs = memory::in_use()?;
        let file = File::create(job.dir.join("dump"))?;
        DURING.store(true, Relaxed);
        let asked = timeline.now();
        gate::close();
        let frozen = timeline.now();
        // SAFETY: the child calls nothing that allocates or takes a lock.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let code = if memory::write(&runs, file.as_raw_fd()) { 0 } else { 1 };
            // SAFETY: ends the child, without running what the parent wants to run at its end.
            unsafe { libc::_exit(code) };
        }
        let opened = timeline.now();
        gate::open();
        wait_for(child)?;
        let done = timeline.now();
        DURING.store(false, Relaxed);
        let pause = Duration::from_nanos(opened - frozen);
        let drain = Duration::from_nanos(frozen - asked);
        let window = Duration::from_nanos(done - frozen);
        let counts = vec![faults_since(&mut faults)];
        samples.push(Sample { asked, frozen, done, pause, drain, window, counts });
    }
    Ok(samples)
}

/// Stops the writer, protects everything, copies it, unprotects it, lets the writer go on.
fn stop_copies(job: &Job, timeline: &Timeline) -> Result<Vec<Sample>, Error> {
    let mut buffer: Option<(NonNull<u8>, usize)> = None;
    let mut samples = Vec::new();
    let mut faults = minor_faults();
    for _ in 0..job.snapshots {
        let runs = memory::in_use()?;
        let len = runs.iter().map(Range::len).sum();
        let to = match buffer {
            Some((buffer, room)) if room >= len => buffer,
            // With room for what the heap may grow by.
            _ => buffer.insert((memory::buffer(len + len / 32)?, len + len / 32)).0,
        };
        thread::sleep(job.gap);
        DURING.store(true, Relaxed);
        let asked = timeline.now();
        gate::close();
        let frozen = timeline.now();
        let is_protected = memory::protect(&runs, false);
        // SAFETY: the writer has stopped, and this thread does not write to the heap.
        unsafe { memory::copy(&runs, to) };
        let is_open = memory::protect(&runs, true);
        let done = timeline.now();
        gate::open();
        DURING.store(false, Relaxed);
        if !(is_protected && is_open) {
            return Err("the memory cannot be protected".into());
        }
        let (pause, drain) =
            (Duration::from_nanos(done - frozen), Duration::from_nanos(frozen - asked));
        let counts = vec![faults_since(&mut faults)];
        samples.push(Sample { asked, frozen, done, pause, drain, window: pause, counts });
    }
    Ok(samples)
}

/// Redis turns huge pages off: after a fork each costs a copy of 2 MiB.
fn no_huge_pages() -> io::Result<()> {
    // SAFETY: takes numbers only.
    match unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn wait_for(child: i32) -> Result<(), Error> {
    if child < 0 {
        return Err(io::Error::last_os_error().into());
    }
    let mut status = 0;
    // SAFETY: writes one number.
    if unsafe { libc::waitpid(child, &raw mut status, 0) } != child {
        return Err(io::Error::last_os_error().into());
    }
    if status == 0 { Ok(()) } else { Err("the child could not write its file".into()) }
}

/// Page faults of this process since `before`, which becomes now.
fn faults_since(before: &mut u64) -> Count {
    let now = minor_faults();
    let value = now - std::mem::replace(before, now);
    Count { name: "faults", unit: "faults", value }
}

fn minor_faults() -> u64 {
    // SAFETY: all zero is a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: writes one struct.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    usage.ru_minflt as u64
}
