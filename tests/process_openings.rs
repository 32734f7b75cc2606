//! Openings that are refused, or fail half way: what is said, and what can be done afterwards.

mod support;

use std::path::Path;
use stillheap::{OpenError, Options, ProcessHeap};

#[global_allocator]
static HEAP: ProcessHeap = ProcessHeap::new();

/// A signal that cannot ask for snapshots is refused before anything is done.
fn unfit_signals(dir: &Path) {
    use libc::{SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGKILL, SIGSEGV, SIGSTOP, SIGSYS, SIGTRAP};
    let faults = [SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGSYS, SIGABRT];
    let others = [SIGKILL, SIGSTOP, 32, 33, 0, -1, 65];
    for unfit in faults.into_iter().chain(others) {
        let options = Options::new().snapshot_on_signal(unfit);
        let error = HEAP.open(dir, options).expect_err("unfit");
        let is_it = matches!(error, OpenError::Signal { signal, .. } if signal == unfit);
        let text = error.to_string();
        assert!(is_it && text.starts_with(&format!("signal {unfit} ")), "{text}");
        assert!(text.contains("SIGUSR1") && !dir.exists(), "{text}");
    }
    let options = Options::new().snapshot_on_signal(libc::SIGRTMIN());
    HEAP.open(dir, options).expect("a heap").close().expect("closed");
}

fn alone(role: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    support::run(role, &folder.path().join("heap"));
}

const ROLES: &[support::Role] = &[("unfit_signals", unfit_signals)];

fn main() {
    if support::plays(ROLES) {
        return;
    }
    support::run_all(&[("unfit_signals_are_refused", || alone("unfit_signals"))]);
}
