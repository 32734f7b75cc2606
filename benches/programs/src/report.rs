//! Medians, and what is made of them.

use crate::builds::ALLOCATORS;
use crate::process::{self, Run};
use crate::shared::{Error, median, metric, milliseconds, ratio};

/// Medians of a job, or quotients of them.
#[derive(Clone, Copy)]
struct Figures {
    time: f64,
    cpu: f64,
    rss: f64,
}

pub(crate) struct Report {
    /// Of the jobs of the program under way: ours over mimalloc's.
    jobs: Vec<Figures>,
    /// Of the programs so far.
    programs: Vec<Figures>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { jobs: Vec::new(), programs: Vec::new() }
    }

    /// Takes both allocators' rounds of a job, and prints them.
    pub(crate) fn job(
        &mut self,
        program: &str,
        job: &str,
        runs: &[Vec<Run>; 2],
    ) -> Result<(), Error> {
        let medians = medians(runs);
        for (allocator, figures) in ALLOCATORS.iter().zip(&medians) {
            let name = format!("alloc.program.{program}.{job}");
            metric(&format!("{name}.{}", allocator.name), figures.time, "ms");
            metric(&format!("{name}.cpu.{}", allocator.name), figures.cpu, "ms");
            metric(&format!("{name}.rss.{}", allocator.name), figures.rss, "MiB");
        }
        let least = runs.iter().flatten().map(|run| run.peak).min();
        let own = process::own_peak()?;
        if least.is_none_or(|least| least <= own) {
            return Err(
                format!("{program} {job} needs less memory than this bench, {own} KiB").into()
            );
        }
        self.jobs.push(over(&medians));
        Ok(())
    }

    /// The same of starts.
    pub(crate) fn starts(&self, program: &str, runs: &[Vec<Run>; 2]) {
        let medians = medians(runs);
        for (allocator, figures) in ALLOCATORS.iter().zip(&medians) {
            let name = format!("alloc.program.{program}.start");
            metric(&format!("{name}.{}", allocator.name), figures.time, "ms");
            metric(&format!("{name}.cpu.{}", allocator.name), figures.cpu, "ms");
        }
        let over = over(&medians);
        ratio(&format!("alloc.program.{program}.start_over_mimalloc"), over.time);
        ratio(&format!("alloc.program.{program}.start_cpu_over_mimalloc"), over.cpu);
    }

    /// Prints means over a program's jobs; the next ones are another's.
    pub(crate) fn program(&mut self, program: &str) {
        let means = print_means(program, &self.jobs);
        self.jobs.clear();
        self.programs.push(means);
    }

    /// Prints means over all programs.
    pub(crate) fn all(&self) {
        print_means("all", &self.programs);
    }
}

fn medians(runs: &[Vec<Run>; 2]) -> [Figures; 2] {
    let of = |runs: &[Run], figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
    runs.each_ref().map(|runs| Figures {
        time: of(runs, |run| milliseconds(run.wall)),
        cpu: of(runs, |run| milliseconds(run.cpu)),
        rss: of(runs, |run| run.peak as f64 / 1024.0),
    })
}

fn over([ours, other]: &[Figures; 2]) -> Figures {
    Figures { time: ours.time / other.time, cpu: ours.cpu / other.cpu, rss: ours.rss / other.rss }
}

fn print_means(name: &str, over: &[Figures]) -> Figures {
    let mean = |figure: fn(&Figures) -> f64| {
        let sum: f64 = over.iter().map(|over| figure(over).ln()).sum();
        (sum / over.len() as f64).exp()
    };
    let means = Figures {
        time: mean(|over| over.time),
        cpu: mean(|over| over.cpu),
        rss: mean(|over| over.rss),
    };
    ratio(&format!("alloc.program.{name}.time_over_mimalloc"), means.time);
    ratio(&format!("alloc.program.{name}.cpu_over_mimalloc"), means.cpu);
    ratio(&format!("alloc.program.{name}.rss_over_mimalloc"), means.rss);
    means
}
