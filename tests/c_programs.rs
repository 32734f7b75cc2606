//! Programs in C and C++: the header and the library say the same, every function does what its
//! manual says, and the examples have their state back after any kill.
//!
//! Each example is killed 8 times in `cargo test`, 100 times with `STILLHEAP_LONG=1`. Without a
//! compiler for C nothing is tested.

mod c_support;
mod support;

use c_support::{Library, declarations, declared, succeed};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[test]
fn every_function_is_declared_and_exported() {
    let Some(library) = c_support::library() else { return };
    let mut nm = Command::new("nm");
    let symbols = succeed(nm.args(["-D", "--defined-only"]).arg(file(&library, "so")));
    let names: Vec<&str> = symbols.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    let own = |name: &&&str| name.starts_with("stillheap_");
    let mut exported: Vec<&str> = names.iter().filter(own).copied().collect();
    exported.sort_unstable();
    assert_eq!(exported, declared());
    // And the C library's functions through which the kernel writes to memory.
    for name in ["read", "recvmsg", "getrandom", "poll", "accept", "ioctl", "sigaction", "syscall"]
    {
        assert!(names.contains(&name), "`{name}` would find protected memory");
    }
}

#[test]
fn every_function_is_called_by_the_test_of_all() {
    let source = include_str!("c/every_function.c");
    let missing: Vec<String> =
        declared().into_iter().filter(|name| !source.contains(&format!("{name}("))).collect();
    assert!(missing.is_empty(), "not called: {missing:?}");
}

/// The header's codes are those of the library, which knows their names.
#[test]
fn codes_have_the_numbers_of_the_header() {
    let Some(library) = c_support::library() else { return };
    let code = declarations();
    let list = code.split_once("enum stillheap_code {").expect("the codes").1;
    let (list, _) = list.split_once('}').expect("their end");
    let names: Vec<&str> =
        list.split(',').map(|code| code.split('=').next().expect("a name").trim()).collect();
    assert!(names.len() > 20 && names.iter().all(|name| name.starts_with("STILLHEAP_")));
    let mut program =
        "#include \"stillheap.h\"\n#include <string.h>\nint main(void) {\n".to_owned();
    for (line, name) in (1..).zip(&names) {
        let is = format!("strcmp(stillheap_code_name({name}), \"{name}\") == 0");
        writeln!(program, "    if (!({is})) return {line};").expect("a string grows");
    }
    let unknown = "strcmp(stillheap_code_name(last + 1), \"STILLHEAP_UNKNOWN\") == 0";
    let last = names.last().expect("there are some");
    write!(program, "    int last = {last};\n    return !({unknown});\n}}\n").expect("as above");
    let source = library.file("codes.c");
    std::fs::write(&source, program).expect("a file");
    succeed(&mut Command::new(library.compile(source.to_str().expect("a text"))));
}

#[test]
fn every_function_does_what_the_header_says() {
    let Some(library) = c_support::library() else { return };
    let program = library.compile("tests/c/every_function.c");
    let heap = library.file("heap");
    for part in ["first", "second", "third", "fourth", "fifth"] {
        succeed(Command::new(&program).arg(part).arg(&heap));
    }
}

#[test]
fn a_heap_has_one_process() {
    let Some(library) = c_support::library() else { return };
    let program = library.compile("tests/c/failures.c");
    let heap = library.file("heap");
    let mut holder = Command::new(&program);
    holder.arg("hold").arg(&heap).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = holder.spawn().expect("a process");
    let mut line = String::new();
    let mut out = BufReader::new(holder.stdout.take().expect("its output"));
    out.read_line(&mut line).expect("a line");
    assert_eq!(line, "open\n");
    succeed(Command::new(&program).arg("locked").arg(&heap));
    drop(holder.stdin.take());
    assert!(holder.wait().expect("its end").success());
}

/// Masks survive `exec`, and threads inherit them.
#[test]
fn a_parent_that_blocks_faults_does_no_harm() {
    let Some(library) = c_support::library() else { return };
    let (source, heap) = ("tests/c/failures.c", library.file("heap"));
    for program in [library.compile(source), library.compile_static(source)] {
        succeed(Command::new(&program).arg("early_thread").arg(&heap));
        succeed(Command::new(&program).arg("blocked").arg(&heap));
    }
}

#[test]
fn failures_and_damage_are_told() {
    let Some(library) = c_support::library() else { return };
    let program = library.compile("tests/c/failures.c");
    let heap = library.file("heap");
    let run = |part: &str| succeed(Command::new(&program).arg(part).arg(&heap));
    run("full_disk");
    let entries = std::fs::read_dir(&heap).expect("the heap").map(|entry| entry.expect("an entry"));
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|end| end == "full");
    let mut segments: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_segment).collect();
    segments.sort();
    assert_eq!(segments.len(), 2);
    flip_a_byte(&segments[1]);
    run("one_damaged");
    flip_a_byte(&segments[0]);
    run("all_damaged");
}

#[test]
fn what_no_block_is_cannot_be_announced() {
    let Some(library) = c_support::library() else { return };
    let program = library.compile("tests/c/refusals.c");
    succeed(Command::new(program).arg("touch_between").arg(library.file("heap")));
}

#[test]
fn an_opening_without_threads_fails_for_good() {
    let Some(library) = c_support::library() else { return };
    let program = library.compile("tests/c/refusals.c");
    let heap = library.file("heap");
    for count in 1..=2 {
        let mut refused = Command::new(&program);
        succeed(refused.env(support::STACK, support::TOO_MUCH).arg("no_thread").arg(&heap));
        let counted = succeed(Command::new(&program).arg("with_threads").arg(&heap));
        assert_eq!(counted, format!("{count}\n"));
    }
}

/// In a page in the middle.
fn flip_a_byte(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("a file");
}

