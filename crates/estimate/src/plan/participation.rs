//! How many of the devices report in one window, when each draws the windows in which it does.
//!
//! A device reports in `w` of the `W` windows of a period, drawn by its own secret, and to one of the
//! `arms` that a metric's public dimensions make. So a batch holds each device with the probability
//! `w / (W · arms)`, one independently of the others, and its size is binomial. Where the publisher
//! splits devices evenly over the arms, sizes vary less than that.

use serde::Serialize;

/// The devices that may be in one batch, and the chance of each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Participation {
    devices: u64,
    /// `own` of `all`: the probability that a batch holds a device.
    own: u64,
    all: u64,
}

/// How surely batches are large enough.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fill {
    /// Reports that a batch is expected to hold.
    pub expected: f64,
    /// The probability that one batch holds at least `min_batch_size`.
    pub one_batch: f64,
}

impl Fill {
    /// The expected reports, rounded down.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of reports"
    )]
    pub fn reports(&self) -> u64 {
        self.expected.floor() as u64
    }
}

impl Participation {
    /// `windows` of `of_windows` for each device, which reports to one of `arms` tasks.
    pub fn new(devices: u64, windows: u64, of_windows: u64, arms: u64) -> Self {
        let all = of_windows.max(1).saturating_mul(arms.max(1));
        Self { devices, own: windows.min(of_windows.max(1)), all }
    }

    /// Reports that a batch is expected to hold.
    pub fn expected(&self) -> f64 {
        float(self.devices) * self.chance()
    }

    /// How surely a batch holds at least `least` reports.
    pub fn fill(&self, least: u64) -> Fill {
        Fill { expected: self.expected(), one_batch: 1.0 - self.falls_short(least) }
    }

    /// The probability that a batch holds fewer than `least` reports.
    pub fn falls_short(&self, least: u64) -> f64 {
        let sizes = self.sizes();
        let missing = usize::try_from(least.saturating_sub(sizes.first)).unwrap_or(usize::MAX);
        // What is cut off at either end is less than rounding.
        sizes.probabilities.iter().take(missing).sum::<f64>().min(1.0)
    }

    /// The largest number of reports that a batch falls short of with a probability of at most
    /// `failure`.
    pub fn surely(&self, failure: f64) -> u64 {
        let sizes = self.sizes();
        let mut below = 0.0;
        let fewer = sizes.probabilities.iter().take_while(|probability| {
            below += **probability;
            below <= failure
        });
        sizes.first + fewer.count() as u64
    }

    #[expect(clippy::cast_precision_loss, reason = "a probability")]
    fn chance(&self) -> f64 {
        self.own as f64 / self.all as f64
    }

    /// The sizes that are not all but impossible, from the likeliest on both ways.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a number of devices"
    )]
    fn sizes(&self) -> Sizes {
        if self.own == self.all || self.own == 0 {
            let first = if self.own == 0 { 0 } else { self.devices };
            return Sizes { first, probabilities: vec![1.0] };
        }
        let chance = self.chance();
        let odds = chance / (1.0 - chance);
        let mode = ((float(self.devices) + 1.0) * chance).floor() as u64;
        let mode = mode.min(self.devices);
        let walk = |ratios: &mut dyn Iterator<Item = f64>| {
            let mut product = 1.0;
            let products = ratios.map(move |ratio| {
                product *= ratio;
                product
            });
            products.take_while(|product| *product > NEGLIGIBLE).collect::<Vec<_>>()
        };
        let below = |x: u64| float(x) / (float(self.devices - x + 1) * odds);
        let above = |x: u64| float(self.devices - x) * odds / float(x + 1);
        let down = walk(&mut (1..=mode).rev().map(below));
        let up = walk(&mut (mode..self.devices).map(above));
        let first = mode - down.len() as u64;
        let mut probabilities: Vec<f64> = down.into_iter().rev().collect();
        probabilities.push(1.0);
        probabilities.extend(up);
        let sum: f64 = probabilities.iter().sum();
        for probability in &mut probabilities {
            *probability /= sum;
        }
        Sizes { first, probabilities }
    }
}

/// Beside the likeliest size.
const NEGLIGIBLE: f64 = 1e-25;

struct Sizes {
    first: u64,
    probabilities: Vec<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "numbers of devices are far below 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sums of C(n, x) p^x (1-p)^(n-x) in whole numbers, by hand for n = 10 and p = 1/4.
    #[test]
    fn sizes_are_binomial() {
        let few = Participation::new(10, 1, 2, 2);
        let whole = 4_f64.powi(10);
        for (least, short) in
            [(0, 0.0), (1, 59_049.0), (2, 59_049.0 + 196_830.0), (11, whole), (99, whole)]
        {
            assert!((few.falls_short(least) - short / whole).abs() < 1e-12, "{least}");
        }
        assert!((few.expected() - 2.5).abs() < 1e-12);
    }

    #[test]
    fn what_batches_surely_hold_is_the_most_that_they_do() {
        for (devices, windows, of_windows, arms) in
            [(100_000, 1, 13, 2), (100_000, 3, 91, 1), (5000, 1, 1, 2), (40, 2, 13, 1)]
        {
            let batch = Participation::new(devices, windows, of_windows, arms);
            for failure in [1e-2, 1e-4, 1e-6] {
                let least = batch.surely(failure);
                assert!(batch.falls_short(least) <= failure, "{batch:?}");
                assert!(batch.falls_short(least + 1) > failure, "{batch:?}");
            }
        }
    }

    #[test]
    fn where_every_device_reports_nothing_is_left_to_chance() {
        let all = Participation::new(3000, 13, 13, 1);
        assert_eq!((all.surely(1e-9), all.falls_short(3000)), (3000, 0.0));
        assert!((all.falls_short(3001) - 1.0).abs() < 1e-12);
    }
}
