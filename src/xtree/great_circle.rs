//! Distances on the globe.
//!
//! The nearest place of a box of latitudes and longitudes: Schubert, Zimek, Kriegel, "Geodetic
//! Distance Queries on R-Trees for Indexing Geographic Data", SSTD 2013. Their cases are kept,
//! their arcs are not: all is computed as haversines, sin²(d/2), from sines that are polynomials,
//! so that eight boxes are measured at once.

use super::metric::Metric;
use super::scalar::Scalar;
use crate::LANES;

/// The great-circle distance on a sphere between places given as `[longitude, latitude]` in
/// degrees.
///
/// Longitudes are taken modulo 360, latitudes are -90 to 90. A box that crosses the 180th meridian
/// is given with a `max` beyond 180 (170 to 190, say); a point is near to it from either side.
/// Good to some 1e-15 of the radius, which is 10 nanometres on Earth; nearly antipodal places are
/// only good to 1e-8 of it (0.1 m), as always with haversines.
///
/// ```
/// use stillheap::{GreatCircle, XTree};
/// let cities: XTree<2, &str> =
///     [([2.35, 48.86], "Paris"), ([-0.13, 51.51], "London"), ([178.44, -18.14], "Suva")]
///         .into_iter()
///         .collect();
/// let near = cities.nearest_by(GreatCircle::EARTH, [-179.9, -15.0], 2);
/// assert_eq!(*near[0].value, "Suva");
/// assert!((near[0].distance / 1000.0 - 391.5).abs() < 1.0);
/// ```
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct GreatCircle {
    radius: f64,
}

impl GreatCircle {
    /// On Earth, in metres: the mean radius of 6,371,008.8 m (IUGG).
    pub const EARTH: Self = Self::on(6_371_008.8);

    /// On a sphere of that radius; distances have the radius's unit.
    #[must_use]
    pub const fn on(radius: f64) -> Self {
        Self { radius }
    }
}

/// A point, with the sine and the cosine of its latitude.
#[derive(Clone, Copy, Debug)]
pub struct GlobePoint {
    longitude: f64,
    latitude: f64,
    sin: f64,
    cos: f64,
}

impl<S: Scalar> Metric<2, S> for GreatCircle {
    type Origin = GlobePoint;

    #[inline]
    fn prepare(&self, point: [S; 2]) -> GlobePoint {
        let [longitude, latitude] = point.map(Scalar::to_f64);
        let latitude = latitude_of(latitude);
        let (sin, cos) = (sin_of(latitude), cos_of(latitude));
        GlobePoint { longitude, latitude, sin, cos }
    }

    #[inline(always)]
    fn rank(&self, from: &GlobePoint, min: &[S; 2], max: &[S; 2]) -> S {
        S::from_f64(haversine(from, min.map(Scalar::to_f64), max.map(Scalar::to_f64)))
    }

    fn distance(&self, rank: S) -> S {
        S::from_f64(2.0 * self.radius * rank.to_f64().sqrt().min(1.0).asin())
    }

    fn rank_of(&self, distance: S) -> S {
        let angle = distance.to_f64() / self.radius;
        if angle < 0.0 {
            return S::NEG_INFINITY;
        }
        // Half of the globe's circumference is as far as anything can be.
        let half = (angle / 2.0).min(std::f64::consts::FRAC_PI_2);
        S::from_f64(half.sin().powi(2))
    }

    /// Rounding can make a box farther than what is in it, by some units in the last place, or by
    /// some of those of an angle of 1 where the distance is next to none.
    #[inline(always)]
    fn bound(&self, rank: S) -> S {
        rank * S::from_f64(1.0 - 1e-14).least(S::ONE - S::EPSILON) - S::from_f64(1e-30)
    }

