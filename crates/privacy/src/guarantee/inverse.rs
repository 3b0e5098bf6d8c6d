//! The question turned around: how many reports, or how little noise, does a target need?
//!
//! Both answers were evaluated and meet the target; searching relies on more reports and smaller
//! budgets never hurting.

use super::{
    Accountant, GuaranteeError, LARGEST_BATCH, LEAST_REPORTS, Mechanism, MechanismKind,
    error::check, usable_epsilon,
};
use crate::{
    amplification::{
        binomial::{floor_to_count, to_float},
        blanket,
    },
    randomizer::MAX_EPSILON,
    units::{Delta, Epsilon},
};

/// The smallest number of honest reports at which one report loses at most `target` at `delta`
/// under OAMC; for bits, which a choice of two is one of, up to a thousandth more, since each bound
/// takes longer.
pub fn smallest_batch(
    mechanism: &Mechanism,
    target: Epsilon,
    delta: Delta,
) -> Result<u64, GuaranteeError> {
    check(LEAST_REPORTS, delta)?;
    let target = usable_epsilon(target.get())?;
    if meets(mechanism, LEAST_REPORTS, target, delta) {
        return Ok(LEAST_REPORTS);
    }
    match mechanism.accountant() {
        Accountant::Blanket(_) => by_halves(mechanism, target, delta),
        Accountant::Scan(..) => by_power_law(mechanism, target, delta),
    }
}

/// The search where asking whether a batch is enough is cheap.
fn by_halves(mechanism: &Mechanism, target: Epsilon, delta: Delta) -> Result<u64, GuaranteeError> {
    let enough = |reports| meets(mechanism, reports, target, delta);
    let mut low = LEAST_REPORTS;
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
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if enough(middle) { high = middle } else { low = middle }
    }
    Ok(high)
}

/// The search where it is not: ε falls with about the square root of the batch, so that few steps
/// come close, and the bracket makes sure of it.
fn by_power_law(
    mechanism: &Mechanism,
    target: Epsilon,
    delta: Delta,
) -> Result<u64, GuaranteeError> {
    let (mut low, mut high) = (LEAST_REPORTS, LARGEST_BATCH + 1);
    let mut next = guess(mechanism, target);
    let mut steps = 0;
    while high - low > (high / 1000).max(1) {
        let reports = match next {
            // Nothing larger is looked for.
            _ if low >= LARGEST_BATCH => return Err(no_batch(mechanism, target, delta)),
            next if steps < POWER_LAW_STEPS => next.clamp(low + 1, high - 1),
            _ => low + (high - low) / 2,
        };
        steps += 1;
        let epsilon = mechanism.amplified(reports, delta).unwrap_or(mechanism.local_epsilon());
        let ratio = epsilon.get() / target.get();
        if ratio <= 1.0 {
            high = reports;
            if ratio > 1.0 - NEAR && high > 2000 {
                break;
            }
        } else {
            low = reports;
        }
        // Aimed a little above, so that it is enough.
        let aim = to_float(reports) * ratio * ratio * (1.0 + NEAR / 2.0);
        next = floor_to_count(aim).saturating_add(1);
    }
    if high > LARGEST_BATCH { Err(no_batch(mechanism, target, delta)) } else { Ok(high) }
}

/// The power law is given up after this many steps: small batches do not follow it.
const POWER_LAW_STEPS: u32 = 8;
/// An ε this close below the target belongs to a batch that is within a thousandth of the smallest.
const NEAR: f64 = 4e-4;

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
    let precision = match best.accountant() {
        Accountant::Blanket(_) => 1e-6,
        Accountant::Scan(..) => 1e-4,
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
    match mechanism.accountant() {
        Accountant::Blanket(randomizer) => blanket::meets(&randomizer, honest, target, delta),
        Accountant::Scan(..) => {
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
    floor_to_count(reports)
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
