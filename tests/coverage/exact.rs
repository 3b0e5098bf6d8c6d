//! Coverage computed instead of simulated: the law of a count is known, so the probability that its
//! interval holds the truth is a sum over counts.

use crate::simulate::{Simulator, aggregators};
use sottovoce_estimate::{
    aggregator_noise::AggregatorNoise,
    confidence::Confidence,
    debias::Response,
    interval::{CountNoise, Interval, Scope},
};
use sottovoce_privacy::{randomizer::KaryRandomizer, units::Epsilon};

/// The smallest batch of each ε0 (PRIVACY.md §1).
const SMALLEST: [(f64, f64); 4] = [(2.0, 300.0), (3.0, 1000.0), (4.0, 3000.0), (5.0, 10_000.0)];
const RATES: [f64; 13] =
    [0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.5, 0.95, 0.99, 0.995, 0.999, 1.0];

fn response(bins: u32, epsilon: f64) -> Response {
    Response::of(&KaryRandomizer::new(bins, Epsilon::new(epsilon).unwrap()).unwrap())
}

fn coverage(simulator: &Simulator, noise: &CountNoise, rate: f64) -> f64 {
    let (mean, reach) = (noise.mean(rate), 9.0 * noise.variance(rate).sqrt() + 9.0);
    let counts = (mean - reach).max(0.0) as u64..=((mean + reach).min(noise.reports) as u64);
    let holds = |count: &u64| noise.interval(*count as f64, Confidence::USUAL).contains(rate);
    let mass =
        |count| simulator.binomial_mass(noise.reports as u64, noise.response.reported(rate), count);
    counts.filter(holds).map(mass).sum()
}

#[test]
fn at_the_smallest_batches_any_rate_is_covered() {
    let simulator = Simulator::new(0);
    for (epsilon, reports) in SMALLEST {
        for bins in [3, 6, 11] {
            let (aggregators, scope) = (AggregatorNoise::None, Scope::Population);
            let response = response(bins, epsilon);
            let noise = CountNoise { response, reports, aggregators, scope, repeats: 1.0 };
            for rate in RATES {
                let found = coverage(&simulator, &noise, rate);
                let name = format!("eps={epsilon} k={bins} n={reports} rate={rate}");
                println!("{found:.4}  {name}");
                assert!((0.94..=0.97).contains(&found), "{name}: {found}");
            }
        }
    }
}

/// The intervals of all counts there can be, and the law of the count at each truth.
struct Exact {
    noise: CountNoise,
    /// The noise of both aggregators, from `-reach` on.
    noise_masses: Vec<f64>,
    reach: i64,
    intervals: Vec<Interval>,
}

impl Exact {
    fn new(response: Response, n: u64, scope: Scope, scale: f64) -> Self {
        let aggregators = aggregators(scale);
        let noise = CountNoise { response, reports: n as f64, aggregators, scope, repeats: 1.0 };
        let reach = (30.0 * scale).ceil() as i64;
        let one: Vec<f64> = (-reach..=reach)
            .map(|x| if scale == 0.0 { 1.0 } else { (-(x.abs() as f64) / scale).exp() })
            .collect();
        let total: f64 = one.iter().sum();
        let one: Vec<f64> = one.into_iter().map(|mass| mass / total).collect();
        let (noise_masses, reach) =
            if scale == 0.0 { (one, 0) } else { (convolved(&one, &one), 2 * reach) };
        let counts = -reach..=n as i64 + reach;
        let intervals =
            counts.map(|count| noise.interval(count as f64, Confidence::USUAL)).collect();
        Self { noise, noise_masses, reach, intervals }
    }

    /// How often the interval holds the truth if so many of the devices have the answer.
    fn coverage(&self, simulator: &Simulator, devices: u64) -> f64 {
        let (n, response) = (self.noise.reports as u64, self.noise.response);
        let binomial = |n, p: f64| -> Vec<f64> {
            let mass = |x| match p {
                p if p <= 0.0 => f64::from(u8::from(x == 0)),
                p if p >= 1.0 => f64::from(u8::from(x == n)),
                p => simulator.binomial_mass(n, p, x),
            };
            (0..=n).map(mass).collect()
        };
        let rate = devices as f64 / n as f64;
        let reports = match self.noise.scope {
            Scope::Population => binomial(n, response.reported(rate)),
            Scope::Cohort => convolved(
                &binomial(devices, response.truth()),
                &binomial(n - devices, response.lie()),
            ),
        };
        let law = convolved(&reports, &self.noise_masses);
        let held = law.iter().zip(&self.intervals).filter(|(_, interval)| interval.contains(rate));
        assert_eq!(law.len() as i64, n as i64 + 1 + 2 * self.reach);
        held.map(|(mass, _)| mass).sum()
    }
}

fn convolved(one: &[f64], other: &[f64]) -> Vec<f64> {
    let mut sum = vec![0.0; one.len() + other.len() - 1];
    for (i, x) in one.iter().enumerate().filter(|(_, x)| **x > 1e-18) {
        sum[i..].iter_mut().zip(other).for_each(|(sum, y)| *sum += x * y);
    }
    sum
}

/// What is covered least and most, over all rates near 0, in the middle and near 1.
#[test]
fn where_lies_are_rare_and_batches_small_any_rate_is_covered() {
    let simulator = Simulator::new(0);
    for epsilon in [4.0, 6.0, 10.0] {
        for bins in [2, 3, 21] {
            for n in [20, 100, 300] {
                for (scope, scale) in
                    [(Scope::Cohort, 0.0), (Scope::Population, 0.0), (Scope::Population, 1.0)]
                {
                    let exact = Exact::new(response(bins, epsilon), n, scope, scale);
                    let few = (0..=n.min(20)).chain(n / 2 - 5..=n / 2 + 5).chain(n - n.min(20)..=n);
                    let covered: Vec<f64> =
                        few.map(|devices| exact.coverage(&simulator, devices)).collect();
                    let least = covered.iter().copied().fold(1.0, f64::min);
                    let mean = covered.iter().sum::<f64>() / covered.len() as f64;
                    let name = format!("eps={epsilon} k={bins} n={n} {scope:?} noise={scale}");
                    println!("{least:.4} least, {mean:.4} on average  {name}");
                    assert!(least >= 0.94, "{name}: {least}");
                }
            }
        }
    }
}
