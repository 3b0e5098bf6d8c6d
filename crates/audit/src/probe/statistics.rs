//! Exact statements about a probability from how often something happened.

/// The interval that holds the probability of something that happened `hits` times in `trials`, but
/// with probability `alpha` (Clopper and Pearson 1934): each end errs with half of that.
///
/// Found by bisection on the binomial tail itself; ends are rounded outward.
pub fn clopper_pearson(hits: u64, trials: u64, alpha: f64) -> (f64, f64) {
    debug_assert!(hits <= trials && alpha > 0.0);
    let half = alpha / 2.0;
    let low = if hits == 0 { 0.0 } else { bisect(|p| upper_tail(hits, trials, p) < half).0 };
    let high = if hits == trials {
        1.0
    } else {
        bisect(|p| 1.0 - upper_tail(hits + 1, trials, p) > half).1
    };
    (low, high)
}

/// Whether something that happens with probability `p` happens `hits` times in `trials`, or even further
/// from what is expected on that side, with a probability below `alpha`, half for each side: whether the
/// interval of [`clopper_pearson`] leaves `p` out, for a hundredth of its work.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub fn surprising(hits: u64, trials: u64, p: f64, alpha: f64) -> bool {
    let expected = trials as f64 * p;
    // Within two deviations the sums are not even looked at: that can only spare a suspect.
    if (hits as f64 - expected).abs() <= 2.0 * (expected * (1.0 - p)).sqrt() {
        return false;
    }
    let tail = if hits as f64 > expected {
        upper_tail(hits, trials, p)
    } else {
        upper_tail(trials - hits, trials, 1.0 - p)
    };
    tail < alpha / 2.0
}

/// The largest p for which `below` still holds, enclosed; `below` holds at 0 and not at 1.
fn bisect(below: impl Fn(f64) -> bool) -> (f64, f64) {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low, high)
}

/// The probability of `hits` or more in `trials`: the regularized incomplete beta function.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn upper_tail(hits: u64, trials: u64, p: f64) -> f64 {
    if hits == 0 {
        return 1.0;
    }
    beta(hits as f64, (trials - hits) as f64 + 1.0, p)
}

/// `I_x(a, b)` by its continued fraction (Lentz's method; Numerical Recipes §6.4 has the terms).
fn beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(a, b, x) / a
    } else {
        1.0 - front * fraction(b, a, 1.0 - x) / b
    }
}

fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    for step in 1..100_000 {
        let m = f64::from(step);
        for term in [
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0)),
        ] {
            d = 1.0 / away(1.0 + term * d);
            c = away(1.0 + term / c);
            value *= c * d;
        }
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    value
}

/// `ln Γ(x)` for x > 0, by Stirling's series above 10 and the recurrence below.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 10.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = (1.0 / 12.0
        - square
            * (1.0 / 360.0 - square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square / 1188.0))))
        / x;
    shift + (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        // Worked out to thirty digits by mpmath's incomplete beta function.
        for (hits, trials, alpha, low, high) in [
            (0, 10, 0.05, 0.0, 0.308_497_107_8),
            (1, 10, 0.05, 0.002_528_578_544, 0.445_016_117),
            (5, 10, 0.05, 0.187_086_028_4, 0.812_913_971_6),
            (10, 10, 0.05, 0.691_502_892_2, 1.0),
            (50, 1000, 0.01, 0.033_926_662_71, 0.070_504_375_2),
        ] {
            let found = clopper_pearson(hits, trials, alpha);
            let near = |one: f64, other: f64| (one - other).abs() < 1e-9;
            assert!(near(found.0, low) && near(found.1, high), "{hits}/{trials}: {found:?}");
        }
    }

    #[test]
    fn tails_are_sums_of_binomial_probabilities() {
        for p in [0.01, 0.3, 0.5, 0.93] {
            let mut sum = 0.0;
            for hits in (0..=30).rev() {
                let ways =
                    (0..hits).fold(1.0, |ways, i| ways * f64::from(30 - i) / f64::from(i + 1));
                sum += ways * f64::powi(p, hits) * f64::powi(1.0 - p, 30 - hits);
                let tail = upper_tail(u64::try_from(hits).unwrap(), 30, p);
                assert!((tail - sum).abs() < 1e-12, "{hits} {p}: {tail} {sum}");
            }
        }
    }

    #[test]
    fn what_surprises_is_what_the_interval_leaves_out() {
        for (trials, p) in [(40_u64, 0.3), (3000, 0.07), (3000, 0.98), (200, 1e-4)] {
            for alpha in [0.01, 1e-6] {
                for hits in 0..=trials {
                    let (low, high) = clopper_pearson(hits, trials, alpha);
                    let left_out = !(low..=high).contains(&p);
                    assert_eq!(surprising(hits, trials, p, alpha), left_out, "{hits}/{trials} {p}");
                }
            }
        }
        assert!(surprising(1, 1_000_000, 1e-12, 1e-3) && !surprising(0, 0, 0.5, 1e-3));
    }

    #[test]
    fn intervals_hold_for_large_numbers_and_small_errors() {
        let (low, high) = clopper_pearson(68_300, 1_000_000, 1e-6);
        assert!((0.0670..0.0683).contains(&low) && (0.0683..0.0696).contains(&high));
        assert!(clopper_pearson(0, 1_000_000, 1e-9).1 < 2.2e-5);
    }
}
