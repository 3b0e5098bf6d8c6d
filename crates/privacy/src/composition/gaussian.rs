//! The losses of aggregator noise: discrete Gaussian and discrete Laplace.
//!
//! The discrete Gaussian of parameter σ draws a whole number x with a probability proportional to
//! `e^(-x²/2σ²)` (Canonne, Kamath and Steinke 2020). A count that is moved by one loses
//! `(1-2x)/(2σ²)`: all losses lie on a lattice, on which those of several counts are added exactly.

use super::{CompositionError, PrivacyLoss};

/// The smallest and the largest σ, in counts, whose losses are worked out.
const SIGMA: std::ops::RangeInclusive<f64> = 0.05..=1e6;
/// The relative error of a term and of their sum.
const OUTWARD: f64 = 1e-12;

/// The loss when `coordinates` counts are each moved by one, and each has discrete Gaussian noise
/// of parameter `sigma` (in counts, at least 0.05); to be read at δ not far below `delta`.
pub fn discrete_gaussian(
    sigma: f64,
    coordinates: u32,
    delta: f64,
) -> Result<PrivacyLoss, CompositionError> {
    if !SIGMA.contains(&sigma) {
        let valid = "0.05 to 1000000 counts; 10 to 14 is usual";
        return Err(CompositionError::OutOfRange { name: "sigma", value: sigma, valid });
    }
    let negligible = PrivacyLoss::negligible(delta / f64::from(coordinates.max(1)));
    let variance = sigma * sigma;
    let density = |x: f64| (-x * x / (2.0 * variance)).exp();
    let mut terms = Vec::new();
    let mut x = 0.0;
    while density(x) > 1e-40 {
        terms.push((x, density(x)));
        x += 1.0;
    }
    // Each next ratio is smaller than the one before.
    let ratio = (-(2.0 * x + 1.0) / (2.0 * variance)).exp();
    let beyond = density(x) / (1.0 - ratio);
    let sum: f64 = 2.0 * terms.iter().rev().map(|(_, density)| density).sum::<f64>() - 1.0;
    let scale = (1.0 + OUTWARD) / sum;
    let both = terms.iter().flat_map(|(x, density)| {
        let mirrored = (*x > 0.0).then_some((-x, *density));
        std::iter::once((*x, *density)).chain(mirrored)
    });
    let losses: Vec<(f64, f64)> =
        both.map(|(x, density)| ((1.0 - 2.0 * x) / (2.0 * variance), density * scale)).collect();
    // The lattice of half steps, or every so many of its points if σ is large: a sixteenth of the
    // losses' standard deviation 1/σ.
    let step = (sigma / 8.0).floor().max(1.0) / (2.0 * variance);
    // The upper tail is an infinite loss; the lower one is put at the top as well.
    let infinite = 2.0 * beyond * scale;
    let one = PrivacyLoss::from_losses(step, negligible, &losses, infinite).trimmed();
    Ok(one.repeated(coordinates.into()))
}

/// The loss when `coordinates` counts are each moved by one, and each has discrete Laplace noise of
/// `scale` (in counts, above 0); to be read at δ not far below `delta`.
///
/// A count that is moved by one loses `±1/scale`, the larger with probability
/// `1/(1 + e^(-1/scale))`: exactly what randomized response on one bit loses.
pub fn discrete_laplace(
    scale: f64,
    coordinates: u32,
    delta: f64,
) -> Result<PrivacyLoss, CompositionError> {
    let one = PrivacyLoss::pure(discrete_laplace_epsilon(scale, 1)?);
    let negligible = PrivacyLoss::negligible(delta / f64::from(coordinates.max(1)));
    Ok(PrivacyLoss { negligible, ..one }.repeated(coordinates.into()))
}

/// The pure ε when `coordinates` counts are each moved by one, and each has discrete Laplace noise
/// of `scale` (in counts): the probability of x is proportional to `e^(-|x|/scale)`.
pub fn discrete_laplace_epsilon(scale: f64, coordinates: u32) -> Result<f64, CompositionError> {
    if scale.is_finite() && scale > 0.0 {
        Ok(f64::from(coordinates) / scale * (1.0 + 4.0 * f64::EPSILON))
    } else {
        let valid = "a number of counts above 0";
        Err(CompositionError::OutOfRange { name: "scale", value: scale, valid })
    }
}
