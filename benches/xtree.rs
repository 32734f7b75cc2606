//! The X-tree beside rstar 0.12: same data, same process, alternating rounds, results checked
//! equal.
//!
//! `cargo bench --bench xtree`; `-- --quick` for small sizes. Prints `metric NAME VALUE UNIT`
//! (medians) and
//! `ratio xtree.<data>.<n>.<operation>.ours_over_rstar`, throughputs: above 1 is better.

use std::hint::black_box;
use std::time::Instant;

use rstar::primitives::GeomWithData;
use rstar::{AABB, RTree};
use stillheap::{Rect, XTree};

type Theirs = RTree<GeomWithData<[f64; 2], u64>>;
type Ours = XTree<2, u64>;

const OPERATIONS: [&str; 4] = ["insert", "window_100", "nearest_10", "remove"];

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (sizes, rounds) = if quick { ([20_000, 100_000], 3) } else { ([100_000, 1_000_000], 5) };
    for size in sizes {
        let work = Work::uniform(size, if quick { 20_000 } else { 100_000 });
        let mut rates = [const { Vec::new() }; 2];
        for round in 0..rounds {
            // Alternately first, so that neither always runs on a colder machine.
            for side in [round % 2, 1 - round % 2] {
                let run =
                    if side == 0 { round_of::<Ours>(&work) } else { round_of::<Theirs>(&work) };
                rates[side].push(run);
            }
        }
        report(size, &rates);
    }
}

/// What both trees are asked to do.
struct Work {
    points: Vec<[f64; 2]>,
    /// Places of queries, uniform as the points are.
    queries: Vec<[f64; 2]>,
    /// Half the side of a window with about 100 hits.
    reach: f64,
}

impl Work {
    fn uniform(size: usize, queries: usize) -> Self {
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut unit = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        let points = (0..size).map(|_| [unit(), unit()]).collect();
        let queries = (0..queries).map(|_| [unit(), unit()]).collect();
        Self { points, queries, reach: (100.0 / size as f64).sqrt() / 2.0 }
    }
}

/// Operations a second, in the order of `OPERATIONS`, and what came out.
struct Round {
    rates: [f64; 4],
    hits: u64,
    distances: f64,
}

trait Index: Default {
    fn insert(&mut self, at: [f64; 2], value: u64);
    fn window(&self, min: [f64; 2], max: [f64; 2]) -> u64;
    fn nearest(&self, at: [f64; 2]) -> f64;
    fn remove(&mut self, at: [f64; 2], value: u64) -> bool;
}

impl Index for Ours {
    fn insert(&mut self, at: [f64; 2], value: u64) {
        XTree::insert(self, at, value).expect("the points are numbers");
    }

    fn window(&self, min: [f64; 2], max: [f64; 2]) -> u64 {
        let window = Rect::new(min, max).expect("the windows are boxes");
        XTree::window(self, &window).fold(0, |sum, (_, &value)| sum ^ (value + 1))
    }

    fn nearest(&self, at: [f64; 2]) -> f64 {
        self.nearest_by(stillheap::EuclideanSquared, at, 10).iter().map(|near| near.distance).sum()
    }

    fn remove(&mut self, at: [f64; 2], value: u64) -> bool {
        XTree::remove(self, &at.into(), |&other| other == value).is_some()
    }
}

impl Index for Theirs {
    fn insert(&mut self, at: [f64; 2], value: u64) {
        RTree::insert(self, GeomWithData::new(at, value));
    }

    fn window(&self, min: [f64; 2], max: [f64; 2]) -> u64 {
        let window = AABB::from_corners(min, max);
        self.locate_in_envelope_intersecting(&window).fold(0, |sum, point| sum ^ (point.data + 1))
    }

    fn nearest(&self, at: [f64; 2]) -> f64 {
        self.nearest_neighbor_iter_with_distance_2(&at).take(10).map(|(_, distance)| distance).sum()
    }

    fn remove(&mut self, at: [f64; 2], value: u64) -> bool {
        RTree::remove(self, &GeomWithData::new(at, value)).is_some()
    }
}

fn round_of<I: Index>(work: &Work) -> Round {
    let mut index = I::default();
    let insert = rate(work.points.len(), || {
        for (number, &at) in work.points.iter().enumerate() {
            index.insert(at, number as u64);
        }
    });
    let mut hits = 0;
    let window = rate(work.queries.len(), || {
        for &[x, y] in &work.queries {
            let reach = work.reach;
            hits += black_box(index.window([x - reach, y - reach], [x + reach, y + reach]));
        }
    });
    let mut distances = 0.0;
    let nearest = rate(work.queries.len(), || {
        for &at in &work.queries {
            distances += black_box(index.nearest(at));
        }
    });
    let remove = rate(work.points.len(), || {
        for (number, &at) in work.points.iter().enumerate() {
            assert!(index.remove(at, number as u64), "point {number} is there");
        }
    });
    Round { rates: [insert, window, nearest, remove], hits, distances }
}

fn rate(operations: usize, run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    operations as f64 / start.elapsed().as_secs_f64()
}

fn report(size: usize, rounds: &[Vec<Round>; 2]) {
    let [ours, theirs] = rounds;
    for (ours, theirs) in ours.iter().zip(theirs) {
        assert_eq!(ours.hits, theirs.hits, "windows found different entries");
        let error = (ours.distances - theirs.distances).abs();
        assert!(error <= 1e-9 * theirs.distances, "nearest found different distances");
    }
    for (number, operation) in OPERATIONS.iter().enumerate() {
        let rate = |side: &[Round]| median(side.iter().map(|round| round.rates[number]).collect());
        let name = format!("xtree.uniform.{size}.{operation}");
        println!("metric {name}.ours {:.0} ops/s", rate(ours));
        println!("metric {name}.rstar {:.0} ops/s", rate(theirs));
        println!("ratio {name}.ours_over_rstar {:.3}", rate(ours) / rate(theirs));
    }
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_unstable_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
