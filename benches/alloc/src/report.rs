//! Medians, and what is made of them.

use crate::figures::{median, metric, ratio, short};
use crate::programs::Figures;

/// A shape at a number of threads; each figure is one for each allocator.
struct Cell {
    shape: String,
    threads: usize,
    mops: Vec<f64>,
    rss_peak: Vec<f64>,
    rss_after: Vec<f64>,
}

pub(crate) struct Report<'a> {
    allocators: &'a [&'a str],
    threads: &'a [usize],
    cells: Vec<Cell>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(allocators: &'a [&'a str], threads: &'a [usize]) -> Self {
        Self { allocators, threads, cells: Vec::new() }
    }

    /// Takes the rounds of each allocator, and prints them.
    pub(crate) fn note(&mut self, shape: &str, threads: usize, rounds: &[Vec<Figures>]) {
        let medians = |name| rounds.iter().map(|rounds| median_of(rounds, name)).collect();
        let cell = Cell {
            shape: shape.to_owned(),
            threads,
            mops: medians("mops"),
            rss_peak: medians("rss_peak"),
            rss_after: medians("rss_after"),
        };
        let name = format!("alloc.{shape}.{threads}");
        for (number, allocator) in self.allocators.iter().enumerate() {
            metric(&format!("{name}.{allocator}"), cell.mops[number], "Mops/s");
            metric(&format!("{name}.rss_peak.{allocator}"), cell.rss_peak[number], "MiB");
            metric(&format!("{name}.rss_after.{allocator}"), cell.rss_after[number], "MiB");
        }
        for (ours, other) in self.pairs() {
            let over = cell.mops[ours] / cell.mops[other];
            ratio(&format!("{name}.ours_over_{}", self.allocators[other]), over);
        }
        self.cells.push(cell);
    }

    /// Prints how ours does with memory in a shape that is done.
    pub(crate) fn memory(&self, shape: &str) {
        for (ours, other) in self.pairs() {
            let over = |of: fn(&Cell) -> &Vec<f64>| {
                let cells = self.cells.iter().filter(|cell| cell.shape == shape);
                median(cells.map(|cell| of(cell)[ours] / of(cell)[other]).collect())
            };
            let (name, other) = (format!("alloc.{shape}"), self.allocators[other]);
            ratio(&format!("{name}.rss_over_{other}"), over(|cell| &cell.rss_peak));
            ratio(&format!("{name}.rss_after_over_{other}"), over(|cell| &cell.rss_after));
        }
    }

    /// Prints means over all shapes, and names the worst one.
    pub(crate) fn all(&self) {
        for &threads in self.threads {
            for (ours, other) in self.pairs() {
                let cells = self.cells.iter().filter(|cell| cell.threads == threads);
                let over: Vec<(f64, &str)> =
                    cells.map(|cell| (cell.mops[ours] / cell.mops[other], &*cell.shape)).collect();
                let Some(worst) = over.iter().min_by(|a, b| a.0.total_cmp(&b.0)) else { continue };
                let mean = over.iter().map(|(over, _)| over.ln()).sum::<f64>() / over.len() as f64;
                let other = self.allocators[other];
                ratio(&format!("alloc.all.{threads}.ours_over_{other}"), mean.exp());
                let (over, shape) = (short(worst.0), worst.1);
                println!("{threads} threads: over {other} worst in {shape}, {over}");
            }
        }
    }

    /// Ours, and each other allocator, by their places.
    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let ours = self.allocators.iter().position(|allocator| *allocator == "ours");
        let others = 0..self.allocators.len();
        ours.into_iter().flat_map(move |ours| {
            others.clone().filter(move |&other| other != ours).map(move |other| (ours, other))
        })
    }
}

fn median_of(rounds: &[Figures], name: &str) -> f64 {
    let figures = rounds.iter().flatten().filter(|(told, _)| told == name);
    median(figures.map(|(_, value)| *value).collect())
}
