//! Coverage computed instead of simulated: a count has a binomial distribution, so the probability
//! that its interval holds the truth is a sum over counts.

use crate::simulate::Simulator;
use sottovoce::{
    estimate::{
        aggregator_noise::AggregatorNoise,
        confidence::Confidence,
        debias::Response,
        interval::{CountNoise, Scope},
    },
    privacy::{randomizer::KaryRandomizer, units::Epsilon},
};

/// The smallest batch of each ε0 (PRIVACY.md §1).
const SMALLEST: [(f64, f64); 4] = [(2.0, 300.0), (3.0, 1000.0), (4.0, 3000.0), (5.0, 10_000.0)];
const RATES: [f64; 13] =
    [0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.5, 0.95, 0.99, 0.995, 0.999, 1.0];

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
            let randomizer = KaryRandomizer::new(bins, Epsilon::new(epsilon).unwrap()).unwrap();
            let response = Response::of(&randomizer);
            let (aggregators, scope) = (AggregatorNoise::None, Scope::Population);
            let noise = CountNoise { response, reports, aggregators, scope };
            for rate in RATES {
                let found = coverage(&simulator, &noise, rate);
                let name = format!("eps={epsilon} k={bins} n={reports} rate={rate}");
                println!("{found:.4}  {name}");
                assert!((0.94..=0.96).contains(&found), "{name}: {found}");
            }
        }
    }
}