/// As the README installs it.
#[test]
fn the_package_file_leads_to_the_library() {
    let Some(library) = c_support::library() else { return };
    if !c_support::are_there(["pkg-config"]) {
        return;
    }
    let prefix = library.file("prefix");
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = project.join("include/stillheap.pc.in");
    let package = std::fs::read_to_string(package).expect("the package file");
    let folders = ["include", "lib", "lib/pkgconfig"].map(|folder| prefix.join(folder));
    folders.iter().for_each(|folder| std::fs::create_dir_all(folder).expect("a folder"));
    let text = package.replace("@prefix@", prefix.to_str().expect("a text"));
    std::fs::write(folders[2].join("stillheap.pc"), text).expect("a file");
    for header in ["stillheap.h", "stillheap.hpp"] {
        let from = project.join("include").join(header);
        std::fs::copy(from, folders[0].join(header)).expect("a copy");
    }
    std::fs::copy(file(&library, "so"), folders[1].join("libstillheap.so")).expect("a copy");
    let mut ask = Command::new("pkg-config");
    ask.env("PKG_CONFIG_PATH", &folders[2]).args(["--cflags", "--libs", "stillheap"]);
    let program = library.file("notes");
    let mut command = Command::new("cc");
    command.arg(project.join("examples/c/notes.c")).arg("-o").arg(&program);
    succeed(command.args(succeed(&mut ask).split_whitespace()));
    let mut check = Command::new(&program);
    check.env("LD_LIBRARY_PATH", &folders[1]).arg(library.file("heap")).arg("check");
    assert_eq!(succeed(&mut check), "sound after 0 changes: 0 notes\n");
}

#[test]
fn containers_of_cpp_come_back() {
    let Some(library) = c_support::library() else { return };
    let program = library.compile("tests/c/containers.cpp");
    let heap = library.file("heap");
    for part in ["fill", "find", "close_early", "closed"] {
        succeed(Command::new(&program).arg(part).arg(&heap));
    }
}

#[test]
fn a_program_with_the_library_in_it_opens_the_same_heap() {
    let Some(library) = c_support::library() else { return };
    let heap = library.file("heap");
    let run = |program: &Path, arguments: &[&str]| {
        succeed(Command::new(program).arg(&heap).args(arguments))
    };
    let shared = library.compile("examples/c/notes.c");
    run(&shared, &["stress", "2000"]);
    run(&shared, &["set", "milk", "two", "bottles"]);
    run(&shared, &["set", "bread", "none"]);
    run(&shared, &["del", "bread"]);
    let program = library.compile_static("examples/c/notes.c");
    assert_eq!(run(&program, &["get", "milk"]), "two bottles\n");
    run(&program, &["stress", "4000"]);
    assert!(run(&shared, &["check"]).starts_with("sound after 4000 changes"));
    assert!(run(&shared, &["list"]).contains("milk: two bottles\n"));
    let none = support::output(Command::new(&shared).arg(&heap).args(["get", "bread"]));
    assert!(!none.status.success());
}

#[test]
fn places_are_found() {
    let Some(library) = c_support::library() else { return };
    let program = library.compile("examples/c/places.cpp");
    let run = |arguments: &[&str]| {
        succeed(Command::new(&program).arg(library.file("heap")).args(arguments))
    };
    run(&["add", "Paris", "48.86", "2.35"]);
    run(&["add", "Berlin", "52.52", "13.4"]);
    assert_eq!(run(&["near", "50", "4"]), "Paris\n");
    assert_eq!(run(&["find", "Berlin"]), "Berlin: 52.52 13.4\n");
}

#[test]
fn notes_survive_kills() {
    let Some(library) = c_support::library() else { return };
    survives_kills(&library.compile("examples/c/notes.c"), &library.file("heap"));
}

#[test]
fn places_survive_kills() {
    let Some(library) = c_support::library() else { return };
    survives_kills(&library.compile("examples/c/places.cpp"), &library.file("heap"));
}

/// Kills the program again and again while it changes its state. What comes back is whole, as its
/// own check finds, and not older than what it has reported durable.
fn survives_kills(program: &Path, heap: &Path) {
    let long = std::env::var_os("STILLHEAP_LONG").is_some();
    let (lives, mut durable, mut back) = (if long { 100 } else { 8 }, 0, 0);
    for life in 0..lives {
        let mut stress = Command::new(program);
        stress.arg(heap).arg("stress").stdout(Stdio::piped());
        let mut child = stress.spawn().expect("a process");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        // Some moment after it has got further than the one before.
        let mut reports = lines.map_while(Result::ok);
        let mut numbers = reports.by_ref().filter_map(|line| number_after(&line, "durable "));
        let first = numbers.find(|&number| number > durable).expect("a report");
        std::thread::sleep(moment());
        child.kill().expect("the process lives");
        child.wait().expect("its end");
        durable = numbers.max().map_or(first, |last| last.max(first));
        let said = succeed(Command::new(program).arg(heap).arg("check"));
        let found = number_after(&said, "sound after ").expect("a sound state");
        assert!(found >= durable, "life {life}: {found} is older than {durable}, durable before");
        assert!(found >= back, "life {life}: {found} is older than {back}, which was back before");
        back = found;
    }
    assert!(back > 0, "no life ever left anything");
}

/// Up to 60 ms.
fn moment() -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    Duration::from_micros(u64::from(now.subsec_nanos()).wrapping_mul(2_654_435_761) % 60_000)
}

fn number_after(line: &str, words: &str) -> Option<u64> {
    line.strip_prefix(words)?.split_whitespace().next()?.parse().ok()
}

fn file(library: &Library, extension: &str) -> PathBuf {
    library.folder.join("libstillheap").with_extension(extension)
}
