//! The exact law of a count, for counts that vary too little for the normal distribution.
//!
//! In the cohort a count is the sum of two binomials, of those with the answer and of those without;
//! in the population it is one binomial. The aggregators' noise is convolved with it. Which counts
//! contradict a rate more than another is a matter of order only, on which the level does not depend:
//! by the likelihood ratio of a Poisson variable with the count's variance and skewness, to the best
//! possible rate.

use super::{CountNoise, Scope};
use crate::{aggregator_noise::AggregatorNoise, number::Real};

/// The probability of counts whose likelihood ratio is as small as this one's, or smaller.
pub(super) fn p_value(noise: &CountNoise, rate: f64, count: f64) -> f64 {
    let order = Order::of(noise, rate);
    let observed = order.of_count(count);
    let law = law(noise, rate);
    let counts = (0_u32..).map(|index| law.first + f64::from(index));
    let masses = counts.zip(&law.masses);
    // What is equal but for rounding is as contrary.
    let contrary = masses.filter(|(other, _)| order.of_count(*other) >= observed - TIE);
    // A count beyond all that has a mass leaves nothing, and so contradicts the rate.
    contrary.map(|(_, mass)| mass).sum()
}

const TIE: f64 = 1e-9;

/// How much counts contradict a rate.
struct Order {
    mean: f64,
    /// Counts are so many steps of a Poisson variable; negative if they are skewed downward.
    step: f64,
    /// Its mean.
    expected: f64,
    /// The means that it can have.
    possible: [f64; 2],
}

/// A skewness below which a Poisson variable is as good as normal.
const STRAIGHT: f64 = 0.01;

impl Order {
    fn of(noise: &CountNoise, rate: f64) -> Self {
        let deviation = noise.variance(rate).sqrt();
        let [skewness, _] = noise.shape(rate);
        let skewness =
            if skewness.abs() < STRAIGHT { STRAIGHT.copysign(skewness) } else { skewness };
        let (step, expected) = (deviation * skewness, 1.0 / (skewness * skewness));
        let mean = noise.mean(rate);
        let ends = [0.0, 1.0].map(|bound| expected + (noise.mean(bound) - mean) / step);
        let possible = [ends[0].min(ends[1]), ends[0].max(ends[1])].map(|end| end.max(LEAST));
        Self { mean, step, expected, possible }
    }

    fn of_count(&self, count: f64) -> f64 {
        if self.step == 0.0 {
            return (count - self.mean).abs();
        }
        let steps = self.expected + (count - self.mean) / self.step;
        let best = steps.clamp(self.possible[0], self.possible[1]);
        2.0 * (steps * (best / self.expected).ln() - (best - self.expected))
    }
}

/// Stands for a mean of 0.
const LEAST: f64 = 1e-9;

/// Probabilities of neighbouring whole numbers.
struct Masses {
    first: f64,
    masses: Vec<f64>,
}

fn law(noise: &CountNoise, rate: f64) -> Masses {
    let (n, response) = (noise.reports.round(), noise.response);
    let reports = match noise.scope {
        Scope::Population => binomial(n, response.reported(rate)),
        Scope::Cohort => {
            let devices = (rate * n).round().clamp(0.0, n);
            let said = binomial(devices, response.truth());
            said.plus(&binomial(n - devices, response.lie()))
        }
    };
    match noise.aggregators {
        AggregatorNoise::None => reports,
        AggregatorNoise::Laplace { variance } => {
            let one = laplace(variance / 2.0);
            reports.plus(&one).plus(&one)
        }
        AggregatorNoise::Gaussian { variance } => reports.plus(&gaussian(variance)),
    }
}

/// A probability, beside the largest, that is left out.
const NEGLIGIBLE: f64 = 1e-13;

