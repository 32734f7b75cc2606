//! The project's files as the checks see them: Rust text with comments and literals blanked
//! out, and the line ranges that are tests.
//!
//! Invariant: blanked code has the same bytes, lines and columns as the text it came from, so
//! that an offset in one is an offset in the other.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// A text file of the project.
pub(crate) struct Source {
    /// Where it lies, from the project's root, with `/` between the parts.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with comments, strings and character literals blanked out; for Rust only.
    pub(crate) code: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") { blank(text) } else { String::new() };
        Self { path: path.to_owned(), text: text.to_owned(), code }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The layer of the file: the folder of `src/` that it lies in.
    pub(crate) fn layer(&self) -> Option<&str> {
        self.path.strip_prefix("src/")?.split_once('/').map(|(layer, _)| layer)
    }

    /// The number, from one, of the line that `offset` lies in.
    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset].iter().filter(|&&byte| byte == b'\n').count() + 1
    }

    /// A complaint about the line that `offset` lies in.
    pub(crate) fn complain(&self, offset: usize, what: impl std::fmt::Display) -> String {
        format!("{}:{}: {what}", self.path, self.line_of(offset))
    }

    /// The bytes of `mod name { ... }` parts.
    pub(crate) fn inline_modules(&self) -> Vec<Range<usize>> {
        words(&self.code, "mod")
            .filter_map(|start| {
                let open = start + self.code[start..].find(['{', ';'])?;
                let is_inline = self.code.as_bytes()[open] == b'{';
                is_inline.then(|| start..closing_brace(&self.code, open))
            })
            .collect()
    }

    /// The bytes of `#[cfg(test)] mod name { ... }` parts.
    pub(crate) fn test_parts(&self) -> Vec<Range<usize>> {
        let is_test =
            |part: &Range<usize>| self.code[..part.start].trim_end().ends_with("#[cfg(test)]");
        self.inline_modules().into_iter().filter(is_test).collect()
    }
}

/// The offset just behind the brace that closes the one at `open`.
pub(crate) fn closing_brace(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// Where `word` stands in `code` as a word of its own.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        !code[..at].ends_with(part_of_name) && !code[at + word.len()..].starts_with(part_of_name)
    })
}

/// The project's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file of the project, without what is built or found by running it.
pub(crate) fn all() -> Vec<Source> {
    let mut paths = Vec::new();
    collect(root(), &mut paths);
    paths.sort();
    paths.iter().filter_map(|path| read(path)).collect()
}

fn read(path: &Path) -> Option<Source> {
    let text = std::fs::read_to_string(path).ok()?;
    let shown = path.strip_prefix(root()).ok()?.to_str()?;
    Some(Source::new(shown, &text))
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    // The cases that must not compile are each a file for the compiler alone.
    const NOT_OURS: [&str; 7] =
        [".git", "target", "corpus", "artifacts", "coverage", "Cargo.lock", "compile_fail"];
    for entry in std::fs::read_dir(folder).expect("a folder of the project").flatten() {
        let path = entry.path();
        if NOT_OURS.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if path.is_dir() {
            collect(&path, paths);
        } else {
            paths.push(path);
        }
    }
}

/// The text with comments, strings and character literals turned to blanks, except for the
/// quotes of strings: what is left is code.
fn blank(text: &str) -> String {
    let mut out = text.as_bytes().to_vec();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let end = at + literal_or_comment(rest, &text[..at]).unwrap_or(0);
        if end == at {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        }
        for byte in &mut out[at..end] {
            if !matches!(byte, b'\n' | b'"') {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(out).expect("whole characters are blanked")
}

/// The length of the comment or literal that `rest` begins with, if it does.
fn literal_or_comment(rest: &str, before: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    if let Some(hashes) = raw_string(rest).filter(|_| !before.ends_with(char::is_alphanumeric)) {
        let close = format!("\"{}", "#".repeat(hashes));
        let open = rest.find('"')? + 1;
        return Some(rest[open..].find(&close).map_or(rest.len(), |at| open + at + close.len()));
    }
    if rest.starts_with('"') {
        return Some(quoted(rest, '"'));
    }
    if rest.starts_with('\'') && is_character(rest) {
        return Some(quoted(rest, '\''));
    }
    None
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    for at in 0..rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            if depth == 0 {
                return at + 2;
            }
        }
    }
    rest.len()
}

/// How many hashes the raw string that `rest` begins with has.
fn raw_string(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix(['b', 'c']).unwrap_or(rest).strip_prefix('r')?;
    let hashes = inner.len() - inner.trim_start_matches('#').len();
    inner[hashes..].starts_with('"').then_some(hashes)
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// Whether the quote that `rest` begins with opens a character and not a lifetime.
fn is_character(rest: &str) -> bool {
    let mut after = rest.chars().skip(1);
    match after.next() {
        Some('\\') => true,
        Some(_) => after.next() == Some('\''),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_in_place() {
        let text = "let a = \"x // y\"; // z\nlet c = '\"'; let r = r#\"a\"b\"#; /* /* */ q */ d";
        let code = blank(text);
        assert_eq!(code.len(), text.len());
        assert_eq!(code.lines().count(), 2);
        assert!(!code.contains(['x', 'y', 'z', 'q', 'b']), "{code}");
        assert!(code.ends_with(" d"));
    }

    #[test]
    fn lifetimes_are_not_characters() {
        let code = blank("fn f<'a>(x: &'a str) -> &'a str { x } // c");
        assert_eq!(code.trim_end(), "fn f<'a>(x: &'a str) -> &'a str { x }");
        assert_eq!(blank("'{' b'}' '\\''").trim(), "b");
    }

    #[test]
    fn test_parts_are_whole_modules() {
        let text =
            "fn f() {}\n#[cfg(test)]\nmod tests {\n fn g() { {} }\n}\n#[cfg(test)]\nmod x;\n";
        let parts = Source::new("src/a.rs", text).test_parts();
        assert_eq!(parts.len(), 1);
        assert_eq!(&text[parts[0].clone()], "mod tests {\n fn g() { {} }\n}");
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(words("unsafe_code unsafe {", "unsafe").collect::<Vec<_>>(), [12]);
    }
}
