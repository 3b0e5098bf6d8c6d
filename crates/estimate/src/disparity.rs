//! How differently segments are served: the largest gap, with an interval that knows that it was
//! looked for.
//!
//! The largest of many gaps is large by chance. So the intervals of the gaps between each two
//! segments hold all at once (Bonferroni), and a gap is only called one if its interval is free
//! of 0.

use super::{
    compare::{Arm, Unit},
    confidence::Confidence,
    covariance,
    error::{EstimateError, at_least},
    figure::{dot, ratio},
    interval::{Interval, Scope},
    noisy_counts::NoisyCounts,
    symmetric::Symmetric,
};
use serde::Serialize;
use std::fmt;

/// A figure of each segment, and how they vary together.
#[derive(Clone, Debug, PartialEq)]
pub struct Segments {
    labels: Vec<String>,
    values: Vec<f64>,
    covariance: Symmetric,
    unit: Unit,
    left_out: Vec<LeftOut>,
}

/// A member of a comparison that says too little to take part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LeftOut {
    /// Its name.
    pub label: String,
    /// Why.
    pub reason: String,
}

/// A segment of one release: its figure is `Σ w_j π_j / Σ v_j π_j`, with a weight of each for every
/// bin. For the share of *up* in a segment, w picks its bin of up, and v all its answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Its name.
    pub label: String,
    /// The weights w.
    pub numerator: Vec<f64>,
    /// The weights v.
    pub denominator: Vec<f64>,
}

/// The largest gap between segments. Its words claim no more than the data supports.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Disparity {
    /// The highest figure less the lowest.
    pub gap: f64,
    /// The gaps that the data does not contradict, of all pairs at once.
    #[serde(flatten)]
    pub interval: Interval,
    /// The segment with the highest figure.
    pub highest: String,
    /// The segment with the lowest figure.
    pub lowest: String,
    /// Whether the data supports that there is a gap between these two.
    pub is_supported: bool,
    /// How many pairs of segments there are.
    pub pairs: usize,
    /// In what the gap is measured.
    pub unit: Unit,
    /// Segments that are not among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is left out: {}", self.label, self.reason)
    }
}

impl Segments {
    /// Segments with a release each: those of a public dimension.
    pub fn apart(arms: &[Arm], unit: Unit) -> Result<Self, EstimateError> {
        at_least(2, "segments", arms.len())?;
        let variances: Vec<f64> = arms.iter().map(Arm::variance).collect();
        Ok(Self {
            labels: arms.iter().map(|arm| arm.label().to_owned()).collect(),
            values: arms.iter().map(Arm::value).collect(),
            covariance: Symmetric::diagonal(&variances),
            unit,
            left_out: Vec::new(),
        })
    }

