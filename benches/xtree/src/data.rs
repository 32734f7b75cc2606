//! The data, in random order, the same in every run.

use crate::Error;
use crate::random::Random;
use flate2::read::GzDecoder;
use std::io::{BufRead, BufReader};
use stillheap::Rect;

/// Names, places and countries; ../../examples/cities/README.md says where they come from.
const CITIES: &[u8] = include_bytes!("../../../examples/cities/cities.tsv.gz");
/// How many there are.
pub(crate) const CITIES_LEN: usize = 171_075;

/// Clusters of differing size and density.
const CLUSTERS: usize = 1000;
/// Of a hundred boxes, so many are long and thin.
const ROADS: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Points, uniform in the unit cube.
    Uniform,
    /// Points, near the centres of clusters.
    Clustered,
    /// Latitudes and longitudes of real places.
    Cities,
    /// Boxes as around buildings and roads: tiny ones, and a few long and thin ones, in clusters.
    Boxes,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Uniform, Self::Clustered, Self::Cities, Self::Boxes];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Clustered => "clustered",
            Self::Cities => "cities",
            Self::Boxes => "boxes",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// So many points of that kind.
pub(crate) fn points<const D: usize>(kind: Kind, size: usize) -> Result<Vec<[f64; D]>, Error> {
    let mut random = Random::new(D as u64);
    match kind {
        Kind::Uniform => Ok((0..size).map(|_| std::array::from_fn(|_| random.unit())).collect()),
        Kind::Clustered => {
            let clusters = Clusters::new(&mut random);
            Ok((0..size).map(|_| clusters.point(&mut random)).collect())
        }
        Kind::Cities => cities(size, &mut random),
        Kind::Boxes => Err("boxes are no points".into()),
    }
}

/// So many boxes.
pub(crate) fn boxes<const D: usize>(size: usize) -> Vec<Rect<D>> {
    let mut random = Random::new(D as u64);
    let clusters = Clusters::<D>::new(&mut random);
    let mut one = || {
        let min = clusters.point(&mut random);
        let mut sides: [f64; D] = std::array::from_fn(|_| 1e-5 * (1.0 + 2.0 * random.unit()));
        if random.below(100) < ROADS {
            sides[random.below(D)] *= 10.0 + 100.0 * random.unit();
        }
        let max = std::array::from_fn(|axis| min[axis] + sides[axis]);
        Rect::new(min, max).expect("sides are not negative")
    };
    (0..size).map(|_| one()).collect()
}

struct Clusters<const D: usize> {
    centres: Vec<[f64; D]>,
    spreads: Vec<f64>,
    /// Of each cluster and those before it, of 1 in all.
    shares: Vec<f64>,
}

impl<const D: usize> Clusters<D> {
    fn new(random: &mut Random) -> Self {
        let mut clusters = Self { centres: Vec::new(), spreads: Vec::new(), shares: Vec::new() };
        let mut all = 0.0;
        for _ in 0..CLUSTERS {
            clusters.centres.push(std::array::from_fn(|_| random.unit()));
            // From 0.0005 to 0.02, on a logarithmic scale.
            clusters.spreads.push(0.0005 * 40_f64.powf(random.unit()));
            all += 0.02 + random.unit().powi(4);
            clusters.shares.push(all);
        }
        clusters.shares.iter_mut().for_each(|share| *share /= all);
        clusters
    }

    fn point(&self, random: &mut Random) -> [f64; D] {
        let at = random.unit();
        let cluster = self.shares.partition_point(|&share| share < at).min(CLUSTERS - 1);
        let (centre, spread) = (&self.centres[cluster], self.spreads[cluster]);
        std::array::from_fn(|axis| centre[axis] + spread * bell(random))
    }
}

/// Close to a Gaussian of variance 1.
fn bell(random: &mut Random) -> f64 {
    let sum: f64 = (0..4).map(|_| random.unit()).sum();
    (sum - 2.0) * 3_f64.sqrt()
}

fn cities<const D: usize>(size: usize, random: &mut Random) -> Result<Vec<[f64; D]>, Error> {
    if D != 2 {
        return Err("cities lie in two dimensions".into());
    }
    let mut points = Vec::with_capacity(CITIES_LEN);
    for line in BufReader::new(GzDecoder::new(CITIES)).lines() {
        let line = line?;
        let mut numbers = line.split('\t').skip(2).map(str::parse);
        let mut point = [0.0; D];
        for at in &mut point {
            *at = numbers.next().ok_or("a place without coordinates")??;
        }
        points.push(point);
    }
    for place in (1..points.len()).rev() {
        points.swap(place, random.below(place + 1));
    }
    points.truncate(size);
    Ok(points)
}
