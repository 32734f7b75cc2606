//! The X-tree against a naive list: random operation sequences in several dimensions, and inputs
//! that spatial indexes are known to suffer from.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]
#![allow(clippy::cast_possible_truncation, reason = "the numbers of a test are small")]

use proptest::prelude::*;
use stillheap::{Rect, RectError, Scalar, XTree};

type Entry<const D: usize, S> = (Rect<D, S>, u32);

/// A tree and the list that it has to agree with.
struct Pair<const D: usize, S: Scalar> {
    tree: XTree<D, u32, S>,
    list: Vec<Entry<D, S>>,
}

impl<const D: usize, S: Scalar> Pair<D, S> {
    fn new(reinserted_percent: u8) -> Self {
        Self { tree: XTree::new().with_reinsertion(reinserted_percent), list: Vec::new() }
    }

    fn insert(&mut self, rect: Rect<D, S>, value: u32) {
        self.tree.insert(rect, value).unwrap();
        self.list.push((rect, value));
    }

    fn remove(&mut self, place: usize) {
        let (rect, value) = self.list.swap_remove(place);
        assert_eq!(self.tree.remove(&rect, |&other| other == value), Some(value));
    }

    fn check_window(&self, window: &Rect<D, S>) {
        let mut found: Vec<u32> = self.tree.window(window).map(|(_, &value)| value).collect();
        let meeting = self.list.iter().filter(|(rect, _)| rect.intersects(window));
        let mut expected: Vec<u32> = meeting.map(|&(_, value)| value).collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    fn check_nearest(&self, point: [S; D], count: usize) {
        let mut expected: Vec<S> =
            self.list.iter().map(|(rect, _)| rect.distance_squared(&point)).collect();
        expected.sort_unstable_by(Scalar::total_cmp);
        let lazy: Vec<S> =
            self.tree.nearest_first(point).map(|near| near.distance_squared).take(count).collect();
        expected.truncate(count);
        assert_eq!(lazy, expected);
        let near = self.tree.nearest(point, count);
        assert_eq!(near.iter().map(|near| near.distance_squared).collect::<Vec<_>>(), expected);
        for near in near {
            assert!(self.list.contains(&(near.rect, *near.value)));
            assert_eq!(near.rect.distance_squared(&point), near.distance_squared);
        }
    }

    fn check(&self) {
        self.tree.validate().unwrap();
        assert_eq!(self.tree.len(), self.list.len());
        assert_eq!(self.tree.is_empty(), self.list.is_empty());
        let bounds = self.list.iter().map(|entry| entry.0).reduce(|a, b| a.union(&b));
        assert_eq!(self.tree.bounds(), bounds);
    }

    fn check_entries(&self) {
        let mut found: Vec<u32> = self.tree.iter().map(|(_, &value)| value).collect();
        let mut expected: Vec<u32> = self.list.iter().map(|entry| entry.1).collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
        assert_eq!(self.tree.iter().len(), self.list.len());
    }
}

#[derive(Clone, Debug)]
enum Operation<const D: usize> {
    Insert([i8; D], [u8; D], bool),
    Remove(usize),
    RemoveAbsent([i8; D]),
    Window([i8; D], [u8; D]),
    Nearest([i8; D], usize),
    Clone,
}

fn operation<const D: usize>(boxes: bool) -> impl Strategy<Value = Operation<D>> {
    let point = || prop::array::uniform::<_, D>(any::<i8>());
    let sides = || prop::array::uniform::<_, D>(0_u8..60);
    prop_oneof![
        30 => (point(), sides(), any::<bool>()).prop_map(move |(at, sides, point)| {
            Operation::Insert(at, sides, point || !boxes)
        }),
        15 => any::<usize>().prop_map(Operation::Remove),
        1 => point().prop_map(Operation::RemoveAbsent),
        2 => (point(), sides()).prop_map(|(at, sides)| Operation::Window(at, sides)),
        2 => (point(), 0_usize..40).prop_map(|(at, count)| Operation::Nearest(at, count)),
        1 => Just(Operation::Clone),
    ]
}

fn place<const D: usize>(at: [i8; D], sides: [u8; D]) -> Rect<D, f64> {
    let min = at.map(f64::from);
    Rect::new(min, std::array::from_fn(|axis| min[axis] + f64::from(sides[axis]))).unwrap()
}

fn run<const D: usize>(operations: Vec<Operation<D>>) {
    let mut pair = Pair::<D, f64>::new(if operations.len().is_multiple_of(2) { 0 } else { 30 });
    for (number, operation) in operations.into_iter().enumerate() {
        match operation {
            Operation::Insert(at, _, true) => pair.insert(at.map(f64::from).into(), number as u32),
            Operation::Insert(at, sides, false) => pair.insert(place(at, sides), number as u32),
            Operation::Remove(which) if !pair.list.is_empty() => {
                pair.remove(which % pair.list.len());
            }
            Operation::RemoveAbsent(at) => {
                assert_eq!(pair.tree.remove(&place(at, [0; D]), |_| false), None);
            }
            Operation::Window(at, sides) => pair.check_window(&place(at, sides)),
            Operation::Nearest(at, count) => pair.check_nearest(at.map(f64::from), count),
            Operation::Clone => pair.tree = pair.tree.clone(),
            Operation::Remove(_) => {}
        }
        pair.check();
    }
    pair.check_entries();
}

fn sequences<const D: usize>(boxes: bool) {
    let operations = prop::collection::vec(operation::<D>(boxes), 0..1200);
    // Wide rows take their time in a debug build.
    let cases = if D > 8 { 3 } else { 12 };
    let config = ProptestConfig { cases, max_shrink_iters: 2000, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    if let Err(error) = runner.run(&operations, |operations| {
        run(operations);
        Ok(())
    }) {
        panic!("{error}");
    }
}

#[test]
fn points_and_boxes_in_1_d() {
    sequences::<1>(false);
    sequences::<1>(true);
}

#[test]
fn points_and_boxes_in_2_d() {
    sequences::<2>(false);
    sequences::<2>(true);
}

#[test]
fn points_and_boxes_in_3_d() {
    sequences::<3>(false);
    sequences::<3>(true);
}

#[test]
fn points_and_boxes_in_8_d() {
    sequences::<8>(false);
    sequences::<8>(true);
}

/// Wide rows make narrow nodes, and so tall trees.
#[test]
fn points_and_boxes_in_32_d() {
    sequences::<32>(false);
    sequences::<32>(true);
}

/// A generator of numbers in 0.0..1.0 (xorshift), so that large runs are the same each time.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.unit() * limit as f64) as usize
    }
}