    /// Segments of one release: those of a private dimension. Their noise goes together.
    ///
    /// A segment with too few answers to divide by is left out and named; fails if fewer than two are
    /// left.
    pub fn within(
        release: &NoisyCounts,
        segments: &[Segment],
        unit: Unit,
    ) -> Result<Self, EstimateError> {
        at_least(2, "segments", segments.len())?;
        let rates = release.rates();
        let (mut values, mut gradients) = (Vec::new(), Vec::new());
        let (mut labels, mut left_out) = (Vec::new(), Vec::new());
        let mut refused = None;
        for Segment { numerator, denominator, label } in segments {
            let (scope, confidence) = (Scope::Population, Confidence::USUAL);
            let figure = match ratio(release, numerator, denominator, scope, confidence) {
                Ok(figure) => figure,
                Err(error @ EstimateError::TooFewAnswers { .. }) => {
                    let (label, reason) = (label.clone(), error.to_string());
                    left_out.push(LeftOut { label, reason });
                    refused.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            labels.push(label.clone());
            let bottom = dot(&rates, denominator);
            let weights = numerator.iter().zip(denominator);
            let gradient = weights.map(|(w, v)| (w - figure.value * v) / bottom);
            values.push(figure.value);
            gradients.push(gradient.collect::<Vec<_>>());
        }
        if let Some(error) = refused.filter(|_| values.len() < 2) {
            return Err(error);
        }
        let of_rates = covariance::of_rates(release, Scope::Population)?;
        let mut covariance = Symmetric::zero(values.len());
        for (i, one) in gradients.iter().enumerate() {
            for (j, other) in gradients.iter().enumerate() {
                covariance.add(i, j, of_rates.of_weighted_sums(one, other));
            }
        }
        Ok(Self { labels, values, covariance, unit, left_out })
    }

    /// The largest gap between two of them.
    pub fn largest_gap(&self, confidence: Confidence) -> Disparity {
        let number = self.values.len();
        let pairs = number * (number - 1) / 2;
        let by_value = |i: &usize, j: &usize| self.values[*i].total_cmp(&self.values[*j]);
        // There are at least two segments, so there is a highest and another, lowest one.
        let highest = (0..number).max_by(by_value).unwrap_or(0);
        let lowest = (0..number).filter(|i| *i != highest).min_by(by_value).unwrap_or(0);
        let mut weights = vec![0.0; number];
        (weights[highest], weights[lowest]) = (1.0, -1.0);
        let deviation = self.covariance.of_weighted_sum(&weights).sqrt();
        let gap = self.values[highest] - self.values[lowest];
        let interval = Interval::around(gap, confidence.each_of(pairs).z() * deviation);
        Disparity {
            gap,
            interval,
            highest: self.labels[highest].clone(),
            lowest: self.labels[lowest].clone(),
            is_supported: interval.low > 0.0,
            pairs,
            unit: self.unit,
            left_out: self.left_out.clone(),
        }
    }
}

impl fmt::Display for Disparity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gap = self.unit.difference(self.gap);
        let margin = self.unit.difference(self.interval.half_width());
        let Self { highest, lowest, pairs, .. } = self;
        if self.is_supported {
            write!(f, "{highest} is higher than {lowest} by {gap} ± {margin}, ")?;
            write!(f, "the largest of {pairs} gaps")?;
        } else {
            write!(f, "the data cannot tell the segments apart: the largest of {pairs} gaps, ")?;
            write!(f, "between {highest} and {lowest}, is {gap} ± {margin}")?;
        }
        self.left_out.iter().try_for_each(|one| write!(f, "; {one}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregator_noise::AggregatorNoise,
        figure::{Figure, Method},
        noisy_counts::Channel,
    };

    fn arms(values: &[f64]) -> Vec<Arm> {
        let arm = |(i, value): (usize, &f64)| {
            let (value, standard_error) = (*value, 0.01);
            let interval = Interval::around(value, 0.02);
            let method = Method::Sum;
            let figure =
                Figure { value, standard_error, interval, method, aggregators_variance: 0.0 };
            Arm::new(format!("s{i}"), &figure, 3000).unwrap()
        };
        values.iter().enumerate().map(arm).collect()
    }

    #[test]
    fn a_gap_by_chance_is_refused_in_words() {
        // 2.4 standard deviations: enough for two segments, not for the largest of six gaps.
        let largest = |values: &[f64]| {
            let segments = Segments::apart(&arms(values), Unit::Rate).unwrap();
            segments.largest_gap(Confidence::USUAL)
        };
        let two = largest(&[0.534, 0.5]);
        assert!(two.is_supported);
        let words = two.to_string();
        assert_eq!(words, "s0 is higher than s1 by 3.4 pp ± 2.8 pp, the largest of 1 gaps");
        let four = largest(&[0.51, 0.5, 0.534, 0.52]);
        assert!(!four.is_supported);
        let words = four.to_string();
        assert!(words.starts_with("the data cannot tell the segments apart"), "{words}");
        assert!(words.contains("between s2 and s1, is 3.4 pp ± 3.7 pp"), "{words}");
        assert!(!largest(&[0.5, 0.5]).is_supported);
    }

    #[test]
    fn segments_of_one_release_vary_together() {
        let channel = Channel::kary(5, 0.02).unwrap();
        let counts = vec![750, 250, 600, 400, 1000];
        let release = NoisyCounts::new(counts, 3000, channel, AggregatorNoise::None).unwrap();
        let segment = |label: &str, first: usize| {
            let mut numerator = vec![0.0; 5];
            numerator[first] = 1.0;
            let mut denominator = numerator.clone();
            denominator[first + 1] = 1.0;
            Segment { label: label.to_owned(), numerator, denominator }
        };
        let both = [segment("new", 0), segment("old", 2)];
        let segments = Segments::within(&release, &both, Unit::Rate).unwrap();
        let gap = segments.largest_gap(Confidence::USUAL);
        assert!(gap.is_supported && gap.highest == "new");
        assert!(segments.covariance.of(0, 1) != 0.0);
        assert!((segments.covariance.of(0, 1) - segments.covariance.of(1, 0)).abs() < 1e-18);
    }

    #[test]
    fn a_segment_without_answers_is_left_out_and_named() {
        let channel = Channel::kary(7, 0.02).unwrap();
        let counts = vec![750, 250, 600, 400, 60, 60, 880];
        let release = NoisyCounts::new(counts, 3000, channel, AggregatorNoise::None).unwrap();
        let segment = |(i, label): (usize, &str)| {
            let weights = |bins: &[usize]| {
                (0..7).map(|bin| f64::from(u8::from(bins.contains(&bin)))).collect::<Vec<_>>()
            };
            let (numerator, denominator) = (weights(&[2 * i]), weights(&[2 * i, 2 * i + 1]));
            Segment { label: label.to_owned(), numerator, denominator }
        };
        let all: Vec<_> = ["new", "old", "silent"].into_iter().enumerate().map(segment).collect();
        let gap = Segments::within(&release, &all, Unit::Rate).unwrap();
        let gap = gap.largest_gap(Confidence::USUAL);
        assert!(gap.is_supported && gap.pairs == 1, "{gap}");
        assert_eq!(gap.left_out[0].label, "silent");
        assert!(gap.to_string().contains("silent is left out: "), "{gap}");
        assert!(Segments::within(&release, &all[1..], Unit::Rate).is_err());
    }

    #[test]
    fn one_segment_has_no_gap() {
        assert!(Segments::apart(&arms(&[0.5]), Unit::Rate).is_err());
        assert!(Segments::apart(&[], Unit::Rate).is_err());
    }
}
