//! Exact samplers in integers (Canonne, Kamath, Steinke 2020, Algorithms 1 to 3).
//!
//! Every comparison is of integers below 2^128: with parameters up to 10^7 thousandths the largest
//! product is below 2^108, and what a loop multiplies it by stays below 2^10 but with a probability
//! below e^-1000.

use super::{super::rng::Uniform, Thousandths};

/// True with probability `e^(-numerator/denominator)`.
fn bernoulli_exp(mut numerator: u128, denominator: u128, rng: &mut impl Uniform) -> bool {
    while numerator > denominator {
        if !bernoulli_exp_below_one(1, 1, rng) {
            return false;
        }
        numerator -= denominator;
    }
    bernoulli_exp_below_one(numerator, denominator, rng)
}

/// The same for a fraction of at most 1 (Algorithm 1).
fn bernoulli_exp_below_one(numerator: u128, denominator: u128, rng: &mut impl Uniform) -> bool {
    let mut k = 1_u128;
    while uniform_below(denominator.saturating_mul(k), rng) < numerator {
        k += 1;
    }
    k % 2 == 1
}

/// With probability proportional to `e^(-|x|·s/t)` (Algorithm 2).
pub(super) fn discrete_laplace(t: u64, s: u64, rng: &mut impl Uniform) -> i64 {
    loop {
        let low = uniform_below(t.into(), rng);
        if !bernoulli_exp_below_one(low, t.into(), rng) {
            continue;
        }
        let mut high = 0_u128;
        while bernoulli_exp_below_one(1, 1, rng) {
            high += 1;
        }
        let magnitude = (low + u128::from(t) * high) / u128::from(s);
        let negative = uniform_below(2, rng) == 1;
        // Zero has one sign.
        if negative && magnitude == 0 {
            continue;
        }
        let magnitude = i64::try_from(magnitude).unwrap_or(i64::MAX);
        return if negative { -magnitude } else { magnitude };
    }
}

/// With probability proportional to `e^(-x²/2σ²)` (Algorithm 3), for σ = m/1000.
///
/// A discrete Laplace y of scale t = ⌊σ⌋+1 is kept with probability
/// `exp(-(|y| - σ²/t)²/2σ²) = exp(-(10^6·t·|y| - m²)² / (2·10^6·t²·m²))`.
pub(super) fn discrete_gaussian(sigma: Thousandths, rng: &mut impl Uniform) -> i64 {
    const MILLION: u128 = 1_000_000;
    let m = u128::from(sigma.thousandths());
    let t = m / 1000 + 1;
    let denominator = 2 * MILLION * t * t * m * m;
    let scale = u64::from(sigma.thousandths()) / 1000 + 1;
    loop {
        let y = discrete_laplace(scale, 1, rng);
        let distance = (MILLION * t * u128::from(y.unsigned_abs())).abs_diff(m * m);
        // Beyond 2^64 the exponent is below -1000: never kept on any machine.
        let Some(square) = distance.checked_mul(distance) else { continue };
        if bernoulli_exp(square, denominator, rng) {
            return y;
        }
    }
}

/// Uniform below a bound of at least 1: draws as many bits as it has, until they are below it.
fn uniform_below(bound: u128, rng: &mut impl Uniform) -> u128 {
    let bits = 128 - (bound - 1).leading_zeros();
    let mask = u128::MAX.checked_shr(128 - bits).unwrap_or(0);
    loop {
        let high = if bits > 64 { u128::from(rng.next_u64()) << 64 } else { 0 };
        let draw = (high | u128::from(rng.next_u64())) & mask;
        if draw < bound {
            return draw;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::SimulationRng;

    #[test]
    fn uniform_draws_cover_the_range_and_nothing_else() {
        let mut rng = SimulationRng::from_seed(1);
        for bound in [1, 2, 3, 7, 64, 1000, 1 << 64, (1 << 64) + 1, u128::MAX] {
            let draws: Vec<u128> = (0..2000).map(|_| uniform_below(bound, &mut rng)).collect();
            assert!(draws.iter().all(|draw| *draw < bound), "{bound}");
            if bound <= 64 {
                assert!((0..bound).all(|value| draws.contains(&value)), "{bound}");
            } else {
                assert!(draws.iter().any(|draw| *draw >= bound / 2), "{bound}");
            }
        }
    }

    #[test]
    fn exponential_coins_fall_as_often_as_they_should() {
        let mut rng = SimulationRng::from_seed(2);
        for (numerator, denominator) in [(0, 1), (1, 3), (1, 1), (5, 2), (7, 1)] {
            let n = 40_000;
            let heads = (0..n).filter(|_| bernoulli_exp(numerator, denominator, &mut rng)).count();
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let (p, heads) =
                ((-(numerator as f64) / denominator as f64).exp(), heads as f64 / f64::from(n));
            let deviation = (p * (1.0 - p) / f64::from(n)).sqrt();
            assert!((heads - p).abs() <= 5.0 * deviation, "{numerator}/{denominator}: {heads}");
        }
    }
}
