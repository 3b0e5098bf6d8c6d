//! Who is preferred: strengths from noisy counts of paired comparisons.
//!
//! The model is Bradley and Terry's (1952) with Davidson's ties (1970). Shown i and j, a device
//! prefers i with probability `e^{d/2}/(e^{d/2} + e^{-d/2} + ν)`, where `d = β_i - β_j`, and
//! finds them equal with probability `ν/(…)`. A report lands in bin y with probability
//! `λ_y = a + s·w·P(outcome)`, where w is the share of devices that were shown the pair and
//! answered. Strengths β, ν and all shares are those that make the *noisy* counts most likely; no
//! count is debiased or cut off first, so each weighs as much as it says.
//!
//! Counts are taken as Poisson with the aggregators' variance added to mean and count, which for
//! k-ary reports without aggregator noise is exactly the multinomial likelihood. Uncertainty is by
//! the sandwich formula (White 1982) with the true covariance of the counts, and so by the Fisher
//! information where the likelihood is exact.

mod fit;
mod links;

use super::{
    compare::{Comparison, Counted, Devices, Difference, Question, Unit, decide},
    confidence::Confidence,
    error::{EstimateError, at_least, within},
    interval::Interval,
    noisy_counts::NoisyCounts,
    number::Real,
    planning::VarianceLaw,
    symmetric::Symmetric,
};
use fit::Fit;
use serde::Serialize;

/// What a bin says about two candidates, which are numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The first is preferred to the second.
    Preferred(usize, usize),
    /// They are found equal.
    Tie(usize, usize),
    /// Nothing: no answer.
    Nothing,
}

/// The noisy counts of one batch, with what each of its bins means.
#[derive(Clone, Debug, PartialEq)]
pub struct Ballot {
    release: NoisyCounts,
    outcomes: Vec<Outcome>,
}

/// How strong each candidate is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Strengths {
    /// In the order of the candidates.
    pub candidates: Vec<Strength>,
    /// ν: at equal strength a tie is ν/2 times as likely as not. Absent if no bin is a tie.
    pub tie: Option<f64>,
    /// Covariance of the strengths.
    #[serde(skip)]
    pub covariance: Symmetric,
    /// Reports in all batches.
    #[serde(skip)]
    reports: u64,
    #[serde(skip)]
    counted: Counted,
}

/// The strength of one candidate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Strength {
    /// Its name.
    pub candidate: String,
    /// β, a natural logarithm of odds; those of all candidates add up to 0.
    pub strength: f64,
    /// Its standard deviation.
    pub standard_error: f64,
    /// The strengths that the data does not contradict.
    #[serde(flatten)]
    pub interval: Interval,
    /// The probability of being preferred to a candidate of average strength, ties apart.
    pub preferred: f64,
}

/// The most candidates of one metric.
const MOST_CANDIDATES: f64 = 100.0;

/// The most bins of all ballots; a fit takes the cube of them.
const MOST_BINS: f64 = 1000.0;

impl Ballot {
    /// One outcome for each bin. Answers must exclude each other, and each pair needs a bin for
    /// each side winning.
    pub fn new(release: NoisyCounts, outcomes: Vec<Outcome>) -> Result<Self, EstimateError> {
        if !release.channel().is_exclusive() {
            return Err(EstimateError::JointUnknown);
        }
        let (given, needed) = (outcomes.len(), release.bins());
        if given != needed {
            return Err(EstimateError::Length { what: "outcomes", given, needed });
        }
        let ballot = Self { release, outcomes };
        ballot.check_pairs()?;
        Ok(ballot)
    }

    /// The outcomes of each pair come together, and each is there once.
    fn check_pairs(&self) -> Result<(), EstimateError> {
        let last = self.outcomes.len() - 1;
        for (index, outcome) in self.outcomes.iter().enumerate() {
            let why = match outcome {
                Outcome::Nothing => continue,
                Outcome::Preferred(i, j) | Outcome::Tie(i, j) if i == j => {
                    "compares a candidate with itself"
                }
                _ if self.outcomes[..index].iter().any(|other| same(*other, *outcome)) => {
                    "repeats the outcome of another"
                }
                Outcome::Preferred(i, j) | Outcome::Tie(i, j) if !self.has_both_sides(*i, *j) => {
                    "is of a pair without a bin for each side"
                }
                _ => continue,
            };
            return Err(EstimateError::Index { what: "outcome", index, why, last });
        }
        Ok(())
    }

