//! Which configurations are measured, in which order; each is a child process.

use crate::Error;
use crate::report::short;
use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

const CHILD: &str = "--measure";

/// What a child is asked to do.
pub(crate) struct Job {
    pub(crate) way: Way,
    pub(crate) kind: Kind,
    mib: usize,
    pub(crate) snapshots: usize,
    /// Time between snapshots.
    pub(crate) gap: Duration,
    /// MiB of the stage; 0: the default.
    pub(crate) stage: usize,
    pub(crate) dir: PathBuf,
}

/// Names as they stand on the command line and in results.
macro_rules! names {
    ($(#[$doc:meta])* $type:ident { $($variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub(crate) enum $type { $($variant,)* }

        impl $type {
            const ALL: &[Self] = &[$(Self::$variant),*];
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $name,)* })
            }
        }
    };
}
names! {
    /// How snapshots are taken.
    Way { Ours = "ours", Fork = "fork", ForkHuge = "fork_huge", StopCopy = "stopcopy", }
}
names! {
    /// What the writer does.
    Kind { Tracked = "tracked", Uniform = "uniform", Zipf = "zipf", }
}

impl Job {
    /// The job of this process, if it is a child.
    pub(crate) fn from_arguments(arguments: &[String]) -> Option<Self> {
        let [mark, way, kind, mib, snapshots, gap, stage, dir] = arguments else { return None };
        (mark == CHILD).then_some(())?;
        Some(Self {
            way: named(Way::ALL, way)?,
            kind: named(Kind::ALL, kind)?,
            mib: mib.parse().ok()?,
            snapshots: snapshots.parse().ok()?,
            gap: Duration::from_millis(gap.parse().ok()?),
            stage: stage.parse().ok()?,
            dir: dir.into(),
        })
    }

    /// Bytes of the heap.
    pub(crate) fn target(&self) -> usize {
        self.mib << 20
    }

    /// What metrics begin with.
    pub(crate) fn name(&self) -> String {
        match self.way {
            Way::Ours => self.configuration(),
            way => format!("{}.{way}", self.configuration()),
        }
    }

    /// Says how much of the process's memory is in huge pages.
    pub(crate) fn say_memory(&self, when: &str) {
        let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
        let mib = |name: &str| {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.split_whitespace().next()?.parse::<u64>().ok()? >> 10)
        };
        let (all, huge) = (mib("Rss:").unwrap_or(0), mib("AnonHugePages:").unwrap_or(0));
        eprintln!("{} {when}: {all} MiB in memory, {huge} MiB in huge pages", self.name());
    }

    fn configuration(&self) -> String {
        let size = match self.mib {
            mib if mib >= 1024 && mib.is_multiple_of(1024) => format!("{}g", mib / 1024),
            mib => format!("{mib}m"),
        };
        format!("freeze.{}.{size}", self.kind)
    }

    /// Runs it in a process of its own, and prints what that prints. Gives its median pause.
    fn run(&self) -> Result<f64, Error> {
        let dir = self.dir.to_str().ok_or("the temporary folder's name is not text")?;
        let output = Command::new(std::env::current_exe()?)
            .args([CHILD, &self.way.to_string(), &self.kind.to_string()])
            .args([self.mib.to_string(), self.snapshots.to_string()])
            .args([&self.gap.as_millis().to_string(), &self.stage.to_string(), dir])
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err(format!("{}: {}", self.name(), output.status).into());
        }
        let text = String::from_utf8(output.stdout)?;
        print!("{text}");
        let pause = text.lines().find_map(|line| line.split_once(".pause_p50_us "));
        let pause = pause.and_then(|(_, rest)| rest.split(' ').next());
        Ok(pause.ok_or("a child told no pause")?.parse()?)
    }
}

/// Runs what the command line asks for.
pub(crate) fn run_all(arguments: &[String]) -> Result<(), Error> {
    let is_quick = arguments.iter().any(|argument| argument == "--quick");
    let number = |name| option(arguments, name).map(str::parse::<usize>).transpose();
    let sizes = match number("--size")? {
        Some(mib) => vec![mib],
        None if is_quick => vec![256, 1024],
        None => vec![256, 1024, 4096, 8192],
    };
    let snapshots = number("--snapshots")?;
    let stage = number("--stage")?.unwrap_or(0);
    let gap = Duration::from_millis(if is_quick { 500 } else { 1000 });
    if option(arguments, "--load").is_none() {
        crate::entry::measure();
    }
    for kind in chosen(Kind::ALL, option(arguments, "--load"))? {
        for &mib in &sizes {
            let mut ours = None;
            for way in chosen(Way::ALL, option(arguments, "--way"))? {
                if available_mib() < 2 * mib + 1024 {
                    // A fork copies what is written to; a kill would hit whom it likes.
                    eprintln!("freeze.{kind}: {mib} MiB twice do not fit in memory, left out");
                    continue;
                }
                let folder = tempfile::tempdir()?;
                let few = if mib > 4096 { 3 } else { 10 };
                // The first one warms up.
                let snapshots = 1 + snapshots.unwrap_or(few);
                let dir = folder.path().to_owned();
                let job = Job { way, kind, mib, snapshots, gap, stage, dir };
                let pause = job.run()?;
                match (way, ours) {
                    (Way::Ours, _) => ours = Some(pause),
                    (way, Some(ours)) => {
                        let ratio = short(pause / ours);
                        println!("ratio {}.{way}_pause_over_ours {ratio}", job.configuration());
                    }
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

/// MiB of memory that can be had without swapping; all there are if nobody tells.
fn available_mib() -> usize {
    let info = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    number.map_or(usize::MAX, |kib| kib >> 10)
}

/// What follows the argument `name`.
fn option<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let place = arguments.iter().position(|argument| argument == name)?;
    arguments.get(place + 1).map(String::as_str)
}

fn chosen<T: Copy + fmt::Display>(all: &[T], name: Option<&str>) -> Result<Vec<T>, Error> {
    match name {
        None => Ok(all.to_vec()),
        Some(name) => Ok(vec![named(all, name).ok_or_else(|| format!("no such choice: {name}"))?]),
    }
}

fn named<T: Copy + fmt::Display>(all: &[T], name: &str) -> Option<T> {
    all.iter().copied().find(|one| one.to_string() == name)
}
