//! The normal distribution: density, tails and quantiles.

use std::f64::consts::PI;

/// The density at `x`.
pub fn density(x: f64) -> f64 {
    (-x * x / 2.0).exp() / (2.0 * PI).sqrt()
}

/// The probability of a value above `x`, to a relative error below 1e-13 up to x = 37.
///
/// Up to 3 by the series of Φ(x) - ½ (Abramowitz and Stegun 26.2.11), beyond by Laplace's
/// continued fraction (26.2.14), which converges fast there.
pub fn upper_tail(x: f64) -> f64 {
    if x < 0.0 {
        return 1.0 - upper_tail(-x);
    }
    if x <= 3.0 {
        let (mut term, mut sum, mut odd) = (x, x, 1.0);
        while term > sum * 1e-17 {
            odd += 2.0;
            term *= x * x / odd;
            sum += term;
        }
        return 0.5 - density(x) * sum;
    }
    let fraction = (1..=100_u32).rev().fold(x, |rest, k| x + f64::from(k) / rest);
    density(x) / fraction
}

/// The probability of a value further from 0 than `z`, on either side.
pub fn two_sided_tail(z: f64) -> f64 {
    (2.0 * upper_tail(z.abs())).min(1.0)
}

/// The z that is exceeded with probability `p`, above 0 and below 1.
pub fn upper_quantile(p: f64) -> f64 {
    if p <= 0.5 { -quantile(p) } else { quantile(1.0 - p) }
}

/// The quantile at `p`, above 0 and at most ½: Acklam's rational approximation (2003), relative
/// error below 1.2e-9.
fn quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
    ];
    let polynomial = |coefficients: &[f64], x: f64| {
        coefficients.iter().fold(0.0, |sum, coefficient| sum * x + coefficient)
    };
    if p < 0.02425 {
        let q = (-2.0 * p.ln()).sqrt();
        polynomial(&C, q) / (polynomial(&D, q) * q + 1.0)
    } else {
        let q = p - 0.5;
        let r = q * q;
        polynomial(&A, r) * q / (polynomial(&B, r) * r + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_quantiles() {
        for (p, z) in [
            (0.25, 0.674_489_750_196_082),
            (0.05, 1.644_853_626_951_473),
            (0.025, 1.959_963_984_540_054),
            (0.000_5, 3.290_526_731_491_926),
        ] {
            assert!((upper_quantile(p) - z).abs() < 1e-8, "{p}");
            assert!((upper_quantile(1.0 - p) + z).abs() < 1e-8, "{p}");
        }
    }

    #[test]
    fn known_tails() {
        for (x, tail) in [
            (0.0, 0.5),
            (1.0, 0.158_655_253_931_457_05),
            (-1.0, 0.841_344_746_068_543),
            (2.0, 0.022_750_131_948_179_21),
            (3.0, 1.349_898_031_630_094_6e-3),
            (3.5, 2.326_290_790_355_250_4e-4),
            (5.0, 2.866_515_718_791_939e-7),
            (10.0, 7.619_853_024_160_526e-24),
        ] {
            assert!((upper_tail(x) / tail - 1.0).abs() < 1e-11, "{x}: {}", upper_tail(x));
        }
        assert!((two_sided_tail(-2.0) - 0.045_500_263_896_358_41).abs() < 1e-14);
    }

    #[test]
    fn a_quantile_has_its_tail() {
        for exponent in 1..=15 {
            let p = 0.4_f64.powi(exponent);
            assert!((upper_tail(upper_quantile(p)) / p - 1.0).abs() < 1e-7, "{p}");
        }
    }
}