    fn has_both_sides(&self, i: usize, j: usize) -> bool {
        let sides = [Outcome::Preferred(i, j), Outcome::Preferred(j, i)];
        sides.iter().all(|side| self.outcomes.contains(side))
    }
}

fn same(one: Outcome, other: Outcome) -> bool {
    match (one, other) {
        (Outcome::Tie(i, j), Outcome::Tie(k, l)) => (i, j) == (k, l) || (i, j) == (l, k),
        _ => one == other,
    }
}

impl Outcome {
    /// The pair, the lower number first.
    fn pair(self) -> Option<[usize; 2]> {
        match self {
            Self::Preferred(i, j) | Self::Tie(i, j) => Some([i.min(j), i.max(j)]),
            Self::Nothing => None,
        }
    }
}

/// The strengths of the named candidates, from all batches together; each interval by itself.
///
/// Devices that have reports in several ballots, or several in one, have to be declared by
/// [`NoisyCounts::with_repeats`]: for each ballot, as many as one device has in all of them together.
///
/// Refuses candidates that no answers link with the others, and one so far ahead or behind that
/// the noise sets no limit to its strength.
pub fn strengths(
    candidates: &[String],
    ballots: &[Ballot],
    confidence: Confidence,
) -> Result<Strengths, EstimateError> {
    at_least(1, "ballots", ballots.len())?;
    check_candidates(candidates, ballots)?;
    links::check(candidates, ballots)?;
    let fit = Fit::of(candidates.len(), ballots);
    fit.check_limits(candidates)?;
    let covariance = fit.covariance_of_strengths()?;
    let values = fit.strengths();
    let strength = |(i, candidate): (usize, &String)| {
        let (strength, standard_error) = (values[i], covariance.of(i, i).max(0.0).sqrt());
        Strength {
            candidate: candidate.clone(),
            strength,
            standard_error,
            interval: Interval::around(strength, confidence.z() * standard_error),
            preferred: 1.0 / (1.0 + (-strength).exp()),
        }
    };
    Ok(Strengths {
        candidates: candidates.iter().enumerate().map(strength).collect(),
        tie: fit.tie(),
        reports: ballots.iter().map(|ballot| ballot.release.reports()).sum(),
        counted: Counted::of(
            ballots.iter().map(|ballot| ballot.release.repeats()).fold(1, u64::max),
        ),
        covariance,
    })
}

fn check_candidates(candidates: &[String], ballots: &[Ballot]) -> Result<(), EstimateError> {
    let number = at_least(2, "candidates", candidates.len())?;
    let why = "the pairs of more than 100 candidates do not fit into one histogram";
    within("candidates", number.real(), 2.0, MOST_CANDIDATES, why)?;
    let pairs = ballots.iter().flat_map(|ballot| &ballot.outcomes).filter_map(|o| o.pair());
    let bins = ballots.iter().map(|ballot| ballot.outcomes.len()).sum::<usize>().real();
    within("bins", bins, 2.0, MOST_BINS, "strengths of more bins than this take too long to fit")?;
    match pairs.map(|[_, index]| index).find(|index| *index >= number) {
        None => Ok(()),
        Some(index) => {
            let (what, why) = ("candidate", "has no name");
            Err(EstimateError::Index { what, index, why, last: number - 1 })
        }
    }
}

impl Strengths {
    /// What may be said of each two candidates, all together: "A is higher than B" is a verdict,
    /// or is refused.
    pub fn comparisons(&self, question: Question) -> Result<Vec<Comparison>, EstimateError> {
        let number = self.candidates.len();
        let pairs: Vec<[usize; 2]> =
            (0..number).flat_map(|i| (i + 1..number).map(move |j| [i, j])).collect();
        let question = Question { unit: Unit::LogOdds, ..question };
        decide(pairs.into_iter().map(|[i, j]| self.difference(i, j)), question)
    }

    fn difference(&self, i: usize, j: usize) -> Difference {
        let [first, second] = [i, j].map(|i| &self.candidates[i]);
        let mut weights = vec![0.0; self.candidates.len()];
        (weights[i], weights[j]) = (1.0, -1.0);
        let variance = self.covariance.of_weighted_sum(&weights);
        Difference {
            first: first.candidate.clone(),
            second: second.candidate.clone(),
            value: first.strength - second.strength,
            variance,
            law: VarianceLaw { first: variance * self.reports.real(), second: 0.0 },
            of: Devices::InAll,
            counted: self.counted,
        }
    }
}

#[cfg(test)]
mod tests;
