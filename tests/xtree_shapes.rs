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

/// Among points that fill a leaf, or hardly.
fn a_box_among<const D: usize, T: Clone>(points: u32, removed: u32, tuning: Tuning, value: &T) {
    let mut tree = XTree::<D, T>::with_tuning(tuning);
    let at = |number: u32| [f64::from(number); D];
    for number in 0..points {
        tree.insert(at(number), value.clone()).unwrap();
    }
    for number in 0..removed {
        tree.remove(&at(number).into(), |_| true).unwrap();
    }
    for number in removed..points {
        let mut tree = tree.clone();
        let rect = Rect::new(at(number), at(number).map(|at| at + 0.5)).unwrap();
        tree.insert(rect, value.clone()).unwrap();
        tree.validate().unwrap();
        assert_eq!(tree.len(), (points - removed) as usize + 1);
    }
}

#[test]
fn a_box_comes_to_a_leaf_of_points() {
    for removed in [0, 10, 20] {
        a_box_among::<2, _>(120, removed, Tuning::new(), &String::new());
        a_box_among::<1, _>(120, removed, Tuning::new(), &[0_u64; 4]);
    }
    let small = Tuning::new().leaf_rows(12).inner_rows(9).reinsertion(45);
    for removed in 0..12 {
        a_box_among::<2, _>(40, removed, small, &0_u32);
    }
}

/// Leaves that overlap and are hardly filled: a leaf of points that a box comes to is not full, and
/// has nothing to give away.
#[test]
fn nothing_is_reinserted_that_has_room() {
    let mut random = Random(77);
    for rows in [12_usize, 31] {
        let tuning = Tuning::new().reinsertion(45).leaf_rows(rows as u32).inner_rows(9);
        let mut pair = Pair::<2, f64>::new(tuning);
        for number in 0..rows * 8 {
            pair.insert([random.unit(), random.unit()].into(), number as u32);
        }
        for _ in 0..rows * 8 {
            let place = random.below(pair.list.len());
            let to = pair.list[place].0.min().map(|at| at + 0.3 * (random.unit() - 0.5));
            pair.relocate(place, to.into());
        }
        while pair.list.len() > rows * 2 {
            pair.remove(random.below(pair.list.len()));
            let at = pair.list[random.below(pair.list.len())].0.min();
            let mut tree = pair.tree.clone();
            tree.insert(Rect::new(at, at.map(|at| at + 1e-6)).unwrap(), 0).unwrap();
            tree.validate().unwrap();
        }
    }
}

#[test]
fn more_neighbours_than_entries() {
    let tree: XTree<2, u32> = (0..1000).map(|at| ([f64::from(at), 0.0], at)).collect();
    for count in [1001, usize::MAX / 2, usize::MAX] {
        assert_eq!(tree.nearest([3.0, 0.0], count).len(), 1000);
    }
}

#[test]
fn what_is_at_a_distance_is_within_it() {
    for number in 1..1000 {
        let at = [f64::from(number).sqrt(), f64::from(number) / 7.0];
        let tree: XTree<2, u32> = [(at, number)].into_iter().collect();
        let distance = tree.nearest([0.0, 0.0], 1)[0].distance;
        let origin: XTree<2, ()> = [([0.0, 0.0], ())].into_iter().collect();
        for (distance, found) in [(distance, 1), (distance.next_down(), 0)] {
            assert_eq!(tree.within_distance([0.0, 0.0], distance).count(), found, "{at:?}");
            assert_eq!(tree.join_within(&origin, distance).count(), found, "{at:?}");
            assert_eq!(origin.join_within(&tree, distance).count(), found, "{at:?}");
        }
    }
    assert_eq!(near([3e19_f32, 9e20, 5.0], 1e20), 1);
    assert_eq!(near([1e200, 1e300, 5.0], 1e250), 1);
    assert_eq!(near([1e200, 1e300, f64::INFINITY], f64::INFINITY), 3);
}

/// How many of the places are within the distance of 0, by two ways.
fn near<S: Scalar>(places: [S; 3], distance: S) -> usize {
    let tree: XTree<1, (), S> = places.map(|at| ([at], ())).into_iter().collect();
    let origin: XTree<1, (), S> = [([S::ZERO], ())].into_iter().collect();
    let found = tree.within_distance([S::ZERO], distance).count();
    assert_eq!(tree.join_within(&origin, distance).count(), found);
    found
}

#[test]
fn infinite_places_have_pairs() {
    let ends: XTree<1, u32> =
        [([f64::INFINITY], 0), ([1.0], 1), ([f64::NEG_INFINITY], 2)].into_iter().collect();
    assert_eq!(ends.join_within(&ends, f64::INFINITY).count(), 9);
    assert_eq!(ends.join_within(&ends, 1e100).count(), 3);
}

/// A system that gives no thread: in a process whose threads would have endless stacks.
#[test]
fn loads_on_one_thread_where_there_are_no_more() {
    const CHILD: &str = "STILLHEAP_TEST_WITHOUT_THREADS";
    if std::env::var_os(CHILD).is_none() {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["loads_on_one_thread_where_there_are_no_more", "--exact"]);
        // Then the test runs on the main thread.
        command.arg("--test-threads=1");
        let endless = (1_u64 << 50).to_string();
        let output = command.env(CHILD, "1").env("RUST_MIN_STACK", endless).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        return;
    }
    assert!(std::thread::Builder::new().spawn(|| ()).is_err());
    let entries = (0..50_000).map(|at| ([f64::from(at * 37 % 10_007), f64::from(at)], at));
    let tree: XTree<2, i32> =
        BulkLoad::new().threads(8.try_into().unwrap()).load_parallel(entries).unwrap();
    tree.validate().unwrap();
    assert_eq!(tree.iter().map(|(_, &value)| i64::from(value)).sum::<i64>(), 49_999 * 25_000);
}

#[test]
fn standard_traits() {
    let tree: XTree<1, u8> = [([1.0], 1), ([2.0], 2)].into_iter().collect();
    assert_eq!(format!("{tree:?}").matches("Rect").count(), 2);
    assert_eq!((&tree).into_iter().count(), XTree::<1, u8>::default().len() + 2);
    fn sendable<T: Send + Sync>(_: &T) {}
    sendable(&tree);
}
