//! `export` and `import`: a snapshot as one file.

use crate::{
    Outcome,
    args::{Export, Import},
    failure::{Failure, USAGE},
    folder::{Folder, split},
    list::codec_name,
    progress::Progress,
    text,
};
use serde::Serialize;
use std::{fmt, fs, io, path::Path};
use stillheap::{
    image::{self, Manifest},
    os::{Dir, DiskDir, TEMPORARY_PREFIX, random_u64},
};

#[derive(Serialize)]
struct Exported {
    file: String,
    snapshot: u64,
    pages: u64,
    bytes: u64,
    compression: &'static str,
}

#[derive(Serialize)]
struct Imported {
    heap: String,
    heap_id: String,
    snapshot: u64,
    pages: u64,
    bytes: u64,
}

pub(crate) fn export(args: &Export) -> Result<Outcome, Failure> {
    let folder = Folder::open(&args.chosen.at.heap)?;
    let opened = folder.snapshot(args.chosen.snapshot)?;
    let (dir, name) = split(&args.file)?;
    if dir.path() == folder.dir.path() {
        let what = "lies in the heap's own directory: give another one";
        return Err(Failure::new(USAGE, format!("{} {what}", args.file.display())));
    }
    let saved = opened.chain.in_force(0, opened.chain.segments().len()).count() as u64;
    // Written, and read back.
    let progress = Progress::new("exporting", 2 * saved);
    let watch = progress.watch();
    let written = image::export(&opened.chain, &dir, &name, args.compression, &watch)?;
    Outcome::of(&Exported {
        file: dir.path_of(&name).display().to_string(),
        snapshot: opened.snapshot.number,
        pages: written.map_or(0, |written| written.pages),
        bytes: written.map_or(0, |written| written.bytes),
        compression: codec_name(args.compression.codec()),
    })
}

pub(crate) fn import(args: &Import) -> Result<Outcome, Failure> {
    let (from, name) = split(&args.file)?;
    let (folder, to_name) = split(&args.to.heap)?;
    let to = folder.path_of(&to_name);
    if !is_free(&to) {
        let what = "is there already, and is not overwritten: name another directory";
        return Err(Failure::new(USAGE, format!("{} {what}", to.display())));
    }
    // A half imported heap has a name that tells what it is.
    let temporary = folder.path_of(&format!("{TEMPORARY_PREFIX}-{:016x}", random_u64()));
    let made = import_as(&from, &name, &temporary).and_then(|manifest| {
        // Replaces nothing but an empty directory.
        fs::rename(&temporary, &to)
            .and_then(|()| folder.sync())
            .map_err(|error| Failure::io("create", &to, &error))?;
        Ok(manifest)
    });
    if made.is_err() {
        let _ = fs::remove_dir_all(&temporary);
    }
    let manifest = made?;
    let snapshot = manifest.newest();
    Outcome::of(&Imported {
        heap: to.display().to_string(),
        heap_id: format!("{:032x}", manifest.identity.heap_id),
        snapshot: snapshot.map_or(0, |snapshot| snapshot.number),
        pages: snapshot.map_or(0, |snapshot| snapshot.pages),
        bytes: snapshot.map_or(0, |snapshot| snapshot.bytes),
    })
}

fn import_as(from: &DiskDir, name: &str, path: &Path) -> Result<Manifest, Failure> {
    if !from.path_of(name).is_file() {
        let error = io::ErrorKind::NotFound.into();
        return Err(Failure::io("open", &from.path_of(name), &error));
    }
    let to = DiskDir::create(path).map_err(|error| Failure::io("create", path, &error))?;
    // How long it is, its header tells; the bar learns it as it goes.
    let progress = Progress::new("importing", 0);
    let watch = progress.watch();
    let made = image::import(from, name, &to, &watch)?;
    made.ok_or_else(|| Failure::system("the import was ended"))
}

/// Whether a directory can be made there.
fn is_free(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut names) => names.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pages, bytes) = (text::count(self.pages), text::bytes(self.bytes));
        writeln!(f, "snapshot {} in {}: {pages} pages, {bytes}", self.snapshot, self.file)
    }
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pages = text::count(self.pages);
        writeln!(f, "heap {} in {}", self.heap_id, self.heap)?;
        writeln!(f, "  snapshot {}: {pages} pages, verified", self.snapshot)
    }
}
