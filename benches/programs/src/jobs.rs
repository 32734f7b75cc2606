//! What the programs are asked to do. On two processors each job takes some tenths of a second.

use crate::output::Order;

pub(crate) struct Job {
    pub(crate) name: &'static str,
    /// Files are named from the input's folder.
    pub(crate) arguments: Vec<String>,
    /// Whether the output's lines come in one order.
    pub(crate) order: Order,
    /// Lines with this text tell times, and are no part of what is compared.
    pub(crate) without: Option<&'static str>,
}

impl Job {
    fn new(name: &'static str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { name, arguments, order: Order::One, without: None }
    }

    fn any_order(self) -> Self {
        Self { order: Order::Any, ..self }
    }

    fn without(self, text: &'static str) -> Self {
        Self { without: Some(text), ..self }
    }
}

/// The jobs of the program with that name.
pub(crate) fn of(program: &str) -> Vec<Job> {
    match program {
        "ripgrep" => ripgrep(),
        "fd" => fd(),
        "bat" => bat(),
        "jaq" => jaq(),
        _ => Vec::new(),
    }
}

fn ripgrep() -> Vec<Job> {
    const CALL: &str = r"(\w+)::(\w+)\((\w+), (\d+)\)";
    vec![
        Job::new("literal", &["-n", "unless mer", "tree", "tree", "tree"]).any_order(),
        Job::new("captures", &["-j1", "-o", "-r", "$4 $3 $2 $1", CALL, "tree"]),
        Job::new("captures_threads", &["-o", "-r", "$4 $3 $2 $1", CALL, "tree"]).any_order(),
        Job::new("json", &["--json", "-C", "2", "Result<u64, Error>", "tree"])
            .any_order()
            .without(r#""elapsed"#),
        Job::new("sorted", &["-n", "--sort", "path", r"\bunless \w+ber\w* is\b", "tree", "tree"]),
        Job::new(
            "count",
            &[
                "-c",
                r"status=5\d\d took=9\d\d\.",
                "log",
                "log",
                "log",
                "log",
                "log",
                "log",
                "log",
                "log",
            ],
        )
        .any_order(),
        Job::new("fields", &["-o", "-r", "$2,$1", r"user=(\w+).* took=([\d.]+)", "log"]),
    ]
}

fn fd() -> Vec<Job> {
    const TREES: [&str; 24] = ["tree"; 24];
    let over_trees = |more: &[&'static str]| [more, TREES.as_slice()].concat();
    vec![
        Job::new("regex", &over_trees(&["-j1", r"^[a-m]\w*_\d+\.(rs|py)$"])),
        Job::new("regex_threads", &over_trees(&[r"^[a-m]\w*_\d+\.(rs|py)$"])).any_order(),
        Job::new("everything", &over_trees(&["-HI", "-a", "."])).any_order(),
        Job::new(
            "metadata",
            &over_trees(&["--size", "+4k", "-t", "f", "--changed-within", "9d", "."]),
        )
        .any_order(),
        Job::new("exec", &[r"_[4-7]\d\.py$", "tree", "-x", "basename"]).any_order(),
        Job::new(
            "exec_batch",
            &[r"_\d+\.rs$", "tree", "tree", "--batch-size", "40", "-X", "printf", "%s\\n"],
        )
        .any_order(),
    ]
}

fn bat() -> Vec<Job> {
    let show = |name, file| Job::new(name, &["--color", "always", "--paging", "never", file]);
    vec![
        show("rust", "code/a.rs"),
        show("json", "code/b.json"),
        show("python", "code/c.py"),
        show("markdown", "code/d.md"),
    ]
}

fn jaq() -> Vec<Job> {
    vec![
        Job::new("pretty", &[".", "array.json"]),
        Job::new("select", &["-c", "select(.status >= 500) | {id, path, tags}", "records"]),
        Job::new(
            "group",
            &[
                "group_by(.user) | map({user: .[0].user, n: length, took: map(.took) | add})",
                "array.json",
            ],
        ),
        Job::new("text", &["-r", r#"[.tags[], .user] | join("-")"#, "records"]),
        Job::new("paths", &["-c", "paths", "records"]),
        Job::new("numbers", &["-n", "[range(300000) | tostring] | map(length) | add"]),
    ]
}
