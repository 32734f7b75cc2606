//! Starting the program again from its beginning.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Set in the environment of a program that has been started again: to its process's number,
/// which executing keeps, so that its children are not taken for started again.
const MARK: &str = "STILLHEAP_STARTED_AGAIN";

/// Executes the program anew, with the same arguments and environment; does not return if
/// that succeeds. `None`: this is the second start already. `Some`: why it failed.
pub fn restart_once() -> Option<io::Error> {
    let process = std::process::id().to_string();
    if std::env::var(MARK).is_ok_and(|started| started == process) {
        return None;
    }
    let mut arguments = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    Some(command.args(arguments).env(MARK, process).exec())
}
