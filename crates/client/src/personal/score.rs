//! How satisfying one response seems to have been, from 0 to 1, judged by what its user did.
//!
//! A `score` metric with `of` and `weights` is worked out here. For the signals i that have a
//! weight,
//!
//! ```text
//! score = 1/(1 + e^−(u + Σ wᵢ·rᵢ))
//! ```
//!
//! | | | with little evidence |
//! |---|---|---|
//! | rᵢ | what the signal says beside the user's habit ([`Reading::against`](super::baseline::Reading::against)) | 1 if observed, else 0 |
//! | wᵢ | the program's weight, moved by this user's explicit answers ([`Baseline::weight`]) | the program's |
//! | u | how satisfied this user usually is ([`Baseline::usually`]) | 0 |
//!
//! With little evidence it is the logistic of the program's weights alone, and ½ if nothing was
//! observed. It is the posterior of a naive Bayes model, in which signals are independent given
//! satisfaction; that they are not makes scores too extreme rather than too tame. A score says what
//! this user's behaviour suggests. It is no probability that was ever checked against anything but
//! the user's own answers.

use super::baseline::Baseline;
use serde::Serialize;
use sottovoce_program::{profile::ProfilePolicy, score::ScoreSource};
use std::collections::BTreeSet;

/// A score with what it is made of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// From 0 to 1.
    pub value: f64,
    /// How satisfied the user usually is, in log-odds.
    pub usually: f64,
    /// What each signal adds.
    pub parts: Vec<Part>,
}

/// What one signal adds to a score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Part {
    /// The signal.
    pub signal: String,
    /// Whether it was observed.
    pub observed: bool,
    /// The program's weight.
    pub declared: f64,
    /// The weight for this user.
    pub weight: f64,
    /// What the signal says beside the user's habit, from -1 to 1; times the weight it is what is
    /// added, in log-odds.
    pub against: f64,
}

