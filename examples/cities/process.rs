//! Child processes: this same program with a role, and what it says.

use super::args::Role;
use super::wire::Said;
use std::io::{self, BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A running child.
pub(crate) struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    started: Instant,
    role: Role,
}

impl Process {
    /// Starts this program once more.
    pub(crate) fn start(role: Role, heap: &Path) -> io::Result<Self> {
        let started = Instant::now();
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--heap")
            .arg(heap)
            .args(["--child", role.name()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or_else(|| io::Error::other("a child has no stdout"))?;
        Ok(Self { child, lines: BufReader::new(out).lines(), started, role })
    }

    /// Since the child was started.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The next thing that the child says; `None` if it says nothing more.
    pub(crate) fn next(&mut self) -> io::Result<Option<Said>> {
        let Some(line) = self.lines.next().transpose()? else { return Ok(None) };
        let said = Said::parse(&line).ok_or_else(|| self.failed(&format!("said {line:?}")))?;
        Ok(Some(said))
    }

    /// Kills the child with SIGKILL. What it said before can still be read.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()
    }

    /// Waits for the end of a child that was not killed.
    pub(crate) fn end(mut self) -> io::Result<()> {
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(self.failed(&format!("failed ({status})"))) }
    }

    fn failed(&self, how: &str) -> io::Error {
        io::Error::other(format!("the child that was to {} {how}", self.role.name()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error here is that the child has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
