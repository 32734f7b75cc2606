//! Builds each program twice: from the same source, with the same dependencies, profile and flags,
//! but for a feature that says which allocator is the program's.

use crate::catalog::Program;
use crate::shared::Error;
use crate::source;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) struct Allocator {
    pub(crate) name: &'static str,
    /// The feature that the program gets for it.
    feature: &'static str,
    /// What the program's file says in it.
    message: &'static str,
}

/// In this order everywhere.
pub(crate) const ALLOCATORS: [Allocator; 2] = [
    Allocator { name: "ours", feature: "bench_ours", message: "stillheap: cannot free 0x" },
    Allocator { name: "mimalloc", feature: "bench_mimalloc", message: "mimalloc: " },
];

/// Added to the program's file with `main`. If the program had an allocator already, this would be
/// a second one, which the compiler refuses.
const LINES: &str = "
#[cfg(feature = \"bench_ours\")]
#[global_allocator]
static BENCH_ALLOCATOR: bench_stillheap::ProcessHeap = bench_stillheap::ProcessHeap::new();

#[cfg(feature = \"bench_mimalloc\")]
#[global_allocator]
static BENCH_ALLOCATOR: bench_mimalloc::MiMalloc = bench_mimalloc::MiMalloc;
";

/// A program with its files, one for each allocator.
pub(crate) struct Built {
    pub(crate) program: Program,
    pub(crate) files: [PathBuf; 2],
}

/// Builds a program that has not been built yet, beside this one.
pub(crate) fn build(program: Program) -> Result<Built, Error> {
    let cargo = PathBuf::from(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let fetched = source::fetch(&program, &cargo)?;
    let folder = target_dir()?.join("programs");
    let copy = folder.join("source").join(program.name);
    let manifest = manifest(&fs::read_to_string(fetched.join("Cargo.toml"))?);
    let main = fs::read_to_string(fetched.join(program.main))? + LINES;
    source::copy(&fetched, &copy, &[("Cargo.toml", &manifest), (program.main, &main)])?;
    let mut files = Vec::new();
    for allocator in &ALLOCATORS {
        eprintln!("building {} on {}", program.name, allocator.name);
        let target = folder.join("target");
        cargo_build(&program, allocator, &cargo, &copy, &target)?;
        // The other allocator's will have the same name.
        let file = folder.join(format!("{}-{}", program.name, allocator.name));
        fs::copy(target.join("release").join(program.file), &file)?;
        for known in &ALLOCATORS {
            if holds(&file, known.message)? != (known.name == allocator.name) {
                let file = file.display();
                return Err(format!("{file} has another allocator than it should").into());
            }
        }
        files.push(file);
    }
    let files = files.try_into().map_err(|_| "one file for each allocator")?;
    Ok(Built { program, files })
}

fn cargo_build(
    program: &Program,
    allocator: &Allocator,
    cargo: &Path,
    copy: &Path,
    target: &Path,
) -> Result<(), Error> {
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--bin", program.file])
        .args(program.features)
        .args(["--features", allocator.feature])
        .arg("--manifest-path")
        .arg(copy.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("cargo build of {}: {status}", copy.display()).into())
    }
}

/// A program's `Cargo.toml`, with both allocators. Both builds have them among their dependencies,
/// of which one is linked: so what they share with the program is of the same versions.
fn manifest(original: &str) -> String {
    const FEATURES: &str = "[features]\nbench_ours = []\nbench_mimalloc = []\n";
    let with_features = match original.contains("[features]\n") {
        true => original.replacen("[features]\n", FEATURES, 1),
        false => format!("{original}\n{FEATURES}"),
    };
    let ours = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    format!(
        "{with_features}
[workspace]

[dependencies.bench_stillheap]
package = \"stillheap\"
path = {ours:?}

[dependencies.bench_mimalloc]
package = \"mimalloc\"
version = \"=0.1.52\"
default-features = false
"
    )
}

/// Whether a file has that text in it. It is not read as a whole: this bench stays small.
fn holds(file: &Path, text: &str) -> Result<bool, Error> {
    let mut file = File::open(file)?;
    let (mut window, mut kept) = (vec![0; 1 << 16], 0);
    loop {
        let count = file.read(&mut window[kept..])?;
        if count == 0 {
            return Ok(false);
        }
        let filled = &window[..kept + count];
        if filled.windows(text.len()).any(|part| part == text.as_bytes()) {
            return Ok(true);
        }
        let end = kept + count;
        kept = text.len().min(end);
        window.copy_within(end - kept..end, 0);
    }
}

/// This program lies in a folder `release` of it.
fn target_dir() -> Result<PathBuf, Error> {
    let program = std::env::current_exe()?;
    let folder = program.parent().and_then(Path::parent);
    Ok(folder.ok_or("this program lies in no target folder")?.to_owned())
}
