//! What the tests of the cut share. A writer takes snapshots back to back while it works, and
//! leaves copies of its directory, *stills*, each with one snapshot as the newest; its parent has
//! every still opened and checked by another process.
//!
//! Invariant: a still's newest snapshot is the one that its line told of.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::cast_possible_truncation, reason = "indices of a 64-bit machine")]

pub(crate) mod common;
pub(crate) mod lane;

use crate::support;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use std::{fs, io, thread};
use stillheap::{Heap, Options, StillInfo};

const STAGE: &str = "STILLHEAP_TEST_STAGE";
const TOLD: &str = "STILLHEAP_TEST_TOLD";

/// How much memory there is for frozen pages that writers are about to change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// What a program gets that asks for nothing.
    Usual,
    /// So little that writers have to wait for it.
    Small,
}

impl Stage {
    /// Has the child run with this stage.
    pub(crate) fn set(self, command: &mut Command) {
        command.env(STAGE, if self == Self::Small { "small" } else { "usual" });
    }
}

/// The options with which all heaps of these tests are opened. Where the stage is small, writes
/// to tracked memory are checked, too: one that is not announced ends the process.
pub(crate) fn options() -> Options {
    let options = Options::new().restart_on_collision(true);
    match std::env::var(STAGE).as_deref() {
        Ok("small") => options.stage_bytes(4 << 20).check_tracked(true),
        _ => options,
    }
}

/// Whether the long form is asked for.
pub(crate) fn is_long() -> bool {
    std::env::var_os("STILLHEAP_LONG").is_some()
}

pub(crate) fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ mixed >> 31).wrapping_mul(0x94d0_49bb_1331_11eb) ^ mixed >> 17
}

/// Has a panic on any thread end the process, whatever its other threads are at.
pub(crate) fn end_on_panic() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        hook(panic);
        std::process::abort();
    }));
}

/// Has threads that this one makes give way to checks, but to nobody else for long.
#[allow(unsafe_code, reason = "sets a priority")]
fn step_back() {
    // SAFETY: 0 is the calling thread. Where it is refused, checks take longer.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 5) };
}

/// Ends the process, with a message, once nothing has counted `beats` up for a minute.
pub(crate) fn watch(what: &'static str, beats: &'static AtomicU64) {
    thread::spawn(move || {
        let mut seen = beats.load(Relaxed);
        loop {
            for _ in 0..60 {
                thread::sleep(Duration::from_secs(1));
            }
            let now = beats.load(Relaxed);
            if now == seen {
                // No more than this: the process is stuck, perhaps in its allocator.
                let _ = io::stderr().write_all(what.as_bytes());
                let _ = io::stderr().write_all(b": nothing has moved for a minute\n");
                std::process::abort();
            }
            seen = now;
        }
    });
}

/// The writer's side.
pub(crate) struct Stills<'a> {
    heap: &'a Heap,
    dir: &'a Path,
    /// Freezes so far.
    pub(crate) frozen: AtomicU64,
    /// Operations that have ended, for the writer to count. What a check is told of.
    pub(crate) ended: AtomicU64,
    /// Snapshots are copied as long as no more than this wait for their check.
    pub(crate) backlog: usize,
    /// Whether each snapshot is to be copied, whatever waits.
    pub(crate) every: AtomicBool,
    /// Up to which number of ended operations snapshots have been copied.
    pub(crate) copied: AtomicU64,
}

impl<'a> Stills<'a> {
    pub(crate) fn new(heap: &'a Heap, dir: &'a Path) -> Self {
        end_on_panic();
        step_back();
        let (frozen, ended, copied) = Default::default();
        Self { heap, dir, frozen, ended, backlog: 2, every: AtomicBool::new(false), copied }
    }

    /// Takes snapshots, back to back, until the process is killed.
    pub(crate) fn take_for_ever(&self) -> ! {
        for number in 0.. {
            let ended = self.ended.load(Relaxed);
            let still = self.heap.snapshot().expect("a freeze");
            self.frozen.fetch_add(1, Relaxed);
            let info = still.wait_durable().expect("durable");
            if self.every.load(Relaxed) || self.waiting() < self.backlog {
                self.leave(number, &info, ended);
                self.copied.fetch_max(ended, Relaxed);
            }
        }
        unreachable!("numbers do not end")
    }

    /// Waits for the next freeze, and returns right after it.
    pub(crate) fn wait_for_a_freeze(&self) {
        let seen = self.frozen.load(Relaxed);
        while self.frozen.load(Relaxed) == seen {
            thread::sleep(Duration::from_micros(20));
        }
    }

    /// Waits until `count` more freezes have been, the first of them begun after this call.
    pub(crate) fn wait_for_freezes(&self, count: u64) {
        let target = self.frozen.load(Relaxed) + count + 1;
        while self.frozen.load(Relaxed) < target {
            thread::sleep(Duration::from_micros(100));
        }
    }

