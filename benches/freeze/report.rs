//! Snapshots as they were, and the `metric` lines made of them.

use crate::Job;
use crate::histogram::Histogram;
use crate::timeline::Timeline;
use std::time::Duration;

/// One snapshot. Instants are those of the timeline.
pub(crate) struct Sample {
    pub(crate) asked: u64,
    pub(crate) frozen: u64,
    /// When all of it was over.
    pub(crate) done: u64,
    /// How long writers were stopped, once all had stopped.
    pub(crate) pause: Duration,
    /// How long it took until all had stopped.
    pub(crate) drain: Duration,
    /// From the freeze until the writer is as free as before it.
    pub(crate) window: Duration,
    pub(crate) counts: Vec<Count>,
}

/// Something that was counted for a snapshot.
#[derive(Clone, Copy)]
pub(crate) struct Count {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) value: u64,
}

impl Job {
    /// Prints the figures of all snapshots but the first, which warms up.
    pub(crate) fn report(
        &self,
        samples: &[Sample],
        histograms: &[Histogram; 2],
        timeline: &Timeline,
    ) {
        let Some((first, rest)) = samples.split_first() else { return };
        let microseconds = |time: Duration| time.as_secs_f64() * 1e6;
        let pauses = sorted(rest.iter().map(|sample| microseconds(sample.pause)));
        let drains = sorted(rest.iter().map(|sample| microseconds(sample.drain)));
        let windows = sorted(rest.iter().map(|sample| microseconds(sample.window) / 1000.0));
        self.metric("first_pause_us", microseconds(first.pause), "us");
        self.metric("pause_p50_us", median(&pauses), "us");
        self.metric("pause_max_us", last(&pauses), "us");
        self.metric("drain_max_us", last(&drains), "us");
        self.metric("window_ms", median(&windows), "ms");

        let outside = |sample: &Sample| timeline.rate(self.gap_before(sample));
        let inside = |sample: &Sample| {
            timeline.rate(sample.frozen..sample.frozen + sample.window.as_nanos() as u64)
        };
        let rates = sorted(rest.iter().map(outside));
        let ratios = sorted(rest.iter().map(|sample| inside(sample) / outside(sample)));
        self.metric("in_window_throughput", median(&ratios), "ratio");
        self.metric("outside_throughput", median(&rates), "ops/s");
        let untouched = timeline.rate(self.gap_before(first));
        self.metric("outside_over_before_any", median(&rates) / untouched, "ratio");

        // The operation that waited longest ends behind the slot in which the snapshot ends.
        let worst = |sample: &Sample| timeline.worst(sample.asked..sample.done + 1_000_000);
        self.metric("worst_op_us", last(&sorted(rest.iter().map(|s| worst(s).into()))), "us");
        let worst = |sample: &Sample| timeline.worst(self.gap_before(sample));
        self.metric(
            "outside_worst_op_us",
            last(&sorted(rest.iter().map(|s| worst(s).into()))),
            "us",
        );
        for (name, histogram) in ["outside", "during"].iter().zip(histograms) {
            self.metric(&format!("{name}_p999_us"), histogram.quantile(0.999), "us");
        }
        for (place, count) in first.counts.iter().enumerate() {
            let values = rest.iter().filter_map(|sample| sample.counts.get(place));
            let values = sorted(values.map(|count| count.value as f64));
            self.metric(count.name, median(&values), count.unit);
        }
    }

    /// The second half of the time before a snapshot: the first may still bear the last one's
    /// marks.
    fn gap_before(&self, sample: &Sample) -> std::ops::Range<u64> {
        sample.asked.saturating_sub(self.gap.as_nanos() as u64 / 2)..sample.asked
    }

    fn metric(&self, name: &str, value: f64, unit: &str) {
        println!("metric {}.{name} {} {unit}", self.name(), short(value));
    }
}

/// A number with as many digits as are worth reading.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn last(sorted: &[f64]) -> f64 {
    sorted.last().copied().unwrap_or(f64::NAN)
}
