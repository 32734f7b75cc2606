//! What is to be drawn.

use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
xtree_svg [OPTIONS]

  --level N            the boxes of that level alone; the leaves are level 0
  --near LON LAT K     the K cities nearest to a point, and the way to them
  --window W S E N     the cities within a window, in degrees
  --view W S E N       a part of the globe, instead of all of it
  --bulk               builds the tree at once, instead of city by city
  --rows N             children and entries of a node, 4 to 65536, instead of what a page holds
  --out FILE           where the picture goes, instead of beside the program";

/// A part of the map: west, south, east, north.
pub(crate) type Sides = [f64; 4];

/// What is asked of the tree.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Query {
    Near { at: [f64; 2], count: usize },
    Window(Sides),
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Arguments {
    pub(crate) level: Option<u32>,
    pub(crate) query: Query,
    pub(crate) view: Sides,
    pub(crate) bulk: bool,
    pub(crate) rows: Option<u32>,
    pub(crate) out: Option<PathBuf>,
    pub(crate) help: bool,
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            level: None,
            query: Query::Near { at: [-150.0, 42.0], count: 250 },
            view: [-180.0, -58.0, 180.0, 84.0],
            bulk: false,
            rows: None,
            out: None,
            help: false,
        }
    }
}

/// Reads the arguments after the program's name.
pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Arguments, String> {
    let (mut arguments, mut words) = (Arguments::default(), words.into_iter());
    while let Some(option) = words.next() {
        let mut next = || words.next().ok_or_else(|| format!("{option} needs more"));
        match option.as_str() {
            "--level" => arguments.level = Some(number(&next()?)?),
            "--near" => {
                let at = [number(&next()?)?, number(&next()?)?];
                if !at.iter().all(|at: &f64| at.is_finite()) {
                    return Err("--near needs degrees".to_owned());
                }
                arguments.query = Query::Near { at, count: number(&next()?)? };
            }
            "--window" => arguments.query = Query::Window(sides(&mut next)?),
            "--view" => arguments.view = sides(&mut next)?,
            "--bulk" => arguments.bulk = true,
            "--rows" => {
                let rows = number(&next()?)?;
                if !(4..=65_536).contains(&rows) {
                    return Err(format!("a node has 4 to 65536 rows, not {rows}"));
                }
                arguments.rows = Some(rows);
            }
            "--out" => arguments.out = Some(next()?.into()),
            "--help" | "-h" | "help" => arguments.help = true,
            _ => return Err(format!("there is no option {option}; --help lists what there is")),
        }
    }
    Ok(arguments)
}

fn number<N: std::str::FromStr>(word: &str) -> Result<N, String> {
    word.parse().map_err(|_| format!("{word} is not a number that can stand here"))
}

fn sides(next: &mut impl FnMut() -> Result<String, String>) -> Result<Sides, String> {
    let mut sides = [0.0; 4];
    for side in &mut sides {
        *side = number(&next()?)?;
    }
    let [west, south, east, north] = sides;
    let is_box = west < east && south < north && west >= -180.0 && east <= 180.0;
    let is_box = is_box && south >= -90.0 && north <= 90.0;
    is_box.then_some(sides).ok_or_else(|| "degrees west, south, east, north, please".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Arguments, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn arguments_are_read() {
        assert_eq!(read(""), Ok(Arguments::default()));
        let window = Query::Window([-10.0, 35.0, 30.0, 60.0]);
        let expected = Arguments { level: Some(1), query: window, ..Arguments::default() };
        assert_eq!(read("--level 1 --window -10 35 30 60"), Ok(expected));
        let near = Query::Near { at: [2.35, 48.86], count: 9 };
        assert_eq!(read("--near 2.35 48.86 9").map(|found| found.query), Ok(near));
        for bad in ["--level", "--level x", "--view 1 2 1 3", "--rows 3", "x", "--near NaN 1 2"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
