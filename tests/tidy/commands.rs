//! The README's commands: that the one it gives for testing is the one that is run.

use crate::source::Source;

/// What differs between the test command of the README and that of `.ci/run`.
pub(crate) fn check(readme: &Source, runner: &Source) -> Option<String> {
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
            check(&Source::new("README.md", readme), &Source::new(".ci/run", runner))
        };
        let readme = "# x\n```sh\ncargo test --workspace\n```\ncargo test --all\n";
        assert_eq!(complaint(readme, "step cargo fmt\nstep cargo test --workspace\n"), None);
        assert!(complaint(readme, "step cargo test\n").is_some());
        assert!(complaint(readme, "# step cargo test --workspace\n").is_some());
        assert!(complaint("cargo test --workspace", "step cargo test --workspace").is_some());
    }
}
