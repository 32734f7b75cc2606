//! What the programs work on: generated text, the same in each run.

use crate::shared::{Error, Random};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Folders of `tree`, each with as many files.
const FOLDERS: usize = 160;
const FILES: usize = 100;
/// Functions in a file of `tree`, at most.
const FUNCTIONS: usize = 24;
const LOG_LINES: usize = 1_000_000;
const RECORDS: usize = 80_000;
/// Functions, objects or paragraphs in each file of `code`.
const PARTS: usize = 800;

/// Text on the disk, under one folder.
pub(crate) struct Input {
    /// Holds `tree`, folders with source files; `log`; `records`, a JSON value in each line, and
    /// `array.json`, the same as one; `code`, files to be coloured.
    pub(crate) root: PathBuf,
}

impl Input {
    /// Writes it, divided by `share`.
    pub(crate) fn make(root: &Path, share: usize) -> Result<Self, Error> {
        let words = Words::new();
        tree(&root.join("tree"), &words, FOLDERS / share)?;
        log(&root.join("log"), &words, LOG_LINES / share)?;
        records(root, &words, RECORDS / share)?;
        code(&root.join("code"), &words, PARTS / share)?;
        Ok(Self { root: root.to_owned() })
    }
}

/// Names to make text of.
struct Words(Vec<String>);

impl Words {
    fn new() -> Self {
        const PARTS: [&str; 16] = [
            "al", "ber", "co", "dre", "en", "fi", "gor", "ha", "in", "jo", "ka", "lu", "mer", "no",
            "pra", "ste",
        ];
        let mut random = Random::new(1);
        let mut word = || (0..2 + random.below(3)).map(|_| PARTS[random.below(16)]).collect();
        Self((0..1500).map(|_| word()).collect())
    }

    /// Early ones more often than later ones.
    fn any(&self, random: &mut Random) -> &str {
        let place = (random.unit() * random.unit() * self.0.len() as f64) as usize;
        &self.0[place]
    }
}

/// A function in something like Rust.
fn function(out: &mut impl Write, words: &Words, random: &mut Random) -> Result<(), Error> {
    let [name, first, second, kind] = std::array::from_fn(|_| words.any(random));
    writeln!(out, "/// Does the {first} of {second}, unless {name} is {kind}.")?;
    writeln!(out, "pub fn {name}({first}: &str, {second}: Vec<{kind}>) -> Result<u64, Error> {{")?;
    for _ in 0..2 + random.below(6) {
        let [name, module, call, from] = std::array::from_fn(|_| words.any(random));
        let number = random.below(100_000);
        match random.below(5) {
            0 => writeln!(out, "    let {name} = {module}::{call}({from}, {number})?;")?,
            1 => writeln!(out, "    // The {name} {module} of a {call}, after {from}.")?,
            2 => {
                writeln!(out, "    if {name}.{call}() > {number} {{\n        {from} += 1;\n    }}")?
            }
            3 => writeln!(out, "    {name}.push(format!(\"{module} {{}} {call}\", {from}));")?,
            _ => {
                writeln!(out, "    match {name} {{\n        {module}::{call}(x) => x,")?;
                writeln!(out, "        _ => {number},\n    }}")?;
            }
        }
    }
    writeln!(out, "    Ok({})\n}}\n", random.below(1000))?;
    Ok(())
}

/// Something like a repository, with what it ignores.
fn tree(root: &Path, words: &Words, folders: usize) -> Result<(), Error> {
    const ENDINGS: [&str; 8] = ["rs", "rs", "rs", "c", "h", "py", "md", "toml"];
    fs::create_dir_all(root.join(".git"))?;
    fs::write(root.join(".gitignore"), "target/\n*.tmp\n/generated\nbuild-*/\n")?;
    let mut random = Random::new(2);
    for number in 0..folders {
        let folder = match number % 8 {
            7 => format!("{}_{number}/target/debug", words.any(&mut random)),
            _ => format!("{}_{number}/src/{}", words.any(&mut random), words.any(&mut random)),
        };
        let folder = root.join(folder);
        fs::create_dir_all(&folder)?;
        for number in 0..FILES {
            let ending = ENDINGS[random.below(ENDINGS.len())];
            let name = format!("{}_{number}.{ending}", words.any(&mut random));
            let mut out = BufWriter::new(File::create(folder.join(name))?);
            for _ in 0..1 + random.below(FUNCTIONS) {
                function(&mut out, words, &mut random)?;
            }
            out.flush()?;
        }
    }
    Ok(())
}

