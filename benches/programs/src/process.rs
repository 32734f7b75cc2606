//! Runs one process, and asks the system what it took.
#![allow(unsafe_code, reason = "asks what a process has used when it waits for it")]

use crate::shared::Error;
use std::fs::{self, File};
use std::mem;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// What a process took.
#[derive(Clone, Copy, Default)]
pub(crate) struct Run {
    /// From its start until it has been waited for.
    pub(crate) wall: Duration,
    /// User and system time, its own and that of processes it has waited for.
    pub(crate) cpu: Duration,
    /// The most that was resident in one of these, in KiB.
    pub(crate) peak: i64,
}

impl Run {
    /// Counts another, that ran after this one.
    pub(crate) fn add(&mut self, other: &Self) {
        self.wall += other.wall;
        self.cpu += other.cpu;
        self.peak = self.peak.max(other.peak);
    }

    /// The mean time of so many.
    pub(crate) fn over(self, count: u32) -> Self {
        Self { wall: self.wall / count, cpu: self.cpu / count, ..self }
    }
}

/// Runs a program in `folder`, which it takes for the user's own, so that nobody's settings matter.
/// Its output goes to a file. It has to end well.
pub(crate) fn run(
    program: &Path,
    arguments: &[String],
    folder: &Path,
    output: &Path,
) -> Result<Run, Error> {
    let output = File::create(output)?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).env_clear().env("HOME", folder);
    command.envs(std::env::vars_os().filter(|(name, _)| name == "PATH"));
    command.stdin(Stdio::null()).stdout(output);
    let begun = Instant::now();
    let child = command.spawn()?;
    let (status, usage) = wait(child.id())?;
    let wall = begun.elapsed();
    if !status.success() {
        return Err(format!("{} {}: {status}", program.display(), arguments.join(" ")).into());
    }
    let cpu = duration(usage.ru_utime)? + duration(usage.ru_stime)?;
    Ok(Run { wall, cpu, peak: usage.ru_maxrss })
}

/// What this process itself had resident at most, in KiB. The system counts it for processes that
/// it starts, too, which share its memory for a moment: a figure not above this one tells nothing.
pub(crate) fn own_peak() -> Result<i64, Error> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(number.ok_or("the system does not tell how much memory this has had")?.parse()?)
}

fn wait(process: u32) -> Result<(ExitStatus, libc::rusage), Error> {
    let process = libc::pid_t::try_from(process)?;
    let mut status = 0;
    // SAFETY: a structure of plain numbers.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: a child that nobody else waits for; fills the number and the structure.
    let ended = unsafe { libc::wait4(process, &raw mut status, 0, &raw mut usage) };
    if ended != process {
        return Err(std::io::Error::last_os_error().into());
    }
    Ok((ExitStatus::from_raw(status), usage))
}

fn duration(time: libc::timeval) -> Result<Duration, Error> {
    let seconds = Duration::from_secs(time.tv_sec.try_into()?);
    Ok(seconds + Duration::from_micros(time.tv_usec.try_into()?))
}
