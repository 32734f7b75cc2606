//! The shape of Rust files: headers, lengths of files, functions and lines, and that every
//! file is part of a crate.

use crate::source::{Source, closing_brace, words};

/// Lines in a file, its tests left out.
const FILE_LINES: usize = 500;
/// Lines in a function, from its name to its closing brace.
const FUNCTION_LINES: usize = 70;
/// Characters in a line.
const COLUMNS: usize = 100;

/// What is wrong with the shape of one file.
pub(crate) fn check(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    if !source.is_rust() {
        return found;
    }
    found.extend(header(source));
    found.extend(length(source));
    found.extend(functions(source));
    found.extend(columns(source));
    found
}

/// The Rust files that no file beside them, or above them, declares with `mod`.
pub(crate) fn orphans(sources: &[Source]) -> Vec<String> {
    let rust: Vec<&Source> = sources.iter().filter(|source| source.is_rust()).collect();
    let is_declared = |source: &Source| {
        let Some((folder, name)) = module_name(&source.path) else { return true };
        rust.iter().any(|other| {
            (may_declare(&other.path, folder) && declares(other, name))
                || named_paths(other).contains(&source.path)
        })
    };
    rust.iter()
        .filter(|source| !is_declared(source))
        .map(|source| format!("{}: no file declares it with `mod`", source.path))
        .collect()
}

fn header(source: &Source) -> Option<String> {
    let has_header = source.text.lines().next().is_some_and(|line| line.starts_with("//! "));
    // A snippet that a compiler test shows whole needs none.
    let is_snippet = source.path.starts_with("tests/ui/");
    (!has_header && !is_snippet)
        .then(|| format!("{}: opens with no `//!` header that says what it is for", source.path))
}

fn length(source: &Source) -> Option<String> {
    let is_test_file = source.path.ends_with("_tests.rs") || source.path.ends_with("/tests.rs");
    let test_lines: usize =
        source.test_parts().into_iter().map(|part| source.text[part].lines().count()).sum();
    let lines = source.text.lines().count() - test_lines;
    (lines > FILE_LINES && !is_test_file)
        .then(|| format!("{}: {lines} lines without its tests, {FILE_LINES} at most", source.path))
}

fn functions(source: &Source) -> Vec<String> {
    let code = &source.code;
    let mut found = Vec::new();
    // A name follows, where it is not the type of a function pointer.
    let has_name = |start: &usize| code[start + "fn".len()..].starts_with(char::is_whitespace);
    for start in words(code, "fn").filter(has_name) {
        let Some(open) = body(code, start) else { continue };
        let end = closing_brace(code, open);
        let lines = source.line_of(end) - source.line_of(start) + 1;
        if lines > FUNCTION_LINES {
            found.push(
                source.complain(
                    start,
                    format!("a function of {lines} lines, {FUNCTION_LINES} at most"),
                ),
            );
        }
    }
    found
}

/// Where the body of the function opens whose `fn` stands at `start`, if it has one: the first
/// brace before a semicolon, both outside parentheses and brackets.
fn body(code: &str, start: usize) -> Option<usize> {
    let mut depth = 0_isize;
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(at),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

fn columns(source: &Source) -> Vec<String> {
    let too_long = |line: &str| line.chars().count() > COLUMNS;
    let lines = source.text.lines().enumerate().filter(|(_, line)| too_long(line));
    lines
        .map(|(index, _)| format!("{}:{}: over {COLUMNS} columns", source.path, index + 1))
        .collect()
}

/// The folder in which the file's declaration is to be looked for, and the module's name;
/// `None` for the root of a crate, which nobody declares.
fn module_name(path: &str) -> Option<(&str, &str)> {
    let (folder, file) = path.rsplit_once('/')?;
    let name = file.strip_suffix(".rs")?;
    let is_root = matches!(name, "main" | "lib" | "build")
        || matches!(folder, "tests" | "examples" | "benches" | "fuzz/fuzz_targets" | "src/bin")
        || folder.starts_with("tests/ui");
    match name {
        _ if is_root => None,
        "mod" => folder.rsplit_once('/'),
        name => Some((folder, name)),
    }
}

/// Whether the file at `path` may declare modules that lie in `folder`: it lies there too, or
/// is the file that is named like the folder, or is a program whose own folder it is.
fn may_declare(path: &str, folder: &str) -> bool {
    let own = path.rsplit_once('/').map_or("", |(own, _)| own);
    let above = folder.rsplit_once('/').map_or("", |(above, _)| above);
    own == folder || path.strip_suffix(".rs") == Some(folder) || own == above
}

fn declares(source: &Source, name: &str) -> bool {
    words(&source.code, "mod").any(|at| {
        let rest = source.code[at + "mod".len()..].trim_start();
        rest.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with(';'))
    })
}

