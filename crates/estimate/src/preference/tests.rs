use super::{
    Outcome::{Nothing, Preferred, Tie},
    *,
};
use crate::{
    aggregator_noise::AggregatorNoise,
    compare::Verdict,
    noisy_counts::{Answers, Channel},
    planning::Test,
};
use proptest::prelude::*;

const NONE: AggregatorNoise = AggregatorNoise::None;
const QUESTION: Question = Question { test: Test::USUAL, worth: 0.3, unit: Unit::LogOdds };

fn names(number: usize) -> Vec<String> {
    ["A", "B", "C", "D"][..number].iter().map(|&name| name.to_owned()).collect()
}

/// A ballot on one pair: first, second, tie, no answer; counts are what is expected exactly.
fn expected(pair: [usize; 2], shares: [f64; 4], reports: f64) -> Ballot {
    let channel = Channel::kary(4, 0.02).unwrap();
    let [i, j] = pair;
    let outcomes = vec![
        Outcome::Preferred(i, j),
        Outcome::Preferred(j, i),
        Outcome::Tie(i, j),
        Outcome::Nothing,
    ];
    let response = channel.response(0).unwrap();
    let mut counts: Vec<i64> = shares
        .iter()
        .map(|share| crate::number::whole(response.reported(*share) * reports))
        .collect();
    counts[3] += crate::number::whole(reports) - counts.iter().sum::<i64>();
    let reports = u64::try_from(counts.iter().sum::<i64>()).unwrap();
    Ballot::new(NoisyCounts::new(counts, reports, channel, NONE).unwrap(), outcomes).unwrap()
}

/// What devices answer if the model holds.
fn davidson(difference: f64, tie: f64, answered: f64) -> [f64; 4] {
    let weights = [(difference / 2.0).exp(), (-difference / 2.0).exp(), tie];
    let total: f64 = weights.iter().sum();
    let [first, second, tie] = weights.map(|weight| weight / total * answered);
    [first, second, tie, 1.0 - answered]
}

fn three(strengths_: [f64; 3], reports: f64) -> Vec<Ballot> {
    [[0, 1], [1, 2], [0, 2]]
        .map(|[i, j]| {
            let shares = davidson(strengths_[i] - strengths_[j], 0.7, 0.6);
            expected([i, j], shares, reports)
        })
        .into()
}

#[test]
fn expected_counts_give_the_strengths_that_they_come_from() {
    let found = strengths(&names(3), &three([0.5, 0.0, -0.5], 1e9), Confidence::USUAL).unwrap();
    for (candidate, truth) in found.candidates.iter().zip([0.5, 0.0, -0.5]) {
        assert!((candidate.strength - truth).abs() < 1e-4, "{candidate:?}");
        assert!(candidate.interval.contains(candidate.strength));
    }
    assert!((found.tie.unwrap() - 0.7).abs() < 1e-4);
}

/// Two candidates, no ties, no randomizer: the logit of a proportion, with its variance.
#[test]
fn two_candidates_without_noise_are_a_logit() {
    let channel = Channel::kary(2, 0.0).unwrap();
    let release = NoisyCounts::new(vec![300, 100], 400, channel, NONE).unwrap();
    let outcomes = vec![Outcome::Preferred(0, 1), Outcome::Preferred(1, 0)];
    let ballot = Ballot::new(release, outcomes).unwrap();
    let found = strengths(&names(2), &[ballot], Confidence::USUAL).unwrap();
    assert!((found.candidates[0].strength - 3.0_f64.ln() / 2.0).abs() < 1e-6);
    let error = (1.0 / 300.0 + 1.0 / 100.0_f64).sqrt() / 2.0;
    assert!((found.candidates[0].standard_error - error).abs() < 1e-6);
    assert!((found.candidates[1].strength + 3.0_f64.ln() / 2.0).abs() < 1e-6);
    assert_eq!(found.tie, None);
}

#[test]
fn candidates_that_nothing_links_are_named() {
    let ballots = [
        expected([0, 1], davidson(0.3, 0.5, 0.8), 3000.0),
        expected([2, 3], davidson(0.3, 0.5, 0.8), 3000.0),
    ];
    let error = strengths(&names(4), &ballots, Confidence::USUAL).unwrap_err();
    assert!(error.to_string().contains("do not link {A, B} with {C, D}"), "{error}");
}

#[test]
fn a_pair_that_nobody_answered_is_no_link() {
    let ballots = [
        expected([0, 1], davidson(0.3, 0.5, 0.8), 3000.0),
        expected([1, 2], davidson(0.3, 0.5, 0.001), 3000.0),
    ];
    let error = strengths(&names(3), &ballots, Confidence::USUAL).unwrap_err();
    assert!(matches!(error, EstimateError::Disconnected { .. }), "{error}");
}