    #[inline(always)]
    fn ranks(
        &self,
        from: &GlobePoint,
        low: [&[[S; LANES]]; 2],
        high: [&[[S; LANES]]; 2],
        into: &mut [[S; LANES]],
    ) {
        let corners = low[0].iter().zip(low[1]).zip(high[0].iter().zip(high[1]));
        for (into, ((west, south), (east, north))) in into.iter_mut().zip(corners) {
            for lane in 0..LANES {
                let min = [west[lane].to_f64(), south[lane].to_f64()];
                let max = [east[lane].to_f64(), north[lane].to_f64()];
                into[lane] = S::from_f64(haversine(from, min, max));
            }
        }
    }
}

/// The haversine of the angle between a point and the nearest place of a box. No branches.
#[inline(always)]
fn haversine(from: &GlobePoint, min: [f64; 2], max: [f64; 2]) -> f64 {
    let half = sin_of(aside(from.longitude, min[0], max[0]) / 2.0);
    let (south, north) = (latitude_of(min[1]), latitude_of(max[1]));
    let at_end = across(from, half, south).least(across(from, half, north));
    // The foot of the perpendicular from the point to the meridian lies between south and north if
    // the way grows shorter from either end towards the other.
    let cos_aside = 1.0 - 2.0 * half * half;
    let slope = |latitude| cos_of(latitude) * from.sin - sin_of(latitude) * from.cos * cos_aside;
    let is_between = (slope(south) > 0.0) & (slope(north) < 0.0);
    // sin(perpendicular) = sin(aside) cos(latitude); and (1 - cos x) / 2 without its cancellation.
    let sin_aside = 2.0 * half * (1.0 - half * half).greatest(0.0).sqrt();
    let square = (sin_aside * from.cos) * (sin_aside * from.cos);
    let at_foot = square / (2.0 + 2.0 * (1.0 - square).greatest(0.0).sqrt());
    // Rounding can go beyond the antipode.
    (if is_between { at_foot } else { at_end }).least(1.0)
}

/// How many degrees of longitude lie between a meridian and a box; 0 if it crosses the box. For any
/// latitude, the nearest place of the box is on the nearest of its meridians.
#[inline(always)]
fn aside(longitude: f64, west: f64, east: f64) -> f64 {
    // In -180..=180, and as it is where it was there already.
    let turn = |degrees: f64| degrees - 360.0 * (degrees / 360.0).round_ties_even();
    let from_west = longitude - west;
    let offset = from_west - 360.0 * (from_west / 360.0).floor();
    let nearest = turn(from_west).abs().least(turn(longitude - east).abs());
    // Infinite boxes give NaN, and cross every meridian.
    if offset > east - west { nearest } else { 0.0 }
}

/// The haversine of the angle to the place at `latitude` whose meridian is as far away as `half`
/// says, the sine of half the difference in longitude.
#[inline(always)]
fn across(from: &GlobePoint, half: f64, latitude: f64) -> f64 {
    let up = sin_of((latitude - from.latitude) / 2.0);
    up * up + cos_of(latitude) * from.cos * half * half
}

#[inline(always)]
fn latitude_of(latitude: f64) -> f64 {
    latitude.greatest(-90.0).least(90.0)
}

/// The cosine of a latitude, -90 to 90 degrees; exact at the poles.
#[inline(always)]
fn cos_of(degrees: f64) -> f64 {
    sin_of(90.0 - degrees.abs())
}

