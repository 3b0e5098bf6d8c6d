//! Those who never answer: correcting for them, and what can be said without correcting.
//!
//! An implicit metric (did they copy the text, ask again, leave?) is known of everyone; an explicit
//! one only of those who answered. From the joint of both, the share of *up* among all devices is
//! `π̂ = Σ_s [θ_up,s/(θ_up,s + θ_down,s)]·θ_s`: the strata's shares of up, weighted by all devices
//! of each stratum (post-stratification, Holt and Smith 1979). It is right if, within a stratum,
//! those who did not answer think as those who did (missing at random), and the result says so in
//! words. Its variance is by the delta method, with the covariance of all cells. Strata with too
//! few answers to divide by are merged, the weakest with the next weakest.
//!
//! Without any assumption the share lies between `Σ θ_up` and `Σ θ_up + Σ θ_none` (Manski 1989).
//! Those bounds are always given.

use super::{
    compare::percent,
    confidence::Confidence,
    covariance,
    error::{EstimateError, at_least},
    figure::{Figure, Method, dot, ratio, weighted_sum},
    interval::{Interval, Scope},
    noisy_counts::NoisyCounts,
    symmetric::Symmetric,
};
use serde::Serialize;
use std::fmt;

/// What a bin of the joint says. Strata, the values of the implicit metric, are numbered from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Answered, and the answer is the one whose share is asked for.
    Yes(usize),
    /// Answered otherwise.
    No(usize),
    /// Did not answer.
    Silent(usize),
}

/// The joint of an explicit and an implicit metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Joint {
    release: NoisyCounts,
    cells: Vec<Cell>,
    strata: Vec<String>,
}

/// A share among all devices, those who did not answer included.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Correction {
    /// If those who did not answer think as those who did in their stratum. Absent if there are
    /// too few answers for that.
    pub corrected: Option<Figure>,
    /// The share among those who answered, not corrected. Absent if there are too few answers.
    pub among_answers: Option<Figure>,
    /// What holds whatever those who did not answer think.
    pub bounds: Bounds,
    /// The strata that the correction used, merged ones together.
    pub strata: Vec<Vec<String>>,
    /// On what the correction rests, in words.
    pub assumption: String,
}

/// Manski's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bounds {
    /// Estimated share if nobody who did not answer would have said yes.
    pub low: f64,
    /// Estimated share if all of them would.
    pub high: f64,
    /// Both bounds with their uncertainty: the share is in it, with the stated confidence.
    pub interval: Interval,
}

/// Answers of a stratum are divided by if so many standard deviations from none.
const STRONG: f64 = 3.0;

impl Joint {
    /// One cell for each bin, of k-ary or one-hot reports, and a name for each stratum.
    pub fn new(
        release: NoisyCounts,
        cells: Vec<Cell>,
        strata: Vec<String>,
    ) -> Result<Self, EstimateError> {
        if !release.channel().is_exclusive() {
            return Err(EstimateError::JointUnknown);
        }
        let (given, needed) = (cells.len(), release.bins());
        if given != needed {
            return Err(EstimateError::Length { what: "cells", given, needed });
        }
        at_least(1, "strata", strata.len())?;
        let last = strata.len() - 1;
        if let Some(index) = cells.iter().map(|cell| cell.stratum()).find(|index| *index > last) {
            let why = "has no name";
            return Err(EstimateError::Index { what: "stratum", index, why, last });
        }
        let joint = Self { release, cells, strata };
        let has = |stratum: usize, kind: fn(usize) -> Cell| joint.cells.contains(&kind(stratum));
        let lacks = |stratum: &usize| !has(*stratum, Cell::Yes) || !has(*stratum, Cell::No);
        if let Some(index) = (0..=last).find(lacks) {
            let why = "has no cell for one of the answers";
            return Err(EstimateError::Index { what: "stratum", index, why, last });
        }
        Ok(joint)
    }

    /// The share of yes in the population, corrected for those who did not answer.
    pub fn correct(&self, confidence: Confidence) -> Result<Correction, EstimateError> {
        let covariance = covariance::of_rates(&self.release, Scope::Population)?;
        let groups = self.merged(&covariance);
        let names = |group: &Vec<usize>| group.iter().map(|i| self.strata[*i].clone()).collect();
        let all = vec![(0..self.strata.len()).collect()];
        Ok(Correction {
            corrected: self.post_stratified(&groups, &covariance, confidence),
            among_answers: self.among_answers(&all, &covariance, confidence),
            bounds: self.bounds(confidence)?,
            strata: groups.iter().map(names).collect(),
            assumption: self.assumption(&groups),
        })
    }

