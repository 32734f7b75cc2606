//! The X-tree by great circles: points against std's trigonometry, and boxes against a dense row
//! of points along their edges.

mod globe_support;
mod xtree_support;

use globe_support::{RADIUS, Vector, assert_is, cities, places, rounded, tolerance};
use stillheap::{GreatCircle, Metric, Rect, Scalar, Tuning, XTree};
use xtree_support::Random;

const EARTH: GreatCircle = GreatCircle::EARTH;

#[test]
fn antipodes_are_half_around_the_globe() {
    for step in -9000..=9000 {
        let latitude = f64::from(step) / 100.0;
        let tree: XTree<2, u32> = [([10.0, latitude], 0)].into_iter().collect();
        for distance in [20_020_000.0, f64::INFINITY] {
            let found = tree.within_distance_by(EARTH, [-170.0, -latitude], distance);
            assert_eq!(found.count(), 1, "{latitude}");
        }
    }
}

/// Places that are a unit in the last place apart, in leaves of four.
#[test]
fn what_is_at_a_place_is_within_no_distance_of_it() {
    let mut random = Random(9);
    for _ in 0..50 {
        let tuning = Tuning::new().leaf_rows(4).inner_rows(4);
        let mut tree = XTree::<2, u32>::with_tuning(tuning);
        let mut at = [random.unit() * 360.0 - 180.0, random.unit() * 160.0 - 80.0];
        let mut all = Vec::new();
        for number in 0..40 {
            tree.insert(at, number).expect("a number");
            all.push(at);
            at[1] = at[1].next_up();
        }
        for at in all {
            let mut found = tree.within_distance_by(EARTH, at, 0.0);
            assert!(found.any(|(rect, _)| rect.min() == at), "{at:?}");
        }
    }
}

/// Cities in a tree, and as a list of vectors.
struct Cities<S: Scalar> {
    tree: XTree<2, usize, S>,
    list: Vec<([S; 2], Vector)>,
}

impl<S: Scalar> Cities<S> {
    fn new(every: usize) -> Self {
        let points: Vec<[S; 2]> = cities(every).into_iter().map(rounded).collect();
        let mut tree = XTree::new();
        for (number, &point) in points.iter().enumerate() {
            tree.insert(point, number).expect("a number");
        }
        Self { tree, list: points.into_iter().map(|point| (point, Vector::of(point))).collect() }
    }

    fn check(&self, from: [S; 2]) {
        let vector = Vector::of(from);
        let angles: Vec<f64> = self.list.iter().map(|&(_, at)| vector.angle(at)).collect();
        let mut sorted = angles.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        for count in [1, 60] {
            let near = self.tree.nearest_by(EARTH, from, count);
            assert_eq!(near.len(), count);
            // Whoever is off by a little changes places with neighbours, but the i-th least of the
            // distances is not off by more.
            for (near, &angle) in near.iter().zip(&sorted) {
                assert_is(near.distance, angle);
                assert_is(near.distance, angles[*near.value]);
                assert_eq!(near.rect, self.list[*near.value].0.into());
            }
            let mut numbers: Vec<usize> = near.iter().map(|near| *near.value).collect();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), count, "one came twice");
            let lazy = self.tree.nearest_first_by(EARTH, from).take(count);
            assert!(lazy.map(|near| near.distance).eq(near.iter().map(|near| near.distance)));
        }
        for limit in [sorted[0], sorted[40], sorted[500]] {
            self.check_within(from, limit, &angles);
        }
    }

    fn check_within(&self, from: [S; 2], limit: f64, angles: &[f64]) {
        let found = self.tree.within_distance_by(EARTH, from, S::from_f64(RADIUS * limit));
        let (mut is_found, count) = (vec![false; angles.len()], found.clone().count());
        found.for_each(|(_, &number)| is_found[number] = true);
        assert_eq!(is_found.iter().filter(|&&is_found| is_found).count(), count);
        // The limit becomes a rank by the same roundings.
        let blurred = 2.0 * tolerance::<S>(limit) / RADIUS;
        for (&angle, is_found) in angles.iter().zip(is_found) {
            assert!(is_found || angle > limit - blurred, "{angle} of {limit} is not found");
            assert!(!is_found || angle < limit + blurred, "{angle} of {limit} is found");
        }
    }

    fn check_all(&self) {
        for place in places() {
            self.check(rounded(place));
        }
        for (at, _) in self.list.iter().step_by(self.list.len() / 12) {
            self.check(*at);
            assert_eq!(self.tree.nearest_by(EARTH, *at, 1)[0].distance, S::ZERO);
        }
        // Each comes once, none before a nearer one.
        for place in [[0.0, 90.0], [180.0, -17.0], [7.0, 50.0]] {
            let all: Vec<_> = self.tree.nearest_first_by(EARTH, rounded(place)).collect();
            assert!(all.is_sorted_by(|a, b| a.distance <= b.distance));
            let mut numbers: Vec<usize> = all.iter().map(|near| *near.value).collect();
            numbers.sort_unstable();
            assert!(numbers.into_iter().eq(0..self.list.len()));
            let globe = self.tree.within_distance_by(EARTH, rounded(place), S::INFINITY);
            assert_eq!(globe.count(), self.list.len());
        }
    }
}

