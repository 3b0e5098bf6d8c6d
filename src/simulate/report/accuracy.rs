//! How close figures come, and how many intervals must hold the truth.

use super::ReleaseBesideTruth;
use serde::Serialize;

/// How close figures come.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Accuracy {
    /// Figures with a known truth.
    pub figures: usize,
    /// Intervals that hold it.
    pub held: usize,
    /// The share of them; 0.95 is meant.
    pub coverage: f64,
    /// The root of the mean squared error of shares.
    pub rms_error: f64,
    /// What the intervals say that it is: half of their width, over the 1.96 standard deviations
    /// that it stands for, root mean square.
    pub stated_error: f64,
    /// What `plan` predicts, in the same way: for rates of one half in the population, and so at
    /// least as large.
    pub planned_error: f64,
}

/// Standard deviations in half of a 95 % interval.
const DEVIATIONS: f64 = 1.959_963_985;

impl Accuracy {
    /// Of all figures of some releases; nothing if no truth is known.
    #[expect(clippy::cast_precision_loss, reason = "figures are far fewer than 2^53")]
    pub(super) fn of<'a>(releases: impl Iterator<Item = &'a ReleaseBesideTruth>) -> Option<Self> {
        let (mut figures, mut held) = (0, 0);
        let (mut errors, mut stated, mut planned) = (0.0, 0.0, 0.0);
        for release in releases {
            for bin in &release.bins {
                let (Some(truth), Some(holds)) = (bin.truth, bin.holds) else { continue };
                figures += 1;
                held += usize::from(holds);
                errors += (bin.estimate - truth).powi(2);
                stated += ((bin.high - bin.low) / 2.0).powi(2);
                planned += release.planned_half_width.powi(2);
            }
        }
        let root_mean = |sum: f64| (sum / figures as f64).sqrt();
        (figures > 0).then(|| Self {
            figures,
            held,
            coverage: held as f64 / figures as f64,
            rms_error: root_mean(errors),
            stated_error: root_mean(stated) / DEVIATIONS,
            planned_error: root_mean(planned) / DEVIATIONS,
        })
    }
}

/// How many of so many 95 % intervals hold their truth all but once in a million times, if each
/// does so by itself. (Intervals of one release go together a little, which makes the chance of
/// fewer somewhat larger.)
#[expect(clippy::cast_precision_loss, reason = "figures are far fewer than 2^53")]
pub fn least_held(figures: usize) -> usize {
    const RARE: f64 = 1e-6;
    let odds = (0.05_f64 / 0.95).ln();
    // The logarithm of the chance of so many misses: none, one, two, …
    let mut chance = figures as f64 * 0.95_f64.ln();
    let mut at_most = chance.exp();
    let mut misses = 0;
    while misses < figures && 1.0 - at_most > RARE {
        chance += odds + ((figures - misses) as f64).ln() - ((misses + 1) as f64).ln();
        misses += 1;
        at_most += chance.exp();
    }
    figures - misses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_than_so_many_hold_once_in_a_million_times() {
        // By the binomial distribution: P(X > 5) = 2.2e-6 and P(X > 6) = 8.3e-8 of 12, and so on.
        for (figures, least) in [(0, 0), (1, 0), (12, 6), (100, 83), (1000, 915)] {
            assert_eq!(least_held(figures), least, "{figures}");
        }
    }
}