    /// Groups of strata, each with enough answers unless there is only one left.
    fn merged(&self, covariance: &Symmetric) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = (0..self.strata.len()).map(|i| vec![i]).collect();
        loop {
            groups.sort_by(|a, b| {
                self.strength(a, covariance).total_cmp(&self.strength(b, covariance))
            });
            if groups.len() == 1 || self.strength(&groups[0], covariance) >= STRONG {
                for group in &mut groups {
                    group.sort_unstable();
                }
                groups.sort();
                return groups;
            }
            let weakest = groups.remove(0);
            groups[0].extend(weakest);
        }
    }

    /// How many standard deviations the answers of a group are from none.
    fn strength(&self, group: &[usize], covariance: &Symmetric) -> f64 {
        let answers = self.weights(group, |cell| !matches!(cell, Cell::Silent(_)));
        let deviation = covariance.of_weighted_sum(&answers).sqrt();
        let share = dot(&self.release.rates(), &answers);
        if share <= 0.0 { 0.0 } else { share / deviation }
    }

    /// 1 for each bin of these strata that the condition picks.
    fn weights(&self, group: &[usize], condition: fn(Cell) -> bool) -> Vec<f64> {
        let picks = |cell: &Cell| group.contains(&cell.stratum()) && condition(*cell);
        self.cells.iter().map(|cell| f64::from(u8::from(picks(cell)))).collect()
    }

    /// `Σ_g [u_g/(u_g + d_g)]·q_g`.
    fn post_stratified(
        &self,
        groups: &[Vec<usize>],
        covariance: &Symmetric,
        confidence: Confidence,
    ) -> Option<Figure> {
        let rates = self.release.rates();
        let mut value = 0.0;
        let mut gradient = vec![0.0; rates.len()];
        for group in groups {
            if self.strength(group, covariance) < STRONG {
                return None;
            }
            let yes = dot(&rates, &self.weights(group, |cell| matches!(cell, Cell::Yes(_))));
            let no = dot(&rates, &self.weights(group, |cell| matches!(cell, Cell::No(_))));
            let devices = dot(&rates, &self.weights(group, |_| true));
            let answers = yes + no;
            value += yes / answers * devices;
            let slope = devices / (answers * answers);
            let bins = self.cells.iter().zip(&mut gradient);
            for (cell, partial) in bins.filter(|(cell, _)| group.contains(&cell.stratum())) {
                *partial = yes / answers
                    + match cell {
                        Cell::Yes(_) => slope * no,
                        Cell::No(_) => -slope * yes,
                        Cell::Silent(_) => 0.0,
                    };
            }
        }
        let sum = weighted_sum(&self.release, &gradient, Scope::Population, confidence).ok()?;
        let half_width = sum.interval.half_width();
        let interval = Interval::around(value, half_width).clamp(0.0, 1.0);
        Some(Figure { value, interval, method: Method::Delta, ..sum })
    }

    fn among_answers(
        &self,
        all: &[Vec<usize>],
        covariance: &Symmetric,
        confidence: Confidence,
    ) -> Option<Figure> {
        let group = all.first()?;
        let yes = self.weights(group, |cell| matches!(cell, Cell::Yes(_)));
        let answers = self.weights(group, |cell| !matches!(cell, Cell::Silent(_)));
        let is_strong = self.strength(group, covariance) >= STRONG;
        let ratio = ratio(&self.release, &yes, &answers, Scope::Population, confidence);
        ratio.ok().filter(|_| is_strong).map(|figure| figure.clamp(0.0, 1.0))
    }

    /// Each end at the confidence of an end of a two-sided interval, so that the whole is in with
    /// at least the confidence (Imbens and Manski 2004 could shorten it a little).
    fn bounds(&self, confidence: Confidence) -> Result<Bounds, EstimateError> {
        let all: Vec<usize> = (0..self.strata.len()).collect();
        let certain = self.weights(&all, |cell| matches!(cell, Cell::Yes(_)));
        let possible = self.weights(&all, |cell| !matches!(cell, Cell::No(_)));
        let sum =
            |weights: &[f64]| weighted_sum(&self.release, weights, Scope::Population, confidence);
        let (low, high) = (sum(&certain)?, sum(&possible)?);
        let interval = Interval { low: low.interval.low, high: high.interval.high };
        Ok(Bounds { low: low.value, high: high.value, interval: interval.clamp(0.0, 1.0) })
    }

    fn assumption(&self, groups: &[Vec<usize>]) -> String {
        let name = |group: &Vec<usize>| {
            let names: Vec<&str> = group.iter().map(|i| self.strata[*i].as_str()).collect();
            names.join(" with ")
        };
        let strata: Vec<String> = groups.iter().map(name).collect();
        let mut words = format!(
            "assumes that among devices of the same stratum ({}) those who did not answer think \
             as those who did (missing at random); the data cannot show whether that is so",
            strata.join("; ")
        );
        if groups.len() < self.strata.len() {
            words.push_str("; strata joined by \"with\" had too few answers of their own");
        }
        words
    }
}

impl Cell {
    fn stratum(self) -> usize {
        match self {
            Self::Yes(stratum) | Self::No(stratum) | Self::Silent(stratum) => stratum,
        }
    }
}

