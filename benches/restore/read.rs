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

/// Bytes of one `pread`.
const READ: usize = 2 << 20;

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
                read.push(told.last("read_ms")?);
                reused.push(told.last("reused_ms")?);
                let found = told.last::<u32>("sum")?;
                if *sum.get_or_insert(found) != found {
                    return Err("the file was read differently".into());
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
    let begun = Instant::now();
    let mut memory = MmapMut::map_anon(file.metadata()?.len() as usize)?;
    // Without huge pages it is slower, and loading is, too.
    let _ = memory.advise(Advice::HugePage);
    let sum = in_two_threads(memory.chunks_mut(READ).enumerate(), |(number, bytes)| {
        file.read_exact_at(bytes, (number * READ) as u64)?;
        Ok(sum_of(bytes))
    })?;
    tell("read_ms", milliseconds(begun.elapsed()));
    tell("sum", sum);
    let lengths: Vec<usize> = memory.chunks(READ).map(<[u8]>::len).collect();
    drop(memory);
    let begun = Instant::now();
    let buffers = [Mutex::new(vec![0; READ]), Mutex::new(vec![0; READ])];
    let again = in_two_threads(lengths.iter().enumerate(), |(number, &len)| {
        let free = buffers.iter().find_map(|buffer| buffer.try_lock().ok());
        let mut buffer = free.ok_or("two threads have two buffers")?;
        file.read_exact_at(&mut buffer[..len], (number * READ) as u64)?;
        Ok(sum_of(&buffer[..len]))
    })?;
    tell("reused_ms", milliseconds(begun.elapsed()));
    if again == sum { Ok(()) } else { Err("the file was read differently".into()) }
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
