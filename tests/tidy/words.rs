//! What files say: leftovers, names of somebody's machine, unsafe code without a reason, and
//! the titles of Markdown files.

use crate::source::{Source, words};

/// How many lines before an unsafe block its SAFETY comment may begin.
const SAFETY_LINES: usize = 9;

/// Marks of unfinished work in comments; cut in two so that this file has none.
const UNFINISHED: [&str; 4] =
    [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

/// Macros of unfinished work.
const MACROS: [&str; 3] = ["dbg", "todo", "unimplemented"];

/// Paths and names of machines on which the project is worked on, cut in two likewise.
const MACHINES: [&str; 6] = [
    concat!("/wo", "rk/"),
    concat!("/fa", "rm/"),
    concat!(".lib", "rary"),
    concat!("/tmp/", "wt-"),
    concat!("before-", "stop"),
    concat!("/root", "/"),
];

/// What is wrong with the words of one file.
pub(crate) fn check(source: &Source) -> Vec<String> {
    let mut found = machines(source);
    if source.is_rust() {
        found.extend(unfinished(source));
        found.extend(unsafe_without_reason(source));
    }
    if source.path.ends_with(".md") {
        found.extend(titles(source));
    }
    found
}

fn machines(source: &Source) -> Vec<String> {
    let found = MACHINES.iter().flat_map(|name| source.text.match_indices(name));
    found.map(|(at, name)| source.complain(at, format!("names a machine: {name}"))).collect()
}

fn unfinished(source: &Source) -> Vec<String> {
    let marks = UNFINISHED.iter().flat_map(|word| words(&source.text, word));
    let calls = MACROS.iter().flat_map(|name| {
        let is_call = |at: &usize| source.code[at + name.len()..].starts_with('!');
        words(&source.code, name).filter(is_call)
    });
    marks.chain(calls).map(|at| source.complain(at, "unfinished work")).collect()
}

fn unsafe_without_reason(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    for at in words(&source.code, "unsafe") {
        let rest = source.code[at + "unsafe".len()..].trim_start();
        if !rest.starts_with('{') && !rest.starts_with("impl") {
            continue;
        }
        let line = source.line_of(at);
        let before = &lines[line.saturating_sub(SAFETY_LINES + 1)..line];
        if !before.iter().any(|line| line.contains("SAFETY:")) {
            found.push(source.complain(at, "`unsafe` without a SAFETY comment"));
        }
    }
    found
}

fn titles(source: &Source) -> Option<String> {
    let mut in_code = false;
    let mut titles = 0;
    for line in source.text.lines() {
        in_code ^= line.trim_start().starts_with("```");
        titles += usize::from(!in_code && line.starts_with("# "));
    }
    (titles != 1).then(|| format!("{}: {titles} titles, one is wanted", source.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> usize {
        check(&Source::new(path, text)).len()
    }

    #[test]
    fn unfinished_work_is_found() {
        for mark in UNFINISHED {
            assert_eq!(complaints("src/heap/a.rs", &format!("// {mark}: x")), 1, "{mark}");
        }
        for name in MACROS {
            assert_eq!(complaints("src/heap/a.rs", &format!("{name}!()")), 1, "{name}");
        }
        assert_eq!(complaints("src/heap/a.rs", "let todo = 1; // dbg! is left out"), 0);
    }

    #[test]
    fn machines_are_found_in_every_file() {
        for name in MACHINES {
            assert_eq!(complaints("Cargo.toml", &format!("path = \"{name}x\"")), 1, "{name}");
        }
        assert_eq!(complaints("Cargo.toml", "path = \"workspace/x\""), 0);
    }

    #[test]
    fn unsafe_code_needs_a_reason_nearby() {
        let far = format!("// SAFETY: x\n{}unsafe {{ f() }}", "\n".repeat(9));
        assert_eq!(complaints("src/heap/a.rs", &far), 1);
        assert_eq!(complaints("src/heap/a.rs", "unsafe impl Send for X {}"), 1);
        assert_eq!(complaints("src/heap/a.rs", "let x =\n    unsafe { f() };"), 1);
        let near = format!("// SAFETY: x\n{}unsafe {{ f() }}", "\n".repeat(8));
        assert_eq!(complaints("src/heap/a.rs", &near), 0);
        assert_eq!(complaints("src/heap/a.rs", "unsafe fn f() {} // unsafe { }"), 0);
    }

    #[test]
    fn markdown_has_one_title() {
        assert_eq!(complaints("A.md", "# A\n## B\n```sh\n# a comment\n```\n"), 0);
        assert_eq!(complaints("A.md", "## B\n"), 1);
        assert_eq!(complaints("A.md", "# A\n# B\n"), 1);
    }
}