/// The sine of -90 to 90 degrees: the series to the 21st power, good to a unit or two in the last
/// place.
#[inline(always)]
fn sin_of(degrees: f64) -> f64 {
    const TERMS: [f64; 11] = {
        let mut terms = [1.0; 11];
        let mut term = 1;
        while term < terms.len() {
            let power = 2.0 * term as f64;
            terms[term] = -terms[term - 1] / (power * (power + 1.0));
            term += 1;
        }
        terms
    };
    let angle = degrees * (std::f64::consts::PI / 180.0);
    let square = angle * angle;
    angle * TERMS.iter().rev().fold(0.0, |sum, &term| sum * square + term)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sines_are_those_of_the_library() {
        for step in -9000..=9000 {
            let degrees = f64::from(step) / 100.0;
            assert!((sin_of(degrees) - degrees.to_radians().sin()).abs() < 4e-16, "{degrees}");
            assert!((cos_of(degrees) - degrees.to_radians().cos()).abs() < 4e-16, "{degrees}");
        }
        assert_eq!((sin_of(0.0), cos_of(90.0), cos_of(-90.0)), (0.0, 0.0, 0.0));
    }

    /// In unit vectors, by the angle between them.
    fn angle([a, b]: [f64; 2], [c, d]: [f64; 2]) -> f64 {
        let vector = |longitude: f64, latitude: f64| {
            let (y, x) = longitude.to_radians().sin_cos();
            let (up, out) = latitude.to_radians().sin_cos();
            [x * out, y * out, up]
        };
        let (p, q) = (vector(a, b), vector(c, d));
        let chord = p.iter().zip(&q).map(|(p, q)| (p - q) * (p - q)).sum::<f64>().sqrt();
        2.0 * (chord / 2.0).min(1.0).asin()
    }

    const UNIT: GreatCircle = GreatCircle::on(1.0);

    fn distance(from: [f64; 2], min: [f64; 2], max: [f64; 2]) -> f64 {
        let origin = Metric::<2, f64>::prepare(&UNIT, from);
        UNIT.distance(UNIT.rank(&origin, &min, &max))
    }

    fn places() -> impl Iterator<Item = [f64; 2]> {
        (-6..=6).flat_map(|x| (-6..=6).map(move |y| [f64::from(x) * 32.0, f64::from(y) * 15.0]))
    }

    #[test]
    fn between_points() {
        for (p, q) in places().flat_map(|p| places().map(move |q| (p, q))) {
            let (found, expected) = (distance(p, q, q), angle(p, q));
            assert!((found - expected).abs() < 1e-7, "{p:?} {q:?}: {found} {expected}");
            assert!((distance(p, p, p)).abs() < 1e-15);
        }
        let near = distance([10.0, 50.0], [10.0 + 1e-9, 50.0], [10.0 + 1e-9, 50.0]);
        let expected = 1e-9_f64.to_radians() * 50_f64.to_radians().cos();
        assert!((near / expected - 1.0).abs() < 1e-6, "{near} {expected}");
    }

    #[test]
    fn to_boxes_as_to_the_nearest_of_many_of_their_places() {
        let boxes = [
            [0.0, 0.0, 20.0, 20.0],
            [-170.0, 40.0, -100.0, 85.0],
            [170.0, -30.0, 190.0, -5.0],
            [-180.0, -90.0, 180.0, -60.0],
            [5.0, -80.0, 5.0, 80.0],
            [-60.0, 10.0, 120.0, 10.0],
        ];
        for [west, south, east, north] in boxes {
            for from in places() {
                let found = distance(from, [west, south], [east, north]);
                let grid = (0..=60).flat_map(|x| (0..=60).map(move |y| (x, y)));
                let nearest = grid.map(|(x, y)| {
                    let part = |least: f64, most: f64, of: i32| {
                        least + (most - least) * f64::from(of) / 60.0
                    };
                    angle(from, [part(west, east, x), part(south, north, y)])
                });
                let nearest = nearest.fold(f64::INFINITY, f64::min);
                assert!(found <= nearest + 1e-8, "{from:?}: {found} above {nearest}");
                assert!(nearest - found < 0.06, "{from:?}: {found} far below {nearest}");
            }
        }
    }

    #[test]
    fn infinite_boxes_are_everywhere() {
        let all = [f64::INFINITY; 2];
        assert_eq!(distance([12.0, 34.0], [f64::NEG_INFINITY; 2], all), 0.0);
        let north = distance([12.0, 34.0], [f64::NEG_INFINITY, 44.0], all);
        assert!((north - 10_f64.to_radians()).abs() < 1e-15);
        assert!(!distance([f64::INFINITY, f64::INFINITY], [0.0; 2], [1.0; 2]).is_nan());
        assert!(!distance([1.0, 2.0], all, all).is_nan());
    }
}
