//! Starting the program again from its beginning.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Set in the environment of a program that has been started again.
const MARK: &str = "STILLHEAP_STARTED_AGAIN";

/// Executes the program anew, with the same arguments and environment; does not return if
/// that succeeds. `None`: this is the second start already. `Some`: why it failed.
pub fn restart_once() -> Option<io::Error> {
    if std::env::var_os(MARK).is_some() {
        return None;
    }
    let mut arguments = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    Some(command.args(arguments).env(MARK, "1").exec())
}
