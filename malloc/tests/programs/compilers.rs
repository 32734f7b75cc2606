//! Compilers with the library preloaded, and programs in C++, whose operators reach it.

use crate::support::{Job, compile, has, is_long, source, text, word};
use std::fs;

#[test]
fn compilers_produce_what_they_always_do() {
    for (compiler, name, options) in [
        ("gcc", "contract.c", "-O2 -g -fno-builtin"),
        ("g++", "operators.cpp", "-O2 -g -std=c++17"),
    ] {
        if !has(compiler) {
            continue;
        }
        let folders = [tempfile::tempdir(), tempfile::tempdir()].map(|new| new.expect("a folder"));
        let mut words = vec![compiler.to_owned()];
        words.extend(options.split(' ').chain(["-c", "-o", "out.o"]).map(str::to_owned));
        words.push(word(source(name)));
        // Where it was compiled would be part of the file.
        words.extend(
            folders
                .each_ref()
                .map(|folder| format!("-fdebug-prefix-map={}=.", word(folder.path()))),
        );
        Job::new(words).agrees_in(folders[0].path(), folders[1].path());
        let objects = folders.each_ref().map(|folder| fs::read(folder.path().join("out.o")));
        let [plain, ours] = objects.map(|object| object.expect("an object file"));
        assert!(plain == ours, "{compiler} makes another object file");
    }
}

#[test]
fn operators_of_cpp_reach_the_heap() {
    if !has("g++") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let options = ["-O2", "-std=c++17"];
    let program = word(compile("g++", "operators.cpp", &options, folder.path()));
    for _ in 0..if is_long() { 20 } else { 1 } {
        Job::new([program.clone()]).agrees();
    }
}

#[test]
fn make_runs_many_compilers() {
    if !has("make") || !has("gcc") {
        return;
    }
    let files = if is_long() { 200 } else { 12 };
    let folders = [tempfile::tempdir(), tempfile::tempdir()].map(|new| new.expect("a folder"));
    for folder in &folders {
        let mut rules = "all: program\n\t./program\nprogram:".to_owned();
        rules += &(0..files).map(|file| format!(" f{file}.o")).collect::<String>();
        rules += " main.o\n\tgcc -o program *.o\n%.o: %.c\n\tgcc -O1 -c $<\n";
        fs::write(folder.path().join("Makefile"), rules).expect("a file");
        let mut main = "#include <stdio.h>\n#include <stdlib.h>\n".to_owned();
        let mut sum = String::new();
        for file in 0..files {
            let text = format!("int f{file}(int x) {{ return x * {file} + 1; }}\n");
            fs::write(folder.path().join(format!("f{file}.c")), text).expect("a file");
            main += &format!("int f{file}(int);\n");
            sum += &format!(" + f{file}(2)");
        }
        main += &format!("int main(void) {{ printf(\"%d\\n\", 0{sum}); return 0; }}\n");
        fs::write(folder.path().join("main.c"), main).expect("a file");
    }
    let job = Job::new(["make", "-s", "-j2"]);
    job.agrees_in(folders[0].path(), folders[1].path());
    let said = Job::new(["./program"]).succeeds(folders[1].path());
    let expected: usize = (0..files).map(|file| 2 * file + 1).sum();
    assert_eq!(text(&said.stdout).trim(), expected.to_string());
}
