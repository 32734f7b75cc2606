//! Notes the compiler's version for the schema: the layout of std's types and of
//! `repr(Rust)` enums is a matter between a compiler and itself.

use std::process::Command;

fn main() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    println!("cargo::rerun-if-env-changed=RUSTC");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=STILLHEAP_COMPILER={}", version(&rustc));
}

/// The first line of `rustc -vV`, the commit and the host: enough to tell two compilers apart.
fn version(rustc: &str) -> String {
    let output = match Command::new(rustc).arg("-vV").output() {
        Ok(output) if output.status.success() => output.stdout,
        Ok(output) => panic!("`{rustc} -vV` failed with {}", output.status),
        Err(error) => panic!("`{rustc} -vV` cannot be run: {error}"),
    };
    let text = String::from_utf8_lossy(&output).into_owned();
    let value = |key: &str| {
        text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("unknown").trim().to_owned()
    };
    let name = text.lines().next().unwrap_or("unknown").trim();
    let commit = value("commit-hash:");
    format!("{name} commit {commit} host {}", value("host:"))
}
