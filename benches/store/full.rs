//! Whole snapshots beside plain writes of as many bytes, by turns.

use crate::pages::{Guarded, PAGE, Pages, check, digest, filled};
use crate::shared::{Error, Folder, in_child, median, metric, milliseconds, ratio, short, tell};
use memmap2::{Advice, MmapMut};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};
use stillheap::{Heap, Options, Root};

/// Bytes of one `write`.
const WRITE: usize = 2 << 20;
const WAYS: [&str; 3] = ["ours", "raw", "raw_reserved"];

pub(crate) fn run(folder: &Folder, mib: usize, rounds: usize) -> Result<(), Error> {
    eprintln!("full: {mib} MiB, {rounds} rounds");
    let part = folder.part()?;
    let dir = part.path().to_str().ok_or("the folder's name is not text")?;
    let told = in_child(&["full", dir, &mib.to_string(), &rounds.to_string()])?;
    let times = WAYS.map(|way| median(told.all(way)));
    for (way, time) in WAYS.iter().zip(times) {
        metric(&format!("store.full.{way}_ms"), time, "ms");
        let rate = told.last::<f64>("bytes")? / f64::from(1 << 20) / time * 1000.0;
        metric(&format!("store.full.{way}_mib_s"), rate, "MiB/s");
    }
    metric("store.full.window_ms", median(told.all("window")), "ms");
    let [ours, raw, reserved] = times;
    ratio("store.full.throughput_over_raw", raw.min(reserved) / ours);
    check(&part.path().join("heap"), "guarded", told.last("digest")?)
}

pub(crate) fn child(dir: &Path, mib: usize, rounds: usize) -> Result<(), Error> {
    let options = Options::new().increments(false).keep(1).spare(false);
    let heap_dir = dir.join("heap");
    let (heap, root) = filled::<Guarded>(&heap_dir, mib, options)?;
    // The first one warms up, and tells how many bytes there are.
    let bytes = heap.snapshot()?.wait_durable()?.bytes as usize;
    let memory = copy(&root, bytes)?;
    tell("bytes", bytes);
    for round in 0..rounds {
        for turn in 0..WAYS.len() {
            let way = WAYS[(round + turn) % WAYS.len()];
            settle(&heap_dir)?;
            let time = match way {
                "ours" => ours(&heap, bytes)?,
                way => raw(dir, &memory, way == "raw_reserved")?,
            };
            tell(way, milliseconds(time));
            let rate = bytes as f64 / f64::from(1 << 20) / time.as_secs_f64();
            eprintln!("full: {way} {} MiB/s", short(rate));
        }
    }
    tell("digest", digest(&root));
    // Closing would take one more snapshot.
    std::mem::forget(heap);
    Ok(())
}

fn ours(heap: &Heap, bytes: usize) -> Result<Duration, Error> {
    let info = heap.snapshot()?.wait_durable()?;
    if info.is_delta || info.bytes.abs_diff(bytes as u64) > bytes as u64 / 100 {
        return Err(format!("not the whole heap was saved: {info:?}").into());
    }
    tell("window", milliseconds(info.window));
    Ok(info.saving)
}

/// The time for a file with these bytes to be durable.
fn raw(dir: &Path, memory: &[u8], reserved: bool) -> Result<Duration, Error> {
    let path = dir.join("raw");
    let begun = Instant::now();
    let mut file = File::create_new(&path)?;
    if reserved {
        reserve(&file, memory.len())?;
    }
    memory.chunks(WRITE).try_for_each(|bytes| file.write_all(bytes))?;
    file.sync_all()?;
    File::open(dir)?.sync_all()?;
    let time = begun.elapsed();
    fs::remove_file(path)?;
    Ok(time)
}

#[allow(unsafe_code, reason = "a system call that std lacks")]
fn reserve(file: &File, len: usize) -> Result<(), Error> {
    // SAFETY: on an open descriptor; touches no memory.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, len.try_into()?) } {
        0 => Ok(()),
        errno => Err(std::io::Error::from_raw_os_error(errno).into()),
    }
}

/// Waits until the snapshot before has been removed, and all of that is on the disk.
fn settle(heap_dir: &Path) -> Result<(), Error> {
    let is_segment = |entry: &fs::DirEntry| entry.path().extension() == Some("full".as_ref());
    while fs::read_dir(heap_dir)?.flatten().filter(is_segment).count() > 1 {
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(File::open(heap_dir)?.sync_all()?)
}

/// So many bytes like the state's, in huge pages as the heap has them.
fn copy(root: &Root<Guarded>, bytes: usize) -> Result<MmapMut, Error> {
    let mut memory = MmapMut::map_anon(bytes)?;
    // Without huge pages it does as well.
    let _ = memory.advise(Advice::HugePage);
    root.read(|state| {
        for (place, target) in memory.chunks_mut(PAGE).enumerate() {
            let page = state.page(place % state.pages());
            for (target, word) in target.chunks_mut(8).zip(page) {
                target.copy_from_slice(&word.to_le_bytes()[..target.len()]);
            }
        }
    });
    Ok(memory)
}