/// The score of a response with these signals of the metric `source.of`. To be worked out before
/// the baseline observes the response.
pub fn score(
    policy: ProfilePolicy,
    source: &ScoreSource,
    baseline: &Baseline,
    observed: &BTreeSet<String>,
    now: u64,
) -> Score {
    let part = |(signal, declared): &(String, f64)| {
        let observed = observed.contains(signal);
        Part {
            signal: signal.clone(),
            observed,
            declared: *declared,
            weight: baseline.weight(policy, &source.of, signal, *declared, now),
            against: baseline.reading(policy, &source.of, signal, observed, now).against,
        }
    };
    let parts: Vec<_> = source.weights.iter().map(part).collect();
    let usually = baseline.usually(policy, now);
    let log_odds = usually + parts.iter().map(|part| part.weight * part.against).sum::<f64>();
    Score { value: 1.0 / (1.0 + (-log_odds).exp()), usually, parts }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sottovoce_program::{Program, kind::Derived};
    use std::sync::LazyLock;

    const NOW: u64 = 1_795_417_761;
    const POLICY: ProfilePolicy = ProfilePolicy { half_life: 30 * 86_400 };

    /// Parsed once: a program's guarantees take their time.
    static SOURCE: LazyLock<ScoreSource> = LazyLock::new(|| {
        let example = include_str!("../../../../examples/support-assistant.toml");
        let metrics = "[metrics.did]\nkind = \"signals\"\nquestion = \"?\"\n\
                       signals = [\"copied\", \"edited\", \"regenerated\"]\n\
                       [metrics.well]\nkind = \"score\"\nquestion = \"?\"\nbuckets = [0, 0.5]\n\
                       of = \"did\"\nweights = { copied = 1, regenerated = -1.5 }\n";
        let program = Program::parse("program.toml", &format!("{example}\n{metrics}")).unwrap();
        match program.task("well").unwrap().metric.kind.as_kind().derived() {
            Some(Derived::Score(source)) => source.clone(),
            other => panic!("{other:?}"),
        }
    });

    fn names(signals: &[&str]) -> Vec<String> {
        signals.iter().map(|signal| (*signal).to_owned()).collect()
    }

    fn value(baseline: &Baseline, observed: &[&str]) -> f64 {
        score(POLICY, &SOURCE, baseline, &names(observed).into_iter().collect(), NOW).value
    }

    fn logistic(log_odds: f64) -> f64 {
        1.0 / (1.0 + f64::exp(-log_odds))
    }

    #[test]
    fn a_new_device_uses_the_programs_weights_alone() {
        for (observed, log_odds) in [
            (&[][..], 0.0),
            (&["copied"], 1.0),
            (&["regenerated", "edited", "unheard of"], -1.5),
            (&["copied", "regenerated"], -0.5),
        ] {
            let found = value(&Baseline::default(), observed);
            assert!((found - logistic(log_odds)).abs() < 1e-12, "{observed:?}: {found}");
        }
    }

    #[test]
    fn who_always_copies_says_nothing_by_copying() {
        let mut baseline = Baseline::default();
        let declared = names(&["copied", "edited", "regenerated"]);
        let copied = names(&["copied"]).into_iter().collect();
        (0..500).for_each(|_| baseline.observe(POLICY, "did", &declared, &copied, NOW));
        assert!((value(&baseline, &["copied"]) - 0.5).abs() < 0.02);
        assert!(value(&baseline, &[]) < 0.3);
        let other = score(POLICY, &SOURCE, &baseline, &copied, NOW);
        assert_eq!(other.parts.len(), 2);
        assert!((other.parts[0].weight - 1.0).abs() < 1e-12 && other.parts[0].against < 0.03);
    }

    #[test]
    fn who_copies_what_is_bad_is_heard_after_some_answers() {
        let (mut baseline, declared) = (Baseline::default(), names(&["copied", "regenerated"]));
        let (copied, nothing) = (names(&["copied"]).into_iter().collect(), BTreeSet::new());
        let guess = value(&baseline, &["copied"]);
        for answers in 0..20 {
            let before = value(&baseline, &["copied"]);
            assert!(answers > 2 || (before - guess).abs() < 1e-12, "few answers change nothing");
            baseline.explain(POLICY, "did", &declared, &copied, false, NOW);
            baseline.explain(POLICY, "did", &declared, &nothing, true, NOW);
        }
        let learnt = value(&baseline, &["copied"]);
        assert!(guess > 0.7 && learnt < 0.4, "{guess} {learnt}");
    }

    #[test]
    fn who_is_usually_content_is_taken_to_be_so() {
        let (mut baseline, declared) = (Baseline::default(), names(&["copied", "regenerated"]));
        for _ in 0..40 {
            baseline.explain(POLICY, "did", &declared, &BTreeSet::new(), true, NOW);
        }
        let (usually, content) = (baseline.usually(POLICY, NOW), value(&baseline, &[]));
        assert!(usually > 1.0 && (content - logistic(usually)).abs() < 1e-12, "{content}");
    }

    proptest! {
        #[test]
        fn a_score_is_always_from_0_to_1(
            answers in proptest::collection::vec(any::<(bool, bool, bool, u64)>(), 0..60),
            observed: (bool, bool), now: u64,
        ) {
            let (mut baseline, declared) = (Baseline::default(), names(&["copied", "regenerated"]));
            let signals = |copied: bool, regenerated: bool| -> BTreeSet<String> {
                let chosen = [(copied, "copied"), (regenerated, "regenerated")];
                chosen.iter().filter(|(on, _)| *on).map(|(_, name)| (*name).to_owned()).collect()
            };
            for (copied, regenerated, satisfied, now) in answers {
                let seen = signals(copied, regenerated);
                baseline.explain(POLICY, "did", &declared, &seen, satisfied, now);
                baseline.observe(POLICY, "did", &declared, &seen, now);
            }
            let score = score(POLICY, &SOURCE, &baseline, &signals(observed.0, observed.1), now);
            prop_assert!((0.0..=1.0).contains(&score.value), "{:?}", score);
            let sum: f64 = score.parts.iter().map(|part| part.weight * part.against).sum();
            prop_assert!((score.value - logistic(score.usually + sum)).abs() < 1e-9);
        }
    }
}
