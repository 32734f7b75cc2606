//! The header and the Rust side say the same: codes, kinds, structs, limits.

use crate::ffi::codes::Code;
use crate::ffi::events::EventKind;
use crate::ffi::structs::{self, CEvent, CRestored, CRoot, CSnapshot, CStats, CStill};

const HEADER: &str = include_str!("../../include/stillheap.h");

/// The header without its comments.
fn declarations() -> String {
    let mut parts = HEADER.split("/*");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |code, part| code + part.split_once("*/").expect("a comment ends").1)
}

/// What stands between `before` and the next closing brace.
fn body<'a>(code: &'a str, before: &str) -> &'a str {
    let (_, rest) = code.split_once(before).unwrap_or_else(|| panic!("no `{before}`"));
    rest.split_once('}').expect("a closing brace").0
}

fn enumeration(code: &str, name: &str) -> Vec<(String, i32)> {
    let list = body(code, &format!("enum {name} {{")).split(',');
    list.map(|item| {
        let (name, number) = item.split_once('=').expect("a number");
        (name.trim().to_owned(), number.trim().parse().expect("a number"))
    })
    .collect()
}

#[test]
fn codes_and_kinds_have_the_same_numbers() {
    let code = declarations();
    let own = |code: &Code| (code.name().to_str().expect("a name").to_owned(), code.number());
    let codes: Vec<_> = Code::ALL.iter().map(own).collect();
    assert_eq!(enumeration(&code, "stillheap_code"), codes);
    let kinds = [
        ("DURABLE", EventKind::Durable),
        ("SNAPSHOT_FAILED", EventKind::SnapshotFailed),
        ("SNAPSHOT_SKIPPED", EventKind::SnapshotSkipped),
        ("COMPACTED", EventKind::Compacted),
        ("COMPACTION_FAILED", EventKind::CompactionFailed),
        ("SNAPSHOT_DAMAGED", EventKind::SnapshotDamaged),
        ("DAMAGED", EventKind::Damaged),
        ("SLOW_FREEZES", EventKind::SlowFreezes),
        ("SWEPT", EventKind::Swept),
        ("SWEEP_FAILED", EventKind::SweepFailed),
    ];
    let kinds = kinds.map(|(name, kind)| (format!("STILLHEAP_EVENT_{name}"), kind as i32));
    assert_eq!(enumeration(&code, "stillheap_event_kind"), kinds);
}

#[test]
fn structs_have_the_same_fields() {
    let code = declarations();
    let all = [
        CStill::FIELDS,
        CSnapshot::FIELDS,
        CRestored::FIELDS,
        CStats::FIELDS,
        CRoot::FIELDS,
        CEvent::FIELDS,
    ];
    for (name, fields) in all {
        let text = body(&code, &format!("typedef struct {name} {{"));
        let found: Vec<String> = text
            .split(';')
            .map(|field| field.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|field| !field.is_empty())
            .collect();
        let own: Vec<String> = fields.iter().map(|(name, ty)| in_c(name, ty)).collect();
        assert_eq!(found, own, "{name}");
    }
    assert!(code.contains(&format!("#define STILLHEAP_NAME_MAX {}\n", structs::NAME_MAX)));
    let version = env!("CARGO_PKG_VERSION");
    assert!(code.contains(&format!("#define STILLHEAP_VERSION \"{version}\"\n")));
    let package = include_str!("../../include/stillheap.pc.in");
    assert!(package.contains(&format!("\nVersion: {version}\n")));
}

fn in_c(name: &str, ty: &str) -> String {
    match ty {
        "u64" => format!("uint64_t {name}"),
        "usize" => format!("size_t {name}"),
        "c_int" => format!("int {name}"),
        "*mut c_void" => format!("void *{name}"),
        "*const c_char" => format!("const char *{name}"),
        "*const CStill" => format!("const stillheap_still *{name}"),
        "[c_char; TEXT]" => format!("char {name}[STILLHEAP_NAME_MAX + 1]"),
        other => panic!("what is {other} in C?"),
    }
}
