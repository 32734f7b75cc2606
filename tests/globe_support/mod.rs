//! Distances on the globe by std's trigonometry, on unit vectors: slow, and on another way than
//! the crate's. And the cities.

#![allow(clippy::cast_possible_truncation, reason = "the numbers of a test are small")]

use flate2::read::GzDecoder;
use std::io::{BufRead, BufReader};
use stillheap::Scalar;

/// Of the Earth that `GreatCircle::EARTH` means, in metres.
pub(crate) const RADIUS: f64 = 6_371_008.8;

/// The cities, every so many of them: longitude and latitude.
pub(crate) fn cities(every: usize) -> Vec<[f64; 2]> {
    let file: &[u8] = include_bytes!("../../examples/cities/cities.tsv.gz");
    let lines = BufReader::new(GzDecoder::new(file)).lines().step_by(every);
    let degrees = |field: &str| field.parse().expect("degrees");
    let place = |line: String| {
        let fields: Vec<&str> = line.split('\t').collect();
        [degrees(fields[3]), degrees(fields[2])]
    };
    lines.map(|line| place(line.expect("text"))).collect()
}

/// Points all over the globe: both poles, both sides of the 180th meridian, longitudes from beyond
/// it, and a net of everything else.
pub(crate) fn places() -> Vec<[f64; 2]> {
    let mut places = vec![[0.0, 90.0], [123.0, 90.0], [0.0, -90.0], [-180.0, -90.0]];
    for longitude in [180.0, -180.0, 179.999_9, -179.999_9, 190.0, -200.0, 360.0, 540.0] {
        places.extend([-89.9, -41.0, 0.0, 66.5].map(|latitude| [longitude, latitude]));
    }
    for turn in 0..8 {
        for step in 0..5 {
            let (turn, step) = (f64::from(turn), f64::from(step));
            places.push([-170.3 + 45.0 * turn, -71.0 + 35.1 * step + turn]);
        }
    }
    places
}

/// As the tree has it.
pub(crate) fn rounded<S: Scalar>(point: [f64; 2]) -> [S; 2] {
    point.map(S::from_f64)
}

/// A place as a unit vector.
#[derive(Clone, Copy)]
pub(crate) struct Vector([f64; 3]);

impl Vector {
    pub(crate) fn of<S: Scalar>(point: [S; 2]) -> Self {
        let [longitude, latitude] = point.map(|at| at.to_f64().to_radians());
        let (sin, cos) = latitude.sin_cos();
        Self([cos * longitude.cos(), cos * longitude.sin(), sin])
    }

    pub(crate) fn dot(self, other: Self) -> f64 {
        let ([a, b, c], [x, y, z]) = (self.0, other.0);
        a * x + b * y + c * z
    }

    /// The angle between two places, also where it is tiny, or nearly half a turn.
    pub(crate) fn angle(self, other: Self) -> f64 {
        let ([a, b, c], [x, y, z]) = (self.0, other.0);
        let cross = [b * z - c * y, c * x - a * z, a * y - b * x];
        cross.iter().map(|part| part * part).sum::<f64>().sqrt().atan2(self.dot(other))
    }
}

/// By how many metres what the tree says may differ from `angle`, in radians.
///
/// The tree's ranks are h = sin²(d/2), rounded to `S`, with a handful of roundings of an `f64`
/// before. An error of u · h makes one of u · tan(d/2) in d, which grows towards the antipode; at
/// the antipode itself, where sin² is flat, one of 2√u. The distance, once it is there, is rounded
/// to `S` as well. Degrees up to 540 have an absolute error of some 1e-15 radians, and the unit
/// vectors have three roundings for each coordinate.
pub(crate) fn tolerance<S: Scalar>(angle: f64) -> f64 {
    // Half of it is the greatest error of a rounding; six of them in `f64`.
    let unit = S::EPSILON.to_f64() / 2.0 + 6.0 * f64::EPSILON;
    let steep = (unit * (angle / 2.0).tan().abs()).min(2.0 * unit.sqrt());
    RADIUS * (steep + unit * angle + 3e-15)
}

/// Whether the tree may say `said` for `angle`.
#[track_caller]
pub(crate) fn assert_is<S: Scalar>(said: S, angle: f64) {
    let apart = (said.to_f64() - RADIUS * angle).abs();
    let tolerance = tolerance::<S>(angle);
    assert!(apart <= tolerance, "{said} m for {} m, {apart} > {tolerance}", RADIUS * angle);
}
