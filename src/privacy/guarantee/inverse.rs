//! The question turned around: how many reports, or how little noise, does a target need?
//!
//! Both answers were evaluated and meet the target; searching relies on more reports and smaller
//! budgets never hurting.

use super::{
    GuaranteeError, LEAST_REPORTS, Mechanism, MechanismKind, error::check, usable_epsilon,
};
use crate::privacy::{
    amplification::blanket,
    randomizer::MAX_EPSILON,
    units::{Delta, Epsilon},
};

/// Larger batches are not looked for.
pub const LARGEST_BATCH: u64 = 100_000_000;

/// The smallest number of honest reports at which one report loses at most `target` at `delta`
/// under OAMC; for vectors of bits up to a thousandth more, since each bound takes longer.
pub fn smallest_batch(
    mechanism: &Mechanism,
    target: Epsilon,
    delta: Delta,
) -> Result<u64, GuaranteeError> {
    check(LEAST_REPORTS, delta)?;
    let target = usable_epsilon(target.get())?;
    let enough = |reports| meets(mechanism, reports, target, delta);
    let mut low = LEAST_REPORTS;
    if enough(low) {
        return Ok(low);
    }
    let mut high = guess(mechanism, target).clamp(low + 1, LARGEST_BATCH);
    while !enough(high) {
        if high == LARGEST_BATCH {
            return Err(no_batch(mechanism, target, delta));
        }
        (low, high) = (high, (high * 2).min(LARGEST_BATCH));
    }
    // The guess may have been far too large.
    while high / 2 > low && enough(high / 2) {
        high /= 2;
    }
    low = low.max(high / 2);
    let close = |high: u64| match mechanism {
        Mechanism::Krr(_) => 1,
        Mechanism::Bits(_) | Mechanism::Signals(_) => (high / 1000).max(1),
    };
    while high - low > close(high) {
        let middle = low + (high - low) / 2;
        if enough(middle) { high = middle } else { low = middle }
    }
    Ok(high)
}

/// The mechanism of this kind with the largest budget at which one report among `honest` ones
/// loses at most `target` at `delta` under OAMC. The budget is the largest up to a part in 10^6, for
/// vectors of bits in 10^4.
pub fn largest_epsilon0(
    kind: MechanismKind,
    bins: u32,
    honest: u64,
    target: Epsilon,
    delta: Delta,
) -> Result<Mechanism, GuaranteeError> {
    check(honest, delta)?;
    let target = usable_epsilon(target.get())?;
    let with = |epsilon0: f64| Mechanism::new(kind, bins, Epsilon::new(epsilon0).unwrap_or(target));
    // With this budget the randomizer alone meets the target.
    let sure = (target.get() / f64::from(summed(&with(1.0)?)) * (1.0 - 1e-9)).min(MAX_EPSILON);
    let (mut low, mut best) = (sure, with(sure)?);
    let mut high = loop {
        if low >= MAX_EPSILON {
            return Ok(best);
        }
        let next = (2.0 * low).min(MAX_EPSILON);
        let mechanism = with(next)?;
        if !meets(&mechanism, honest, target, delta) {
            break next;
        }
        (low, best) = (next, mechanism);
    };
    let precision = match kind {
        MechanismKind::Krr => 1e-6,
        MechanismKind::Bits | MechanismKind::Signals => 1e-4,
    };
    while high - low > precision * low {
        let middle = f64::midpoint(low, high);
        let mechanism = with(middle)?;
        if meets(&mechanism, honest, target, delta) {
            (low, best) = (middle, mechanism);
        } else {
            high = middle;
        }
    }
    Ok(best)
}

/// Over how many coordinates a report's budget is summed.
fn summed(mechanism: &Mechanism) -> u32 {
    match mechanism {
        Mechanism::Krr(_) => 1,
        Mechanism::Bits(_) | Mechanism::Signals(_) => mechanism.coordinates(),
    }
}

fn meets(mechanism: &Mechanism, honest: u64, target: Epsilon, delta: Delta) -> bool {
    if mechanism.local_epsilon() <= target {
        return true;
    }
    match mechanism {
        Mechanism::Krr(randomizer) => blanket::meets(randomizer, honest, target, delta),
        Mechanism::Bits(_) | Mechanism::Signals(_) => {
            mechanism.amplified(honest, delta).is_some_and(|epsilon| epsilon <= target)
        }
    }
}

/// About the batch at which Gaussian noise of the same variance would do: a place to begin.
fn guess(mechanism: &Mechanism, target: Epsilon) -> u64 {
    let lie = (-mechanism.epsilon0().get()).exp();
    let coordinates = f64::from(summed(mechanism));
    let deviations = 5.0;
    let reports = coordinates * (deviations / target.get()).powi(2) / lie;
    crate::privacy::amplification::binomial::floor_to_count(reports)
}

fn no_batch(mechanism: &Mechanism, target: Epsilon, delta: Delta) -> GuaranteeError {
    let reached = mechanism.amplified(LARGEST_BATCH, delta);
    let nearest = reached.unwrap_or_else(|| mechanism.local_epsilon()).get();
    GuaranteeError::NoBatch {
        target: target.get(),
        delta: delta.get(),
        epsilon0: mechanism.epsilon0().get(),
        nearest: round_up(nearest),
    }
}

/// To three significant digits, so that it can be read and typed.
fn round_up(value: f64) -> f64 {
    let unit = 10_f64.powf(value.log10().floor() - 2.0);
    (value / unit).ceil() * unit
}