#[test]
fn cities_in_f64() {
    Cities::<f64>::new(23).check_all();
}

#[test]
fn cities_in_f32() {
    Cities::<f32>::new(31).check_all();
}

/// A box, and points along its edges, so near to each other that each place of an edge has one
/// within `reach`.
struct Edged<S: Scalar> {
    rect: Rect<2, S>,
    edges: Vec<Vector>,
    reach: f64,
}

/// Points on an edge.
const STEPS: u32 = 48;

impl<S: Scalar> Edged<S> {
    fn new(rect: Rect<2, S>) -> Self {
        let ([west, south], [east, north]) =
            (rect.min().map(Scalar::to_f64), rect.max().map(Scalar::to_f64));
        let mut edges = Vec::new();
        for step in 0..=STEPS {
            let part = f64::from(step) / f64::from(STEPS);
            let (x, y) = (west + part * (east - west), south + part * (north - south));
            let points = [[x, south], [x, north], [west, y], [east, y]];
            edges.extend(points.map(Vector::of));
        }
        let longest = (east - west).max(north - south).to_radians();
        Self { rect, edges, reach: longest / f64::from(STEPS) / 2.0 + 1e-12 }
    }

    fn holds(&self, [longitude, latitude]: [f64; 2]) -> bool {
        let ([west, south], [east, north]) =
            (self.rect.min().map(Scalar::to_f64), self.rect.max().map(Scalar::to_f64));
        let is_between = (south..=north).contains(&latitude);
        is_between && (longitude - west).rem_euclid(360.0) <= east - west
    }

    /// The least and the greatest angle that the nearest place of the box may have. Outside of the
    /// box, that place is on an edge.
    fn limits(&self, from: [S; 2]) -> [f64; 2] {
        if self.holds(from.map(Scalar::to_f64)) {
            return [0.0; 2];
        }
        let vector = Vector::of(from);
        let nearest =
            self.edges.iter().copied().max_by(|&a, &b| vector.dot(a).total_cmp(&vector.dot(b)));
        let angle = vector.angle(nearest.expect("a point"));
        [(angle - self.reach).max(0.0), angle]
    }
}