fn log(file: &Path, words: &Words, lines: usize) -> Result<(), Error> {
    let mut random = Random::new(3);
    let mut out = BufWriter::new(File::create(file)?);
    for line in 0..lines {
        let (hours, minutes, seconds) =
            (line / 3_600_000 % 24, line / 60_000 % 60, line / 1000 % 60);
        let level = ["INFO ", "INFO ", "INFO ", "DEBUG", "WARN ", "ERROR"][random.below(6)];
        let [module, user, first, second] = std::array::from_fn(|_| words.any(&mut random));
        let status = [200, 200, 200, 204, 301, 404, 500, 503][random.below(8)];
        let took = random.below(100_000);
        writeln!(
            out,
            "2026-03-01T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z {level} {module}: user={user} \
             path=/{first}/{second} status={status} took={}.{:02}ms",
            line % 1000,
            took / 100,
            took % 100
        )?;
    }
    Ok(out.flush()?)
}

/// One thing that happened, as JSON.
fn record(words: &Words, random: &mut Random, id: usize) -> String {
    let [user, first, second, note, more] = std::array::from_fn(|_| words.any(random));
    let status = [200, 200, 200, 204, 301, 404, 500, 503][random.below(8)];
    let took = random.below(100_000);
    let depth = random.below(9);
    let (whole, part) = (took / 100, took % 100);
    let what = format!(r#""user":"{user}","path":"/{first}/{second}","status":{status}"#);
    let at = format!(r#"{{"depth":{depth},"note":"{note} of {more}"}}"#);
    let tags = format!(r#"["{note}","{more}"]"#);
    format!(r#"{{"id":{id},{what},"took":{whole}.{part:02},"tags":{tags},"at":{at}}}"#)
}

fn records(root: &Path, words: &Words, count: usize) -> Result<(), Error> {
    let mut random = Random::new(4);
    let mut lines = BufWriter::new(File::create(root.join("records"))?);
    let mut array = BufWriter::new(File::create(root.join("array.json"))?);
    for id in 0..count {
        let record = record(words, &mut random, id);
        writeln!(lines, "{record}")?;
        writeln!(array, "{}{record}", if id == 0 { "[" } else { "," })?;
    }
    writeln!(array, "]")?;
    lines.flush()?;
    Ok(array.flush()?)
}

/// Files in four languages.
fn code(root: &Path, words: &Words, parts: usize) -> Result<(), Error> {
    fs::create_dir_all(root)?;
    let mut random = Random::new(5);
    let open = |name: &str| Ok::<_, Error>(BufWriter::new(File::create(root.join(name))?));
    let (mut rust, mut json) = (open("a.rs")?, open("b.json")?);
    let (mut python, mut markdown) = (open("c.py")?, open("d.md")?);
    for part in 0..parts {
        function(&mut rust, words, &mut random)?;
        writeln!(
            json,
            "{}{}",
            if part == 0 { "[" } else { "," },
            record(words, &mut random, part)
        )?;
        let [name, first, second, third] = std::array::from_fn(|_| words.any(&mut random));
        writeln!(python, "def {name}({first}, {second}={part}):")?;
        writeln!(python, "    \"\"\"The {third} of {first}.\"\"\"")?;
        writeln!(python, "    for {third} in range(len({first})):")?;
        writeln!(python, "        if {third} % {part} == {second}: yield {first}[{third}]\n")?;
        writeln!(markdown, "## {name} and {first}\n\n- *{second}* is `{third}`\n- **{first}**\n")?;
        writeln!(markdown, "See [{name}](https://example.org/{third}) for {second}.\n")?;
    }
    writeln!(json, "]")?;
    for file in [&mut rust, &mut json, &mut python, &mut markdown] {
        file.flush()?;
    }
    Ok(())
}
