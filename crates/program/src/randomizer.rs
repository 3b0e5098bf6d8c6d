//! Which randomizer a metric gets, and why.
//!
//! One of n answers can be randomized as a choice (k-ary: the proof lets a report say one thing
//! only) or bit by bit. Both spend the program's ε₀ on a whole report. What differs is the error:
//! the variance that one report adds to a bin's unbiased count, averaged over the bins, which for
//! k-ary response is `[t(1-t) + (k-1)a(1-a)]/(k s²)` and for bits `q(1-q)/(1-2q)²`.

use sottovoce_dap::task::VdafConfig;
use sottovoce_privacy::{
    amplification::MOST_REPORTS,
    guarantee::{Mechanism, MechanismKind},
    randomizer::{Changed, RandomizerError},
    units::{Delta, Epsilon},
};

/// The randomizer of a metric.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// What devices do.
    pub mechanism: Mechanism,
    /// Why it is this one, for people.
    pub why: String,
}

/// The probability with which an honest bitwise report may have more bits on than its proof allows; it
/// is then not sent.
///
/// Bits are accounted for as if each were independent of the others, and of reports that are not sent
/// that is not true. A batch of n reports is what it is taken for but with a probability of n times
/// this, so that this is so small that it is at most a thousandth of δ for the largest number of reports
/// that is ever counted on.
pub fn refusal(delta: Delta) -> f64 {
    /// The part of δ that it may cost.
    const PART: f64 = 1e-3;
    #[expect(clippy::cast_precision_loss, reason = "a power of ten")]
    let reports = MOST_REPORTS as f64;
    (delta.get() * PART / reports).max(f64::MIN_POSITIVE)
}

/// Bits must be better by more than this: rounding never decides, and k-ary is stricter against
/// poisoning.
const CLEARLY_BETTER: f64 = 0.95;

/// The randomizer for one of `bins` answers that spends `epsilon0` on a report: the one that is
/// `wanted`, or the one with the smaller error.
pub(super) fn choose(
    bins: u32,
    epsilon0: Epsilon,
    wanted: Option<MechanismKind>,
) -> Result<Chosen, RandomizerError> {
    if wanted == Some(MechanismKind::Signals) {
        let mechanism = of_report(MechanismKind::Signals, bins, epsilon0)?;
        let why = format!("any of {bins} bits may differ, so epsilon0 is split among them");
        return Ok(Chosen { mechanism, why });
    }
    let kary = of_report(MechanismKind::Krr, bins, epsilon0)?;
    let bits = of_report(MechanismKind::Bits, bins, epsilon0)?;
    let errors = [&kary, &bits].map(|mechanism| variance_per_report(mechanism).sqrt());
    let compared = format!(
        "standard error per report and bin {:.3} by k-ary response, {:.3} bit by bit",
        errors[0], errors[1]
    );
    let (mechanism, reason) = match wanted {
        Some(MechanismKind::Bits) => (bits, "set in the program"),
        Some(_) => (kary, "set in the program"),
        None if errors[1] < CLEARLY_BETTER * errors[0] => (bits, "the smaller error"),
        None => (kary, "the smaller error, and each report has exactly one bin"),
    };
    Ok(Chosen { mechanism, why: format!("{reason} ({compared})") })
}

/// A mechanism that spends `epsilon0` on a whole report.
fn of_report(
    kind: MechanismKind,
    bins: u32,
    epsilon0: Epsilon,
) -> Result<Mechanism, RandomizerError> {
    let share = match kind {
        MechanismKind::Krr => 1.0,
        MechanismKind::Bits => f64::from(Changed::OneHot.coordinates(bins)),
        MechanismKind::Signals => f64::from(Changed::Free.coordinates(bins)),
    };
    // A little less for each part, so that their sum, rounded up, is not above the whole.
    let part = if share > 1.0 { (1.0 - 1e-12) / share } else { 1.0 };
    let each = Epsilon::new(epsilon0.get() * part)
        .map_err(|_| RandomizerError::Epsilon(epsilon0.get()))?;
    Mechanism::new(kind, bins, each)
}

/// The variance that one report adds to a bin's unbiased count, averaged over the bins; devices
/// counted as they are (the randomizer's part alone).
pub fn variance_per_report(mechanism: &Mechanism) -> f64 {
    match mechanism {
        Mechanism::Krr(randomizer) => {
            let (t, a) = (randomizer.truth_probability(), randomizer.lie_probability());
            let k = f64::from(randomizer.bins());
            (t * (1.0 - t) + (k - 1.0) * a * (1.0 - a)) / (k * (t - a).powi(2))
        }
        Mechanism::Bits(randomizer) | Mechanism::Signals(randomizer) => {
            let q = randomizer.flip_probability();
            q * (1.0 - q) / (1.0 - 2.0 * q).powi(2)
        }
    }
}