    /// Copies that wait for their check.
    pub(crate) fn waiting(&self) -> usize {
        let files = fs::read_dir(self.folder()).expect("the folder").flatten();
        files.filter(|file| file.file_name().to_string_lossy().starts_with("still")).count()
    }

    fn leave(&self, number: u64, info: &StillInfo, ended: u64) {
        let (draft, still) =
            (self.folder().join("draft"), self.folder().join(format!("still-{number}")));
        while let Err(error) = link(self.dir, &draft) {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            fs::remove_dir_all(&draft).expect("a copy");
        }
        fs::rename(&draft, &still).expect("a place");
        let mut out = io::stdout().lock();
        let told = (info.number, info.operations, ended);
        // The parent may be gone; then there is nobody to tell.
        let _ = writeln!(out, "{} {} {} {}", still.display(), told.0, told.1, told.2);
        let _ = out.flush();
    }

    fn folder(&self) -> &Path {
        self.dir.parent().expect("a folder around the heap")
    }
}

/// Links the files of the heap at `from`, which never change, into a new directory.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    fs::hard_link(from.join("MANIFEST"), to.join("MANIFEST"))?;
    for file in fs::read_dir(from)? {
        let name = file?.file_name();
        if name.to_string_lossy().ends_with(".full") || name.to_string_lossy().ends_with(".delta") {
            fs::hard_link(from.join(&name), to.join(&name))?;
        }
    }
    let inode = |dir: &Path| Ok::<_, io::Error>(fs::metadata(dir.join("MANIFEST"))?.ino());
    match inode(from)? == inode(to)? {
        true => Ok(()),
        false => Err(ErrorKind::NotFound.into()),
    }
}

/// What a check knows of its still from its writer.
pub(crate) struct Told {
    /// The snapshot's number.
    number: u64,
    /// Operations by the freeze.
    operations: u64,
    /// Operations that had ended before the snapshot was asked for.
    pub(crate) ended: u64,
}

/// The check's side: opens the still, which must hold what it is said to hold.
pub(crate) fn open_still(dir: &Path, options: Options) -> (Heap, Told) {
    let told = std::env::var(TOLD).expect("what the writer told");
    let mut numbers = told.split(' ').map(|number| number.parse().expect("a number"));
    let mut next = || numbers.next().expect("three numbers");
    let told = Told { number: next(), operations: next(), ended: next() };
    let heap = crate::HEAP.open(dir, options).expect("the still");
    let restored = heap.restored().expect("a snapshot");
    assert_eq!(restored.skipped, [], "none is damaged");
    assert_eq!((restored.number, restored.operations), (told.number, told.operations));
    assert!(told.operations >= told.ended, "what had ended is in it");
    heap.validate().expect("a sound heap");
    (heap, told)
}

/// The parent's side: runs `writer`, whose heap lies in `dir`, and has the role `check` look at
/// its stills, until `stills` have been found good or `judge` says that it is enough. Gives what
/// the writer told of the last one.
pub(crate) fn each_still(
    writer: &mut Command,
    check: &str,
    stills: usize,
    mut judge: impl FnMut(Result<(), String>) -> bool,
) -> String {
    let mut writer = Killed(writer.stdout(Stdio::piped()).spawn().expect("a process"));
    let lines = BufReader::new(writer.0.stdout.take().expect("its output")).lines();
    let mut checked = 0;
    for line in lines.map_while(Result::ok) {
        let (still, told) = line.split_once(' ').expect("a still and what is told of it");
        let still = PathBuf::from(still);
        let output = support::output(support::child(check, &still).env(TOLD, told));
        let text = format!("the still `{line}`: {}\n{}", output.status, support::text_of(&output));
        fs::remove_dir_all(&still).expect("the still");
        checked += 1;
        if !judge(if output.status.success() { Ok(()) } else { Err(text) }) || checked == stills {
            return told.to_owned();
        }
    }
    panic!("the writer ended after {checked} stills: {}", writer.0.wait().expect("its end"));
}

/// As [`each_still`]; all have to be good.
pub(crate) fn all_good(writer: &mut Command, check: &str, stills: usize) {
    let last = each_still(writer, check, stills, |result| match result {
        Ok(()) => true,
        Err(text) => panic!("{text}"),
    });
    println!("{stills} stills are good; snapshot, operations, ended of the last one: {last}");
}

/// As [`each_still`], for a writer that does what it must not: gives what the check says of the
/// first still that shows it. There must be one.
pub(crate) fn first_bad(writer: &mut Command, check: &str, stills: usize) -> String {
    let mut bad = None;
    each_still(writer, check, stills, |result| {
        bad = result.err();
        bad.is_none()
    });
    bad.expect("a still that shows what the writer did")
}

/// A process that ends with this.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
