//! Holds the project to its own rules: the layer table, the shape of files and functions, and
//! what may stand in them. Each check is itself tested with text that it must refuse.

#[path = "tidy/documents.rs"]
mod documents;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/shape.rs"]
mod shape;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/words.rs"]
mod words;

use source::Source;

fn check(check: impl Fn(&Source) -> Vec<String>) {
    report(source::all().iter().flat_map(check).collect());
}

#[track_caller]
fn report(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn layers_import_only_what_the_table_lists() {
    check(layers::check);
}

#[test]
fn files_functions_and_lines_keep_their_lengths_and_headers() {
    check(shape::check);
}

#[test]
fn every_file_is_part_of_a_crate() {
    report(shape::orphans(&source::all()));
}

#[test]
fn nothing_unfinished_unreasoned_or_local_is_left() {
    check(words::check);
}

#[test]
fn documents_name_files_that_exist() {
    let sources = source::all();
    report(sources.iter().flat_map(|source| documents::check(source, &sources)).collect());
}

#[test]
fn the_readmes_test_command_is_the_one_that_is_run() {
    let sources = source::all();
    let file = |path: &str| sources.iter().find(|source| source.path == path).expect(path);
    report(documents::check_commands(file("README.md"), file(".ci/run")).into_iter().collect());
}

#[test]
fn the_checks_see_the_project() {
    let sources = source::all();
    for path in ["src/lib.rs", "src/base/mod.rs", "derive/src/lib.rs", "tests/tidy.rs", ".ci/run"] {
        assert!(sources.iter().any(|source| source.path == path), "{path} is not looked at");
    }
}
