//! From bounds on δ to the smallest ε, and to the smallest pointwise one, in few evaluations.
//!
//! With L the privacy loss `ln P/Q` of what comes about under P, `δ(ε) = E[(1 - e^(ε-L))₊]`. So for
//! every ε < ε′, since an L above ε′ contributes at least `1 - e^(ε-ε′)`,
//!
//! ```text
//! Pr[L > ε′] <= δ(ε) / (1 - e^(ε-ε′)),   which is at most δ for   ε′ = ε - ln(1 - δ(ε)/δ).
//! ```
//!
//! This needs the curve δ(ε) only, so a bound on the curve of every pair of neighbours is enough, where
//! the tail of a dominating pair's own losses would not be: it may be lighter than that of a pair that
//! it dominates. Any ε will do; the best is where `δ(ε)` is about a twentieth of δ.

/// What is searched for: the smallest ε up to `most` whose bound is at most `delta`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    /// An ε at which δ = 0 is known.
    pub(crate) most: f64,
    pub(crate) delta: f64,
    /// A place to begin.
    pub(crate) guess: f64,
}

/// A result whose δ is this close below the wanted one, relative to it, is not improved: ε would
/// change by about a twentieth of it.
pub(crate) const CLOSE: f64 = 2e-5;
/// Nor is one that is this close, relative to itself, to an ε that is too small.
const NARROW: f64 = 1e-7;

/// An ε below this is not made smaller.
const NOTHING: f64 = 1e-9;

/// The smallest ε, up to a little more, for which `bound(ε) <= delta`: only values that were
/// evaluated so, and the pure `most`, are returned.
///
/// `√(-ln δ)` is nearly a straight line in ε, so the secant finds its crossing in a few steps;
/// the bracket makes sure of it.
pub(crate) fn smallest(search: Search, mut bound: impl FnMut(f64) -> f64) -> f64 {
    let Search { most, delta, guess } = search;
    let aim = height(delta * (1.0 - CLOSE / 2.0));
    let (mut low, mut high) = (0.0_f64, most);
    let mut points: Vec<(f64, f64)> = Vec::new();
    let mut next = guess;
    let mut width = most;
    for step in 0..MOST_STEPS {
        if !(next > low && next < high) {
            next = f64::midpoint(low, high);
        }
        let value = bound(next);
        if value <= delta {
            high = next;
            if value >= delta * (1.0 - CLOSE) {
                break;
            }
        } else {
            low = next;
        }
        if high - low <= NARROW * high || high < NOTHING {
            break;
        }
        points.push((next, height(value)));
        next = secant(&points, aim);
        // The bracket must halve at least every fourth step.
        if step % 4 == 3 {
            if high - low > width / 2.0 {
                next = f64::midpoint(low, high);
            }
            width = high - low;
        }
    }
    high
}

/// What the privacy loss exceeds with a probability of at most `delta`, if the curve at `epsilon` is at
/// most `at`; infinite if that proves nothing.
pub(crate) fn pointwise(epsilon: f64, at: f64, delta: f64) -> f64 {
    if at <= 0.0 {
        return epsilon;
    }
    let rest = 1.0 - at / delta * (1.0 + OUTWARD);
    if rest > 0.0 {
        (epsilon - rest.ln()) * (1.0 + OUTWARD) + OUTWARD / rest
    } else {
        f64::INFINITY
    }
}

/// The smallest pointwise ε that a few values of `bound` prove, at most `most`, and the ε that it was
/// proved at; `guess` is the ε whose bound is about `delta`.
///
/// With `√(-ln δ)` taken for a straight line in ε, the best ε is where `δ(ε) = δ/(1+s)`, s being the
/// slope of `-ln δ(ε)` there. Where ε is small the line is straight and this is all; otherwise what it
/// found is refined.
pub(crate) fn smallest_pointwise(search: Search, mut bound: impl FnMut(f64) -> f64) -> (f64, f64) {
    let Search { most, delta, guess } = search;
    let wanted = height(delta);
    let mut best = (most, most);
    let mut line = (guess, wanted, (wanted - USUAL_AT_ZERO.1) / guess);
    for _ in 0..POINTWISE_STEPS {
        let (from, start, slope) = line;
        let aim = best_height(wanted, slope);
        let next = from + (aim - start) / slope;
        if !(slope > 0.0 && next > 0.0 && next < most) {
            break;
        }
        let value = bound(next);
        best = smaller(best, (pointwise(next, value, delta), next));
        let reached = height(value);
        line = (next, reached, (reached - start) / (next - from));
        if (reached - aim).abs() < 0.01 * (aim - wanted) {
            break;
        }
    }
    if guess < STRAIGHT { best } else { refined(best, search, bound) }
}