/// The files that `#[path = "..."]` attributes name, from the project's root.
fn named_paths(source: &Source) -> Vec<String> {
    const ATTRIBUTE: &str = "#[path = \"";
    let named = source.code.match_indices(ATTRIBUTE).filter_map(|(at, _)| {
        let path = source.text[at + ATTRIBUTE.len()..].split('"').next()?;
        let mut parts: Vec<&str> = source.path.split('/').collect();
        parts.pop();
        for part in path.split('/') {
            match part {
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        Some(parts.join("/"))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> usize {
        check(&Source::new(path, text)).len()
    }

    #[test]
    fn a_good_file_passes() {
        assert_eq!(complaints("src/heap/a.rs", "//! What it is for.\n\nfn f() {}\n"), 0);
        assert_eq!(complaints("README.md", &"x".repeat(200)), 0);
    }

    #[test]
    fn a_missing_header_is_found() {
        assert_eq!(complaints("src/heap/a.rs", "fn f() {}\n"), 1);
        assert_eq!(complaints("src/heap/a.rs", "// A comment.\nfn f() {}\n"), 1);
    }

    #[test]
    fn a_long_file_is_found_and_its_tests_are_left_out() {
        let lines = |count: usize| "// x\n".repeat(count);
        let with_tests = |own: usize, tests: usize| {
            format!("//! x\n{}#[cfg(test)]\nmod tests {{\n{}}}\n", lines(own), lines(tests))
        };
        assert_eq!(complaints("src/heap/a.rs", &with_tests(490, 300)), 0);
        assert_eq!(complaints("src/heap/a.rs", &with_tests(500, 0)), 1);
    }

    #[test]
    fn a_long_function_is_found() {
        let function = |lines: usize| {
            let body = "    f(\"{\");\n".repeat(lines);
            format!("//! x\nfn f<T>(a: [u8; 2], g: fn(T))\nwhere\n    T: X,\n{{\n{body}}}\n")
        };
        assert_eq!(complaints("src/heap/a.rs", &function(60)), 0);
        assert_eq!(complaints("src/heap/a.rs", &function(70)), 1);
    }

    #[test]
    fn a_function_pointer_is_no_function() {
        let pointer = format!("//! x\nstruct S {{\n    f: fn(u8),\n}}\n{}", "// x\n".repeat(80));
        assert_eq!(complaints("src/heap/a.rs", &format!("{pointer}enum E {{}}\n")), 0);
    }

    #[test]
    fn a_declared_function_has_no_body() {
        assert_eq!(body("fn f(a: [u8; 3]) -> u8; fn g() {}", 0), None);
        assert_eq!(body("fn f(a: [u8; 3]) -> [u8; 2] {}", 0), Some(28));
    }

    #[test]
    fn a_long_line_is_found() {
        assert_eq!(complaints("src/heap/a.rs", &format!("//! {}\n", "ö".repeat(96))), 0);
        assert_eq!(complaints("src/heap/a.rs", &format!("//! {}\n", "ö".repeat(97))), 1);
    }

    #[test]
    fn files_that_nobody_declares_are_found() {
        let of = |files: &[(&str, &str)]| {
            let sources: Vec<Source> = files.iter().map(|(p, t)| Source::new(p, t)).collect();
            orphans(&sources).len()
        };
        let door = ("src/heap/mod.rs", "mod slab;\n// mod old;\nmod tests {}");
        let lib = ("src/lib.rs", "pub mod heap;");
        assert_eq!(of(&[lib, door, ("src/heap/slab.rs", "")]), 0);
        assert_eq!(of(&[lib, door, ("src/heap/slab.rs", ""), ("src/heap/old.rs", "")]), 1);
        assert_eq!(of(&[lib, ("src/cow/mod.rs", "")]), 1);
        let body = ("fuzz/bodies/heap.rs", "");
        let target = "#[path = \"../bodies/heap.rs\"]\nmod body;";
        assert_eq!(of(&[("fuzz/fuzz_targets/heap.rs", target), body]), 0);
        assert_eq!(of(&[("fuzz/fuzz_targets/heap.rs", &format!("/* {target} */")), body]), 1);
        assert_eq!(of(&[("tests/crash.rs", "mod support;"), ("tests/support/mod.rs", "")]), 0);
        assert_eq!(of(&[("tests/crash.rs", ""), ("tests/support/mod.rs", "")]), 1);
    }
}
