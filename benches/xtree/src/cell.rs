//! What is measured: kinds of data, sizes and dimensions.

use crate::Error;
use crate::data::{CITIES_LEN, Kind};
use crate::reach::{Reaches, reaches};
use crate::{Arguments, data};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) kind: Kind,
    pub(crate) size: usize,
    pub(crate) dims: usize,
}

const LARGE: usize = 10_000_000;

impl Cell {
    pub(crate) fn name(self) -> String {
        format!("xtree.{}.{}d.{}", self.kind.name(), self.dims, self.size)
    }

    pub(crate) fn rounds(self, arguments: &Arguments) -> Result<usize, Error> {
        let usual = if arguments.is_quick() || self.size >= LARGE { 1 } else { 3 };
        Ok(arguments.number("--rounds")?.unwrap_or(usual))
    }

    /// How large windows are.
    pub(crate) fn reaches(self) -> Result<Reaches, Error> {
        let Self { kind, size, dims } = self;
        Ok(match (kind, dims) {
            (Kind::Boxes, 2) => reaches(&data::boxes::<2>(size)),
            (_, 2) => reaches(&data::points::<2>(kind, size)?),
            (_, 8) => reaches(&data::points::<8>(kind, size)?),
            (_, 16) => reaches(&data::points::<16>(kind, size)?),
            _ => return Err("no such dimensions".into()),
        })
    }

    /// Those that are asked for.
    pub(crate) fn wanted(arguments: &Arguments) -> Result<Vec<Self>, Error> {
        let kind = match arguments.after("--data") {
            Some(name) => {
                Some(Kind::named(name).ok_or("--data: uniform, clustered, cities, boxes")?)
            }
            None => None,
        };
        let (size, dims) = (arguments.number("--size")?, arguments.number("--dims")?);
        let mut cells = if arguments.is_quick() { Self::quick() } else { Self::full() };
        cells.retain(|cell| kind.is_none_or(|kind| cell.kind == kind));
        cells.retain(|cell| dims.is_none_or(|dims| cell.dims == dims));
        let Some(size) = size else { return Ok(cells) };
        if cells.iter().any(|cell| cell.size == size) {
            cells.retain(|cell| cell.size == size);
            return Ok(cells);
        }
        // Another size than the usual ones, for all of these.
        cells.iter_mut().for_each(|cell| cell.size = size);
        cells.dedup();
        cells.retain(|cell| cell.kind != Kind::Cities || size <= CITIES_LEN);
        Ok(cells)
    }

    fn full() -> Vec<Self> {
        let mut cells = Vec::new();
        for kind in Kind::ALL {
            let sizes: &[usize] = match kind {
                Kind::Cities => &[CITIES_LEN],
                _ => &[100_000, 1_000_000, LARGE],
            };
            cells.extend(sizes.iter().map(|&size| Self { kind, size, dims: 2 }));
        }
        cells.extend(Self::many_dims(1_000_000));
        cells
    }

    fn quick() -> Vec<Self> {
        let mut cells: Vec<Self> =
            Kind::ALL.into_iter().map(|kind| Self { kind, size: 50_000, dims: 2 }).collect();
        cells.extend(Self::many_dims(20_000));
        cells
    }

    fn many_dims(size: usize) -> impl Iterator<Item = Self> {
        let kinds = [Kind::Uniform, Kind::Clustered].into_iter();
        kinds.flat_map(move |kind| [8, 16].map(|dims| Self { kind, size, dims }))
    }
}
