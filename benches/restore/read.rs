//! Loading beside the limit: reading the file and computing each page's CRC-32.

use crate::cache;
use crate::save::Saved;
use crate::shared::{Error, Folder, in_child, median, metric, milliseconds, ratio, tell};
use memmap2::{Advice, MmapMut};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;
use stillheap::base::{PAGE_SIZE, crc32};

/// Bytes of one `pread`: large; and few enough to be in the cache still when they are summed.
/// The faster one is the limit.
const READS: [usize; 2] = [2 << 20, 256 << 10];

pub(crate) fn run(folder: &Folder, mib: usize, rounds: usize) -> Result<(), Error> {
    let saved = Saved::new(folder, mib, 0)?;
    let file = segment(saved.dir.path())?;
    let file = file.to_str().ok_or("the file's name is not text")?;
    let (mut load, mut read, mut reused) = (Vec::new(), Vec::new(), Vec::new());
    let mut sum = None;
    for round in 0..rounds {
        for turn in 0..2 {
            cache::warm(saved.dir.path())?;
            if (round + turn) % 2 == 0 {
                let told = in_child(&["open", saved.path()?, &saved.records.to_string(), "load"])?;
                if told.last::<u64>("digest")? != saved.digest {
                    return Err("not what had been saved".into());
                }
                load.push(told.last("opening_ms")?);
            } else {
                let told = in_child(&["read", file])?;
                read.push(least(&told.all("read_ms")));
                reused.push(least(&told.all("reused_ms")));
                for found in told.all::<u32>("sum") {
                    if *sum.get_or_insert(found) != found {
                        return Err("the file was read differently".into());
                    }
                }
            }
        }
    }
    let (load, read) = (median(load), median(read));
    let mib = saved.bytes / f64::from(1 << 20);
    metric("restore.load.opening_ms", load, "ms");
    metric("restore.load.mib_s", mib / load * 1000.0, "MiB/s");
    metric("restore.load.read_ms", read, "ms");
    metric("restore.load.read_mib_s", mib / read * 1000.0, "MiB/s");
    metric("restore.load.read_reused_ms", median(reused), "ms");
    ratio("restore.load.throughput_over_read", read / load);
    Ok(())
}

/// The only file with a whole snapshot.
fn segment(dir: &Path) -> Result<PathBuf, Error> {
    let mut files = fs::read_dir(dir)?.flatten().map(|entry| entry.path());
    let file = files.find(|path| path.extension() == Some("full".as_ref()));
    file.ok_or_else(|| "there is no whole snapshot".into())
}

pub(crate) fn child(path: &Path) -> Result<(), Error> {
    let file = File::open(path)?;
    for size in READS {
        tell("sum", read(&file, size)?);
        tell("sum", read_into_buffers(&file, size)?);
    }
    Ok(())
}

/// Into fresh memory.
fn read(file: &File, size: usize) -> Result<u32, Error> {
    let begun = Instant::now();
    let mut memory = MmapMut::map_anon(file.metadata()?.len() as usize)?;
    // Without huge pages it is slower, and loading is, too.
    let _ = memory.advise(Advice::HugePage);
    let sum = in_two_threads(memory.chunks_mut(size).enumerate(), |(number, bytes)| {
        file.read_exact_at(bytes, (number * size) as u64)?;
        Ok(sum_of(bytes))
    })?;
    tell("read_ms", milliseconds(begun.elapsed()));
    Ok(sum)
}

/// Into a buffer for each thread.
fn read_into_buffers(file: &File, size: usize) -> Result<u32, Error> {
    let begun = Instant::now();
    let len = file.metadata()?.len() as usize;
    let buffers = [Mutex::new(vec![0; size]), Mutex::new(vec![0; size])];
    let sum = in_two_threads((0..len).step_by(size), |at| {
        let free = buffers.iter().find_map(|buffer| buffer.try_lock().ok());
        let mut buffer = free.ok_or("two threads have two buffers")?;
        let bytes = &mut buffer[..size.min(len - at)];
        file.read_exact_at(bytes, at as u64)?;
        Ok(sum_of(bytes))
    })?;
    tell("reused_ms", milliseconds(begun.elapsed()));
    Ok(sum)
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn sum_of(bytes: &[u8]) -> u32 {
    bytes.chunks(PAGE_SIZE).map(crc32).fold(0, u32::wrapping_add)
}

/// Has two threads do the work; gives the sum.
fn in_two_threads<T: Send>(
    work: impl Iterator<Item = T> + Send,
    one: impl Fn(T) -> Result<u32, Error> + Sync,
) -> Result<u32, Error> {
    let work = Mutex::new(work);
    let run = || {
        let mut sum = 0_u32;
        loop {
            let next = work.lock().map_err(|_| "the other thread panicked")?.next();
            let Some(next) = next else { return Ok(sum) };
            sum = sum.wrapping_add(one(next).map_err(|error| error.to_string())?);
        }
    };
    let sums: [Result<u32, String>; 2] = thread::scope(|scope| {
        let other = scope.spawn(run);
        [run(), other.join().unwrap_or_else(|_| Err("a thread panicked".into()))]
    });
    let [mine, theirs] = sums;
    Ok(mine?.wrapping_add(theirs?))
}