impl Masses {
    /// From the ratios of masses next to each other, outward from the largest.
    fn around(mode: f64, up: impl Fn(f64) -> f64, down: impl Fn(f64) -> f64) -> Self {
        let walk = |step: f64, ratio: &dyn Fn(f64) -> f64| {
            let (mut masses, mut at, mut mass) = (Vec::new(), mode, 1.0);
            loop {
                mass *= ratio(at);
                if mass.is_nan() || mass <= NEGLIGIBLE {
                    return masses;
                }
                masses.push(mass);
                at += step;
            }
        };
        let above = walk(1.0, &up);
        let mut masses = walk(-1.0, &down);
        let first = mode - masses.len().real();
        masses.reverse();
        masses.push(1.0);
        masses.extend(above);
        let total: f64 = masses.iter().sum();
        let masses = masses.into_iter().map(|mass| mass / total).collect();
        Self { first, masses }
    }

    /// The law of the sum of two.
    fn plus(&self, other: &Self) -> Self {
        let mut masses = vec![0.0; self.masses.len() + other.masses.len() - 1];
        for (i, one) in self.masses.iter().enumerate() {
            for (sum, other) in masses[i..].iter_mut().zip(&other.masses) {
                *sum += one * other;
            }
        }
        Self { first: self.first + other.first, masses }
    }
}

fn binomial(n: f64, p: f64) -> Masses {
    let p = p.clamp(0.0, 1.0);
    if n <= 0.0 || p <= 0.0 || p >= 1.0 {
        return Masses { first: if p >= 1.0 { n.max(0.0) } else { 0.0 }, masses: vec![1.0] };
    }
    let odds = p / (1.0 - p);
    let mode = ((n + 1.0) * p).floor().min(n);
    Masses::around(mode, |x| (n - x) / (x + 1.0) * odds, |x| x / (n - x + 1.0) / odds)
}

/// Two-sided geometric noise of this variance, `P(x) ∝ q^|x|` with `2q/(1-q)² = variance`.
fn laplace(variance: f64) -> Masses {
    let q = (variance + 1.0 - (2.0 * variance + 1.0).sqrt()) / variance;
    Masses::around(0.0, |_| q, |_| q)
}

/// The sum of two discrete Gaussians is as good as one.
fn gaussian(variance: f64) -> Masses {
    let ratio = |distance: f64| (-(2.0 * distance + 1.0) / (2.0 * variance)).exp();
    Masses::around(0.0, ratio, |x| ratio(-x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debias::Response;

    fn moments(law: &Masses) -> [f64; 3] {
        let counts = || (0_u32..).map(|index| law.first + f64::from(index)).zip(&law.masses);
        let total: f64 = law.masses.iter().sum();
        let mean: f64 = counts().map(|(count, mass)| count * mass).sum();
        let variance = counts().map(|(count, mass)| (count - mean).powi(2) * mass).sum();
        [total, mean, variance]
    }

    #[test]
    fn laws_have_the_moments_that_are_known() {
        let response = Response::new(0.9, 0.02).unwrap();
        for aggregators in [
            AggregatorNoise::None,
            AggregatorNoise::Laplace { variance: 8.0 },
            AggregatorNoise::Gaussian { variance: 8.0 },
        ] {
            for scope in [Scope::Cohort, Scope::Population] {
                for rate in [0.0, 0.02, 0.5, 0.98, 1.0] {
                    let reports = 50.0;
                    let noise = CountNoise { response, reports, aggregators, scope, repeats: 1.0 };
                    let [total, mean, variance] = moments(&law(&noise, rate));
                    assert!((total - 1.0).abs() < 1e-9, "{total}");
                    assert!((mean - noise.mean(rate)).abs() < 1e-6, "{mean}");
                    assert!((variance / noise.variance(rate) - 1.0).abs() < 1e-6, "{variance}");
                }
            }
        }
    }

    #[test]
    fn all_counts_together_contradict_nothing() {
        let response = Response::new(0.9, 0.02).unwrap();
        let (aggregators, scope) = (AggregatorNoise::None, Scope::Population);
        let noise = CountNoise { response, reports: 100.0, aggregators, scope, repeats: 1.0 };
        // At rate 0 the least contrary count is the expected one or any below.
        assert!((p_value(&noise, 0.0, 0.0) - 1.0).abs() < 1e-9);
        assert!(p_value(&noise, 0.0, 3.0) > p_value(&noise, 0.0, 4.0));
        assert!(p_value(&noise, 0.0, 90.0) < 1e-9);
    }
}