/// Inserts `count` entries, queries, removes all in random order; once more with half of it and
/// reinsertion.
fn up_and_down<const D: usize, S: Scalar>(
    count: usize,
    mut make: impl FnMut(&mut Random) -> Rect<D, S>,
) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for (round, reinserted_percent) in [(count, 0), (count / 2, 30)] {
        let mut pair = Pair::<D, S>::new(reinserted_percent);
        for number in 0..round {
            pair.insert(make(&mut random), number as u32);
            if number.is_multiple_of(100) {
                pair.check();
            }
        }
        pair.check();
        pair.check_entries();
        for _ in 0..20 {
            let (a, b) = (make(&mut random), make(&mut random));
            pair.check_window(&a.union(&b));
            pair.check_window(&a);
            pair.check_nearest(a.min(), 17);
        }
        while !pair.list.is_empty() {
            pair.remove(random.below(pair.list.len()));
            if pair.list.len().is_multiple_of(100) {
                pair.check();
            }
            if pair.list.len() == round / 3 {
                pair.check_window(&make(&mut random));
                pair.check_nearest(make(&mut random).max(), 5);
            }
        }
        assert_eq!(pair.tree.bounds(), None);
    }
}

#[test]
fn uniform_points() {
    up_and_down::<2, f64>(6000, |random| [random.unit(), random.unit()].into());
    up_and_down::<3, f32>(3000, |random| [0; 3].map(|_| random.unit() as f32).into());
    up_and_down::<8, f64>(2000, |random| [0; 8].map(|_| random.unit()).into());
    up_and_down::<32, f64>(1500, |random| [0; 32].map(|_| random.unit()).into());
}

#[test]
fn boxes_of_many_sizes() {
    up_and_down::<2, f64>(3000, |random| {
        let min = [random.unit(), random.unit()];
        let side = random.unit().powi(8);
        Rect::new(min, [min[0] + side, min[1] + side * random.unit()]).unwrap()
    });
    up_and_down::<24, f32>(700, |random| {
        let min = [0; 24].map(|_| random.unit() as f32);
        Rect::new(min, min.map(|at| at + random.unit() as f32)).unwrap()
    });
}

