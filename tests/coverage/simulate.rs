//! Releases drawn by their exact distribution, without drawing each device's report.

use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};
use sottovoce_estimate::{
    aggregator_noise::AggregatorNoise,
    noisy_counts::{Answers, Channel, NoisyCounts},
};

/// Draws counts. Prints its seed.
pub struct Simulator {
    rng: ChaCha8Rng,
    ln_factorial: Vec<f64>,
}

/// The largest batch that is simulated.
const MOST: u32 = 50_000;

impl Simulator {
    pub fn new(seed: u64) -> Self {
        println!("seed {seed}");
        let mut sum = 0.0;
        let ln = |i: u32| {
            sum += f64::from(i.max(1)).ln();
            sum
        };
        Self { rng: ChaCha8Rng::seed_from_u64(seed), ln_factorial: (0..=MOST).map(ln).collect() }
    }

    pub fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// By inversion, outward from the mode: exact but for rounding.
    pub fn binomial(&mut self, n: u64, p: f64) -> u64 {
        if n == 0 || p <= 0.0 {
            return 0;
        }
        if p >= 1.0 {
            return n;
        }
        let mode = (((n + 1) as f64 * p) as u64).min(n);
        let odds = p / (1.0 - p);
        let mut left = self.uniform();
        let peak = self.binomial_mass(n, p, mode);
        let (mut low, mut low_mass, mut high, mut high_mass) = (mode, peak, mode, peak);
        left -= peak;
        while left >= 0.0 && (low > 0 || high < n) {
            if high < n {
                high_mass *= (n - high) as f64 / (high + 1) as f64 * odds;
                high += 1;
                left -= high_mass;
                if left < 0.0 {
                    return high;
                }
            }
            if low > 0 {
                low_mass *= low as f64 / (n - low + 1) as f64 / odds;
                low -= 1;
                left -= low_mass;
                if left < 0.0 {
                    return low;
                }
            }
            if low_mass.max(high_mass) < 1e-18 {
                break;
            }
        }
        mode
    }

    pub fn binomial_mass(&self, n: u64, p: f64, x: u64) -> f64 {
        let ln = |i: u64| self.ln_factorial[i as usize];
        (ln(n) - ln(x) - ln(n - x) + x as f64 * p.ln() + (n - x) as f64 * (1.0 - p).ln()).exp()
    }

    pub fn multinomial(&mut self, n: u64, shares: &[f64]) -> Vec<u64> {
        let (mut left, mut mass) = (n, 1.0);
        let mut counts = Vec::with_capacity(shares.len());
        for share in shares {
            let count = self.binomial(left, (share / mass).clamp(0.0, 1.0));
            left -= count;
            mass = (mass - share).max(f64::MIN_POSITIVE);
            counts.push(count);
        }
        // Rounding of the shares may leave a device over.
        *counts.last_mut().unwrap() += left;
        counts
    }

    /// The two aggregators' discrete Laplace noise, each with `P(x) ∝ exp(-|x|/scale)`.
    pub fn noise(&mut self, scale: f64) -> i64 {
        if scale == 0.0 {
            return 0;
        }
        self.geometric(scale) - self.geometric(scale) + self.geometric(scale)
            - self.geometric(scale)
    }

    fn geometric(&mut self, scale: f64) -> i64 {
        (-(1.0 - self.uniform()).ln() * scale).floor() as i64
    }

    /// The reports of devices with these answers, through a channel, with aggregator noise.
    pub fn release(&mut self, truth: &[u64], channel: &Channel, scale: f64) -> NoisyCounts {
        let reports: u64 = truth.iter().sum();
        let counts = match channel {
            Channel::Kary { bins, response } => {
                let mut counts = vec![0; *bins];
                for (answer, devices) in truth.iter().enumerate() {
                    let share = |bin| if bin == answer { response.truth() } else { response.lie() };
                    let shares: Vec<f64> = (0..*bins).map(share).collect();
                    let drawn = self.multinomial(*devices, &shares);
                    counts.iter_mut().zip(drawn).for_each(|(count, more)| *count += more);
                }
                counts
            }
            Channel::Bits { responses, answers } => {
                assert_eq!(*answers, Answers::OneHot);
                let pairs = truth.iter().zip(responses);
                pairs
                    .map(|(devices, response)| {
                        self.binomial(*devices, response.truth())
                            + self.binomial(reports - devices, response.lie())
                    })
                    .collect()
            }
        };
        self.noisy(counts, reports, channel, scale)
    }

    fn noisy(&mut self, counts: Vec<u64>, n: u64, channel: &Channel, scale: f64) -> NoisyCounts {
        let counts = counts.into_iter().map(|count| count as i64 + self.noise(scale)).collect();
        NoisyCounts::new(counts, n, channel.clone(), aggregators(scale)).unwrap()
    }
}

/// The distribution of [`Simulator::noise`].
pub fn aggregators(scale: f64) -> AggregatorNoise {
    if scale == 0.0 {
        return AggregatorNoise::None;
    }
    let q = (-1.0 / scale).exp();
    AggregatorNoise::Laplace { variance: 4.0 * q / (1.0 - q).powi(2) }
}

#[test]
fn the_simulator_draws_the_moments_it_should() {
    let mut simulator = Simulator::new(1);
    let draws = 0..40_000;
    for (n, p) in [(3000, 0.018), (3000, 0.5), (20, 0.3), (20_000, 0.97)] {
        let draws: Vec<f64> = draws.clone().map(|_| simulator.binomial(n, p) as f64).collect();
        check_moments(&draws, n as f64 * p, n as f64 * p * (1.0 - p));
    }
    let draws: Vec<f64> = draws.clone().map(|_| simulator.noise(10.0) as f64).collect();
    check_moments(&draws, 0.0, aggregators(10.0).variance());
}

fn check_moments(draws: &[f64], mean: f64, variance: f64) {
    let n = draws.len() as f64;
    let found = draws.iter().sum::<f64>() / n;
    let spread = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    assert!((found - mean).abs() < 4.0 * (variance / n).sqrt(), "{found} for {mean}");
    // The fourth moment of what is drawn here is at most about 4.5 variances squared.
    assert!((spread / variance - 1.0).abs() < 4.0 * (3.5 / n).sqrt(), "{spread} for {variance}");
}