/// By golden sections: no ε above what is proved already can prove less.
fn refined(mut best: (f64, f64), search: Search, mut bound: impl FnMut(f64) -> f64) -> (f64, f64) {
    let (mut low, mut high) = (search.guess, best.0);
    let mut look = |at: f64| (pointwise(at, bound(at), search.delta), at);
    let section = |low: f64, high: f64| low + (high - low) * 0.381_966;
    let mut left = look(section(low, high));
    let mut right = look(section(high, low));
    for _ in 0..POINTWISE_STEPS * 2 {
        best = smaller(smaller(best, left), right);
        if left.0 <= right.0 {
            (high, right) = (right.1, left);
            left = look(section(low, high));
        } else {
            (low, left) = (left.1, right);
            right = look(section(high, low));
        }
    }
    smaller(smaller(best, left), right)
}

fn smaller(one: (f64, f64), other: (f64, f64)) -> (f64, f64) {
    if other.0 < one.0 { other } else { one }
}

fn height(delta: f64) -> f64 {
    (-delta.ln()).max(0.0).sqrt()
}

/// The height of the best ε on a line of this slope: `h² = wanted² + ln(1 + 2·h·slope)`.
fn best_height(wanted: f64, slope: f64) -> f64 {
    (0..8).fold(wanted, |h, _| (wanted * wanted + (1.0 + 2.0 * h * slope).ln()).sqrt())
}

/// Values that a pointwise search looks at: it is flat near its best.
const POINTWISE_STEPS: u32 = 5;
/// Below this ε the curve is nearly that of Gaussian noise.
const STRAIGHT: f64 = 0.1;
/// More than the relative error of a few roundings.
const OUTWARD: f64 = 16.0 * f64::EPSILON;

/// Far more than is ever needed: bisection alone takes 60.
const MOST_STEPS: u32 = 120;

/// `√(-ln δ)` at ε = 0.
const USUAL_AT_ZERO: (f64, f64) = (0.0, 1.45);

/// Where the line through the last two points reaches `aim`; at first, the line through what is
/// usual at ε = 0.
fn secant(points: &[(f64, f64)], aim: f64) -> f64 {
    let [.., last] = points else { return f64::NAN };
    let before = points.len().checked_sub(2).map_or(USUAL_AT_ZERO, |i| points[i]);
    let slope = (last.1 - before.1) / (last.0 - before.0);
    // What is not a finite slope upwards gives a place outside of the bracket.
    if slope > 0.0 && slope.is_finite() { last.0 + (aim - last.1) / slope } else { f64::NAN }
}

/// Where a distribution's terms may be cut off, relative to the largest, when values of δ down to
/// a little below `delta` matter: what is lost is added to the bound, and should be unseen there.
pub(crate) fn cut(delta: f64) -> f64 {
    (delta * 1e-12).clamp(1e-35, 1e-17)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(search: Search, bound: impl Fn(f64) -> f64) -> (f64, u32) {
        let mut evaluations = 0;
        let found = smallest(search, |epsilon| {
            evaluations += 1;
            bound(epsilon)
        });
        (found, evaluations)
    }

    #[test]
    fn the_result_meets_the_bound_and_is_nearly_the_smallest() {
        let curve = |epsilon: f64| 0.1 * (-(epsilon * 3.0).powi(2)).exp();
        for guess in [0.01, 1.0, 4.9, 0.0, f64::NAN] {
            let search = Search { most: 5.0, delta: 1e-6, guess };
            let (found, evaluations) = count(search, curve);
            let exact = (0.1_f64 / 1e-6).ln().sqrt() / 3.0;
            assert!(curve(found) <= 1e-6 && found < exact * (1.0 + 1e-5), "{found} {exact}");
            assert!(evaluations <= 16, "{evaluations} from {guess}");
        }
    }

    #[test]
    fn steps_and_cliffs_are_found_too() {
        for edge in [1e-9, 0.3, 4.999_999] {
            let step = |epsilon: f64| if epsilon < edge { 0.5 } else { 0.0 };
            let (found, evaluations) = count(Search { most: 5.0, delta: 1e-6, guess: 1.0 }, step);
            assert!(found >= edge && found <= edge * (1.0 + 1e-6), "{found} {edge}");
            assert!(evaluations <= MOST_STEPS);
        }
        let never = smallest(Search { most: 5.0, delta: 1e-6, guess: 1.0 }, |_| 1.0);
        assert!((never - 5.0).abs() < 1e-15, "the pure bound is always left");
    }
}
