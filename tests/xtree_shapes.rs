//! Inputs that spatial indexes are known to suffer from, up and down again, beside a naive list;
//! and what the X-tree refuses.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, also in its helpers")]
#![allow(clippy::cast_possible_truncation, reason = "the numbers of a test are small")]

mod xtree_support;

use stillheap::{BulkLoad, Rect, RectError, Scalar, Tuning, XTree};
use xtree_support::{Pair, Random};

/// Inserts `count` entries, queries, removes all in random order; once more with half of it and
/// reinsertion.
fn up_and_down<const D: usize, S: Scalar>(
    count: usize,
    mut make: impl FnMut(&mut Random) -> Rect<D, S>,
) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let tunings = [Tuning::new(), Tuning::new().reinsertion(30).leaf_rows(12).inner_rows(9)];
    for (round, tuning) in [(count, tunings[0]), (count / 2, tunings[1])] {
        let mut pair = Pair::<D, S>::new(tuning);
        for number in 0..round {
            pair.insert(make(&mut random), number as u32);
            if number.is_multiple_of(100) {
                pair.check();
            }
        }
        ask(&pair, &mut random, &mut make);
        pair.rebuild(70, Some(3));
        ask(&pair, &mut random, &mut make);
        for _ in 0..round / 3 {
            let (place, to) = (random.below(pair.list.len()), make(&mut random));
            pair.relocate(place, to);
        }
        ask(&pair, &mut random, &mut make);
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

fn ask<const D: usize, S: Scalar>(
    pair: &Pair<D, S>,
    random: &mut Random,
    make: &mut impl FnMut(&mut Random) -> Rect<D, S>,
) {
    pair.check();
    pair.check_entries();
    for _ in 0..10 {
        let (a, b) = (make(random), make(random));
        pair.check_window(&a.union(&b));
        pair.check_window(&a);
        pair.check_exactly(&pair.list[random.below(pair.list.len())].0);
        pair.check_nearest(a.min(), 17);
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
    assert_eq!(tree.within_distance([f64::NAN, 0.0], 1.0).count(), 0);
    assert_eq!(tree.within_distance([1.0, 2.0], f64::NAN).count(), 0);
    assert_eq!(tree.within_distance([1.0, 2.0], -1.0).count(), 0);
    assert_eq!(tree.join_within(&tree, f64::NAN).count(), 0);
    let refused = Err(RectError::NotANumber { axis: 0 });
    assert_eq!(tree.relocate(&[1.0, 2.0].into(), |_| true, [f64::NAN, 0.0]), refused);
    assert_eq!(tree.get(&[1.0, 2.0].into()), Some(&1));
    let points = [[0.0], [f64::NAN]].map(|at| (at, 0));
    assert!(XTree::<1, u32>::bulk_load(points).is_err());
    assert!(BulkLoad::new().load_parallel::<1, u32, f64, _>(points).is_err());
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
