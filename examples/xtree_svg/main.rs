//! A picture of an X-tree: the boxes of its nodes over 171,075 cities, level by level, and what a
//! question finds.
//!
//! `cargo run --release --example xtree_svg` draws the globe; `-- --help` lists what else it can,
//! such as `-- --view -11 35 31 60 --window 4 46 16 54 --level 0`. The cities are those of the
//! example `cities`, where it is said whence they come.

mod args;
mod scene;
mod svg;

use args::Arguments;
use flate2::read::GzDecoder;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use stillheap::{BulkLoad, Tuning, XTree};

const FILE: &[u8] = include_bytes!("../cities/cities.tsv.gz");

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// A place's name, and its longitude and latitude.
pub(crate) struct City {
    pub(crate) name: String,
    pub(crate) at: [f64; 2],
}

pub(crate) fn main() -> ExitCode {
    match args::parse(std::env::args().skip(1)).map_err(Into::into).and_then(|it| run(&it)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtree_svg: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome {
    if arguments.help {
        println!("{}", args::USAGE);
        return Ok(());
    }
    let cities = cities()?;
    let begun = Instant::now();
    let tree = tree(&cities, arguments)?;
    println!("{} cities in a tree after {:.0?}", cities.len(), begun.elapsed());
    for (level, stats) in tree.stats().levels.iter().enumerate() {
        println!(
            "level {level}: {} nodes, {} of them supernodes, {:.0} % full, overlap {:.2} %",
            stats.nodes,
            stats.supernodes,
            stats.fill() * 100.0,
            stats.overlap * 100.0
        );
    }
    if arguments.level.is_some_and(|level| level as usize >= tree.stats().height()) {
        return Err(format!("the levels of the tree are 0 to {}", tree.stats().height() - 1).into());
    }
    let out = arguments.out.clone().map_or_else(default_file, Ok)?;
    std::fs::write(&out, scene::draw(&tree, &cities, arguments))
        .map_err(|error| format!("{}: {error}", out.display()))?;
    println!("drawn to {}", out.display());
    Ok(())
}

/// `target/release/xtree.svg`, say.
fn default_file() -> Outcome<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program.parent().and_then(Path::parent).ok_or("the program is in no folder")?;
    Ok(folder.join("xtree.svg"))
}

fn tree(cities: &[City], arguments: &Arguments) -> Outcome<XTree<2, u32>> {
    let rows = |rows| Tuning::new().leaf_rows(rows).inner_rows(rows);
    let tuning = arguments.rows.map_or_else(Tuning::new, rows);
    let entries = (0_u32..).zip(cities).map(|(number, city)| (city.at, number));
    if arguments.bulk {
        return Ok(BulkLoad::new().tuning(tuning).load(entries)?);
    }
    let mut tree = XTree::with_tuning(tuning);
    for (at, number) in entries {
        tree.insert(at, number)?;
    }
    Ok(tree)
}

/// Lines of name, country, latitude, longitude, with tabs between them.
fn cities() -> Outcome<Vec<City>> {
    let lines = BufReader::new(GzDecoder::new(FILE)).lines();
    let city = |line: String| -> Outcome<City> {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, _, latitude, longitude] = fields[..] else {
            return Err(format!("not a city: {line}").into());
        };
        Ok(City { name: name.to_owned(), at: [longitude.parse()?, latitude.parse()?] })
    };
    lines.map(|line| city(line?)).collect()
}
