//! Notes the compiler's version for the schema: the layout of std's types and of
//! `repr(Rust)` enums is a matter between a compiler and itself. And says where the C library's
//! functions can be interposed (`cfg(interposed)`; see `src/runtime/calls`).

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(interposed)");
    if is_interposed() {
        println!("cargo::rustc-cfg=interposed");
    }
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    println!("cargo::rerun-if-env-changed=RUSTC");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=STILLHEAP_COMPILER={}", version(&rustc));
}

/// Nothing is without the feature `interpose`, where programs are linked statically or have
/// another C library than glibc, nor under a fuzzer, whose sanitizers call the C library before
/// instrumented code can run.
fn is_interposed() -> bool {
    let value = |name: &str| env::var(format!("CARGO_CFG_{name}")).ok();
    let is_static =
        value("TARGET_FEATURE").is_some_and(|all| all.split(',').any(|one| one == "crt-static"));
    env::var_os("CARGO_FEATURE_INTERPOSE").is_some()
        && value("TARGET_ENV").is_some_and(|env| env == "gnu")
        && !is_static
        && value("FUZZING").is_none()
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
