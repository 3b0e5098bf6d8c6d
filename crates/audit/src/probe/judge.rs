//! What the counts prove, with how much confidence.
//!
//! Everything that is looked at is fixed in advance by the manifest: which events, how many, and how
//! often. The error that the wanted confidence leaves is divided among all of it, looks included, so
//! that the confidence holds for the outcome as a whole.

use super::{
    dependence,
    fault::Fault,
    inputs::{Input, flip_probability},
    rates::{shows_from, uneven},
    share::Share,
    statistics::clopper_pearson,
    tally::Tally,
};
use serde::Serialize;
use sottovoce_privacy::{
    guarantee::Mechanism,
    shown::{at_least, at_most},
};

/// An interval for a probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Within {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// What is proved so far.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Judgement {
    /// The privacy loss is at least this.
    pub epsilon_at_least: f64,
    /// What the manifest promises of one report.
    pub epsilon0: f64,
    /// How often a report (or a bit of it) is flipped.
    pub flips: Within,
    /// What the manifest says of that.
    pub flips_promised: f64,
    /// By how much of what is promised a bin by itself must be off to show, as likely as not.
    pub bin_shows_from: f64,
    /// What is wrong.
    pub faults: Vec<Fault>,
}

impl Judgement {
    /// Whether nothing is wrong, and enough is known: the bound is within `precision` of the promise, and
    /// so is the rate of flips.
    pub fn certifies(&self, precision: f64) -> bool {
        let near = |value: f64| (value / self.flips_promised - 1.0).abs() <= precision;
        self.faults.is_empty()
            && self.epsilon_at_least >= self.epsilon0 * (1.0 - precision)
            && near(self.flips.low)
            && near(self.flips.high)
    }
}

/// Judges the counts of one look, with an error of at most `alpha`.
pub fn judge(mechanism: &Mechanism, inputs: &[Input], tally: &Tally, alpha: f64) -> Judgement {
    let pairs = inputs.len() * inputs.len().saturating_sub(1);
    // Half for the rates, half for the bound; in each as many statements as are made.
    #[expect(clippy::cast_precision_loss, reason = "a handful")]
    let (rates, events) = (alpha / 2.0 / 4.0, alpha / 2.0 / (2 * pairs.max(1)) as f64);
    let promised = flip_probability(mechanism);
    let (counted, what) = match mechanism {
        Mechanism::Krr(_) => (tally.lies, "reports have another bin than the answer"),
        Mechanism::Bits(_) | Mechanism::Signals(_) => (tally.flips, "bits are flipped"),
    };
    let flips = within(counted, rates);
    let mut faults = Vec::new();
    if promised < flips.low || promised > flips.high {
        faults.push(Fault {
            rule: "flip-probability",
            message: format!(
                "{} of {} {what}: the confidence interval of the probability is {:.6} to {:.6}, and the manifest \
                 promises {promised:.6}",
                counted.hits, counted.trials, flips.low, flips.high
            ),
        });
    }
    faults.extend(uneven(mechanism, inputs, tally, rates));
    faults.extend(dependence::of_reports(tally, rates));
    faults.extend(dependence::of_bits(mechanism, tally, rates));
    faults.extend(repeated(tally));
    let bin_shows_from = shows_from(mechanism, inputs, tally, rates);
    let epsilon_at_least = epsilon(tally, events);
    let epsilon0 = mechanism.local_epsilon().get();
    if epsilon_at_least > epsilon0 {
        faults.push(Fault {
            rule: "epsilon",
            message: format!(
                "the privacy loss between two answers is ε ≥ {}, and the manifest promises ε ≤ {}",
                at_least(epsilon_at_least, 6),
                at_most(epsilon0, 6)
            ),
        });
    }
    Judgement {
        epsilon_at_least,
        epsilon0,
        flips,
        flips_promised: promised,
        bin_shows_from,
        faults,
    }
}

fn within(share: Share, alpha: f64) -> Within {
    let (low, high) = clopper_pearson(share.hits, share.trials, alpha);
    Within { low, high }
}

/// The largest loss that is proved of any two inputs, by the event that the manifest says is the most
/// telling: that the report is just what the one input is, wherever the two differ.
fn epsilon(tally: &Tally, alpha: f64) -> f64 {
    let inputs = 0..tally.inputs.len();
    let pairs = inputs.clone().flat_map(|one| inputs.clone().map(move |other| (one, other)));
    let mut most: f64 = 0.0;
    for (one, other) in pairs.filter(|(one, other)| one != other) {
        let often = within(tally.told(one, one, other), alpha).low;
        let seldom = within(tally.told(other, one, other), alpha).high;
        if often > 0.0 && seldom > 0.0 {
            most = most.max((often / seldom).ln());
        }
    }
    most
}

/// What never happens by chance needs no statistics.
fn repeated(tally: &Tally) -> Vec<Fault> {
    let mut faults = Vec::new();
    if tally.repeated > 0 {
        let message = format!(
            "{} report IDs, encapsulated keys or seeds were used twice: randomness is reused",
            tally.repeated
        );
        faults.push(Fault { rule: "randomness-reused", message });
    }
    if tally.redrawn.hits > 0 {
        let message = format!(
            "{} of {} retries have another randomized answer than the first attempt: the answer is randomized again \
             on retry, and several draws of one answer reveal more of it",
            tally.redrawn.hits, tally.redrawn.trials
        );
        faults.push(Fault { rule: "redrawn-on-retry", message });
    }
    if tally.renewed.hits > 0 {
        let message = format!(
            "{} of {} retries have another report ID than the first attempt: if the aggregators have the first, the \
             answer is counted twice",
            tally.renewed.hits, tally.renewed.trials
        );
        faults.push(Fault { rule: "new-id-on-retry", message });
    }
    if tally.resharded.hits > 0 {
        let message = format!(
            "{} of {} retries have the report ID of the first attempt and other shares: a report must be sharded \
             once, and a retry must seal the same shares",
            tally.resharded.hits, tally.resharded.trials
        );
        faults.push(Fault { rule: "new-shares-on-retry", message });
    }
    faults
}