/// The VDAF whose proof lets an honest report pass, and as little else as there is.
pub(super) fn vdaf(mechanism: &Mechanism, delta: Delta) -> Result<VdafConfig, RandomizerError> {
    let length = mechanism.bins();
    let multihot = |max_weight: u32| VdafConfig::Prio3MultihotCountVec {
        length,
        chunk_length: chunk_length(length),
        max_weight: max_weight.into(),
    };
    Ok(match mechanism {
        Mechanism::Krr(_) => {
            VdafConfig::Prio3Histogram { length, chunk_length: chunk_length(length) }
        }
        Mechanism::Bits(bits) => multihot(bits.max_weight_for(Changed::OneHot, refusal(delta))?),
        // Any bits may be on: there is no weight to bound.
        Mechanism::Signals(_) => VdafConfig::Prio3SumVec {
            length,
            max_measurement: 1,
            chunk_length: chunk_length(length),
        },
    })
}

/// The proof is smallest when chunks are about the square root of the length (VDAF §7.4.3.1).
fn chunk_length(bins: u32) -> u32 {
    bins.isqrt().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sottovoce_privacy::guarantee::LARGEST_BATCH;

    fn chosen(bins: u32, epsilon0: f64, wanted: Option<MechanismKind>) -> Chosen {
        choose(bins, Epsilon::new(epsilon0).unwrap(), wanted).unwrap()
    }

    #[test]
    fn few_bins_or_a_large_budget_are_best_as_a_choice_and_many_with_little_bit_by_bit() {
        for (bins, epsilon0, kind) in [
            (3, 4.0, MechanismKind::Krr),
            (21, 4.0, MechanismKind::Krr),
            (3, 0.5, MechanismKind::Krr),
            (21, 0.5, MechanismKind::Bits),
            (60, 1.0, MechanismKind::Bits),
        ] {
            let chosen = chosen(bins, epsilon0, None);
            assert_eq!(chosen.mechanism.kind(), kind, "{bins} {epsilon0}: {}", chosen.why);
        }
    }

    #[test]
    fn a_report_spends_the_same_whichever_randomizer_it_is() {
        for kind in [MechanismKind::Krr, MechanismKind::Bits] {
            let mechanism = chosen(6, 3.0, Some(kind)).mechanism;
            assert_eq!(mechanism.kind(), kind);
            let spent = mechanism.local_epsilon().get();
            assert!(spent <= 3.0 && spent > 3.0 - 1e-9, "{mechanism:?}");
        }
    }

    /// The probability that an honest report has more than so many bits on, bit by bit.
    fn exceeds(mechanism: &Mechanism, weight: usize) -> f64 {
        let Mechanism::Bits(randomizer) = mechanism else { panic!("not bits") };
        let (keep, flip) = (randomizer.truth_probability(), randomizer.flip_probability());
        let mut row = vec![1.0];
        for bit in 0..randomizer.bits() {
            let on = if bit == 0 { keep } else { flip };
            let mut next = vec![0.0; row.len() + 1];
            for (i, probability) in row.iter().enumerate() {
                next[i] += probability * (1.0 - on);
                next[i + 1] += probability * on;
            }
            row = next;
        }
        row[weight + 1..].iter().rev().sum()
    }

    /// Even the largest batch that is looked for is one of independent reports but for a thousandth of
    /// δ, and no weight is larger than that needs.
    #[test]
    fn bits_are_proved_by_a_weight_that_no_batch_of_honest_reports_exceeds() {
        for (bins, epsilon0, delta) in
            [(21, 4.0, 1e-6), (60, 4.0, 1e-6), (60, 1.0, 1e-9), (21, 2.0, 1e-6), (60, 4.0, 1e-12)]
        {
            let delta = Delta::new(delta).unwrap();
            let mechanism = chosen(bins, epsilon0, Some(MechanismKind::Bits)).mechanism;
            let VdafConfig::Prio3MultihotCountVec { length, max_weight, .. } =
                vdaf(&mechanism, delta).unwrap()
            else {
                panic!("not a vector of bits")
            };
            assert_eq!(length, bins);
            let weight = usize::try_from(max_weight).unwrap();
            #[expect(clippy::cast_precision_loss, reason = "a power of ten")]
            let allowed = [LARGEST_BATCH as f64, MOST_REPORTS as f64]
                .map(|reports| delta.get() / 1000.0 / reports);
            assert!(exceeds(&mechanism, weight) <= allowed[0], "{bins} bits, weight {weight}");
            assert!(exceeds(&mechanism, weight - 1) > allowed[1], "{bins} bits, weight {weight}");
        }
    }
}
