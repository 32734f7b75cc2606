//! Random numbers, uniform and by Zipf's law, from a fixed seed: every run does the same work.

/// Ranks whose weights are added up one by one; the sum over the rest is an integral.
const EXACT: u64 = 1 << 20;

/// A xorshift generator.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        Self(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let scaled = u128::from(self.word()) * bound as u128;
        (scaled >> 64) as usize
    }

    /// A number from 0 up to 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Ranks below a number, the first ones most often: rank `i` with a weight of `1 / (i + 1)^skew`.
///
/// The method is of Gray et al., "Quickly generating billion-record synthetic databases" (1994).
pub(crate) struct Zipf {
    ranks: f64,
    alpha: f64,
    eta: f64,
    sum: f64,
    second: f64,
}

impl Zipf {
    /// `skew` lies between 0 and 1.
    pub(crate) fn new(ranks: u64, skew: f64) -> Self {
        let sum = weights(ranks, skew);
        let second = 1.0 + 0.5_f64.powf(skew);
        let eta = (1.0 - (2.0 / ranks as f64).powf(1.0 - skew)) / (1.0 - second / sum);
        Self { ranks: ranks as f64, alpha: 1.0 / (1.0 - skew), eta, sum, second }
    }

    pub(crate) fn rank(&self, dice: &mut Dice) -> u64 {
        let unit = dice.unit();
        let scaled = unit * self.sum;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < self.second {
            return 1;
        }
        let rank = self.ranks * (self.eta * unit - self.eta + 1.0).powf(self.alpha);
        rank.min(self.ranks - 1.0) as u64
    }
}

fn weights(ranks: u64, skew: f64) -> f64 {
    let exact = ranks.min(EXACT);
    let head: f64 = (1..=exact).map(|rank| (rank as f64).powf(-skew)).sum();
    let power = |at: f64| at.powf(1.0 - skew) / (1.0 - skew);
    head + power(ranks as f64 + 0.5) - power(exact as f64 + 0.5)
}
