//! The X-tree beside rstar and kiddo, and in a durable heap beside outside of one: the same data,
//! the same work, results checked equal.
//!
//! `cargo run --release --manifest-path benches/xtree/Cargo.toml`; `-- --quick` for small sizes,
//! `--data NAME` (uniform, clustered, cities, boxes), `--size N`, `--dims D` (2, 8, 16) for some
//! of it, `--rounds N`. mimalloc needs a C compiler; `--no-default-features` does without, and
//! measures on the system's allocator.
//!
//! A round of some data is a process outside of a heap, in which X-tree, rstar and (for points)
//! kiddo take turns in being first, and one in which the X-tree lies in a root of a heap of which
//! no snapshots are taken; the two alternate. In one more process the bytes are counted that
//! trees ask the allocator for. Windows are cubes that are centred at random entries, and meet on
//! average as many others as they are named for; nearest entries are looked for near random ones.
//!
//! Prints medians over the rounds, `metric xtree.<data>.<dims>d.<size>.<what>.<who> VALUE UNIT`,
//! and for each operation `ratio xtree.<data>.<dims>d.<size>.<what>.ours_over_rstar VALUE`
//! (`ours_over_kiddo`, `in_heap_over_outside`, `in_heap_over_rstar`), throughputs: above 1 is
//! better. Ratios of bytes per entry are better below 1. What is `packed` was built at once; rstar
//! has no parallel way for that, and takes part with its only one.

mod amounts;
mod cell;
mod child;
mod data;
mod index;
mod kiddos;
mod memory;
mod ours;
mod place;
#[path = "../../shared/random.rs"]
mod random;
mod reach;
mod report;
mod rstars;
mod run;
mod switch;
mod task;

use cell::Cell;
use child::Side;
use reach::Reaches;
use report::Results;
use std::process::{Command, Stdio};

pub(crate) type Error = Box<dyn std::error::Error>;

const CHILD: &str = "--child";

pub(crate) struct Arguments(Vec<String>);

impl Arguments {
    pub(crate) fn is_quick(&self) -> bool {
        self.0.iter().any(|argument| argument == "--quick")
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<usize>, Error> {
        let number =
            |text: &str| text.parse::<usize>().map_err(|_| format!("{name} {text}: no number"));
        Ok(self.after(name).map(number).transpose()?)
    }

    pub(crate) fn after(&self, name: &str) -> Option<&str> {
        let place = self.0.iter().position(|argument| argument == name)?;
        self.0.get(place + 1).map(String::as_str)
    }
}

fn main() -> Result<(), Error> {
    let arguments = Arguments(std::env::args().skip(1).collect());
    if let Some((CHILD, order)) = arguments.0.split_first().map(|(a, b)| (a.as_str(), b)) {
        return child::run(order);
    }
    for cell in Cell::wanted(&arguments)? {
        let reaches = cell.reaches()?;
        let mut results = Results::default();
        let mut sides = [Side::Outside, Side::Inside];
        for round in 0..cell.rounds(&arguments)? {
            for side in sides {
                run(cell, side, round, &reaches, arguments.is_quick(), &mut results)?;
            }
            sides.reverse();
        }
        run(cell, Side::Memory, 0, &reaches, arguments.is_quick(), &mut results)?;
        results.report(&cell.name())?;
    }
    Ok(())
}

/// Runs this program once more, to measure.
fn run(
    cell: Cell,
    side: Side,
    round: usize,
    reaches: &Reaches,
    is_quick: bool,
    results: &mut Results,
) -> Result<(), Error> {
    eprintln!("{} {}, round {}", cell.name(), side.name(), round + 1);
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args([CHILD, side.name(), cell.kind.name()]);
    command.args([cell.size, cell.dims, round].map(|number| number.to_string()));
    command.arg(is_quick.to_string()).arg(folder.path());
    command.args(reaches.map(|reach| reach.to_string())).stderr(Stdio::inherit());
    let variable = switch::VARIABLE.to_str()?;
    match side {
        Side::Outside => command.env_remove(variable),
        Side::Inside => command.env(variable, switch::HEAP),
        Side::Memory => command.env(variable, switch::COUNTED),
    };
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{} {}: {}", cell.name(), side.name(), output.status).into());
    }
    String::from_utf8(output.stdout)?.lines().try_for_each(|line| results.take(line))
}