#[test]
fn points_and_a_box_now_and_then() {
    up_and_down::<2, f64>(4000, |random| {
        let min = [random.unit(), random.unit()];
        if random.below(200) > 0 {
            return min.into();
        }
        Rect::new(min, [min[0] + 0.01, min[1]]).unwrap()
    });
}

#[test]
fn duplicates_by_the_thousand() {
    up_and_down::<2, f64>(3000, |random| [0; 2].map(|_| random.below(3) as f64).into());
    up_and_down::<2, f64>(2500, |_| [1.0, -1.0].into());
    up_and_down::<2, f64>(2500, |_| Rect::new([0.0, 0.0], [2.0, 3.0]).unwrap());
    up_and_down::<8, f64>(1500, |_| [0.0; 8].into());
}

#[test]
fn lines() {
    up_and_down::<2, f64>(3000, |random| [random.unit(), 0.0].into());
    up_and_down::<2, f64>(3000, |random| {
        let at = random.unit();
        [at, at].into()
    });
    let mut at = 0.0;
    up_and_down::<1, f64>(3000, |_| {
        at += 1.0;
        [at].into()
    });
    up_and_down::<3, f32>(2000, |random| [0.5, random.unit() as f32, -0.5].into());
}

#[test]
fn clusters() {
    up_and_down::<2, f64>(3000, |random| {
        let centre = random.below(5) as f64 * 1000.0;
        [centre + random.unit(), -centre + random.unit()].into()
    });
}

#[test]
fn huge_tiny_and_infinite_coordinates() {
    let scales = [1e-320, 1e-200, 1e-30, 1.0, 1e30, 1e200, 1e308, f64::INFINITY];
    up_and_down::<2, f64>(2500, |random| {
        let mut coordinate = || {
            let at = (random.unit() - 0.5) * scales[random.below(8)];
            if at.is_nan() { 0.0 } else { at }
        };
        let (a, b) = (Rect::from([coordinate(), coordinate()]), [coordinate(), coordinate()]);
        if a.min()[0] < b[0] { a.union(&b.into()) } else { a }
    });
    up_and_down::<2, f32>(2500, |random| {
        [0; 2].map(|_| (random.unit() - 0.5) as f32 * 1e38 * random.below(4) as f32).into()
    });
}

#[test]
fn refuses_nan_and_keeps_the_tree() {
    let mut tree = XTree::<2, u32>::new();
    tree.insert([1.0, 2.0], 1).unwrap();
    assert_eq!(tree.insert([1.0, f64::NAN], 2), Err(RectError::NotANumber { axis: 1 }));
    assert_eq!(tree.len(), 1);
    tree.validate().unwrap();
    assert!(tree.nearest([f64::NAN, 0.0], 1).is_empty());
    assert!(tree.nearest_first([f64::NAN, 0.0]).next().is_none());
    assert_eq!(tree.window(&[f64::NAN, 0.0].into()).count(), 0);
    assert_eq!(tree.nearest([0.0, 0.0], 0).len(), 0);
}

#[test]
fn values_of_any_kind() {
    let mut strings = XTree::<2, String>::new();
    let mut nothing = XTree::<3, (), f32>::new();
    let mut wide = XTree::<2, [u64; 700]>::new();
    for number in 0..500_u16 {
        let at = f64::from(number * 37 % 101);
        strings.insert([at, f64::from(number)], number.to_string()).unwrap();
        nothing.insert([at as f32, 0.0, f32::from(number)], ()).unwrap();
        wide.insert([at, -at], [u64::from(number); 700]).unwrap();
    }
    strings.validate().unwrap();
    nothing.validate().unwrap();
    wide.validate().unwrap();
    assert!(strings.contains(&[37.0, 1.0].into(), &"1".to_owned()));
    assert!(!strings.contains(&[37.0, 1.0].into(), &"2".to_owned()));
    assert_eq!(nothing.remove(&[0.0, 0.0, 0.0].into(), |_| true), Some(()));
    assert_eq!(wide.at([37.0, -37.0]).count(), 5);
    assert_eq!(strings.clone().iter().count(), 500);
    strings.clear();
    assert!(strings.is_empty() && strings.nearest([0.0; 2], 3).is_empty());
}

#[test]
fn standard_traits() {
    let tree: XTree<1, u8> = [([1.0], 1), ([2.0], 2)].into_iter().collect();
    assert_eq!(format!("{tree:?}").matches("Rect").count(), 2);
    assert_eq!((&tree).into_iter().count(), XTree::<1, u8>::default().len() + 2);
    fn sendable<T: Send + Sync>(_: &T) {}
    sendable(&tree);
}
