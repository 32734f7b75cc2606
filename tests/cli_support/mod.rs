//! The tool as a program, and heaps for it to look at.

pub(crate) mod mistakes;

use crate::support;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use stillheap::{Durable, Heap, Options, ProcessHeap, Root, Tracked};

/// What the tool printed, and how it ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) errors: String,
}

/// Runs the tool.
pub(crate) fn tool(arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stillheap"));
    let output = support::output(command.args(arguments).stdin(std::process::Stdio::null()));
    Ran {
        code: output.status.code().expect("an end of its own"),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        errors: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

/// Runs the tool with `--json`, and without: both must end with this code. Gives the document.
pub(crate) fn json(code: i32, arguments: &[&str]) -> Value {
    let ran = tool(&[arguments, &["--json"]].concat());
    assert_eq!(ran.code, code, "{arguments:?}: {}{}", ran.out, ran.errors);
    assert_eq!(ran.errors.is_empty(), code == 0, "{arguments:?}: {}", ran.errors);
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.out))
}

/// Runs the tool, which must end well, for people.
pub(crate) fn text(arguments: &[&str]) -> String {
    let ran = tool(arguments);
    assert_eq!((ran.code, &*ran.errors), (0, ""), "{arguments:?}: {}", ran.out);
    assert!(ran.out.lines().all(|line| line == line.trim_end()), "{}", ran.out);
    ran.out
}

/// Runs the tool, which must fail so; what it says on stderr must have these parts.
pub(crate) fn refused(code: i32, arguments: &[&str], parts: &[&str]) {
    let document = json(code, arguments);
    let ran = tool(arguments);
    assert_eq!(ran.code, code, "{arguments:?}: {}", ran.errors);
    for part in parts {
        assert!(ran.errors.contains(part), "{part} is not in: {}", ran.errors);
    }
    if let Some(error) = document.get("error") {
        assert_eq!(error["code"], code);
        assert!(ran.errors.contains(error["message"].as_str().expect("a text")));
    }
}

/// A value of the list at `path`.
pub(crate) fn numbers(list: &Value, field: &str) -> Vec<u64> {
    let items = list.as_array().expect("a list").iter();
    items.map(|item| item[field].as_u64().expect("a number")).collect()
}

#[derive(Durable, Default)]
#[durable(name = "Town")]
pub(crate) struct Town {
    pub(crate) name: String,
    pub(crate) people: u64,
    pub(crate) kind: Kind,
}

#[derive(Durable, Default, PartialEq, Debug)]
#[durable(name = "Kind")]
pub(crate) enum Kind {
    #[default]
    Village,
    City {
        districts: u8,
    },
}

pub(crate) fn open(heap: &ProcessHeap, dir: &Path) -> Heap {
    let options = Options::new().keep(9).spare(false).restart_on_collision(true);
    heap.open(dir, options).expect("a heap")
}

pub(crate) fn towns(heap: &Heap) -> Root<Vec<Town>> {
    heap.root("towns").expect("a root")
}

/// Three snapshots: of 1,000 towns and large blocks; with one more, and a tracked value; with a
/// town changed.
pub(crate) fn fill(heap: &Heap) {
    let towns = towns(heap);
    let tracked: Root<Option<Tracked<u64>>> = heap.root("tracked").expect("a root");
    let large: Root<Vec<Vec<u64>>> = heap.root("large").expect("a root");
    towns.write(|towns| {
        towns.extend((0..1000).map(|number| Town {
            name: format!("Town {number} on the river that has no name"),
            people: number,
            kind: Kind::Village,
        }));
    });
    large.write(|large| large.extend((0..3).map(|_| large_block())));
    durable(heap);
    large.write(|large| large.push(large_block()));
    tracked.write(|tracked| *tracked = Some(Tracked::new(7)));
    durable(heap);
    towns.write(|towns| {
        towns[500].people += 1;
        towns[500].kind = Kind::City { districts: 3 };
    });
    durable(heap);
}

/// 4.8 MB.
fn large_block() -> Vec<u64> {
    (1..=600_000).collect()
}

pub(crate) fn durable(heap: &Heap) -> u64 {
    heap.snapshot().expect("a freeze").wait_durable().expect("room").number
}

/// A heap with three snapshots, made by another process; and the folder that it lies in.
pub(crate) fn sample() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let heap = folder.path().join("data.heap");
    support::run_until_killed("make", &heap);
    (folder, heap)
}

pub(crate) fn str(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The bytes of all files of a directory, by name.
pub(crate) fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let names = std::fs::read_dir(dir).expect("a directory");
    let mut files: Vec<_> = names
        .map(|entry| {
            let path = entry.expect("a name").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
            (name, std::fs::read(&path).expect("a file"))
        })
        .collect();
    files.sort_unstable();
    files
}

/// Changes a file, has the tool look, and puts it back.
pub(crate) fn with(path: &Path, change: impl FnOnce(&mut Vec<u8>), look: impl FnOnce()) {
    let sound = std::fs::read(path).expect("a file");
    let mut bytes = sound.clone();
    change(&mut bytes);
    std::fs::write(path, bytes).expect("room");
    look();
    std::fs::write(path, sound).expect("room");
}
