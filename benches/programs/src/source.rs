//! A program's source: fetched by cargo, which checks it against the registry's checksum, and
//! copied, with some of its files changed.

use crate::catalog::Program;
use crate::shared::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where cargo has unpacked the program's package.
pub(crate) fn fetch(program: &Program, cargo: &Path) -> Result<PathBuf, Error> {
    if let Some(folder) = unpacked(program)? {
        return Ok(folder);
    }
    // A package without a library cannot be a dependency, so `cargo fetch` does not get it. This
    // shows a page about it, for which it downloads and unpacks it.
    let spec = format!("{}@{}", program.package, program.version);
    let status = Command::new(cargo)
        .args(["info", "--quiet", "--registry", "crates-io", &spec])
        .current_dir(std::env::temp_dir())
        .stdout(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("cargo info {spec}: {status}").into());
    }
    unpacked(program)?.ok_or_else(|| format!("cargo has not unpacked {spec}").into())
}

/// Cargo has a folder for each registry, and in it one for each package.
fn unpacked(program: &Program) -> Result<Option<PathBuf>, Error> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let registries = home.ok_or("there is no home folder")?.join("registry/src");
    let name = format!("{}-{}", program.package, program.version);
    let Ok(registries) = fs::read_dir(registries) else { return Ok(None) };
    for registry in registries {
        let folder = registry?.path().join(&name);
        // The mark that it is whole.
        if folder.join(".cargo-ok").exists() {
            return Ok(Some(folder));
        }
    }
    Ok(None)
}

/// Copies a package, with other contents for some of its files, which are named from its folder.
/// What is there already and is the same stays as it is, so that nothing is built again.
pub(crate) fn copy(from: &Path, to: &Path, changed: &[(&str, &str)]) -> Result<(), Error> {
    let mut files = Vec::new();
    collect(from, &mut files)?;
    for file in files {
        let name = file.strip_prefix(from)?;
        let target = to.join(name);
        // To the lock, cargo has added what the allocators need.
        if name == Path::new("Cargo.lock") && target.exists() {
            continue;
        }
        let bytes = match changed.iter().find(|(changed, _)| name == Path::new(changed)) {
            Some((_, text)) => text.as_bytes().to_vec(),
            None => fs::read(&file)?,
        };
        if !fs::read(&target).is_ok_and(|there| there == bytes) {
            fs::create_dir_all(target.parent().ok_or("a file lies in a folder")?)?;
            fs::write(&target, bytes)?;
        }
    }
    Ok(())
}

/// All files in a folder and those in it.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Error> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}