impl fmt::Display for Correction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |figure: &Figure| {
            format!("{} ± {}", percent(figure.value), percent(figure.interval.half_width()))
        };
        match (&self.corrected, &self.among_answers) {
            (Some(corrected), Some(raw)) => write!(
                f,
                "{} corrected for those who did not answer ({} among those who did); {}",
                shown(corrected),
                shown(raw),
                self.assumption
            )?,
            _ => write!(f, "there are too few answers to correct for those who did not")?,
        }
        let Bounds { low, high, interval } = self.bounds;
        write!(
            f,
            "; without any assumption: from {} to {} (with the noise, {} to {})",
            percent(low.clamp(0.0, 1.0)),
            percent(high.clamp(0.0, 1.0)),
            percent(interval.low),
            percent(interval.high)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::{
        aggregator_noise::AggregatorNoise, noisy_counts::Channel, number::whole,
    };

    /// Expected counts of a joint with yes, no and silent in each stratum.
    fn joint(shares: &[[f64; 3]], reports: f64, lie: f64) -> Joint {
        let cells: Vec<Cell> =
            (0..shares.len()).flat_map(|s| [Cell::Yes(s), Cell::No(s), Cell::Silent(s)]).collect();
        let channel = Channel::kary(cells.len(), lie).unwrap();
        let response = channel.response(0).unwrap();
        let expected = |share: &f64| whole(response.reported(*share) * reports);
        let mut counts: Vec<i64> = shares.iter().flatten().map(expected).collect();
        let last = counts.len() - 1;
        counts[last] += whole(reports) - counts.iter().sum::<i64>();
        let reports = u64::try_from(whole(reports)).unwrap();
        let release = NoisyCounts::new(counts, reports, channel, AggregatorNoise::None).unwrap();
        let names = ["copied", "left", "asked again"][..shares.len()].iter();
        Joint::new(release, cells, names.map(|&name| name.to_owned()).collect()).unwrap()
    }

    #[test]
    fn the_silent_count_as_their_stratum_does() {
        // Copied: 80 % of answers up, half answered. Left: 20 % up, one in ten answered.
        let joint = joint(&[[0.2, 0.05, 0.25], [0.01, 0.04, 0.45]], 1e7, 0.02);
        let correction = joint.correct(Confidence::USUAL).unwrap();
        let corrected = correction.corrected.unwrap();
        assert!((corrected.value - 0.5).abs() < 1e-4, "{corrected:?}");
        assert!((correction.among_answers.unwrap().value - 0.7).abs() < 1e-4);
        assert!((correction.bounds.low - 0.21).abs() < 1e-4);
        assert!((correction.bounds.high - 0.91).abs() < 1e-4);
        assert!(correction.bounds.interval.low < 0.21 && correction.bounds.interval.high > 0.91);
        let words = correction.to_string();
        assert!(words.starts_with("50.0 % ± "), "{words}");
        assert!(words.contains("missing at random") && words.contains("copied; left"), "{words}");
        assert!(words.contains("without any assumption: from 21.0 % to 91.0 %"), "{words}");
    }

    #[test]
    fn weak_strata_are_merged_and_named() {
        let shares = [[0.2, 0.1, 0.2], [0.001, 0.001, 0.2], [0.05, 0.05, 0.198]];
        let correction = joint(&shares, 3000.0, 0.02).correct(Confidence::USUAL).unwrap();
        let expected =
            [vec!["copied".to_owned()], vec!["left".to_owned(), "asked again".to_owned()]];
        assert_eq!(correction.strata, expected);
        assert!(correction.corrected.is_some());
        assert!(correction.assumption.contains("left with asked again"));
        assert!(correction.assumption.contains("too few answers of their own"));
    }

    #[test]
    fn with_hardly_an_answer_only_the_bounds_are_given() {
        let shares = [[0.001, 0.001, 0.5], [0.001, 0.001, 0.496]];
        let correction = joint(&shares, 3000.0, 0.02).correct(Confidence::USUAL).unwrap();
        assert!(correction.corrected.is_none() && correction.among_answers.is_none());
        let words = correction.to_string();
        assert!(words.starts_with("there are too few answers"), "{words}");
        assert!(words.contains("without any assumption"), "{words}");
    }

    #[test]
    fn cells_that_make_no_joint_are_refused() {
        let channel = || Channel::kary(3, 0.01).unwrap();
        let release =
            || NoisyCounts::new(vec![1, 1, 1], 3, channel(), AggregatorNoise::None).unwrap();
        let strata = || vec!["all".to_owned()];
        let cells = vec![Cell::Yes(0), Cell::No(0), Cell::Silent(1)];
        let error = Joint::new(release(), cells, strata()).unwrap_err();
        assert!(error.to_string().contains("stratum 1 has no name"), "{error}");
        let cells = vec![Cell::Yes(0), Cell::Silent(0), Cell::Silent(0)];
        let error = Joint::new(release(), cells, strata()).unwrap_err();
        assert!(error.to_string().contains("no cell for one of the answers"), "{error}");
        assert!(Joint::new(release(), vec![Cell::Yes(0)], strata()).is_err());
        assert!(Joint::new(release(), vec![Cell::Yes(0); 3], vec![]).is_err());
    }
}