#[test]
fn a_candidate_that_always_wins_has_no_strength() {
    for (first, side) in [(0.8, "stronger"), (0.0, "weaker")] {
        let ballots = [
            expected([0, 1], [first, 0.8 - first, 0.0, 0.2], 3000.0),
            expected([1, 2], davidson(0.0, 0.5, 0.8), 3000.0),
        ];
        let error = strengths(&names(3), &ballots, Confidence::USUAL).unwrap_err();
        let expected = EstimateError::Separated { candidate: "A".to_owned(), side };
        assert_eq!(error, expected);
    }
}

#[test]
fn ballots_that_make_no_sense_are_refused() {
    let release = |bins: usize| {
        let channel = Channel::kary(bins, 0.01).unwrap();
        let mut counts = vec![0; bins];
        counts[0] = 10;
        NoisyCounts::new(counts, 10, channel, NONE).unwrap()
    };
    for outcomes in [
        vec![Preferred(0, 1), Nothing],
        vec![Preferred(0, 0), Preferred(0, 1)],
        vec![Preferred(0, 1), Preferred(0, 1), Preferred(1, 0)],
        vec![Preferred(0, 1), Preferred(1, 0), Tie(0, 1), Tie(1, 0)],
    ] {
        let ballot = Ballot::new(release(outcomes.len()), outcomes.clone());
        assert!(matches!(ballot, Err(EstimateError::Index { .. })), "{outcomes:?}");
    }
    assert!(Ballot::new(release(3), vec![Nothing]).is_err());
    let unknown = Ballot::new(release(2), vec![Preferred(0, 7), Preferred(7, 0)]).unwrap();
    let error = strengths(&names(2), &[unknown], Confidence::USUAL).unwrap_err();
    assert!(error.to_string().contains("candidate 7 has no name"), "{error}");
    assert!(strengths(&names(2), &[], Confidence::USUAL).is_err());
    let responses = vec![crate::debias::Response::flipped(0.1).unwrap(); 2];
    let free = Channel::Bits { responses, answers: Answers::Free };
    let free = NoisyCounts::new(vec![1, 1], 10, free, NONE).unwrap();
    assert!(Ballot::new(free, vec![Preferred(0, 1), Preferred(1, 0)]).is_err());
}

proptest! {
    #[test]
    fn any_counts_give_finite_strengths_or_a_reason(
        counts in prop::array::uniform3(prop::array::uniform4(0_i64..2000)),
        variance in 0.0..1000.0_f64,
    ) {
        let ballots: Vec<Ballot> = [[0, 1], [1, 2], [0, 2]]
            .into_iter()
            .zip(counts)
            .map(|([i, j], counts)| {
                let reports = u64::try_from(counts.iter().sum::<i64>().max(1)).unwrap();
                let noise = AggregatorNoise::Laplace { variance: variance + 1.0 };
                let channel = Channel::kary(4, 0.02).unwrap();
                let release = NoisyCounts::new(counts.to_vec(), reports, channel, noise).unwrap();
                let outcomes = vec![Preferred(i, j), Preferred(j, i), Tie(i, j), Nothing];
                Ballot::new(release, outcomes).unwrap()
            })
            .collect();
        match strengths(&names(3), &ballots, Confidence::USUAL) {
            Ok(found) => {
                let sum: f64 = found.candidates.iter().map(|c| c.strength).sum();
                prop_assert!(sum.abs() < 1e-9);
                for candidate in found.candidates {
                    prop_assert!(candidate.standard_error.is_finite());
                    prop_assert!(candidate.interval.contains(candidate.strength));
                }
            }
            Err(error) => {
                let is_reason = matches!(
                    error,
                    EstimateError::Disconnected { .. }
                        | EstimateError::Separated { .. }
                        | EstimateError::NotIdentified(_)
                );
                prop_assert!(is_reason, "{}", error);
            }
        }
    }
}

#[test]
fn a_preference_that_the_data_does_not_support_is_refused_in_words() {
    let close = strengths(&names(3), &three([0.02, 0.0, -0.02], 3000.0), Confidence::USUAL);
    let comparisons = close.unwrap().comparisons(QUESTION).unwrap();
    assert_eq!(comparisons.len(), 3);
    for comparison in &comparisons {
        assert_eq!(comparison.verdict, Verdict::CannotTell);
        assert!(comparison.to_string().contains("the data cannot tell"), "{comparison}");
    }
    let apart = strengths(&names(3), &three([0.6, 0.0, -0.6], 3000.0), Confidence::USUAL);
    for comparison in apart.unwrap().comparisons(QUESTION).unwrap() {
        assert_eq!(comparison.verdict, Verdict::FirstHigher, "{comparison}");
    }
}
