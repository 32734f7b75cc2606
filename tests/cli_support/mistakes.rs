//! A program that makes mistakes, and the tool's `audit` and `leaks`.
#![allow(unsafe_code, reason = "makes a mistake that safe code cannot make")]

use super::{durable, json, open, refused, sample, str, text, tool, with};
use crate::support;
use std::path::Path;
use stillheap::typed::{Describe, Inspect, Relink, Shape};
use stillheap::{Durable, ProcessHeap, Root};

/// A function's address, of which its type says nothing: a mistake.
#[derive(Default)]
struct Code(usize);

// SAFETY: none: this is a lie.
unsafe impl Durable for Code {
    fn describe(_: &mut Describe) -> Shape {
        Shape::std::<Self>("Code")
    }

    fn inspect(&self, _: &mut Inspect<'_>) {}

    fn relink(&mut self, _: &mut Relink<'_>) {}
}

#[derive(Durable, Default)]
#[durable(name = "Actions")]
struct Actions {
    count: u64,
    first: Code,
}

/// One snapshot before the mistakes, and one after.
pub(crate) fn err(heap: &ProcessHeap, dir: &Path) {
    let heap = open(heap, dir);
    let actions: Root<Actions> = heap.root("actions").expect("a root");
    actions.write(|actions| actions.count = 1);
    durable(&heap);
    actions.write(|actions| {
        actions.first.0 = support::die as *const () as usize;
        std::mem::forget(vec!["lost".repeat(20), "too".repeat(20)]);
    });
    durable(&heap);
    support::die();
}

/// What is found, and that nothing else is.
pub(crate) fn are_found() {
    let (_folder, heap) = sample();
    let audit = json(0, &["audit", str(&heap)]);
    assert_eq!(
        (&audit["findings"], &audit["roots"], &audit["snapshot"]),
        (&0.into(), &3.into(), &3.into())
    );
    assert!(audit["blocks"].as_u64() > Some(1000) && audit["bytes"].as_u64() > Some(19_000_000));
    assert!(text(&["audit", str(&heap)]).contains("no pointer leaves the heap"));
    let leaks = json(0, &["leaks", str(&heap)]);
    assert_eq!(
        (&leaks["lost"]["scoped"]["blocks"], &leaks["lost"]["tracked"]["blocks"]),
        (&0.into(), &0.into())
    );
    let found: u64 = ["ambient", "scoped", "tracked"]
        .iter()
        .filter_map(|kind| leaks["found"][kind]["blocks"].as_u64())
        .sum();
    let ambient = leaks["lost"]["ambient"]["blocks"].as_u64();
    assert_eq!(ambient.map(|lost| found - lost), audit["blocks"].as_u64(), "lost, or looked at");

    let folder = tempfile::tempdir().expect("a folder");
    let heap = folder.path().join("bad.heap");
    support::run_until_killed("err", &heap);
    for at in [&["--at", "1"], &["--snapshot", "1"]] {
        json(0, &[&["audit", str(&heap)][..], at].concat());
        json(0, &[&["leaks", str(&heap)][..], at].concat());
    }
    refused(1, &["audit", str(&heap)], &["leave the heap: 1"]);
    let audit = json(1, &["audit", str(&heap)]);
    let count = serde_json::json!([{ "root": "actions", "target": "executable", "words": 1 }]);
    assert_eq!((&audit["findings"], &audit["counts"]), (&1.into(), &count));
    let example = &audit["examples"][0];
    assert_eq!(
        (&example["field"], &example["offset"]),
        (&"`Actions.first`: Code, byte 0".into(), &8.into())
    );
    assert_eq!((&example["memory"], &example["mapping"]), (&"scoped".into(), &"".into()));
    let printed = tool(&["audit", str(&heap)]).out;
    assert!(printed.contains("`Actions.first`") && printed.contains("Shape::link"), "{printed}");
    refused(1, &["leaks", str(&heap)], &["lost: 3"]);
    let leaks = json(1, &["leaks", str(&heap)]);
    let head = &leaks["largest"][0];
    assert_eq!((&head["retained"]["blocks"], &head["cycle"]), (&3.into(), &false.into()));
    assert_eq!(head["first_bytes"].as_str().map(str::len), Some(64));
    assert!(tool(&["leaks", str(&heap)]).out.contains("mem::forget"));
    refused(3, &["audit", str(&heap), "--at", "9"], &["no snapshot 9", "1, 2"]);
    // A page that is looked at is checked.
    let full = heap.join("0000000001.full");
    with(
        &full,
        |bytes| bytes[4096..40_960].iter_mut().for_each(|byte| *byte ^= 1),
        || {
            refused(1, &["audit", str(&heap), "--at", "1"], &["0000000001.full"]);
            refused(1, &["leaks", str(&heap), "--at", "1"], &["0000000001.full"]);
        },
    );
}
