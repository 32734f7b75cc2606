//! What the documents say of the project: the README's test command is the one that is run,
//! and the files that are named exist.

use crate::source::Source;

/// The files that a Markdown file names in backticks or links to, and that do not exist.
///
/// A name counts if it has a folder in it. It is looked for from the document's own folder, from
/// the project's root, and from `src/`.
pub(crate) fn check(source: &Source, sources: &[Source]) -> Vec<String> {
    if !source.path.ends_with(".md") {
        return Vec::new();
    }
    let folder = source.path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let exists = |name: &str| {
        ["", "src", folder].iter().any(|from| {
            let path = if from.is_empty() { name.to_owned() } else { format!("{from}/{name}") };
            sources.iter().any(|source| source.path == path)
        })
    };
    let mut missing = Vec::new();
    for opening in ["`", "]("] {
        for (at, _) in source.text.match_indices(opening) {
            let rest = &source.text[at + opening.len()..];
            let name = rest.split(['`', ')', ' ', '\n']).next().unwrap_or_default();
            if is_file_name(name) && !exists(name) {
                missing.push(source.complain(at, format!("there is no {name}")));
            }
        }
    }
    missing
}

fn is_file_name(name: &str) -> bool {
    let is_ours = name.ends_with(".rs") || name.ends_with(".md");
    is_ours && name.contains('/') && !name.contains("://") && !name.contains('*')
}

/// What differs between the test command of the README and that of `.ci/run`.
pub(crate) fn check_commands(readme: &Source, runner: &Source) -> Option<String> {
    let shown = in_code(&readme.text).find(|line| line.starts_with("cargo test"));
    let Some(shown) = shown else {
        return Some(format!("{}: gives no `cargo test` command", readme.path));
    };
    let steps = runner.text.lines().filter_map(|line| line.trim().strip_prefix("step "));
    let is_run = steps.into_iter().any(|step| step == shown);
    (!is_run).then(|| format!("{}: does not run the README's `{shown}`", runner.path))
}

/// The lines inside code fences.
fn in_code(markdown: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    markdown.lines().map(str::trim).filter(move |line| {
        let fence = line.starts_with("```");
        inside ^= fence;
        inside && !fence
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_differing_command_is_found() {
        let complaint = |readme: &str, runner: &str| {
            check_commands(&Source::new("README.md", readme), &Source::new(".ci/run", runner))
        };
        let readme = "# x\n```sh\ncargo test --workspace\n```\ncargo test --all\n";
        assert_eq!(complaint(readme, "step cargo fmt\nstep cargo test --workspace\n"), None);
        assert!(complaint(readme, "step cargo test\n").is_some());
        assert!(complaint(readme, "# step cargo test --workspace\n").is_some());
        assert!(complaint("cargo test --workspace", "step cargo test --workspace").is_some());
    }

    #[test]
    fn a_file_that_does_not_exist_is_found() {
        let sources = [Source::new("src/os/map.rs", "//! x"), Source::new("tests/a.rs", "//! x")];
        let missing = |text: &str| check(&Source::new("src/os/A.md", text), &sources).len();
        assert_eq!(missing("`os/map.rs`, `src/os/map.rs`, `map.rs`, [x](tests/a.rs)"), 0);
        assert_eq!(missing("`os/gone.rs` and [x](tests/gone.rs) and `https://x.y/z.md`"), 2);
    }
}