/// Small and large ones, lines and points; every fourth is on the 180th meridian, some reach a
/// pole, some go all around.
fn boxes<S: Scalar>(count: usize) -> Vec<Edged<S>> {
    let mut random = Random(0x1234_5678_9abc_def1);
    let make = |number: usize| {
        let mut sides = [300.0, 120.0].map(|side| side * random.unit().powi(5));
        match number % 16 {
            1 => sides[0] = 0.0,
            2 => sides[1] = 0.0,
            3 => sides = [0.0; 2],
            5 => sides[0] = 360.0,
            _ => {}
        }
        let south = -90.0 + (180.0 - sides[1]) * random.unit();
        let south = if number % 16 == 7 { 90.0 - sides[1] } else { south };
        let west = match number % 4 {
            0 => 180.0 - sides[0] * random.unit(),
            _ => -180.0 + 360.0 * random.unit(),
        };
        let north = (south + sides[1]).min(90.0);
        Rect::new(rounded([west, south]), rounded([west + sides[0], north]))
    };
    (0..count).map(make).map(|rect| Edged::new(rect.expect("a box"))).collect()
}

fn check_boxes<S: Scalar>(count: usize) {
    let boxes = boxes::<S>(count);
    let crossing = boxes.iter().filter(|edged| edged.rect.max()[0] > S::from_f64(180.0));
    assert!(crossing.count() > count / 5);
    let mut tree = XTree::<2, usize, S>::new();
    for (number, edged) in boxes.iter().enumerate() {
        tree.insert(edged.rect, number).expect("a number");
    }
    for place in places() {
        let from: [S; 2] = rounded(place);
        let limits: Vec<[f64; 2]> = boxes.iter().map(|edged| edged.limits(from)).collect();
        let is_within = |said: S, [least, most]: [f64; 2]| {
            let (said, blurred) = (said.to_f64(), tolerance::<S>(most));
            let (least, most) = (RADIUS * least - blurred, RADIUS * most + blurred);
            assert!(said >= least && said <= most, "{place:?}: {said}, {least} to {most}");
        };
        let near = tree.nearest_by(EARTH, from, count);
        assert_eq!(near.len(), count);
        for near in &near {
            is_within(near.distance, limits[*near.value]);
        }
        // And in the order that the metric itself has them in, one by one.
        let prepared = EARTH.prepare(from);
        let rank = |rect: &Rect<2, S>| EARTH.rank(&prepared, &rect.min(), &rect.max());
        let mut ranks: Vec<S> = boxes.iter().map(|edged| rank(&edged.rect)).collect();
        ranks.sort_unstable_by(Scalar::total_cmp);
        assert!(near.iter().map(|near| rank(&near.rect)).eq(ranks.iter().copied()));
        let lazy = tree.nearest_first_by(EARTH, from).map(|near| rank(&near.rect));
        assert!(lazy.eq(ranks.iter().copied()));
        let few: Vec<S> = tree.nearest_by(EARTH, from, 9).iter().map(|n| n.distance).collect();
        assert!(few.iter().copied().eq(near.iter().take(9).map(|near| near.distance)));
        for limit in [0.0, 0.02, 0.5] {
            check_within(&tree, from, limit, &limits);
        }
    }
}

fn check_within<S: Scalar>(
    tree: &XTree<2, usize, S>,
    from: [S; 2],
    limit: f64,
    limits: &[[f64; 2]],
) {
    let found = tree.within_distance_by(EARTH, from, S::from_f64(RADIUS * limit));
    let (mut is_found, count) = (vec![false; limits.len()], found.clone().count());
    found.for_each(|(_, &number)| is_found[number] = true);
    assert_eq!(is_found.iter().filter(|&&is_found| is_found).count(), count);
    let blurred = 2.0 * tolerance::<S>(limit) / RADIUS;
    for (&[least, most], is_found) in limits.iter().zip(is_found) {
        assert!(is_found || most > limit - blurred, "{from:?}: {most} of {limit} is not found");
        assert!(!is_found || least < limit + blurred, "{from:?}: {least} of {limit} is found");
    }
}

#[test]
fn boxes_in_f64() {
    check_boxes::<f64>(320);
}

#[test]
fn boxes_in_f32() {
    check_boxes::<f32>(320);
}
