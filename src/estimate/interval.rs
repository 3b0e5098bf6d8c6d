//! Intervals: by inverting a test, so that they hold near rates of zero and one too.

use super::debias::Response;

/// How many of the batch's own devices have the answer.
///
/// If m do, the reported count C has mean `na + ms` and variance `m·t(1-t) + (n-m)·a(1-a)`: only
/// the randomizer is random. The interval holds every m that the count is within `z` standard
/// deviations of, by m's own variance (a score interval, as Wilson 1927 for the binomial). That is
/// a quadratic inequality in m.
pub fn cohort(response: &Response, count: f64, reports: f64, z: f64) -> (f64, f64) {
    let (t, a, s) = (response.truth, response.lie, response.contrast());
    let (with, without) = (t * (1.0 - t), a * (1.0 - a));
    let distance = count - reports * a;
    let z2 = z * z;
    // (distance - m s)² <= z² (m·with + (n-m)·without)
    let b = 2.0 * distance * s + z2 * (with - without);
    let c = distance * distance - z2 * reports * without;
    let discriminant = (b * b - 4.0 * s * s * c).max(0.0).sqrt();
    let root = |sign: f64| ((b + sign * discriminant) / (2.0 * s * s)).clamp(0.0, reports);
    (root(-1.0), root(1.0))
}

/// What rate people like these would have.
///
/// A device drawn from the population reports the bin with probability `λ = a + sπ`: Wilson's
/// interval for λ, mapped back to π.
pub fn population(response: &Response, count: f64, reports: f64, z: f64) -> (f64, f64) {
    let z2 = z * z;
    let observed = count / reports;
    let centre = observed + z2 / (2.0 * reports);
    let spread =
        z * (observed * (1.0 - observed) / reports + z2 / (4.0 * reports * reports)).sqrt();
    let scale = 1.0 + z2 / reports;
    let rate = |lambda: f64| ((lambda - response.lie) / response.contrast()).clamp(0.0, 1.0);
    (rate((centre - spread) / scale), rate((centre + spread) / scale))
}
