//! Ratings: their mean and how many chose one of the two best levels, among those who answered.

use super::{
    confidence::Confidence,
    error::{EstimateError, at_least, within},
    figure::{Figure, ratio, weighted_sum},
    interval::{Interval, Scope},
    noisy_counts::NoisyCounts,
};
use serde::Serialize;

/// What each bin of a rating is worth: a score, or nothing for *no answer*.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    scores: Vec<Option<f64>>,
}

/// The figures of a rating. Mean and top-two-box are conditional on answering; those who did not
/// answer may think otherwise ([`nonresponse`](super::nonresponse)).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rating {
    /// The mean score of those who answered.
    pub mean: Figure,
    /// The share of those who answered who chose one of the two highest scores.
    pub top_two_box: Figure,
    /// The share of devices that answered.
    pub response_rate: Figure,
}

/// Beyond any scale that people are asked to rate on; keeps sums finite.
const MOST: f64 = 1e6;

impl Scale {
    /// One score for each bin, at least two different ones, none beyond a million either way.
    pub fn new(scores: Vec<Option<f64>>) -> Result<Self, EstimateError> {
        let mut known: Vec<f64> = scores.iter().copied().flatten().collect();
        for score in &known {
            let why = "a score is a number from minus a million to a million";
            within("score", *score, -MOST, MOST, why)?;
        }
        known.sort_by(f64::total_cmp);
        known.dedup();
        at_least(2, "different scores", known.len())?;
        Ok(Self { scores })
    }

    /// Levels 1 to `levels` in order, and then one bin for *no answer*.
    pub fn levels(levels: u16) -> Result<Self, EstimateError> {
        let scores = (1..=levels).map(|level| Some(f64::from(level))).chain([None]);
        Self::new(scores.collect())
    }

    /// 1 for each bin that is an answer.
    fn answered(&self) -> Vec<f64> {
        self.scores.iter().map(|score| indicator(score.is_some())).collect()
    }

    /// 1 for each bin with one of the two highest scores.
    fn top_two(&self) -> Vec<f64> {
        let mut known: Vec<f64> = self.scores.iter().copied().flatten().collect();
        known.sort_by(|a, b| b.total_cmp(a));
        known.dedup();
        let second = known.get(1).copied().unwrap_or(f64::INFINITY);
        let is_top = |score: &Option<f64>| score.is_some_and(|score| score >= second);
        self.scores.iter().map(|score| indicator(is_top(score))).collect()
    }

    fn range(&self) -> Interval {
        let known = self.scores.iter().copied().flatten();
        let none = Interval { low: f64::INFINITY, high: f64::NEG_INFINITY };
        known.fold(none, |range, score| Interval {
            low: range.low.min(score),
            high: range.high.max(score),
        })
    }
}

/// The figures of a rating, each interval by itself.
pub fn rating(
    release: &NoisyCounts,
    scale: &Scale,
    scope: Scope,
    confidence: Confidence,
) -> Result<Rating, EstimateError> {
    let answered = scale.answered();
    let scores: Vec<f64> = scale.scores.iter().map(|score| score.unwrap_or(0.0)).collect();
    let among_answers = |numerator: &[f64]| ratio(release, numerator, &answered, scope, confidence);
    let Interval { low, high } = scale.range();
    Ok(Rating {
        mean: among_answers(&scores)?.clamp(low, high),
        top_two_box: among_answers(&scale.top_two())?.clamp(0.0, 1.0),
        response_rate: weighted_sum(release, &answered, scope, confidence)?.clamp(0.0, 1.0),
    })
}

fn indicator(condition: bool) -> f64 {
    f64::from(u8::from(condition))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{aggregator_noise::AggregatorNoise, noisy_counts::Channel};

    #[test]
    fn what_is_no_scale_is_refused() {
        assert!(Scale::new(vec![Some(1.0), None]).is_err());
        assert!(Scale::new(vec![Some(1.0), Some(1.0)]).is_err());
        assert!(Scale::new(vec![Some(1.0), Some(f64::NAN)]).is_err());
        assert!(Scale::new(vec![Some(1.0), Some(f64::INFINITY)]).is_err());
        assert!(Scale::levels(1).is_err());
    }

    #[test]
    fn a_scale_for_other_bins_is_refused() {
        let channel = Channel::kary(3, 0.0).unwrap();
        let release = NoisyCounts::new(vec![1, 1, 1], 3, channel, AggregatorNoise::None).unwrap();
        let scale = Scale::levels(5).unwrap();
        let error = rating(&release, &scale, Scope::Cohort, Confidence::USUAL);
        assert!(matches!(error, Err(EstimateError::Length { given: 6, needed: 3, .. })));
    }

    #[test]
    fn without_a_randomizer_the_figures_are_the_samples() {
        let channel = Channel::kary(6, 0.0).unwrap();
        let counts = vec![100, 100, 200, 300, 300, 1000];
        let release = NoisyCounts::new(counts, 2000, channel, AggregatorNoise::None).unwrap();
        let scale = Scale::levels(5).unwrap();
        let figures = rating(&release, &scale, Scope::Population, Confidence::USUAL).unwrap();
        assert!((figures.mean.value - 3.6).abs() < 1e-12);
        assert!((figures.top_two_box.value - 0.6).abs() < 1e-12);
        assert!((figures.response_rate.value - 0.5).abs() < 1e-12);
        // Among 1000 answers: sqrt(1.64/1000) and sqrt(0.24/1000).
        assert!((figures.mean.standard_error - 0.001_64_f64.sqrt()).abs() < 1e-9);
        assert!((figures.top_two_box.standard_error - 0.000_24_f64.sqrt()).abs() < 1e-9);
        let cohort = rating(&release, &scale, Scope::Cohort, Confidence::USUAL).unwrap();
        assert!(cohort.mean.standard_error < 1e-9);
    }
}
