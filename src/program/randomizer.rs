//! Which randomizer a metric gets, and why.
//!
//! One of n answers can be randomized as a choice (k-ary: the proof lets a report say one thing
//! only) or bit by bit. Both spend the program's ε₀ on a whole report. What differs is the error:
//! the variance that one report adds to a bin's unbiased count, averaged over the bins, which for
//! k-ary response is `[t(1-t) + (k-1)a(1-a)]/(k s²)` and for bits `q(1-q)/(1-2q)²`.

use crate::dap::task::VdafConfig;
use crate::privacy::{
    guarantee::{Mechanism, MechanismKind},
    randomizer::{Changed, RandomizerError},
    units::Epsilon,
};

/// The randomizer of a metric.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// What devices do.
    pub mechanism: Mechanism,
    /// Why it is this one, for people.
    pub why: String,
}

/// An honest bitwise report has more bits on than its proof allows with a probability below this;
/// it is then not sent.
pub const REFUSAL: f64 = 1e-9;

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
        let why = format!("any of {bins} bits may differ, so each has its part of the budget");
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
        Some(MechanismKind::Bits) => (bits, "the program says so"),
        Some(_) => (kary, "the program says so"),
        None if errors[1] < CLEARLY_BETTER * errors[0] => (bits, "the smaller error"),
        None => (kary, "the smaller error, and no report can say two things"),
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
pub(super) fn vdaf(mechanism: &Mechanism) -> Result<VdafConfig, RandomizerError> {
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
        Mechanism::Bits(bits) => multihot(bits.max_weight_for(Changed::OneHot, REFUSAL)?),
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

    #[test]
    fn bits_are_proved_by_a_weight_that_honest_reports_have() {
        let mechanism = chosen(21, 2.0, Some(MechanismKind::Bits)).mechanism;
        let VdafConfig::Prio3MultihotCountVec { length, max_weight, .. } =
            vdaf(&mechanism).unwrap()
        else {
            panic!("not a vector of bits")
        };
        assert_eq!(length, 21);
        assert!((8..=21).contains(&max_weight), "{max_weight}");
    }
}
